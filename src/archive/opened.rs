//! The archive: its files, columns and units.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::catalogue::{CONTAINER_BYTES, Catalogue, File};
use super::dtype::ElementType;
use super::escape::escaped;
use super::file_columns::FileColumns;
use super::head::Spellings;
use super::keys::Filter;
use super::passed::{Passed, passed_over};
use super::row_policy::RowPolicy;
use super::rows::{DecodedChunk, Unit, Values};
use super::rows_seen::{Noted, Ranges, RowsSeen};
use crate::batch::LabelKind;
use crate::error::Result;
use crate::objects::{self, READ_AHEAD};

/// A column that was chosen, and why: for people.
#[derive(Clone, Debug)]
pub struct ColumnChoice {
    /// Its name, as stored.
    pub name: String,
    /// Its type, as `fixed_size_list<f32>` or `int32`.
    pub kind: String,
    /// Why it was chosen, as `only vector column`.
    pub why: &'static str,
}

/// Files of one schema, opened and planned: only their footers have been read.
#[derive(Debug)]
pub struct Archive {
    pub(super) catalogue: Catalogue,
    /// The columns of each file.
    pub(super) columns: Vec<FileColumns>,
    pub(super) units: Vec<Unit>,
    pub(super) features: ColumnChoice,
    pub(super) element: ElementType,
    pub(super) labels: Option<ColumnChoice>,
    pub(super) label_kind: LabelKind,
    pub(super) class_names: Option<Vec<String>>,
    pub(super) group_by: Vec<String>,
    pub(super) filters: Vec<Filter>,
    pub(super) policy: RowPolicy,
    pub(super) bad_files: Vec<(String, String)>,
    pub(super) bad_names: Vec<String>,
    pub(super) passed: Vec<Passed>,
    /// What statistics say.
    pub(super) ranges: Ranges,
    /// What rows say.
    pub(super) seen: Mutex<RowsSeen>,
    pub(super) warnings: Vec<String>,
    pub(super) captured: BTreeSet<String>,
    pub(super) text_keys: BTreeSet<String>,
    /// Memory of chunks that were given back.
    pub(super) spare: Mutex<Vec<Values>>,
}

/// Chunks whose memory is kept, a few a thread.
const SPARE: usize = 32;

impl Archive {
    /// The files, in the order of their names.
    pub fn files(&self) -> &[File] {
        &self.catalogue.files
    }

    /// The units: by file, then in the order of the file, whatever the order of the inputs.
    pub fn units(&self) -> &[Unit] {
        &self.units
    }

    /// The keys that make the groups, in the order asked for.
    pub fn keys(&self) -> &[String] {
        &self.group_by
    }

    /// `D`, if the schemas of all files fix it to the same value.
    pub fn dim(&self) -> Option<usize> {
        let first = self.columns.first()?.features.dim?;
        self.columns.iter().all(|columns| columns.features.dim == Some(first)).then_some(first)
    }

    /// `D` of a file's vectors, from its schema or its first vector; `None` if all of them are null.
    pub fn file_dim(&self, file: usize) -> Result<Option<usize>> {
        let dim = self.catalogue.dim(file, &self.columns[file].features);
        dim.map_err(|error| error.with_default("column", escaped(&self.features.name)))
    }

    /// The column of the vectors.
    pub fn features(&self) -> &ColumnChoice {
        &self.features
    }

    /// The column of the labels; `None` if all rows are of the one class 0.
    pub fn labels(&self) -> Option<&ColumnChoice> {
        self.labels.as_ref()
    }

    /// What the classes 0, 1, … are called, if all files say the same, as those of Hugging Face's `datasets` do.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// Bytes that footers take while rows are read by so many threads: those in use, and those kept for the next; and what
    /// is fetched ahead of objects.
    pub fn footer_memory(&self, threads: usize) -> u64 {
        let largest = self.catalogue.files.iter().map(|file| file.memory).max().unwrap_or(0);
        let all: u64 = self.catalogue.files.iter().map(|file| file.memory).sum();
        let far = self.catalogue.files.iter().flat_map(File::paths).any(objects::is_address);
        let ahead = if far { READ_AHEAD * threads as u64 } else { 0 };
        (largest * threads as u64 + CONTAINER_BYTES.max(largest)).min(all) + ahead
    }

    /// The type of the labels.
    pub fn label_kind(&self) -> LabelKind {
        self.label_kind
    }

    /// The significand bits of the stored features, of the file that has the fewest: 8 (bf16), 11, 24 or 53.
    pub fn significand_bits(&self) -> u32 {
        let of_files = self.columns.iter().map(|columns| columns.features.significand_bits);
        of_files.min().unwrap_or_else(|| self.element.significand_bits())
    }

    /// The same of one file.
    pub fn file_significand_bits(&self, file: usize) -> u32 {
        self.columns[file].features.significand_bits
    }

    /// The significand bits of a feature in memory.
    pub(crate) fn value_bits(&self) -> u32 {
        self.element.significand_bits()
    }

    /// Bytes of a feature in memory.
    pub fn value_bytes(&self) -> usize {
        self.element.value_bytes()
    }

    /// Inputs left out under [`bad_files`](super::Request::bad_files), with the reason.
    pub fn bad_files(&self) -> &[(String, String)] {
        &self.bad_files
    }

    /// The [names](File::name) of these inputs.
    pub fn bad_names(&self) -> &[String] {
        &self.bad_names
    }

    /// Fails if a value of the filters matches no row, once all units were read. Where files were left out, they may have had
    /// the rows, and no value fails.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) with the value.
    pub(crate) fn check_filters(&self) -> Result<()> {
        if self.bad_files.is_empty() { self.filters.iter().try_for_each(Filter::check_met) } else { Ok(()) }
    }

    /// Whether only the rows themselves say which of them pass the filters, so that fewer may count than units have.
    pub(crate) fn filters_rows(&self) -> bool {
        self.filters.iter().any(|filter| filter.is_open)
    }

    /// What was passed over in the search for files, files without rows included.
    pub fn passed(&self) -> &[Passed] {
        &self.passed
    }

    /// The same in one line, `over 3 files (2 × text, 1 × empty)`; `None` if all of it is expected.
    pub fn passed_text(&self) -> Option<String> {
        passed_over(&self.passed)
    }

    /// What the user should know, as files named twice.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The keys that braces in the inputs have captured.
    pub fn captured(&self) -> impl Iterator<Item = &str> {
        self.captured.iter().map(String::as_str)
    }

    /// The keys of paths whose values are texts, because those of some file are. Who
    /// [opens a part](Self::open_part) of the files does not see that.
    pub fn text_keys(&self) -> &BTreeSet<String> {
        &self.text_keys
    }

    /// Whether the pages of a file carry checksums, from the first one of its vectors.
    pub fn checksums(&self, file: usize) -> Result<bool> {
        let (bytes, container) = self.catalogue.open(file)?;
        let found = container.has_checksums(&bytes, self.columns[file].features.root);
        let failed = |error| bytes.failure().unwrap_or(error).with_default("file", &self.catalogue.files[file].shown);
        found.map_err(failed)
    }

    /// Numbers as the directories of the files write them.
    pub fn spellings(&self) -> Spellings {
        Spellings::of(
            self.catalogue.files.iter().flat_map(|file| &file.keys).map(|(key, value)| (key.as_str(), value.as_str())),
        )
    }

    /// Takes back a chunk, whose memory serves the next one.
    pub fn recycle(&self, chunk: DecodedChunk) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < SPARE {
            spare.push(chunk.values);
        }
    }

    /// What the rows that were read so far show.
    pub(super) fn seen(&self) -> MutexGuard<'_, RowsSeen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what rows of several groups show.
    pub(super) fn note(&self, noted: impl Iterator<Item = Noted>) {
        let mut noted = noted.peekable();
        if noted.peek().is_some() {
            let mut seen = self.seen();
            noted.for_each(|noted| seen.add(noted));
        }
    }

    /// The memory of a chunk that was taken back.
    pub(super) fn spare(&self) -> Option<Values> {
        self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }
}
