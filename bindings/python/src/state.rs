//! Rows that Python holds in memory become a state.
//!
//! Several threads may update one state: a lock makes them take turns, and nobody waits for it with Python's own lock in hand.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use half::f16;
use nckit::Collapse;
use nckit::batch::{Features, Label};
use nckit::cli::library::guarded;
use nckit::error::{Error, Result};
use nckit::metrics::Selection;
use nckit::pipeline::{Rounding, Task};
use nckit::state::Statistics;
use nckit::store::StateFile;
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::exception;
use crate::jobs::report_of;
use crate::report::Report;
use crate::rows::{FeatureArray, Head, LabelArray, Labels};

/// Values that are rounded before signals are looked at again: the most that a chunk holds.
const PIECE: usize = 1 << 22;

/// A metric that needs class sums alone.
const WITHOUT_SCATTER: &str = "nc2_norm_mean";

/// Rows in memory, and states that were merged with them.
#[pyclass(frozen, module = "nckit._nckit")]
pub(crate) struct Rows {
    state: Mutex<State>,
    /// The process that holds the lock, or held it last.
    holder: AtomicU32,
}

struct State {
    settings: Settings,
    /// What was loaded or merged.
    merged: Option<StateFile>,
    rows: Own,
    /// Whether an error left the rows as nobody knows.
    broken: bool,
}

#[derive(Clone)]
struct Settings {
    dim: Option<usize>,
    selection: Selection,
    rounding: Rounding,
}

/// The rows that were added here, in the type of the first of them.
#[derive(Clone)]
enum Own {
    None,
    Half(Box<Collapse<f16>>),
    Single(Box<Collapse<f32>>),
    Double(Box<Collapse<f64>>),
}

/// Why an update ends early.
enum Stop {
    Error(Error),
    Signal(PyErr),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// The same for whatever type the rows have.
macro_rules! of_rows {
    ($own:expr, $none:expr, $rows:ident => $value:expr) => {
        match $own {
            Own::None => $none,
            Own::Half($rows) => $value,
            Own::Single($rows) => $value,
            Own::Double($rows) => $value,
        }
    };
}

impl Own {
    fn count(&self) -> u64 {
        of_rows!(self, 0, rows => rows.rows())
    }

    fn type_name(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Half(_) => "float16",
            Self::Single(_) => "float32",
            Self::Double(_) => "float64",
        }
    }
}

impl State {
    fn new(settings: Settings, merged: Option<StateFile>) -> Self {
        Self { settings, merged, rows: Own::None, broken: false }
    }

    /// The state that a file holds; rows that come are rounded as those in it.
    fn of_file(file: StateFile) -> Result<Self> {
        file.refuse_unfinished("the state")?;
        let dim = dim_of(&file)?;
        let words = if file.provenance.scatter { Vec::new() } else { vec![WITHOUT_SCATTER.to_owned()] };
        let only = |exponents: &BTreeSet<Option<i16>>| match exponents.len() {
            1 => exponents.first().copied().flatten(),
            _ => None,
        };
        let rounding = Rounding {
            exponent: only(&file.provenance.exponents),
            extra_bits: file.provenance.extra_bits.last().copied().unwrap_or(0),
        };
        let has_rows = file.ledger.units() > 0;
        let settings = Settings { dim, selection: Selection::parse(&words)?, rounding };
        Ok(Self::new(settings, has_rows.then_some(file)))
    }

    fn check(&self) -> Result<()> {
        if self.broken {
            return Err(Error::data("an earlier error left this state incomplete").help("make a new one"));
        }
        Ok(())
    }

    fn count(&self) -> u64 {
        self.rows.count() + self.merged.as_ref().map_or(0, |file| file.ledger.rows().0)
    }

    /// All rows as a state file.
    fn file(&mut self) -> Result<StateFile> {
        self.check()?;
        let Settings { dim, selection, rounding } = &self.settings;
        let own = of_rows!(&mut self.rows, None, rows => (rows.rows() > 0).then(|| rows.state()).transpose()?);
        match (&self.merged, own) {
            (None, Some(own)) => Ok(own),
            (None, None) => Collapse::<f32>::with(dim.unwrap_or(1), selection, *rounding).state(),
            (Some(merged), None) => Ok(merged.clone()),
            (Some(merged), Some(mut own)) => {
                if !merged.provenance.group_by.is_empty() {
                    return Err(Error::usage("rows cannot be added to the states of several groups")
                        .with("keys", merged.provenance.group_by.join(", "))
                        .help("make a State for them, and save it by itself"));
                }
                // The columns of a file have names, and arrays have none.
                own.provenance.features.clone_from(&merged.provenance.features);
                own.provenance.labels.clone_from(&merged.provenance.labels);
                own.provenance.dtype = merged.provenance.dtype;
                let mut all = merged.clone();
                all.merge("the state", &[("the rows added since".to_owned(), own)], false)?;
                Ok(all)
            }
        }
    }

    /// Adds the rows of another; if that fails, this one is as before.
    fn merge(&mut self, other: StateFile) -> Result<()> {
        self.check()?;
        if other.ledger.units() == 0 {
            return Ok(());
        }
        let before = self.merged.take();
        let merged = before.clone().map_or_else(
            || Ok(other.clone()),
            |mut all| all.merge("this state", &[("the other".to_owned(), other.clone())], false).map(|()| all),
        );
        self.merged = Some(merged.inspect_err(|_| self.merged.clone_from(&before))?);
        if self.rows.count() > 0
            && let Err(error) = self.file()
        {
            // Its own rows do not fit.
            self.merged = before;
            return Err(error);
        }
        if self.settings.dim.is_none() {
            self.settings.dim = dim_of(&other)?;
        }
        Ok(())
    }

    /// Takes the rows of another out again; if that fails, this one is as before.
    fn subtract(&mut self, other: &StateFile) -> Result<()> {
        if other.ledger.units() == 0 {
            return self.check();
        }
        let mut rest = self.file()?;
        rest.subtract("this state", ("the other", other))?;
        self.rows = Own::None;
        self.merged = Some(rest).filter(|rest| rest.ledger.units() > 0);
        Ok(())
    }

    fn update(&mut self, features: Features<'_>, shape: [usize; 2], labels: Labels<'_>) -> Result<(), Stop> {
        self.check()?;
        let [rows, dim] = shape;
        if labels.len() != rows {
            return Err(Error::data("there is not one label a row")
                .with("rows", rows)
                .with("labels", labels.len())
                .into());
        }
        if let Some(known) = self.dim().filter(|&known| known != dim) {
            return Err(Error::data("feature vector has the wrong length")
                .with("expected", known)
                .with("found", dim)
                .into());
        }
        if rows == 0 {
            return Ok(());
        }
        if dim == 0 {
            return Err(Error::data("the rows have no dimensions").with("rows", rows).into());
        }
        check_all(features, dim, labels)?;
        let Settings { selection, rounding, .. } = &self.settings;
        match (&self.rows, features) {
            (Own::None, Features::F16(_)) => {
                self.rows = Own::Half(Box::new(Collapse::with(dim, selection, *rounding)));
            }
            (Own::None, Features::F32(_)) => {
                self.rows = Own::Single(Box::new(Collapse::with(dim, selection, *rounding)));
            }
            (Own::None, Features::F64(_)) => {
                self.rows = Own::Double(Box::new(Collapse::with(dim, selection, *rounding)));
            }
            _ => {}
        }
        let holds = self.rows.type_name();
        match (&mut self.rows, features) {
            (Own::Half(own), Features::F16(values)) => add(own, values, labels, &mut self.broken),
            (Own::Single(own), Features::F32(values)) => add(own, values, labels, &mut self.broken),
            (Own::Double(own), Features::F64(values)) => add(own, values, labels, &mut self.broken),
            (_, features) => {
                let found = match features {
                    Features::F16(_) => "float16",
                    Features::F32(_) => "float32",
                    Features::F64(_) => "float64",
                };
                Err(Error::data("the features have another type than those before")
                    .with("before", holds)
                    .with("now", found)
                    .help(format!("convert them with astype({holds:?}), or make a State for each type and merge them"))
                    .into())
            }
        }
    }

    fn dim(&self) -> Option<usize> {
        of_rows!(&self.rows, self.settings.dim, rows => Some(rows.dim()))
    }
}

/// `D` of the first group that has rows.
fn dim_of(file: &StateFile) -> Result<Option<usize>> {
    Ok(file.shapes()?.into_iter().map(|(_, dim)| dim).find(|&dim| dim > 0))
}

/// Checks what a batch must be, before the first of its pieces is added.
fn check_all(features: Features<'_>, dim: usize, labels: Labels<'_>) -> Result<()> {
    let place = match features {
        Features::F16(values) => values.iter().position(|value| !value.is_finite()),
        Features::F32(values) => values.iter().position(|value| !value.is_finite()),
        Features::F64(values) => values.iter().position(|value| !value.is_finite()),
    };
    let label = |row: usize| -> Label {
        match labels {
            Labels::Int(labels) => labels[row].into(),
            Labels::Unsigned(labels) => labels[row].into(),
            Labels::Bool(labels) => labels[row].into(),
            Labels::Text(labels) => labels[row].clone().into(),
        }
    };
    if let Some(at) = place {
        let (row, dimension) = (at / dim, at % dim);
        return Err(Error::data("feature is not finite")
            .with("row", row)
            .with("dimension", dimension)
            .with("class", label(row)));
    }
    let negative = match labels {
        Labels::Int(labels) => labels.iter().position(|&label| label < 0),
        _ => None,
    };
    match negative {
        Some(row) => Err(Error::data("negative label")
            .with("row", row)
            .with("label", label(row))
            .help("leave out rows that belong to no class")),
        None => Ok(()),
    }
}

/// Adds rows, piece by piece, and looks for signals between the pieces.
fn add<T: Copy>(own: &mut Collapse<T>, values: &[T], labels: Labels<'_>, broken: &mut bool) -> Result<(), Stop>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    let dim = own.dim();
    let rows = (PIECE / dim).max(1);
    for (number, values) in values.chunks(rows * dim).enumerate() {
        if number > 0 {
            Python::attach(|py| py.check_signals()).map_err(Stop::Signal)?;
        }
        let here = number * rows..number * rows + values.len() / dim;
        let before = own.rows();
        // A panic would leave half of a piece behind.
        *broken = true;
        let added = match labels {
            Labels::Int(labels) => own.update(values, &labels[here]),
            Labels::Unsigned(labels) => own.update(values, &labels[here]),
            Labels::Bool(labels) => own.update(values, &labels[here]),
            Labels::Text(labels) => own.update(values, &labels[here]),
        };
        // A batch that is refused adds no row; one that fails later leaves the state unspecified.
        *broken = added.is_err() && own.rows() != before;
        added?;
    }
    Ok(())
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
    #[pyo3(signature = (dim=None, metrics=Vec::new(), grid=None, extra_bits=0))]
    fn new(
        py: Python<'_>,
        dim: Option<usize>,
        metrics: Vec<String>,
        grid: Option<i16>,
        extra_bits: u32,
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
            let rounding = Rounding { exponent: grid, extra_bits };
            Ok(State::new(Settings { dim, selection: Selection::parse(&metrics)?, rounding }, None))
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
        let bytes = self.with(py, |state| state.file()?.encode())?;
        Ok(PyBytes::new(py, &bytes))
    }

    #[pyo3(signature = (path, overwrite=false))]
    fn save(&self, py: Python<'_>, path: PathBuf, overwrite: bool) -> PyResult<()> {
        self.with(py, |state| {
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
            Ok(Self::of(State { settings, merged, rows, broken: false }))
        })
    }

    fn update(&self, py: Python<'_>, features: FeatureArray<'_>, labels: LabelArray<'_>) -> PyResult<()> {
        let (shape, features, labels) = (features.shape(), features.features(), labels.labels());
        let updated = py.detach(|| {
            let mut stopped = None;
            let worked = guarded(|| match self.lock()?.update(features, shape, labels) {
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
        let other = other.with(py, State::file)?;
        self.with(py, |state| state.merge(other))
    }

    fn subtract(&self, py: Python<'_>, other: &Self) -> PyResult<()> {
        let other = other.with(py, State::file)?;
        self.with(py, |state| state.subtract(&other))
    }

    /// Whether both hold the same sums, whatever batches they came in.
    fn same(&self, py: Python<'_>, other: &Self) -> PyResult<bool> {
        let other = other.with(py, State::file)?;
        let own = self.with(py, State::file)?;
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
        let labels = self.with(py, |state| {
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
        let statistics = self.with(py, |state| {
            let file = state.file()?;
            if file.groups.len() > 1 {
                return Err(Error::usage("the state has several groups").with("groups", file.groups.len()));
            }
            let group = file.groups.values().next();
            group.map(|group| group.decode(file.provenance.scatter)?.state.statistics()).transpose()
        })?;
        let statistics = statistics.unwrap_or_default();
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
    #[pyo3(signature = (words, head=None, per_class=false))]
    fn finish(
        &self,
        py: Python<'_>,
        words: Vec<OsString>,
        head: Option<Head<'_>>,
        per_class: bool,
    ) -> PyResult<Report> {
        let states = self.with(py, State::file)?;
        report_of(py, words, Some(states), head.as_ref().map(Head::source), per_class)
    }

    /// Whether a scatter matrix is kept.
    #[getter]
    fn scatter(&self, py: Python<'_>) -> PyResult<bool> {
        self.with(py, |state| Ok(Task::needs_scatter(&state.settings.selection)))
    }
}

fn value<'py>(py: Python<'py>, label: &Label) -> PyResult<Bound<'py, PyAny>> {
    Ok(match label {
        Label::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Label::Int(value) => value.into_pyobject(py)?.into_any(),
        Label::Text(value) => (&**value).into_pyobject(py)?.into_any(),
    })
}
