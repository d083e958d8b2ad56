//! Features, and the labels of their rows in a second file: one container of both.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array as _, ArrayRef};
use arrow::datatypes::DataType;

use super::arrays::unequal_rows;
use super::codes::label_kind;
use super::container::{ArrayStream, Container, LABEL, OpenUnit, StoredColumn, Strings, Unread, VectorStream};
use super::damage::damaged;
use super::dtype::VectorType;
use super::escape::escaped;
use super::fingerprint::{fnv1a, joined};
use super::names::{has_names_within, is_label_name};
use super::read_at::{Part, ReadAt};
use crate::batch::Label;
use crate::error::{Error, Result};

/// The columns of the first file but for its own labels, and the labels of the second.
#[derive(Debug)]
pub(super) struct LabelledFile {
    features: Arc<dyn Container>,
    labels: LabelSource,
    columns: Vec<StoredColumn>,
    /// Which column of the first file each is; the last one is that of the labels.
    roots: Vec<usize>,
    /// The first row of each unit.
    starts: Vec<u64>,
    /// Bytes of the first file.
    split: u64,
    /// A hash of the name by which the labels were chosen among those of the second file.
    chosen: Option<u64>,
}

/// The labels of a file.
#[derive(Clone)]
struct LabelSource {
    container: Arc<dyn Container>,
    column: usize,
    /// Its path, for people.
    shown: Arc<str>,
}

impl fmt::Debug for LabelSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LabelSource").field("shown", &self.shown).field("column", &self.column).finish_non_exhaustive()
    }
}

/// Which column of a file holds its labels: the one that is named, the only one that can, or the only one of a well-known
/// name.
fn label_column(container: &dyn Container, named: Option<&str>) -> Result<usize> {
    let columns = container.columns();
    if let Some(name) = named {
        let found = columns.iter().position(|column| column.name == name && label_kind(&column.data_type).is_some());
        return found.ok_or_else(|| Error::usage("the file has no labels of that name").with("name", escaped(name)));
    }
    let usable: Vec<usize> = (0..columns.len()).filter(|&at| label_kind(&columns[at].data_type).is_some()).collect();
    let known: Vec<usize> = usable.iter().copied().filter(|&at| is_label_name(&columns[at].name)).collect();
    match (&usable[..], &known[..]) {
        ([only], _) | (_, [only]) => Ok(*only),
        ([], _) => {
            let error = Error::data("the file holds no labels: they are one integer, text or boolean a row");
            let has_lists = columns.iter().any(|column| column.data_type.is_nested());
            Err(if has_lists { error.help("if its rows are one-hot, save y.argmax(1)") } else { error })
        }
        _ => {
            let names: Vec<String> = usable.iter().take(12).map(|&at| escaped(&columns[at].name)).collect();
            Err(Error::usage("it is not clear which column of the file holds the labels")
                .with("columns", names.join(", "))
                .help("call one of them label, or write the labels to a file of their own"))
        }
    }
}

fn all_rows(container: &dyn Container) -> u64 {
    (0..container.units()).map(|unit| container.rows(unit)).fold(0, u64::saturating_add)
}

impl LabelledFile {
    /// `split` bytes are those of `features`; errors call the other file `shown`. The column of the labels may have a name.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the second file holds no labels, or not as many as there are rows;
    /// [`Usage`](crate::error::ErrorKind::Usage) if it is not clear which column holds them.
    pub(super) fn new(
        features: Arc<dyn Container>,
        (labels, named): (Arc<dyn Container>, Option<&str>),
        split: u64,
        shown: &str,
    ) -> Result<Self> {
        let may_be_vectors = |kind: &DataType| kind.is_nested() || matches!(kind, DataType::FixedSizeBinary(_));
        if !features.columns().iter().any(|column| may_be_vectors(&column.data_type)) {
            return Err(Error::data("the file of features holds no vectors")
                .help("features have two dimensions, rows × D; the file of labels goes second"));
        }
        let column = label_column(&*labels, named).map_err(|error| {
            let first = error.fact("columns").and_then(|columns| columns.split(", ").next());
            let help = first.filter(|_| named.is_none() && has_names_within(Path::new(shown)));
            let help = help.map(|name| format!("name one behind a colon: {shown}:{name}"));
            help.into_iter().fold(error, Error::help).with("labels", shown)
        })?;
        let (rows, labelled) = (all_rows(&*features), all_rows(&*labels));
        if rows != labelled {
            return Err(unequal_rows(rows, labelled).with("labels", shown));
        }
        labels.check_readable(&[column]).map_err(|error| error.with("labels", shown))?;
        let own = features.columns();
        let is_kept = |&at: &usize| !(is_label_name(&own[at].name) && label_kind(&own[at].data_type).is_some());
        let mut roots: Vec<usize> = (0..own.len()).filter(is_kept).collect();
        let mut columns: Vec<StoredColumn> = roots.iter().map(|&at| own[at].clone()).collect();
        let written = &labels.columns()[column];
        columns.push(StoredColumn { name: LABEL.to_owned(), ..written.clone() });
        roots.push(usize::MAX);
        let mut next = 0;
        let starts = (0..features.units()).map(|unit| {
            next += features.rows(unit);
            next - features.rows(unit)
        });
        let starts = starts.collect();
        let labels = LabelSource { container: labels, column, shown: shown.into() };
        Ok(Self { features, labels, columns, roots, starts, split, chosen: None })
    }

    /// The same, whose labels were chosen by their name: those of another name are another file.
    pub(super) fn choosing(self, name: &str) -> Self {
        Self { chosen: Some(fnv1a(name.as_bytes())), ..self }
    }

    /// The columns of the first file among these, as it numbers them, and whether the labels are among them.
    fn parted(&self, columns: &[usize]) -> (Vec<usize>, bool) {
        let last = self.roots.len() - 1;
        let own = columns.iter().filter(|&&column| column != last).map(|&column| self.roots[column]);
        (own.collect(), columns.contains(&last))
    }

    fn is_labels(&self, column: usize) -> bool {
        column == self.roots.len() - 1
    }

    fn first(&self, bytes: &Arc<dyn ReadAt>) -> Arc<dyn ReadAt> {
        Arc::new(Part::new(bytes.clone(), 0, self.split))
    }
}

impl Container for LabelledFile {
    fn fingerprint(&self) -> u64 {
        let both = [self.features.fingerprint(), self.labels.container.fingerprint()];
        let chosen = self.chosen.into_iter();
        joined(&both.into_iter().chain(chosen).collect::<Vec<_>>())
    }

    fn memory(&self) -> u64 {
        let starts = size_of_val(&self.starts[..]) as u64;
        self.features.memory().saturating_add(self.labels.container.memory()).saturating_add(starts)
    }

    fn columns(&self) -> &[StoredColumn] {
        &self.columns
    }

    fn unread(&self) -> &[Unread] {
        self.features.unread()
    }

    fn units(&self) -> usize {
        self.features.units()
    }

    fn rows(&self, unit: usize) -> u64 {
        self.features.rows(unit)
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let (own, labels) = self.parted(columns);
        // About as many bytes as its part of the rows: their units are others.
        let LabelSource { container, column, .. } = &self.labels;
        let all: u64 = (0..container.units()).map(|unit| container.stored_bytes(unit, &[*column])).sum();
        let share = u128::from(all) * u128::from(self.rows(unit)) / u128::from(all_rows(&**container).max(1));
        self.features.stored_bytes(unit, &own).saturating_add(if labels { share as u64 } else { 0 })
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let (own, labels) = self.parted(columns);
        let LabelSource { container, column, .. } = &self.labels;
        let most = (0..container.units()).map(|unit| container.text_bytes(unit, &[*column])).max().unwrap_or(0);
        self.features.text_bytes(unit, &own).saturating_add(if labels { most } else { 0 })
    }

    fn range(&self, unit: usize, column: usize) -> Option<(Label, Label)> {
        if self.is_labels(column) { None } else { self.features.range(unit, self.roots[column]) }
    }

    fn constant(&self, unit: usize, column: usize) -> Option<Label> {
        if self.is_labels(column) { None } else { self.features.constant(unit, self.roots[column]) }
    }

    fn check_readable(&self, columns: &[usize]) -> Result<()> {
        self.features.check_readable(&self.parted(columns).0)
    }

    fn has_checksums(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<bool> {
        self.features.has_checksums(&self.first(bytes), self.roots[column])
    }

    fn file_of(&self, column: usize) -> Option<&str> {
        self.is_labels(column).then_some(&*self.labels.shown)
    }

    fn class_names(&self, column: usize) -> Option<Vec<String>> {
        if self.is_labels(column) {
            self.labels.container.class_names(self.labels.column)
        } else {
            self.features.class_names(self.roots[column])
        }
    }

    fn first_length(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>> {
        self.features.first_length(&self.first(bytes), self.roots[column])
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        let second = Part::new(bytes.clone(), self.split, bytes.size().saturating_sub(self.split));
        Box::new(LabelledUnit {
            features: self.features.open_unit(&self.first(bytes), unit),
            roots: self.roots.clone(),
            labels: self.labels.clone(),
            bytes: Arc::new(second),
            first: self.starts[unit],
        })
    }
}

/// A unit of the features, and the labels of its rows.
#[derive(Debug)]
struct LabelledUnit {
    features: Box<dyn OpenUnit>,
    roots: Vec<usize>,
    labels: LabelSource,
    /// Those of the labels.
    bytes: Arc<dyn ReadAt>,
    /// The first row.
    first: u64,
}

impl OpenUnit for LabelledUnit {
    fn vectors(&self, column: usize, kind: VectorType, dim: usize, chunk: usize) -> Result<Box<dyn VectorStream>> {
        self.features.vectors(self.roots[column], kind, dim, chunk)
    }

    fn wide(&self, columns: &[usize], kind: VectorType) -> Result<Option<Box<dyn VectorStream>>> {
        let roots: Vec<usize> = columns.iter().map(|&column| self.roots[column]).collect();
        self.features.wide(&roots, kind)
    }

    fn arrays(&self, columns: &[usize], rows: usize, strings: Strings) -> Result<Box<dyn ArrayStream>> {
        let last = self.roots.len() - 1;
        let own: Vec<usize> = columns.iter().filter(|&&column| column != last).map(|&at| self.roots[at]).collect();
        let own = if own.is_empty() { None } else { Some(self.features.arrays(&own, rows, strings)?) };
        let labels = columns.contains(&last).then(|| LabelRows::new(self, rows, strings)).transpose()?;
        Ok(Box::new(LabelledArrays { own, labels }))
    }
}

/// Columns of the features, and the labels last.
#[derive(Debug)]
struct LabelledArrays {
    own: Option<Box<dyn ArrayStream>>,
    labels: Option<LabelRows>,
}

impl ArrayStream for LabelledArrays {
    fn next(&mut self, rows: usize) -> Result<Vec<ArrayRef>> {
        let mut arrays = match &mut self.own {
            Some(own) => own.next(rows)?,
            None => Vec::new(),
        };
        if let Some(labels) = &mut self.labels {
            arrays.push(labels.next(rows).map_err(|error| labels.located(error))?);
        }
        Ok(arrays)
    }

    fn is_at_end(&mut self) -> Result<bool> {
        if let Some(labels) = &mut self.labels {
            labels.check_end().map_err(|error| labels.located(error))?;
        }
        self.own.as_mut().map_or(Ok(true), |own| own.is_at_end())
    }
}

/// Labels from some row on, whatever units they are in.
#[derive(Debug)]
struct LabelRows {
    source: LabelSource,
    bytes: Arc<dyn ReadAt>,
    /// Rows that are read at a time.
    step: usize,
    strings: Strings,
    /// The next unit.
    unit: usize,
    /// The unit in hand, and its rows to come.
    stream: Option<(Box<dyn ArrayStream>, u64)>,
    /// Labels that were read and not handed on.
    rest: Option<ArrayRef>,
}

impl LabelRows {
    fn new(unit: &LabelledUnit, step: usize, strings: Strings) -> Result<Self> {
        let (source, bytes) = (unit.labels.clone(), unit.bytes.clone());
        let mut skipped = unit.first;
        let container = &source.container;
        let mut first = 0;
        while first < container.units() && container.rows(first) <= skipped {
            skipped -= container.rows(first);
            first += 1;
        }
        let mut rows = Self { source, bytes, step, strings, unit: first, stream: None, rest: None };
        while skipped > 0 {
            let piece = rows.piece().map_err(|error| rows.located(error))?;
            let taken = skipped.min(piece.len() as u64) as usize;
            rows.rest = Some(piece.slice(taken, piece.len() - taken)).filter(|rest| !rest.is_empty());
            skipped -= taken as u64;
        }
        Ok(rows)
    }

    /// The next labels, some at a time.
    fn piece(&mut self) -> Result<ArrayRef> {
        if let Some(rest) = self.rest.take() {
            return Ok(rest);
        }
        loop {
            match &mut self.stream {
                Some((stream, left)) if *left > 0 => {
                    let rows = (self.step as u64).min(*left);
                    *left -= rows;
                    let array = stream.next(rows as usize)?.pop();
                    return array.ok_or_else(|| Error::internal("the labels were not read"));
                }
                Some((stream, _)) => {
                    if !stream.is_at_end()? {
                        return Err(damaged("there are more labels than the file says"));
                    }
                    self.stream = None;
                }
                None => {
                    let LabelSource { container, column, .. } = &self.source;
                    if self.unit >= container.units() {
                        return Err(damaged("labels are missing"));
                    }
                    let unit = container.open_unit(&self.bytes, self.unit);
                    let stream = unit.arrays(&[*column], self.step, self.strings)?;
                    self.stream = Some((stream, container.rows(self.unit)));
                    self.unit += 1;
                }
            }
        }
    }

    /// Fails if the unit in hand has been read and is damaged at its end, where checksums are compared.
    fn check_end(&mut self) -> Result<()> {
        if let Some((stream, 0)) = &mut self.stream
            && !stream.is_at_end()?
        {
            return Err(damaged("there are more labels than the file says"));
        }
        Ok(())
    }

    fn next(&mut self, rows: usize) -> Result<ArrayRef> {
        let mut pieces: Vec<ArrayRef> = Vec::new();
        let mut left = rows;
        while left > 0 {
            let piece = self.piece()?;
            let taken = left.min(piece.len());
            self.rest = Some(piece.slice(taken, piece.len() - taken)).filter(|rest| !rest.is_empty());
            pieces.push(piece.slice(0, taken));
            left -= taken;
        }
        if let [only] = &pieces[..] {
            return Ok(only.clone());
        }
        let pieces: Vec<&dyn arrow::array::Array> = pieces.iter().map(AsRef::as_ref).collect();
        arrow::compute::concat(&pieces).map_err(damaged)
    }

    fn located(&self, error: Error) -> Error {
        error.with_default("file", &self.source.shown)
    }
}
