//! Rows that Python holds in memory become a state.
//!
//! Several threads may update one state: a lock makes them take turns, and nobody waits for it with Python's own lock in hand.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use nckit::archive::{Policy, Skipped};
use nckit::batch::Label;
use nckit::cli::library::{bytes, guarded, pooled};
use nckit::error::{Error, Result};
use nckit::metrics::Selection;
use nckit::pipeline::{ErrorBars, Resources, Rounding, Task};
use nckit::state::{Merge, State as Sums, Statistics};
use nckit::store::StateFile;
use nckit::{Collapse, RowsInMemory};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::exception;
use crate::held::{Settings, State};
use crate::jobs::{in_memory, report_of};
use crate::own::Stop;
use crate::report::Report;
use crate::rows::{FeatureArray, Further, Head, LabelArray, LeftOut};

/// Rows in memory, and states that were merged with them.
#[pyclass(frozen, module = "nckit._nckit")]
pub(crate) struct Rows {
    state: Mutex<State>,
    /// The process that holds the lock, or held it last.
    holder: AtomicU32,
}

impl Rows {
    fn of(state: State) -> Self {
        Self { state: Mutex::new(state), holder: AtomicU32::new(std::process::id()) }
    }

    fn lock(&self) -> Result<MutexGuard<'_, State>> {
        let own = std::process::id();
        let guard = match self.state.try_lock() {
            Ok(guard) => guard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) if self.holder.load(Ordering::Relaxed) != own => {
                return Err(Error::resource("a thread was using this state when the process was forked")
                    .help("make a new state in the child, or fork while nobody uses this one"));
            }
            Err(TryLockError::WouldBlock) => self.state.lock().unwrap_or_else(PoisonError::into_inner),
        };
        self.holder.store(own, Ordering::Relaxed);
        Ok(guard)
    }

    /// Works on the state without Python's lock, in a pool of threads: for what adds, merges or encodes states.
    fn with_pool<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut State) -> Result<T> + Send) -> PyResult<T> {
        let worked = py.detach(|| {
            let threads = guarded(|| Ok(self.lock()?.settings.how.threads))?;
            pooled(threads, || work(&mut *self.lock()?))
        });
        worked.map_err(|error| exception(py, &error))
    }

    /// Works on the state without Python's lock.
    fn with<T: Send>(&self, py: Python<'_>, work: impl FnOnce(&mut State) -> Result<T> + Send) -> PyResult<T> {
        let worked = py.detach(|| guarded(|| work(&mut *self.lock()?)));
        worked.map_err(|error| exception(py, &error))
    }
}

#[pymethods]
impl Rows {
    /// No rows, of `dim` values or of as many as the first ones have, for these metrics.
    #[new]
    #[pyo3(signature = (dim=None, metrics=Vec::new(), grid=None, extra_bits=0, normalize=false, error_bars=None, block_by=None, ignore_label=None, nulls="fail", nonfinite="fail", threads=None, memory=None, columns=None))]
    #[expect(clippy::too_many_arguments, reason = "Python gives them by name")]
    fn new(
        py: Python<'_>,
        dim: Option<usize>,
        metrics: Vec<String>,
        grid: Option<i16>,
        extra_bits: u32,
        normalize: bool,
        error_bars: Option<&str>,
        block_by: Option<String>,
        ignore_label: Option<String>,
        nulls: &str,
        nonfinite: &str,
        threads: Option<usize>,
        memory: Option<&str>,
        columns: Option<[String; 2]>,
    ) -> PyResult<Self> {
        let made = || {
            if dim == Some(0) {
                return Err(Error::usage("dim is at least 1"));
            }
            if grid.is_some_and(|exponent| !(-1022..=1000).contains(&exponent)) {
                return Err(Error::usage("grid is an exponent of two, from -1022 to 1000"));
            }
            if extra_bits > 20 || (extra_bits > 0 && grid.is_some()) {
                return Err(Error::usage("extra_bits is 0 to 20, and does not go with grid"));
            }
            if threads == Some(0) {
                return Err(Error::usage("threads is at least 1"));
            }
            if block_by.is_some() && error_bars.is_none() {
                return Err(Error::usage("block_by says what blocks are made of, and error_bars that there are some")
                    .help("error_bars=\"jackknife:32\""));
            }
            let Resources { threads, memory } = Resources::new(threads, memory.map(bytes).transpose()?);
            let with_key = |bars| ErrorBars { block_by, ..bars };
            let how = RowsInMemory {
                rounding: Rounding { exponent: grid, extra_bits },
                scatter: Task::needs_scatter(&Selection::parse(&metrics)?),
                normalize,
                error_bars: error_bars.map(ErrorBars::parse).transpose()?.map(with_key),
                threads,
                memory,
                columns,
                ignore_label,
                nulls: policy("nulls", nulls)?,
                nonfinite: policy("nonfinite", nonfinite)?,
            };
            // What cannot be counted is said before the first row comes.
            Collapse::<f32>::counting(1, how.clone())?;
            Ok(State::new(Settings { dim, how }, None))
        };
        made().map(Self::of).map_err(|error| exception(py, &error))
    }

    /// Reads a state file.
    #[staticmethod]
    fn load(py: Python<'_>, path: PathBuf) -> PyResult<Self> {
        let read = || State::of_file(StateFile::read(&path)?).map_err(|e| e.with_default("file", path.display()));
        let read = py.detach(|| guarded(read));
        read.map(Self::of).map_err(|error| exception(py, &error))
    }

    /// The state of a file's bytes.
    #[staticmethod]
    fn decode(py: Python<'_>, bytes: &[u8]) -> PyResult<Self> {
        let read = py.detach(|| guarded(|| State::of_file(StateFile::decode(bytes)?)));
        read.map(Self::of).map_err(|error| exception(py, &error))
    }

    /// The bytes of the file that `save` writes.
    fn encode<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let bytes = self.with_pool(py, |state| state.file()?.encode())?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[pyo3(signature = (path, overwrite=false))]
    fn save(&self, py: Python<'_>, path: PathBuf, overwrite: bool) -> PyResult<()> {
        self.with_pool(py, |state| {
            if !overwrite && StateFile::size_at(&path)?.is_some() {
                return Err(Error::output("the state file already exists")
                    .with("file", path.display())
                    .help("overwrite=True replaces it"));
            }
            state.file()?.write(&path, overwrite)
        })
    }

    fn copy(&self, py: Python<'_>) -> PyResult<Self> {
        self.with(py, |state| {
            state.check()?;
            let (settings, merged, rows) = (state.settings.clone(), state.merged.clone(), state.rows.clone());
            Ok(Self::of(State { settings, merged, rows, waiting: state.waiting.clone(), broken: false }))
        })
    }

    #[pyo3(signature = (features, labels, blocks=None, left_out=None))]
    fn update(
        &self,
        py: Python<'_>,
        features: FeatureArray<'_>,
        labels: LabelArray<'_>,
        blocks: Option<LabelArray<'_>>,
        left_out: Option<LeftOut<'_>>,
    ) -> PyResult<()> {
        let refused = |error| exception(py, &error);
        let blocks = blocks.map(|blocks| blocks.values()).transpose().map_err(refused)?;
        let left_out = left_out.map_or_else(|| Ok(Skipped::default()), |rows| rows.skipped()).map_err(refused)?;
        let shape = features.shape();
        let (features, labels) = (features.features().map_err(refused)?, labels.labels().map_err(refused)?);
        let updated = py.detach(|| {
            let mut stopped = None;
            let worked = guarded(|| match self.lock()?.update(features, shape, labels, blocks.as_deref(), &left_out) {
                Ok(()) => Ok(()),
                Err(Stop::Error(error)) => Err(error),
                Err(Stop::Signal(signal)) => {
                    stopped = Some(signal);
                    Ok(())
                }
            });
            (worked, stopped)
        });
        match updated {
            (_, Some(signal)) => Err(signal),
            (worked, None) => worked.map_err(|error| exception(py, &error)),
        }
    }

    fn merge(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let other = other.with_pool(py, State::file)?;
        self.with_pool(py, |state| state.merge(other))
    }

    fn subtract(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let other = other.with_pool(py, State::file)?;
        self.with_pool(py, |state| state.subtract(&other))
    }

    /// Whether both hold the same sums, whatever batches they came in.
    fn same(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        let other = other.with_pool(py, State::file)?;
        let own = self.with_pool(py, State::file)?;
        Ok(py.detach(|| own.groups == other.groups))
    }

    #[getter]
    fn count(&self, py: Python<'_>) -> PyResult<u64> {
        self.with(py, |state| Ok(state.count()))
    }

    #[getter]
    fn dim(&self, py: Python<'_>) -> PyResult<Option<usize>> {
        self.with(py, |state| Ok(state.dim()))
    }

    /// The labels of all classes with rows, ascending.
    fn labels<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let labels = self.with_pool(py, |state| {
            let file = state.file()?;
            let mut labels = BTreeSet::new();
            for group in file.groups.values() {
                let group = group.decode(file.provenance.scatter)?;
                labels.extend(group.state.class_sums().labels().iter().cloned());
            }
            Ok(labels)
        })?;
        labels.iter().map(|label| value(py, label)).collect()
    }

    /// Counts, means, variances and, where it is kept, the pooled scatter, as arrays.
    fn statistics<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let statistics = self.with_pool(py, |state| {
            let file = state.file()?;
            if !file.provenance.group_by.is_empty() && file.groups.len() > 1 {
                return Err(Error::usage("the state has several groups").with("groups", file.groups.len()));
            }
            let scatter = file.provenance.scatter;
            let mut all = Sums::new(scatter);
            for group in file.groups.values() {
                all.merge(&group.decode(scatter)?.state)?;
            }
            if all.rows() == 0 { Ok(Statistics::default()) } else { all.statistics() }
        })?;
        let means = (0..statistics.classes()).flat_map(|class| statistics.mean(class)).collect();
        let Statistics { dim, labels, counts, variances, scatter, .. } = statistics;
        let made = PyDict::new(py);
        made.set_item("labels", labels.iter().map(|label| value(py, label)).collect::<PyResult<Vec<_>>>()?)?;
        made.set_item("means", PyArray1::<f64>::from_vec(py, means).reshape([counts.len(), dim])?)?;
        made.set_item("counts", PyArray1::from_vec(py, counts))?;
        made.set_item("variances", PyArray1::from_vec(py, variances))?;
        if let Some(scatter) = scatter {
            made.set_item("scatter", PyArray1::from_vec(py, scatter).reshape([dim, dim])?)?;
        }
        Ok(made)
    }

    /// Runs `nckit finish` on the state.
    #[pyo3(signature = (words, head=None, per_class=false, further=None))]
    fn finish(
        &self,
        py: Python<'_>,
        words: Vec<OsString>,
        head: Option<Head<'_>>,
        per_class: bool,
        further: Option<Further<'_>>,
    ) -> PyResult<Report> {
        let states = self.with_pool(py, |state| {
            state.refuse_nothing()?;
            state.file()
        })?;
        let made = in_memory(Some(states), head.as_ref(), per_class, further.as_ref());
        report_of(py, words, made.map_err(|error| exception(py, &error))?)
    }

    /// The label whose rows are left out; whether those with nulls are, and those that are not finite; and whether rows are
    /// divided by their length.
    #[getter]
    fn policy(&self, py: Python<'_>) -> PyResult<(Option<String>, bool, bool, bool)> {
        self.with(py, |state| {
            let RowsInMemory { ignore_label, nulls, nonfinite, normalize, .. } = &state.settings.how;
            Ok((ignore_label.clone(), *nulls == Policy::Skip, *nonfinite == Policy::Skip, *normalize))
        })
    }

    /// Whether a scatter matrix is kept.
    #[getter]
    fn scatter(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |state| Ok(state.settings.how.scatter))
    }

    /// How many blocks it keeps for error bars, and the key that makes them.
    #[getter]
    fn blocks(&self, py: Python<'_>) -> PyResult<Option<(u32, Option<String>)>> {
        self.with(py, |state| {
            let bars = state.settings.how.error_bars.as_ref();
            Ok(bars.map(|bars| (bars.blocks.unwrap_or(ErrorBars::BLOCKS), bars.block_by.clone())))
        })
    }
}

fn policy(flag: &'static str, text: &str) -> Result<Policy> {
    match text {
        "fail" => Ok(Policy::Fail),
        "skip" => Ok(Policy::Skip),
        _ => Err(Error::usage(format!("{flag} is \"fail\" or \"skip\"")).with("found", text)),
    }
}

fn value<'py>(py: Python<'py>, label: &Label) -> PyResult<Bound<'py, PyAny>> {
    Ok(match label {
        Label::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Label::Int(value) => value.into_pyobject(py)?.into_any(),
        Label::Text(value) => (&**value).into_pyobject(py)?.into_any(),
    })
}
