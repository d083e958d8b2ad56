//! What a run that is not finished still has to do.

use crate::archive::Planned;

/// The plan of an unfinished run. It is frozen at the start: files that appear later are not part of it, and files
/// that change or vanish end it.
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
    /// Units that will have been counted in the end.
    pub units: u64,
}
