//! What a worker needs beside its rows and states.

use std::fmt;

use super::gram::GramSum;
use super::nearest::Contenders;
use super::{Device, Kernels, Profile};

/// The kernels of one worker and its memory, which is allocated once and not for every chunk.
///
/// Each worker makes one, uses it for all its chunks, and passes it to whatever works on rows. No result depends on what it
/// holds. The [`Device`] of a job, a task or an SQL session makes them; `Accumulator` and tests make `Workspace::default()`.
pub struct Workspace {
    pub(crate) kernels: Box<dyn Kernels>,
    /// Class means of a profile, classes × D.
    pub(super) means: Vec<f64>,
    /// Class shifts in steps, classes × D.
    pub(crate) shifts: Vec<i64>,
    /// Class sums, classes × D.
    pub(crate) sums: Vec<i64>,
    /// Class sums of residuals, classes × D.
    pub(crate) low: Vec<i64>,
    /// The Gram matrix of a chunk.
    pub(crate) gram: GramSum,
    /// Rows in `f64`, rows × D.
    pub(crate) wide_rows: Vec<f64>,
    /// The candidates left for each row.
    pub(super) contenders: Contenders,
}

impl Workspace {
    /// A workspace with these kernels.
    pub fn new(kernels: Box<dyn Kernels>) -> Self {
        Self {
            kernels,
            means: Vec::new(),
            shifts: Vec::new(),
            sums: Vec::new(),
            low: Vec::new(),
            gram: GramSum::default(),
            wide_rows: Vec::new(),
            contenders: Contenders::default(),
        }
    }

    /// Takes the memory of a profile that is no longer needed, for the next one.
    pub fn recycle(&mut self, profile: Profile) {
        self.means = profile.into_means();
    }
}

/// On the CPU.
impl Default for Workspace {
    fn default() -> Self {
        Device::cpu().workspace()
    }
}

impl fmt::Debug for Workspace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Workspace").finish_non_exhaustive()
    }
}
