//! What is to be counted, and how a state recognises it later.

use std::path::Path;

use super::first_pass::{Blocking, Counting};
use super::job::texts;
use super::provenance::provenance;
use super::{ErrorBars, Resources, Rounding};
use crate::archive::{Archive, File, Request};
use crate::error::{Error, Result};
use crate::kernels::Device;
use crate::metrics::{Extras, Options, Selection};
use crate::store::{Provenance, SourceFile};

/// What is to be counted, and how.
#[derive(Clone, Debug)]
pub struct Task {
    /// Files, directories and globs.
    pub inputs: Vec<String>,
    /// Which columns, groups and rows of them.
    pub request: Request,
    /// The grid.
    pub rounding: Rounding,
    /// Whether the pooled scatter matrix is kept beside class sums.
    pub scatter: bool,
    /// Into which blocks the rows of each group are dealt, so that error bars can be made of the state.
    pub error_bars: Option<ErrorBars>,
    /// Which part of how many, in units of about equal bytes.
    pub shard: Option<(u32, u32)>,
    /// What works on the rows.
    pub device: Device,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Bytes that the run may use.
    pub memory: u64,
}

impl Task {
    /// All rows of these files, directories and globs, as one group, for all metrics, on all cores: the defaults of
    /// `nckit accumulate`.
    pub fn new<P: AsRef<Path>>(inputs: impl IntoIterator<Item = P>) -> Self {
        let Resources { threads, memory } = Resources::default();
        Self {
            inputs: texts(inputs),
            request: Request::default(),
            rounding: Rounding::default(),
            scatter: Self::needs_scatter(&Selection::default()),
            error_bars: None,
            shard: None,
            device: Device::detect(),
            threads,
            memory,
        }
    }

    /// Whether any of these metrics needs the scatter matrix, whatever will be read beside the state.
    pub fn needs_scatter(selection: &Selection) -> bool {
        selection.needs(true, true, true, Extras::default(), &Options::default()).scatter
    }

    /// What is asked of the archive, with the memory that there is.
    pub(super) fn request(&self) -> Result<Request> {
        self.blocking()?.request(Request { memory: Some(self.memory), ..self.request.clone() })
    }

    /// How rows become states.
    pub(super) fn counting(&self) -> Result<Counting> {
        Ok(Counting { rounding: self.rounding, scatter: self.scatter, blocking: self.blocking()? })
    }

    fn blocking(&self) -> Result<Blocking> {
        blocking(self.error_bars.as_ref())
    }

    /// Under which conventions the rows of an archive are counted.
    pub(super) fn provenance(&self, archive: &Archive) -> Provenance {
        let blocking = Blocking::of(self.error_bars.as_ref());
        provenance(archive, &self.request, self.rounding, self.scatter, &blocking)
    }
}

/// The blocks of a state for these error bars.
pub(super) fn blocking(error_bars: Option<&ErrorBars>) -> Result<Blocking> {
    match Blocking::of(error_bars) {
        Blocking::Key(key) => Err(Error::usage("a state has a fixed number of blocks")
            .with("block by", &key)
            .help(format!(
                "--error-bars jackknife:{} puts whole values of the key into blocks; or --group-by {key} here, and --block-by {key} \
                 when it is finished",
                ErrorBars::BLOCKS
            ))),
        blocking => Ok(blocking),
    }
}

/// How the ledger knows a unit.
pub(super) fn identity(archive: &Archive, unit: usize) -> (SourceFile, u32) {
    let unit = &archive.units()[unit];
    // No format of files counts row groups further than that.
    let row_group = u32::try_from(unit.row_group).unwrap_or(u32::MAX);
    (source_file(&archive.files()[unit.file]), row_group)
}

/// How the ledger knows a file.
pub(super) fn source_file(file: &File) -> SourceFile {
    SourceFile { name: file.name.clone(), size: file.size, footer_hash: file.footer_hash }
}

/// Which units are of a shard: parts of about equal bytes, one after the other.
pub(super) fn shard_of(archive: &Archive, shard: Option<(u32, u32)>) -> Vec<bool> {
    let Some((part, parts)) = shard else { return vec![true; archive.units().len()] };
    // A unit weighs at least something, or empty ones would all be of one part.
    let weights = || archive.units().iter().map(|unit| u128::from(unit.bytes) + 1);
    let total: u128 = weights().sum();
    let mut before = 0;
    weights()
        .map(|weight| {
            let middle = 2 * before + weight;
            before += weight;
            middle * u128::from(parts) / (2 * total) == u128::from(part)
        })
        .collect()
}
