//! SQL over files and over tables that stream Arrow.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::Arc;

use arrow::array::RecordBatchReader;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ffi_stream::{ArrowArrayStreamReader, FFI_ArrowArrayStream};
use arrow::record_batch::{RecordBatch, RecordBatchIterator};
use nckit::cli::library::{self, Question};
use nckit::error::Error;
use nckit::pipeline::Watch;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::errors::exception;
use crate::jobs::PATIENCE;
use crate::waiting::interruptible;

/// The name that capsules with a stream have.
const STREAM: &CStr = c"arrow_array_stream";

/// A table that streams Arrow.
#[pyclass(frozen, module = "nckit._nckit")]
pub(crate) struct Arrow {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

#[pymethods]
impl Arrow {
    /// The stream of all rows, by the Arrow PyCapsule interface; another schema is not made.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        let _ = requested_schema;
        let batches = self.batches.clone().into_iter().map(Ok::<_, ArrowError>);
        let reader = RecordBatchIterator::new(batches, self.schema.clone());
        PyCapsule::new_with_value(py, FFI_ArrowArrayStream::new(Box::new(reader)), STREAM)
    }

    #[getter]
    fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    #[getter]
    fn column_names(&self) -> Vec<String> {
        self.schema.fields().iter().map(|field| field.name().clone()).collect()
    }

    fn __repr__(&self) -> String {
        format!("<nckit.Arrow rows={} columns={}>", self.num_rows(), self.column_names().join(","))
    }
}

/// Answers statements, of which the last one that returns rows is the question; returns these rows, and warnings.
#[pyfunction]
#[pyo3(signature = (text, params, tables, rows, threads=None, memory=None))]
pub(crate) fn sql(
    py: Python<'_>,
    text: String,
    params: BTreeMap<String, String>,
    tables: Vec<(String, String)>,
    rows: Vec<(String, Bound<'_, PyAny>)>,
    threads: Option<usize>,
    memory: Option<u64>,
) -> PyResult<(Arrow, Vec<String>)> {
    let rows = rows
        .into_iter()
        .map(|(name, table)| read(py, &table).map(|(schema, batches)| (name, schema, batches)))
        .collect::<PyResult<_>>()?;
    let question = Question { text, params, tables, rows, threads, memory };
    let watch = Watch::default();
    let stop = watch.stop.clone();
    let answer = interruptible(py, &stop, Some(PATIENCE), move || library::answer(question, &watch))?;
    let library::Table { schema, batches, warnings } = answer;
    Ok((Arrow { schema, batches }, warnings))
}

/// All rows of a table that streams them.
fn read(py: Python<'_>, table: &Bound<'_, PyAny>) -> PyResult<(SchemaRef, Vec<RecordBatch>)> {
    let failed = |error: ArrowError| {
        exception(py, &Error::data("a table cannot be read").with("detail", &error).caused_by(error))
    };
    let capsule = table.call_method0("__arrow_c_stream__")?;
    let capsule = capsule.cast::<PyCapsule>().map_err(|_| PyTypeError::new_err("a stream of Arrow is a capsule"))?;
    let stream = capsule.pointer_checked(Some(STREAM))?;
    // SAFETY: a capsule of this name holds such a stream, which is moved out, as the interface says.
    #[expect(unsafe_code, reason = "the interface is one of C")]
    let reader = unsafe { ArrowArrayStreamReader::from_raw(stream.cast().as_ptr()) }.map_err(failed)?;
    let schema = Arc::clone(&reader.schema());
    // Whoever makes the rows may need Python's lock on another thread.
    let batches = py.detach(|| reader.collect::<Result<Vec<_>, _>>()).map_err(failed)?;
    Ok((schema, batches))
}
