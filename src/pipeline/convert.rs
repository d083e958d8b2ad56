//! Rows of any input become Parquet: the same values in the same order.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow::array::{Array, ArrayRef, AsArray, FixedSizeListArray, RecordBatch, make_array, new_null_array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::Watch;
use crate::archive::{
    Archive, LeftOut, Request, Table, TableFilter, Wanted, chunk_rows, class_names_metadata, escaped, is_label_name,
    type_name,
};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::report::RowWriter;

/// What is to be written, planned: only headers and footers have been read, of texts all rows.
#[derive(Debug)]
pub struct Conversion {
    archive: Archive,
    table: Arc<Table>,
    filter: TableFilter,
    /// The columns that are kept, by their position in the table.
    kept: Vec<usize>,
    schema: SchemaRef,
    /// Where the vectors are among them, and their length.
    features: (usize, usize),
    /// Columns that are not kept, with their types.
    left_out: Vec<String>,
    /// A column that could not be labels for its type.
    unlabelled: Option<String>,
    /// Rows whose vector is null.
    nulls: AtomicU64,
    units: Vec<usize>,
    /// Rows that pass the filters.
    rows: u64,
}

/// Into how many files rows go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shards {
    /// One, under the name that was given.
    One,
    /// So many, with almost equally many rows.
    Count(u32),
    /// As many as it takes with so many rows each.
    Rows(u64),
}

/// The most files: all of them are open at once.
const MOST_SHARDS: u64 = 1000;

/// Rows, and whether a new value of a key in the path begins with them.
struct Piece {
    batch: RecordBatch,
    begins: bool,
}

impl Conversion {
    /// Finds files, columns and rows; labels may be missing.
    ///
    /// # Errors
    ///
    /// Those of [`Archive::open`]; [`Data`](crate::error::ErrorKind::Data) if vectors differ in length.
    pub fn plan(inputs: &[String], request: &Request) -> Result<Self> {
        let request = Request { labels_optional: true, ..request.clone() };
        let archive = Archive::open(inputs, &request)?;
        let mut dims = BTreeSet::new();
        for file in 0..archive.files().len() {
            dims.extend(archive.file_dim(file)?);
        }
        let dim = match dims.into_iter().collect::<Vec<_>>()[..] {
            [dim] => dim,
            [] => {
                return Err(Error::data("all vectors are null").help(
                    "a vector with a null element is null as a whole: fill such elements, or leave such rows out",
                ));
            }
            [one, other, ..] => {
                return Err(Error::data("files differ in the length of their vectors")
                    .with("lengths", format!("{one} and {other}"))
                    .help("convert them one by one, or those of one length with --where"));
            }
        };
        let table = Arc::new(Table::of_request(
            inputs,
            &request,
            &archive.features().name,
            archive.labels().map(|labels| labels.name.as_str()),
        )?);
        let filter = table.filter(&request.filters)?;
        let (mut kept, mut fields, mut left_out, mut place) = (Vec::new(), Vec::new(), Vec::new(), None);
        for (at, column) in table.columns().iter().enumerate() {
            if column.is_vector && column.name == archive.features().name {
                let (DataType::FixedSizeList(item, _) | DataType::LargeList(item)) = &column.data_type else {
                    return Err(Error::internal("vectors are no lists"));
                };
                place = Some(kept.len());
                // A vector with a null element is null as a whole.
                let item = Arc::new(Field::new("element", item.data_type().clone(), false));
                let kind = DataType::FixedSizeList(item, i32::try_from(dim).map_err(too_long)?);
                fields.push(Field::new(features_name(&column.name), kind, true));
            } else if column.is_label {
                fields.push(Field::new(&column.name, column.data_type.clone(), true));
            } else {
                left_out.push(at);
                continue;
            }
            kept.push(at);
        }
        // The fields of a struct are columns of their own.
        let is_kept = |at: usize| {
            let within = format!("{}.", table.columns()[at].name);
            kept.iter().any(|&kept: &usize| table.columns()[kept].name.starts_with(&within))
        };
        let name = |at: usize| {
            let column = &table.columns()[at];
            let kind = type_name(&column.data_type);
            (
                column.name.clone(),
                if column.is_vector { "vectors".to_owned() } else { format!("{kind}: a type that is not kept") },
            )
        };
        let of_table = left_out.into_iter().filter(|&at| !is_kept(at)).map(name);
        let of_files = table.left_out().iter().map(|LeftOut { name, why }| (name.clone(), why.clone()));
        let left_out: Vec<(String, String)> = of_table.chain(of_files).collect();
        let unlabelled = left_out.iter().find(|(name, _)| archive.labels().is_none() && is_label_name(name));
        let unlabelled = unlabelled.map(|(name, why)| format!("{name} ({why})"));
        let left_out = left_out.iter().map(|(name, why)| format!("{name} ({why})")).collect();
        let place = place.ok_or_else(|| Error::internal("the vectors are no column of the table"))?;
        let units = (0..table.units().len()).filter(|&unit| table.may_pass(unit, &filter)).collect();
        let names = archive.labels().zip(archive.class_names());
        let metadata = names.map(|(labels, names)| class_names_metadata(&labels.name, names));
        let schema = Arc::new(Schema::new(fields).with_metadata(metadata.into_iter().collect()));
        let features = (place, dim);
        let nulls = AtomicU64::new(0);
        let mut this =
            Self { archive, table, filter, kept, schema, features, left_out, unlabelled, nulls, units, rows: 0 };
        this.rows = this.count()?;
        Ok(this)
    }

    /// Its files, columns and notes.
    pub fn archive(&self) -> &Archive {
        &self.archive
    }

    /// The columns that are written.
    pub fn columns(&self) -> impl Iterator<Item = &str> {
        self.schema.fields().iter().map(|field| field.name().as_str())
    }

    /// Columns that are not kept, with their types.
    pub fn left_out(&self) -> &[String] {
        &self.left_out
    }

    /// What the user should know before rows are written.
    pub fn warnings(&self) -> Vec<String> {
        let unlabelled = self.unlabelled.as_ref().map(|column| {
            format!("no labels: those of {column} are no integers, texts or booleans; cast them, or name others")
        });
        let bf16 = (self.archive.significand_bits() < self.archive.value_bits()).then(|| {
            "bf16 becomes f32: a measure of the copy takes what rounding to bf16 left for variance, and one of the input does not"
                .to_owned()
        });
        unlabelled.into_iter().chain(bf16).collect()
    }

    /// Rows that [`run`](Self::run) has written whose vector is null, as one with a null element is.
    pub fn null_vectors(&self) -> u64 {
        self.nulls.load(Ordering::Relaxed)
    }

    /// Rows that are written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes that are read.
    pub fn bytes(&self) -> u64 {
        self.units.iter().map(|&unit| self.table.units()[unit].bytes).sum()
    }

    /// The files that are read.
    pub fn inputs(&self) -> impl Iterator<Item = PathBuf> + '_ {
        self.table.paths().map(Path::to_path_buf)
    }

    /// The files that are written, by the path that was given: `x.parquet`, or `x-00000-of-00004.parquet` and so on.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if they are more than a thousand.
    pub fn outputs(&self, path: &Path, shards: Shards) -> Result<Vec<PathBuf>> {
        let count = match shards {
            Shards::One => return Ok(vec![path.to_owned()]),
            Shards::Count(count) if u64::from(count) > self.rows => {
                return Err(Error::usage("there are more files than rows")
                    .with("files", count)
                    .with("rows", self.rows));
            }
            Shards::Count(count) => count.into(),
            Shards::Rows(rows) => self.rows.div_ceil(rows.max(1)).max(1),
        };
        if count > MOST_SHARDS {
            return Err(Error::usage("too many files").with("files", count).with("most", MOST_SHARDS));
        }
        let stem = path.file_stem().map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
        let extension = path.extension().map_or_else(|| "parquet".into(), |extension| extension.to_string_lossy());
        let name = |at: u64| path.with_file_name(format!("{stem}-{at:05}-of-{count:05}.{extension}"));
        Ok((0..count).map(name).collect())
    }

    /// Writes all rows, to as many files as [`outputs`](Self::outputs) names.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) with file and row for what cannot be read;
    /// [`Io`](crate::error::ErrorKind::Io) if it cannot be written; [`Interrupted`](crate::error::ErrorKind::Interrupted).
    pub fn run(&self, shards: Shards, files: &mut [&mut (dyn Write + Send)], watch: &Watch) -> Result<()> {
        let (rows, count) = (u128::from(self.rows), files.len() as u128);
        // Where the rows of a file end.
        let end = |file: usize| match shards {
            Shards::Rows(each) => (u128::from(each.max(1)) * (file as u128 + 1)).min(rows) as u64,
            Shards::One | Shards::Count(_) => (rows * (file as u128 + 1) / count.max(1)) as u64,
        };
        let ends: Vec<u64> = (0..files.len()).map(end).collect();
        std::thread::scope(|scope| {
            // One piece waits while the next one is read.
            let (sender, pieces) = sync_channel::<Result<Piece>>(1);
            scope.spawn(move || {
                // Whoever has stopped to listen knows why.
                if let Err(error) = self.read(&sender, watch) {
                    let _ = sender.send(Err(error));
                }
            });
            self.write(&pieces, &ends, files, watch)
        })
    }

    fn write(
        &self,
        pieces: &Receiver<Result<Piece>>,
        ends: &[u64],
        files: &mut [&mut (dyn Write + Send)],
        watch: &Watch,
    ) -> Result<()> {
        let name = self.schema.field(self.features.0).name();
        let most = chunk_rows(self.features.1);
        let mut rest: Option<Piece> = None;
        let mut done = 0;
        for (file, &end) in files.iter_mut().zip(ends) {
            let mut writer = RowWriter::new(file, self.schema.clone(), name, most)?;
            let mut left = end - done;
            done = end;
            while left > 0 {
                let piece = match rest.take() {
                    Some(piece) => piece,
                    None => match pieces.recv() {
                        Ok(piece) => piece?,
                        Err(_) => return Err(Error::internal("there are fewer rows than were counted")),
                    },
                };
                watch.check()?;
                if piece.begins {
                    writer.end_group()?;
                }
                let rows = piece.batch.num_rows();
                let some = usize::try_from(left).unwrap_or(usize::MAX).min(rows);
                writer.write(&piece.batch.slice(0, some))?;
                left -= some as u64;
                if some < rows {
                    rest = Some(Piece { batch: piece.batch.slice(some, rows - some), begins: false });
                }
            }
            writer.finish()?;
        }
        match rest.map_or_else(|| pieces.recv().ok(), |piece| Some(Ok(piece))) {
            None => Ok(()),
            Some(Err(error)) => Err(error),
            Some(Ok(_)) => Err(Error::internal("there are more rows than were counted")),
        }
    }

    /// Hands on all rows, in their order.
    fn read(&self, to: &SyncSender<Result<Piece>>, watch: &Watch) -> Result<()> {
        let mut last: Option<Vec<Option<&Label>>> = None;
        for &unit in &self.units {
            let keys = self.table.path_keys(unit);
            let mut begins = last.as_ref().is_some_and(|last| *last != keys);
            last = Some(keys);
            let wanted = self.kept.iter().copied().chain(self.filter.columns()).collect();
            let wanted = Wanted { columns: wanted, ..Wanted::default() };
            let mut reader = self.table.read(unit, &wanted)?;
            let all_pass = self.table.passes(unit, &self.filter);
            while let Some(rows) = reader.next()? {
                watch.check()?;
                let (kept, filtered) = rows.columns.split_at(self.kept.len());
                let mut batch = self.batch(kept, rows.rows)?;
                if !all_pass {
                    let passed = self.filter.rows(filtered, rows.rows)?;
                    batch = filter_record_batch(&batch, &passed).map_err(cannot_make)?;
                }
                watch.rows.fetch_add(rows.rows as u64, Ordering::Relaxed);
                if batch.num_rows() == 0 {
                    continue;
                }
                let nulls = batch.column(self.features.0).null_count() as u64;
                self.nulls.fetch_add(nulls, Ordering::Relaxed);
                if to.send(Ok(Piece { batch, begins: std::mem::take(&mut begins) })).is_err() {
                    return Ok(());
                }
            }
            watch.bytes.fetch_add(self.table.units()[unit].bytes, Ordering::Relaxed);
        }
        Ok(())
    }

    fn batch(&self, arrays: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
        let mut arrays = arrays.to_vec();
        let (at, dim) = self.features;
        arrays[at] = fixed(&arrays[at], self.schema.field(at).data_type(), dim, rows)?;
        RecordBatch::try_new(self.schema.clone(), arrays).map_err(cannot_make)
    }

    /// Counts the rows that pass; reads the columns of the filters where nothing else shows it.
    fn count(&self) -> Result<u64> {
        let mut count = 0;
        for &unit in &self.units {
            if self.table.passes(unit, &self.filter) {
                count += self.table.units()[unit].rows;
                continue;
            }
            let wanted = Wanted { columns: self.filter.columns().collect(), ..Wanted::default() };
            let mut reader = self.table.read(unit, &wanted)?;
            while let Some(rows) = reader.next()? {
                count += self.filter.rows(&rows.columns, rows.rows)?.true_count() as u64;
            }
        }
        if count == 0 {
            return Err(Error::missing("no row matches the filters"));
        }
        self.filter.check().map(|()| count)
    }
}

/// What the column of vectors is called: those of a pattern of columns get a name of their own.
fn features_name(name: &str) -> &str {
    if name.contains(['*', '?', '[']) { "feature" } else { name }
}

/// Vectors of `dim` elements as lists of a fixed size.
fn fixed(array: &ArrayRef, kind: &DataType, dim: usize, rows: usize) -> Result<ArrayRef> {
    let DataType::FixedSizeList(item, size) = kind else { return Err(Error::internal("vectors are no lists")) };
    let (values, nulls) = match array.data_type() {
        DataType::LargeList(_) => (array.as_list::<i64>().values().clone(), array.nulls().cloned()),
        _ => (array.as_fixed_size_list().values().clone(), array.nulls().cloned()),
    };
    // Where all vectors of a file are null, it does not say how long they would be.
    let values = if values.len() == rows * dim { values } else { zeros(item.data_type(), rows * dim)? };
    let made = FixedSizeListArray::try_new(item.clone(), *size, values, nulls);
    made.map(|array| Arc::new(array) as ArrayRef).map_err(cannot_make)
}

fn zeros(kind: &DataType, count: usize) -> Result<ArrayRef> {
    let null = new_null_array(kind, count).to_data().into_builder().nulls(None);
    null.build().map(make_array).map_err(cannot_make)
}

fn cannot_make(error: arrow::error::ArrowError) -> Error {
    Error::internal("rows cannot be put together").caused_by(error)
}

fn too_long(error: std::num::TryFromIntError) -> Error {
    Error::resource("vectors are too long for a list of a fixed size").caused_by(error)
}

impl Conversion {
    /// What the columns are, for people.
    pub fn kept_text(&self) -> String {
        self.columns().map(escaped).collect::<Vec<_>>().join(", ")
    }
}
