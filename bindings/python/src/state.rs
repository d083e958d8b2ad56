//! Rows that Python holds in memory become a state.
//!
//! Several threads may update one state: a lock makes them take turns, and nobody waits for it with Python's own lock in hand.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use half::f16;
use nckit::batch::{Features, Label};
use nckit::cli::library::{guarded, pooled};
use nckit::error::{Error, Result};
use nckit::metrics::Selection;
use nckit::pipeline::{ErrorBars, Resources, Rounding, Task};
use nckit::state::{Merge, State as Sums, Statistics};
use nckit::store::{Dealing, StateFile};
use nckit::{Collapse, RowsInMemory};
use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::errors::exception;
use crate::jobs::report_of;
use crate::report::Report;
use crate::rows::{FeatureArray, Head, LabelArray, Labels};

/// Values that each thread rounds before signals are looked at again: the most that a chunk holds.
const PIECE: usize = 1 << 22;

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
    how: RowsInMemory,
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
        let only = |exponents: &BTreeSet<Option<i16>>| match exponents.len() {
            1 => exponents.first().copied().flatten(),
            _ => None,
        };
        let rounding = Rounding {
            exponent: only(&file.provenance.exponents),
            extra_bits: file.provenance.extra_bits.last().copied().unwrap_or(0),
        };
        let has_rows = file.ledger.units() > 0;
        let of_dealing = |Dealing { blocks, key }: &Dealing| ErrorBars { blocks: Some(*blocks), block_by: key.clone() };
        let how = RowsInMemory {
            rounding,
            scatter: file.provenance.scatter,
            normalize: file.provenance.normalize,
            error_bars: file.provenance.blocks.as_ref().map(of_dealing),
            ..RowsInMemory::default()
        };
        let settings = Settings { dim, how };
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
        let Settings { dim, how } = &self.settings;
        let own = of_rows!(&mut self.rows, None, rows => (rows.rows() > 0).then(|| rows.state()).transpose()?);
        match (&self.merged, own) {
            (None, Some(own)) => Ok(own),
            (None, None) => Collapse::<f32>::counting(dim.unwrap_or(1), how.clone())?.state(),
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

    fn update(
        &mut self,
        features: Features<'_>,
        shape: [usize; 2],
        labels: Labels<'_>,
        blocks: Option<&[Label]>,
    ) -> Result<(), Stop> {
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
        let key = self.settings.how.error_bars.as_ref().and_then(|bars| bars.block_by.as_ref());
        match (key, blocks) {
            (Some(key), None) => {
                return Err(Error::usage("rows come without the values of the key that makes blocks")
                    .with("key", key)
                    .help("update(features, labels, blocks), with one value of the key a row")
                    .into());
            }
            (None, Some(_)) => {
                return Err(Error::usage("no key makes blocks of these rows")
                    .help("State(error_bars=\"jackknife:32\", block_by=\"NAME\"), or no blocks")
                    .into());
            }
            _ => {}
        }
        if let Some(blocks) = blocks.filter(|blocks| blocks.len() != rows) {
            return Err(Error::data("there is not one block a row")
                .with("rows", rows)
                .with("blocks", blocks.len())
                .into());
        }
        if rows == 0 {
            return Ok(());
        }
        if dim == 0 {
            return Err(Error::data("the rows have no dimensions").with("rows", rows).into());
        }
        check_all(features, dim, labels)?;
        let how = self.settings.how.clone();
        match (&self.rows, features) {
            (Own::None, Features::F16(_)) => self.rows = Own::Half(Box::new(Collapse::counting(dim, how)?)),
            (Own::None, Features::F32(_)) => self.rows = Own::Single(Box::new(Collapse::counting(dim, how)?)),
            (Own::None, Features::F64(_)) => self.rows = Own::Double(Box::new(Collapse::counting(dim, how)?)),
            _ => {}
        }
        let new = New { labels, blocks, piece: (PIECE * self.settings.how.threads / dim).max(1) };
        let holds = self.rows.type_name();
        match (&mut self.rows, features) {
            (Own::Half(own), Features::F16(values)) => add(own, values, &new, &mut self.broken),
            (Own::Single(own), Features::F32(values)) => add(own, values, &new, &mut self.broken),
            (Own::Double(own), Features::F64(values)) => add(own, values, &new, &mut self.broken),
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

/// What comes with the values of new rows.
struct New<'a> {
    labels: Labels<'a>,
    blocks: Option<&'a [Label]>,
    /// How many rows are added before signals are looked at.
    piece: usize,
}

/// Adds rows, piece by piece, and looks for signals between the pieces.
fn add<T: Copy + Send + Sync>(
    own: &mut Collapse<T>,
    values: &[T],
    &New { labels, blocks, piece: rows }: &New<'_>,
    broken: &mut bool,
) -> Result<(), Stop>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    let dim = own.dim();
    for (number, values) in values.chunks(rows * dim).enumerate() {
        if number > 0 {
            Python::attach(|py| py.check_signals()).map_err(Stop::Signal)?;
        }
        let here = number * rows..number * rows + values.len() / dim;
        let before = own.rows();
        // A panic would leave half of a piece behind.
        *broken = true;
        let blocks = blocks.map(|blocks| &blocks[here.clone()]);
        let added = match labels {
            Labels::Int(labels) => add_piece(own, values, &labels[here], blocks),
            Labels::Unsigned(labels) => add_piece(own, values, &labels[here], blocks),
            Labels::Bool(labels) => add_piece(own, values, &labels[here], blocks),
            Labels::Text(labels) => add_piece(own, values, &labels[here], blocks),
        };
        // A batch that is refused adds no row; one that fails later leaves the state unspecified.
        *broken = added.is_err() && own.rows() != before;
        added?;
    }
    Ok(())
}

fn add_piece<T: Copy + Send + Sync, L: Clone + Into<Label>>(
    own: &mut Collapse<T>,
    values: &[T],
    labels: &[L],
    blocks: Option<&[Label]>,
) -> Result<()>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    match blocks {
        Some(blocks) => own.update_in_blocks(values, labels, blocks),
        None => own.update(values, labels),
    }
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
    #[pyo3(signature = (dim=None, metrics=Vec::new(), grid=None, extra_bits=0, normalize=false, error_bars=None, block_by=None, threads=None))]
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
        threads: Option<usize>,
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
            let with_key = |bars| ErrorBars { block_by, ..bars };
            let how = RowsInMemory {
                rounding: Rounding { exponent: grid, extra_bits },
                scatter: Task::needs_scatter(&Selection::parse(&metrics)?),
                normalize,
                error_bars: error_bars.map(ErrorBars::parse).transpose()?.map(with_key),
                threads: Resources::new(threads, None).threads,
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
            Ok(Self::of(State { settings, merged, rows, broken: false }))
        })
    }

    #[pyo3(signature = (features, labels, blocks=None))]
    fn update(
        &self,
        py: Python<'_>,
        features: FeatureArray<'_>,
        labels: LabelArray<'_>,
        blocks: Option<LabelArray<'_>>,
    ) -> PyResult<()> {
        let blocks = blocks.map(|blocks| blocks.values());
        let (shape, features, labels) = (features.shape(), features.features(), labels.labels());
        let updated = py.detach(|| {
            let mut stopped = None;
            let worked = guarded(|| match self.lock()?.update(features, shape, labels, blocks.as_deref()) {
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
    #[pyo3(signature = (words, head=None, per_class=false))]
    fn finish(
        &self,
        py: Python<'_>,
        words: Vec<OsString>,
        head: Option<Head<'_>>,
        per_class: bool,
    ) -> PyResult<Report> {
        let states = self.with_pool(py, State::file)?;
        report_of(py, words, Some(states), head.as_ref().map(Head::source), per_class)
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

fn value<'py>(py: Python<'py>, label: &Label) -> PyResult<Bound<'py, PyAny>> {
    Ok(match label {
        Label::Bool(value) => value.into_pyobject(py)?.to_owned().into_any(),
        Label::Int(value) => value.into_pyobject(py)?.into_any(),
        Label::Text(value) => (&**value).into_pyobject(py)?.into_any(),
    })
}
