//! `.pt` and `.pth`: what `torch.save` writes, a zip archive of a pickle and of the bytes of tensors.
//!
//! A pickle is a program, and Python runs it. Here nothing runs: `pickle` reads its operations into a tree, in which calls
//! of the few functions that make tensors and dictionaries are known by their names, and all others are objects that
//! cannot be read. This is a reader of our own because crates that read these files give whole tensors in memory, while
//! features are read in place, range by range.

mod format;
mod machine;
mod names;
mod pickle;
mod pieces;
mod tensor;

pub(super) use format::{Pt, Saved};
pub(super) use tensor::{Layout, SavedTensor};
