//! The plan of an unfinished run.

use crate::archive::Planned;

/// The plan of an unfinished run. It is fixed at the start: files that appear later are not part of it, and the run ends
/// with an error if a planned file changes or vanishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// The inputs, as typed.
    pub inputs: Vec<String>,
    /// Which part of how many.
    pub shard: Option<(u32, u32)>,
    /// All files of the plan, in its order.
    pub files: Vec<Planned>,
    /// Names of planned files that are damaged and left out.
    pub damaged: Vec<String>,
    /// How many row groups the finished state will hold.
    pub units: u64,
}
