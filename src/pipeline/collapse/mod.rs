//! Rows in memory, measured as they come.

mod counter;

use std::collections::BTreeSet;

use self::counter::{Counter, NAME, in_pool};
use super::first_pass::{Blocking, dealt_block};
use super::gathered::Gathered;
use super::task::blocking;
use super::{ErrorBars, Finish, Job, Resources, Rounding, Task, Watch};
use crate::archive::{Policy, Skipped, first_of_zeros};
use crate::batch::{Batch, Features, Label, LabelKind};
use crate::error::{Error, Result};
use crate::metrics::Selection;
use crate::pipeline::first_pass::Counting;
use crate::report::GroupReport;
use crate::state::State;
use crate::store::{Filters, GroupState, Groups, Ledger, LedgerEntry, Provenance, SourceFile, StateFile};

/// Measures rows that a program holds in memory, as they come, in batches of any size.
///
/// The state is the one that `nckit accumulate` makes of a file named `memory` with these rows in this order in one row group,
/// stored in this type `T` (`f16`, `f32` or `f64`), so that neither the sizes of the batches nor threads change a bit. States of
/// several processes are added up with [`StateFile::merge`], and written and read with [`StateFile::write`] and
/// [`StateFile::read`].
///
/// ```
/// let mut rows = nckit::Collapse::new(2);
/// rows.update(&[1.0_f32, 0.25, 0.5, -0.25], &[0, 0])?;
/// rows.update(&[0.25, 1.0, -0.25, 0.5], &[1, 1])?;
/// // Variances of 0.125, and a squared distance of 1.125 between the means.
/// assert_eq!(rows.measure()?.value("nc1_cdnv"), Some(0.125 / 1.125));
/// # Ok::<(), nckit::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Collapse<T = f32> {
    rows: Gathered<T>,
    counter: Counter,
    memory: u64,
    said: Said,
    skipped: Skipped,
}

/// What states say of rows beside how they are counted.
#[derive(Clone, Debug, Default)]
struct Said {
    columns: Option<[String; 2]>,
    ignore_label: Option<String>,
    nulls: Policy,
    nonfinite: Policy,
}

/// How rows in memory are counted.
#[derive(Clone, Debug)]
pub struct RowsInMemory {
    /// The grid.
    pub rounding: Rounding,
    /// Whether the pooled scatter matrix, `D × D`, is kept beside class sums.
    pub scatter: bool,
    /// Whether each row is divided by its length, in double precision.
    pub normalize: bool,
    /// Into which blocks rows are dealt, so that error bars can be made of the state.
    pub error_bars: Option<ErrorBars>,
    /// The most threads that round chunks, at least 1. Each keeps sums of its own: a scatter matrix, and those of classes.
    pub threads: usize,
    /// Bytes of memory that sums may take. Fewer threads work where those of all would take more.
    pub memory: u64,
    /// What vectors and labels are called; `feature` and `label` if nobody has named them.
    pub columns: Option<[String; 2]>,
    /// The label whose rows the caller leaves out, as it is typed.
    pub ignore_label: Option<String>,
    /// Whether the caller leaves out rows with nulls; [`Collapse::leave_out`] counts them.
    pub nulls: Policy,
    /// Whether the caller leaves out rows that are not finite.
    pub nonfinite: Policy,
}

impl Default for RowsInMemory {
    /// For all metrics, on all cores.
    fn default() -> Self {
        let Resources { threads, memory } = Resources::default();
        Self {
            rounding: Rounding::default(),
            scatter: Task::needs_scatter(&Selection::default()),
            normalize: false,
            error_bars: None,
            threads,
            memory,
            columns: None,
            ignore_label: None,
            nulls: Policy::default(),
            nonfinite: Policy::default(),
        }
    }
}

/// The names of columns in states of rows that have none, as of arrays in files.
const FEATURE: &str = "feature";
const LABEL: &str = "label";

impl<T: Copy + Send + Sync> Collapse<T>
where
    for<'a> Features<'a>: From<&'a [T]>,
{
    /// Begins with no rows of `dim` values, for all metrics.
    pub fn new(dim: usize) -> Self {
        Self::begun(dim, RowsInMemory::default(), Blocking::None)
    }

    /// Begins with no rows of `dim` values, which are counted like this.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for blocks without a number.
    pub fn counting(dim: usize, how: RowsInMemory) -> Result<Self> {
        let blocking = blocking(how.error_bars.as_ref())?;
        Ok(Self::begun(dim, how, blocking))
    }

    fn begun(dim: usize, how: RowsInMemory, blocking: Blocking) -> Self {
        let RowsInMemory { rounding, scatter, normalize, threads, memory, .. } = how;
        let counting = Counting { rounding, scatter, blocking };
        let fits = |&threads: &usize| bytes(&counting, dim, threads) <= memory;
        let threads = (1..=threads).rev().find(fits).unwrap_or(1);
        let RowsInMemory { columns, ignore_label, nulls, nonfinite, .. } = how;
        let said = Said { columns, ignore_label, nulls, nonfinite };
        let counter = Counter::new(counting, normalize, threads);
        Self { rows: Gathered::new(dim), counter, memory, said, skipped: Skipped::default() }
    }

    /// Adds rows: `features` is rows × D, row-major, and `labels` has the class of each row.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the shapes differ, a label is negative or of another type than the ones
    /// before, a value is not finite, or a row of zeros is to be divided by its length; the row is counted within `features`,
    /// and none of them is added. [`Usage`](crate::error::ErrorKind::Usage) if blocks are made by a key, whose values
    /// [`update_in_blocks`](Self::update_in_blocks) takes. [`Resource`](crate::error::ErrorKind::Resource) if the sums of such
    /// rows would take more memory than they may. Those of
    /// [`Accumulate::update`](crate::state::Accumulate::update) for a chunk that is full, after which the state is unspecified.
    pub fn update<L: Clone + Into<Label>>(&mut self, features: &[T], labels: &[L]) -> Result<()> {
        if let Some((key, _)) = self.block_key() {
            return Err(Error::usage("rows come without the values of the key that makes blocks").with("key", key));
        }
        self.add(features, labels, &[])
    }

    /// Adds rows with the values of the key that [`ErrorBars::block_by`] names: rows of one value lie in one block.
    ///
    /// # Errors
    ///
    /// Those of [`update`](Self::update); [`Data`](crate::error::ErrorKind::Data) if there is not one value a row,
    /// [`Usage`](crate::error::ErrorKind::Usage) if no key makes blocks.
    pub fn update_in_blocks<L: Clone + Into<Label>>(
        &mut self,
        features: &[T],
        labels: &[L],
        values: &[Label],
    ) -> Result<()> {
        let Some((_, blocks)) = self.block_key() else {
            return Err(Error::usage("no key makes blocks of these rows"));
        };
        if values.len() != labels.len() {
            return Err(Error::data("there is not one value of the key a row")
                .with("rows", labels.len())
                .with("values", values.len()));
        }
        let block = |value: &Label| match dealt_block(value, blocks) {
            Label::Int(block) => block as u32,
            Label::Bool(_) | Label::Text(_) => 0,
        };
        self.add(features, labels, &values.iter().map(block).collect::<Vec<_>>())
    }

    /// The key whose values are dealt, and into how many blocks.
    fn block_key(&self) -> Option<(&str, u32)> {
        match &self.counter.counting.blocking {
            Blocking::Dealt(dealing) => dealing.key.as_deref().map(|key| (key, dealing.blocks)),
            Blocking::None | Blocking::Key(_) => None,
        }
    }

    fn add<L: Clone + Into<Label>>(&mut self, features: &[T], labels: &[L], blocks: &[u32]) -> Result<()> {
        let Self { rows, counter, memory, .. } = self;
        let dim = rows.dim();
        let needed = bytes(&counter.counting, dim, 1);
        if needed > *memory {
            return Err(Error::resource("the sums of such rows need more memory than they may take")
                .with("dimensions", dim)
                .with("needed", format!("{needed} bytes"))
                .with("allowed", format!("{memory} bytes"))
                .help("metrics that need no D × D matrix, such as nc2, or more memory"));
        }
        let not_of_zeros = |batch: &Batch<'_>| match first_of_zeros(batch.features(), dim) {
            Some(row) => Err(Error::data("a row of zeros has no length to be divided by").with("row", row)),
            None => Ok(()),
        };
        let check = |batch: &Batch<'_>| if counter.normalize { not_of_zeros(batch) } else { Ok(()) };
        let codes = rows.codes_of(features, labels, check)?;
        rows.add(features, &codes, blocks, |whole| counter.add(whole))
    }

    /// Takes note of rows that the caller has left out, so that reports count them.
    pub fn leave_out(&mut self, skipped: &Skipped) {
        self.skipped.add(skipped);
    }

    /// The rows that the caller has left out.
    pub fn left_out(&self) -> &Skipped {
        &self.skipped
    }

    /// `D`.
    pub fn dim(&self) -> usize {
        self.rows.dim()
    }

    /// `N`, the rows so far.
    pub fn rows(&self) -> u64 {
        self.rows.count()
    }

    /// The state of all rows so far, to be written, merged, subtracted or finished; more rows can be added here.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulate::update`](crate::state::Accumulate::update) for the rows that do not fill a chunk yet.
    pub fn state(&mut self) -> Result<StateFile> {
        let provenance = self.provenance();
        let Self { rows, counter, skipped, .. } = self;
        let (rest, rows) = (rows.rest(), rows.count());
        let (digest, mut groups) = in_pool(counter.threads, || {
            let (states, digest) = counter.states(&rest)?;
            let mut groups = Groups::new();
            for (key, state) in states {
                let mut group = GroupState { state, ..GroupState::default() };
                group.precisions.count(significand_bits(rest.values.into()), group.state.rows())?;
                groups.insert(key, group.encode()?);
            }
            Ok::<_, Error>((digest, groups))
        })??;
        // Blocks add up to their group.
        if let Some(group) = groups.values_mut().next() {
            group.skipped = skipped.clone();
        }
        let mut ledger = Ledger::default();
        if rows > 0 {
            // Rows that are equal, and come in one order, are the same rows, wherever they are counted.
            let size = rows * self.rows.dim() as u64 * size_of::<T>() as u64;
            let source = SourceFile { name: NAME.to_owned(), size, footer_hash: digest };
            ledger.insert(&source, 0, LedgerEntry { used: rows, skipped: self.skipped.total(), digest })?;
        }
        Ok(StateFile { provenance, ledger, groups, unfinished: None })
    }

    /// The metrics of all rows so far, those that need neither a classifier nor further rows.
    ///
    /// # Errors
    ///
    /// Those of [`measure_as`](Self::measure_as).
    pub fn measure(&mut self) -> Result<GroupReport> {
        self.measure_as(Job::new::<&str>([]))
    }

    /// What a job makes of all rows so far: its metrics, classifier, conventions and further rows count, and not its inputs.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) without rows; those of [`Finish::new`] and [`Finish::run`].
    pub fn measure_as(&mut self, job: Job) -> Result<GroupReport> {
        let mut report = Finish::new(job, self.state()?)?.run(&Watch::default())?;
        report.groups.pop().ok_or_else(|| Error::missing("no rows are left to measure"))
    }

    fn provenance(&self) -> Provenance {
        let Counting { rounding, scatter, blocking } = &self.counter.counting;
        let Said { columns, ignore_label, nulls, nonfinite } = self.said.clone();
        let [features, labels] = columns.unwrap_or_else(|| [FEATURE.to_owned(), LABEL.to_owned()]);
        Provenance {
            group_by: Vec::new(),
            features,
            dtype: None,
            labels: Some(labels),
            label_kind: self.rows.classes().first().map_or(LabelKind::Int, Label::kind),
            ignore_label,
            normalize: self.counter.normalize,
            blocks: match blocking {
                Blocking::Dealt(dealing) => Some(dealing.clone()),
                Blocking::None | Blocking::Key(_) => None,
            },
            scatter: *scatter,
            filters: BTreeSet::from([Filters::default()]),
            exponents: BTreeSet::from([rounding.exponent]),
            extra_bits: BTreeSet::from([rounding.extra_bits]),
            nulls: BTreeSet::from([nulls]),
            nonfinite: BTreeSet::from([nonfinite]),
        }
    }
}

/// Bytes of what does not grow with classes: a state on each thread, or of each block, and the one that they add up to.
fn bytes(counting: &Counting, dim: usize, threads: usize) -> u64 {
    let states = match &counting.blocking {
        Blocking::Dealt(dealing) => dealing.blocks as usize,
        Blocking::None | Blocking::Key(_) => threads,
    };
    (states as u64 + 1).saturating_mul(State::bytes(counting.scatter, 1, dim) as u64)
}

/// Significand bits of the type of the values.
fn significand_bits(values: Features<'_>) -> u32 {
    match values {
        Features::F16(_) => 11,
        Features::F32(_) => 24,
        Features::F64(_) => 53,
    }
}
