//! What of a query can be done on other machines: the first half of an aggregation over an archive.
//!
//! An aggregation has two halves: rows become states of groups, and the states of each group are merged. The first half of
//! it can be taken out of a plan with all that lies below it, down to the scan of the archive; its rows are states, which
//! are merged here, and everything else of the query is done here too. Only aggregates whose states are exact are taken, so
//! the answer has the same bits whoever made the states.

mod functions;
mod scan;
mod split;

pub(crate) use functions::{read_aggregate, write_aggregate};
pub(crate) use scan::{OpenArchives, ScanDescription, ScanUnits, first_unit, only};
pub(crate) use split::{FirstHalf, take_first_halves};

pub(crate) use crate::sql::sources::scan::streaming;
