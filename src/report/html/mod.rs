//! A report as one page to look at, to mail and to print, and its figures one by one: no scripts, and nothing from elsewhere.

mod alone;
mod classes;
mod comparison;
mod figures;
mod groups;
mod headline;
mod page;
mod spectra;

pub use alone::Given;
pub(super) use alone::{alone, chosen};
pub(super) use comparison::comparison;
pub(super) use page::report;
