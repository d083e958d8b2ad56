//! What the planner is taught: where grids come from, which states are shared, what memory a plan takes.

pub(super) mod bind;
pub(super) mod fuse;
pub(super) mod memory;
pub(super) mod propagate_grid;
pub(super) mod yielding;
