//! A report as one page to look at, to mail and to print: no scripts, and nothing from elsewhere.

mod figures;
mod headline;
mod page;

pub(super) use page::report;
