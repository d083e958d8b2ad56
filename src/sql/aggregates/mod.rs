//! Aggregate functions: from rows to states and decisions.

pub(super) mod finish;
pub(super) mod groups;
pub(super) mod merge;
pub(super) mod of_rows;
pub(super) mod second_pass;
