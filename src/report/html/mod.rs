//! A report as one page to look at, to mail and to print, and its figures one by one: no scripts, and nothing from elsewhere.

mod alone;
mod classes;
mod comparison;
mod figures;
mod groups;
mod headline;
mod page;
mod spectra;

pub(super) use alone::alone;
pub(super) use comparison::comparison;
pub(super) use page::report;
