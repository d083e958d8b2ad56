//! A report in Python.

use nckit::cli::library::Answer;
use nckit::error::Error;
use nckit::report::{self, Format, Style};
use pyo3::prelude::*;

use crate::errors::exception;

/// What a run has found, in all forms in which it is written.
#[pyclass(frozen, module = "nckit._nckit")]
pub(crate) struct Report {
    report: report::Report,
    headline: bool,
    warnings: Vec<String>,
}

impl Report {
    pub(crate) fn new(Answer { report, headline, warnings }: Answer) -> Self {
        Self { report, headline, warnings }
    }
}

#[pymethods]
impl Report {
    /// What the command line says as warnings.
    #[getter]
    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }

    /// The table, as wide as `width` columns; of all metrics, or of the headline if no metrics were named.
    #[pyo3(signature = (width=None, every=false))]
    fn table(&self, py: Python<'_>, width: Option<usize>, every: bool) -> PyResult<String> {
        let style = Style { width, colour: false, headline: self.headline && !every };
        let text = self.written(py, Format::Table, false, style)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// The report in a format by its name: json, ndjson, csv, markdown, html, parquet; or its classes, one by one.
    #[pyo3(signature = (format, classes=false))]
    fn write(&self, py: Python<'_>, format: &str, classes: bool) -> PyResult<Vec<u8>> {
        let known = Format::ALL.into_iter().find(|known| known.name() == format);
        let known = known.ok_or_else(|| exception(py, &Error::usage("no such format").with("format", format)))?;
        self.written(py, known, classes, Style::default())
    }
}

impl Report {
    fn written(&self, py: Python<'_>, format: Format, classes: bool, style: Style) -> PyResult<Vec<u8>> {
        let mut bytes = Vec::new();
        let written = py.detach(|| {
            if classes {
                self.report.write_per_class(format, &mut bytes, style)
            } else {
                self.report.write(format, &mut bytes, style)
            }
        });
        written.map(|()| bytes).map_err(|error| exception(py, &error))
    }
}
