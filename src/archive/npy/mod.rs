//! Files of `numpy`: one array (`.npy`), and several in a zip archive (`.npz`).

mod format;
mod header;
mod npz;

pub(super) use format::Npy;
pub(super) use npz::Npz;
