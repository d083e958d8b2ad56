//! Scalar functions: from states to numbers.

pub(super) mod catalogue;
pub(super) mod decisions;
pub(super) mod evaluate;
pub(super) mod measure;
pub(super) mod remarks;
pub(super) mod share;
