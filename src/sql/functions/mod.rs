//! Scalar functions: from states to numbers.

pub(super) mod arguments;
pub(super) mod catalogue;
pub(super) mod decisions;
pub(super) mod evaluate;
pub(super) mod jackknife;
pub(super) mod of_state;
pub(super) mod remarks;
pub(super) mod share;
pub(super) mod tables;
