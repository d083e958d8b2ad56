//! What a run holds, and what it may.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::Label;
use crate::error::{Error, Result};
use crate::state::ClassSums;

/// Counts the bytes of what grows with the rows: classes with their labels, in every state that is open.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Bytes that the run may use.
    limit: u64,
    /// Bytes of what does not grow.
    fixed: u64,
    grown: AtomicU64,
}

impl Meter {
    pub(super) fn new(limit: u64, fixed: u64) -> Self {
        Self { limit, fixed, grown: AtomicU64::new(0) }
    }

    /// Bytes of what has grown.
    pub(super) fn grown(&self) -> u64 {
        self.grown.load(Ordering::Relaxed)
    }

    /// Bytes that are left besides what has grown, once buffers are gone.
    pub(super) fn room(&self) -> u64 {
        self.limit.saturating_sub(self.grown())
    }

    /// Takes note of memory that is used from here on.
    pub(super) fn grow(&self, bytes: u64) {
        self.grown.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Takes note of memory that is free again.
    pub(super) fn shrink(&self, bytes: u64) {
        self.grown.fetch_sub(bytes.min(self.grown()), Ordering::Relaxed);
    }

    /// Bytes that the run may use.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Whether there is room for so much more beside the buffers.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) with the number if there is not.
    pub(super) fn check_growth(&self, bytes: u64) -> Result<()> {
        self.check(self.grown().saturating_add(self.fixed).saturating_add(bytes))
    }

    /// Whether so much may be held besides what has grown, once buffers are gone.
    ///
    /// # Errors
    ///
    /// Those of [`check_growth`](Self::check_growth).
    pub(super) fn check_more(&self, bytes: u64) -> Result<()> {
        self.check(self.grown().saturating_add(bytes))
    }

    /// Whether so much may be held, once nothing is left of what has grown.
    ///
    /// # Errors
    ///
    /// Those of [`check_growth`](Self::check_growth).
    pub(super) fn check_all(&self, bytes: u64) -> Result<()> {
        self.check(bytes)
    }

    /// So many bytes are what has grown from here on.
    pub(super) fn set(&self, bytes: u64) {
        self.grown.store(bytes, Ordering::Relaxed);
    }

    fn check(&self, needed: u64) -> Result<()> {
        if needed <= self.limit {
            return Ok(());
        }
        Err(Error::resource("the classes need more memory than the run may use")
            .with("needed so far", format!("{needed} bytes"))
            .with("allowed", format!("{} bytes", self.limit))
            .help(format!("--memory {}MiB or more, or fewer --threads", needed.div_ceil(1 << 20))))
    }
}

/// What the maps that find a class by its label take, beside a state's own count, and the allocator with them.
const MAPS: u64 = 160;

/// Bytes of a class of a state that rows are added to: its sums, its shift, its label wherever that stands.
pub(super) fn class_bytes(label: &Label, dim: usize) -> u64 {
    let text = match label {
        // In the state, in its index, and in the table of shifts.
        Label::Text(text) => 3 * (text.len() as u64 + 16),
        Label::Bool(_) | Label::Int(_) => 0,
    };
    (ClassSums::bytes(1, dim) + 4 * dim) as u64 + MAPS + text
}

/// Bytes that a state holds.
pub(super) fn held(state: &ClassSums) -> u64 {
    let classes: u64 = state.labels().iter().map(|label| class_bytes(label, state.dim())).sum();
    classes + state.wide_bytes() as u64
}

/// Square matrices of D × D numbers that metrics hold at once.
const SQUARES: u64 = 8;

/// Matrices of K × D numbers that are made on the way, one after the other.
const MADE: u64 = 1;

/// What of the metrics takes memory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct MetricMemory {
    /// Whether there is a scatter.
    pub(super) scatter: bool,
    /// Whether there is a classifier.
    pub(super) head: bool,
}

impl MetricMemory {
    /// Bytes that are held of a group from the first read to the report: the class means and the classifier.
    pub(super) fn held(self, classes: u64, dim: u64) -> u64 {
        let matrices = 1 + u64::from(self.head);
        let squares = u64::from(self.scatter);
        8 * (matrices * classes * dim + squares * dim * dim) + classes * MAPS
    }

    /// Bytes that are added while a group is measured: the class means and the classifier, centred and scaled, and what is
    /// being made of them.
    pub(super) fn measuring(self, classes: u64, dim: u64) -> u64 {
        let matrices = 1 + u64::from(self.head) + MADE;
        let squares = if self.scatter { SQUARES - 1 } else { 0 };
        8 * (matrices * classes * dim + squares * dim * dim)
    }

    /// Bytes that a class adds to a group that is measured alone.
    pub(super) fn of_class(self, dim: u64) -> u64 {
        let without_squares = Self { scatter: false, ..self };
        without_squares.held(1, dim) + without_squares.measuring(1, dim)
    }
}
