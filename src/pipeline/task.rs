//! What is to be counted, and how a state knows it again.

use super::Rounding;
use super::first_pass::filters;
use crate::archive::{Archive, Policy, Request};
use crate::kernels::Device;
use crate::store::{Settings, Source};

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
    /// What is asked of the archive, with the memory that there is.
    pub(super) fn request(&self) -> Request {
        Request { memory: Some(self.memory), ..self.request.clone() }
    }
}

/// How the ledger knows a unit.
pub(super) fn identity(archive: &Archive, unit: usize) -> (Source, u32) {
    let unit = &archive.units()[unit];
    let file = &archive.files()[unit.file];
    // No format of files counts row groups further than that.
    let row_group = u32::try_from(unit.row_group).unwrap_or(u32::MAX);
    (Source { name: file.name.clone(), size: file.size, footer_hash: file.footer_hash }, row_group)
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

/// What decides the numbers.
pub(super) fn settings(task: &Task, archive: &Archive) -> Settings {
    let request = &task.request;
    let policy = |policy| if policy == Policy::Skip { "skip" } else { "fail" }.to_owned();
    let labels = archive.labels().map_or(String::new(), |column| column.name.clone());
    Settings::new(
        request.group_by.clone(),
        [
            ("features", archive.features().name.clone()),
            ("labels", labels),
            ("label_kind", archive.label_kind().to_string()),
            ("where", filters(request)),
            ("grid", task.rounding.exponent.map_or("chunk".to_owned(), |e| e.to_string())),
            ("extra_bits", task.rounding.extra_bits.to_string()),
            ("nulls", policy(request.nulls)),
            ("nonfinite", policy(request.nonfinite)),
            ("ignore_label", request.ignore_label.clone().unwrap_or_default()),
            ("scatter", task.scatter.to_string()),
        ]
        .into_iter()
        // A setting of some states only, which others lack.
        .chain(request.dtype.map(|dtype| ("dtype", dtype.name().to_owned()))),
    )
}
