//! The compiled part of the Python package `nckit`.
//!
//! It hands words, arrays and states to the library, and reports back; everything that Python alone can say better, as what a
//! tensor is, is in `python/nckit`. Nothing here prints, and no function keeps Python's lock while it works.

mod errors;
mod held;
mod jobs;
mod own;
mod report;
mod rows;
#[cfg(feature = "sql")]
mod sql;
mod state;
mod waiting;

use pyo3::prelude::*;

/// Measures neural collapse, exactly.
#[pymodule(gil_used = true)]
fn _nckit(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // Panics become exceptions. This copy of the standard library, and with it the hook, belongs to this module alone.
    std::panic::set_hook(Box::new(|_| {}));
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<report::Report>()?;
    module.add_class::<state::Rows>()?;
    module.add_function(wrap_pyfunction!(jobs::report, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::check_finish, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::accumulate, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::inspect, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::metrics, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::flags, module)?)?;
    module.add_function(wrap_pyfunction!(jobs::run, module)?)?;
    #[cfg(feature = "sql")]
    {
        module.add_class::<sql::Arrow>()?;
        module.add_function(wrap_pyfunction!(sql::sql, module)?)?;
    }
    Ok(())
}
