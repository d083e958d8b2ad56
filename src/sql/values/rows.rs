//! From the arrays of a batch to rows that a state can take.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeType, ArrowPrimitiveType, DataType, Float16Type, Float32Type, Float64Type};
use half::f16;

use crate::archive::{
    NO_LABEL, Policy, RowAdvice, RowCheck, RowDefect, RowPolicy, RowStatus, code_labels, nan_as_null, to_unit_length,
};
use crate::batch::{Batch, Features, Label};
use crate::error::{Error, Result};
use crate::kernels::{Profile, Workspace};
use crate::sql::settings::Settings;
use crate::sql::values::grid_column::{self, Carried, Grids};
use crate::state::Chunk;

/// Whether arrays of a type hold vectors.
pub(in crate::sql) fn is_vector(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_floating()
        }
        DataType::Null => true,
        _ => false,
    }
}

/// Whether values of a type can be labels.
pub(in crate::sql) fn is_label(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => is_label(values),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean | DataType::Null => true,
        other => other.is_integer() || other.is_floating(),
    }
}

/// What rounds the rows of a batch.
pub(in crate::sql) enum GridChoice<'a> {
    /// The grid that each row brings along; a row that brings none is rounded as under [`Own`](Self::Own).
    Carried(&'a ArrayRef),
    /// One step `2^exponent` for all.
    Exponent(i16),
    /// The batch is a chunk of its own.
    Own,
}

/// Rows of a batch, those that cannot be used set aside.
pub(in crate::sql) struct LabelledRows {
    values: Floats,
    /// Where each row's vector begins among the values.
    starts: Vec<usize>,
    /// `D` of each row.
    dims: Vec<usize>,
    /// Rows that have a label and a finite vector, ascending.
    kept: Vec<u32>,
    /// An index into `classes` for each row kept; nothing for others.
    codes: Vec<u32>,
    classes: Vec<Label>,
    /// Rows left out for a null.
    pub(in crate::sql) nulls: Vec<u32>,
    /// Rows left out for a NaN or an infinity.
    pub(in crate::sql) nonfinite: Vec<u32>,
    significand_bits: u32,
}

/// Rows that are rounded together.
pub(in crate::sql) struct RoundedChunk<'a> {
    pub(in crate::sql) chunk: Chunk<'a>,
    /// The row of the batch that each row of the chunk is.
    pub(in crate::sql) rows: &'a [u32],
    /// Whether the batch made the grid.
    pub(in crate::sql) own_grid: bool,
    /// Of the vectors as they are stored, or of their type in memory where they bring no grid along.
    pub(in crate::sql) significand_bits: u32,
}

enum Floats {
    F16(ScalarBuffer<f16>),
    F32(ScalarBuffer<f32>),
    F64(ScalarBuffer<f64>),
}

/// A row's vector as an array holds it.
struct Vectors {
    values: Floats,
    starts: Vec<usize>,
    dims: Vec<usize>,
    /// Rows that are null.
    nulls: Option<NullBuffer>,
    /// Elements that are null.
    null_elements: Option<NullBuffer>,
}

impl LabelledRows {
    /// Takes the rows that pass the filter.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for a null or a value that is not finite, unless the settings skip them, and for a
    /// label that is negative or none; with the row of the batch.
    pub(in crate::sql) fn of(
        features: &ArrayRef,
        labels: &ArrayRef,
        filter: Option<&BooleanArray>,
        settings: &Settings,
    ) -> Result<Self> {
        let rows = features.len();
        let (codes, classes) = codes(labels, settings.nulls)?;
        let vectors = Vectors::of(features)?;
        let all_finite = vectors.all_finite();
        let of_length_one = settings.normalize.then(|| vectors.of_length_one());
        let zeros = of_length_one.as_ref().map(|(_, zeros)| zeros);
        let policy = row_policy(settings);
        let check = RowCheck::new(&policy, &codes, &classes);
        let mut kept = Vec::with_capacity(rows);
        let (mut nulls, mut nonfinite) = (Vec::new(), Vec::new());
        for row in 0..rows {
            if filter.is_some_and(|filter| filter.is_null(row) || !filter.value(row)) {
                continue;
            }
            let zero = || zeros.is_some_and(|zeros| zeros[row]).then_some(RowDefect::Zero);
            match check.status(row, vectors.defect(row, all_finite).or_else(zero))? {
                RowStatus::Null => nulls.push(row as u32),
                RowStatus::NonFinite => nonfinite.push(row as u32),
                RowStatus::Used if vectors.dims[row] == 0 => return Err(Error::data("a feature vector is empty")),
                RowStatus::Used => kept.push(row as u32),
                // No label is ignored here: queries leave rows out by WHERE.
                RowStatus::Ignored => {}
            }
        }
        let significand_bits = match vectors.values {
            Floats::F16(_) => 11,
            Floats::F32(_) => 24,
            Floats::F64(_) => 53,
        };
        let vectors = of_length_one.map_or(vectors, |(vectors, _)| vectors);
        let Vectors { values, starts, dims, .. } = vectors;
        Ok(Self { values, starts, dims, kept, codes, classes, nulls, nonfinite, significand_bits })
    }

    /// The rows that have a label and a finite vector, ascending.
    pub(in crate::sql) fn kept(&self) -> &[u32] {
        &self.kept
    }

    /// Hands some of the rows kept on, all rows of equal `D` at a time.
    pub(in crate::sql) fn each_batch(
        &self,
        rows: &[u32],
        mut each: impl FnMut(&Batch<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut by_dim: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
        for &row in rows {
            by_dim.entry(self.dims[row as usize]).or_default().push(row);
        }
        for (dim, rows) in by_dim {
            let codes: Vec<u32> = rows.iter().map(|&row| self.codes[row as usize]).collect();
            self.with_features(dim, &rows, |features| each(&Batch::of_finite(dim, features, &codes, &self.classes)?))?;
        }
        Ok(())
    }

    /// Hands the rows on, chunk by chunk, all rows of a chunk of equal `D` at a time.
    pub(in crate::sql) fn each_chunk(
        &self,
        rounding: &GridChoice<'_>,
        settings: &Settings,
        workspace: &mut Workspace,
        mut each: impl FnMut(&RoundedChunk<'_>, &mut Workspace) -> Result<()>,
    ) -> Result<()> {
        let grids = match rounding {
            GridChoice::Carried(column) => Some(grid_column::decode(column)?),
            GridChoice::Exponent(_) | GridChoice::Own => None,
        };
        let chunk_of = |row: u32| grids.as_ref().and_then(|grids: &Grids| grids.of_row[row as usize]);
        let key = |row: &u32| (self.dims[*row as usize], chunk_of(*row));
        let mut buckets: BTreeMap<(usize, Option<u32>), Vec<u32>> = BTreeMap::new();
        for run in self.kept.chunk_by(|a, b| key(a) == key(b)) {
            buckets.entry(key(&run[0])).or_default().extend(run);
        }
        for ((dim, chunk), rows) in &buckets {
            let found = chunk.and_then(|chunk| grids.as_ref().map(|grids| &grids.chunks[chunk as usize]));
            let place = |error: Error| match found {
                Some(Carried { origin, .. }) => {
                    error.with_default("file", &origin.file).with_default("row group", origin.row_group)
                }
                None => error,
            };
            let codes: Vec<u32> = rows.iter().map(|&row| self.codes[row as usize]).collect();
            self.with_features(*dim, rows, |features| {
                let batch = Batch::of_finite(*dim, features, &codes, &self.classes)?;
                let profile = match (rounding, found) {
                    (GridChoice::Exponent(exponent), _) => Profile::with_exponent(&batch, *exponent, workspace)?,
                    (_, Some(carried)) => Profile::on(&batch, carried.grid.clone(), workspace)?,
                    (_, None) => Profile::of(&batch, settings.extra_bits, workspace)?,
                };
                let own_grid = !matches!(rounding, GridChoice::Exponent(_)) && found.is_none();
                if own_grid && settings.require_grid {
                    return Err(no_grid());
                }
                let significand_bits = found.map_or(self.significand_bits, |carried| carried.significand_bits);
                let chunk = Chunk { batch, profile: &profile };
                each(&RoundedChunk { chunk, rows, own_grid, significand_bits }, workspace)?;
                workspace.recycle(profile);
                Ok(())
            })
            .map_err(place)?;
        }
        Ok(())
    }

    fn with_features(&self, dim: usize, rows: &[u32], work: impl FnOnce(Features<'_>) -> Result<()>) -> Result<()> {
        let start = |row: u32| self.starts[row as usize];
        let first = rows.first().map_or(0, |&row| start(row));
        let together = rows.iter().enumerate().all(|(at, &row)| start(row) == first + at * dim);
        let range = first..first + rows.len() * dim;
        let starts = rows.iter().map(|&row| start(row));
        match (&self.values, together) {
            (Floats::F16(values), true) => work(Features::F16(&values[range])),
            (Floats::F32(values), true) => work(Features::F32(&values[range])),
            (Floats::F64(values), true) => work(Features::F64(&values[range])),
            (Floats::F16(values), false) => work(Features::F16(&gather(values, starts, dim))),
            (Floats::F32(values), false) => work(Features::F32(&gather(values, starts, dim))),
            (Floats::F64(values), false) => work(Features::F64(&gather(values, starts, dim))),
        }
    }
}

/// What queries can do about rows that cannot be used.
const ADVICE: RowAdvice = RowAdvice {
    nulls: "leave such rows out by WHERE … IS NOT NULL, or count them by SET nc.nulls = 'skip'",
    nonfinite: "SET nc.nonfinite = 'skip' leaves such rows out and counts them",
    negative: |label| format!("leave such rows out: WHERE label <> {label}"),
};

fn row_policy(settings: &Settings) -> RowPolicy {
    RowPolicy {
        nulls: settings.nulls,
        nonfinite: settings.nonfinite,
        ignored: None,
        any_labels: false,
        normalize: settings.normalize,
        columns: None,
        advice: &ADVICE,
    }
}

/// Rows without a grid under `nc.require_grid`.
pub(in crate::sql) fn no_grid() -> Error {
    Error::usage("rows bring no grid along, and nc.require_grid is set").help(
        "read an archive, keep (feature, label) as bare columns, or give the grid's exponent as the last argument, as -20",
    )
}

/// The class of each row, or [`NO_LABEL`], and the classes. Where rows with nulls are skipped, a NaN stands for a label that
/// is missing.
fn codes(labels: &ArrayRef, nulls: Policy) -> Result<(Vec<u32>, Vec<Label>)> {
    let coded = |labels: ArrayRef| code_labels(&if nulls == Policy::Skip { nan_as_null(labels) } else { labels });
    let plain = match labels.data_type() {
        DataType::Null => return Ok((vec![NO_LABEL; labels.len()], Vec::new())),
        DataType::Dictionary(_, values) => Some(match values.as_ref() {
            DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
            other => other.clone(),
        }),
        DataType::LargeUtf8 | DataType::Utf8View => Some(DataType::Utf8),
        _ => None,
    };
    match plain {
        Some(plain) => {
            let cast = cast(labels, &plain).map_err(|error| {
                Error::data("labels cannot be read").with("type", labels.data_type()).caused_by(error)
            })?;
            coded(cast)
        }
        None => coded(labels.clone()),
    }
}

impl Vectors {
    fn of(array: &ArrayRef) -> Result<Self> {
        let nulls = array.logical_nulls();
        let rows = array.len();
        let (starts, dims, items) = match array.data_type() {
            DataType::List(_) => {
                let lists = array.as_list::<i32>();
                let (starts, dims) = offsets(lists.value_offsets());
                (starts, dims, lists.values().clone())
            }
            DataType::LargeList(_) => {
                let lists = array.as_list::<i64>();
                let (starts, dims) = offsets(lists.value_offsets());
                (starts, dims, lists.values().clone())
            }
            DataType::FixedSizeList(_, dim) => {
                let (lists, dim) = (array.as_fixed_size_list(), *dim as usize);
                let first = lists.value_offset(0) as usize;
                let starts = (0..rows).map(|row| first + row * dim).collect();
                (starts, vec![dim; rows], lists.values().clone())
            }
            DataType::Null => {
                let values = Floats::F32(Vec::new().into());
                return Ok(Self { values, starts: vec![0; rows], dims: vec![0; rows], nulls, null_elements: None });
            }
            other => return Err(Error::internal("cannot read features of this type").with("type", other)),
        };
        let null_elements = items.nulls().filter(|nulls| nulls.null_count() > 0).cloned();
        let values = match items.data_type() {
            DataType::Float16 => Floats::F16(buffer::<Float16Type>(&items)),
            DataType::Float32 => Floats::F32(buffer::<Float32Type>(&items)),
            DataType::Float64 => Floats::F64(buffer::<Float64Type>(&items)),
            other => return Err(Error::internal("cannot read features with elements of this type").with("type", other)),
        };
        Ok(Self { values, starts, dims, nulls, null_elements })
    }

    fn is_null(&self, row: usize) -> bool {
        let range = self.starts[row]..self.starts[row] + self.dims[row];
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
            || self.null_elements.as_ref().is_some_and(|nulls| range.into_iter().any(|at| nulls.is_null(at)))
    }

    /// The vectors divided by their lengths, one behind the other, and which of them are all zeros.
    fn of_length_one(&self) -> (Self, Vec<bool>) {
        let mut values: Vec<f64> = Vec::with_capacity(self.dims.iter().sum());
        let (mut starts, mut zeros) = (Vec::with_capacity(self.dims.len()), Vec::with_capacity(self.dims.len()));
        for (&start, &dim) in self.starts.iter().zip(&self.dims) {
            let (from, range) = (values.len(), start..start + dim);
            starts.push(from);
            match &self.values {
                Floats::F16(stored) => values.extend(stored[range].iter().map(|x| f64::from(*x))),
                Floats::F32(stored) => values.extend(stored[range].iter().map(|x| f64::from(*x))),
                Floats::F64(stored) => values.extend(&stored[range]),
            }
            zeros.push(!to_unit_length(&mut values[from..]));
        }
        let (nulls, null_elements) = (None, None);
        (Self { values: Floats::F64(values.into()), starts, dims: self.dims.clone(), nulls, null_elements }, zeros)
    }

    /// One pass without a branch over everything between the first vector and the last.
    fn all_finite(&self) -> bool {
        let start = self.starts.iter().copied().min().unwrap_or(0);
        let end = self.starts.iter().zip(&self.dims).map(|(start, dim)| start + dim).max().unwrap_or(0);
        match &self.values {
            Floats::F16(values) => values[start..end].iter().fold(true, |all, value| all & value.is_finite()),
            Floats::F32(values) => values[start..end].iter().fold(true, |all, value| all & value.is_finite()),
            Floats::F64(values) => values[start..end].iter().fold(true, |all, value| all & value.is_finite()),
        }
    }

    /// What is wrong with the vector of a row; `all_finite` if no value of the array is a NaN or an infinity.
    fn defect(&self, row: usize, all_finite: bool) -> Option<RowDefect> {
        if self.is_null(row) {
            return Some(RowDefect::Null);
        }
        if all_finite {
            return None;
        }
        let range = self.starts[row]..self.starts[row] + self.dims[row];
        let (dimension, value) = match &self.values {
            Floats::F16(values) => first_nonfinite(&values[range]),
            Floats::F32(values) => first_nonfinite(&values[range]),
            Floats::F64(values) => first_nonfinite(&values[range]),
        }?;
        Some(RowDefect::NonFinite { dimension, value })
    }
}

/// The first dimension that is not finite, and what it holds.
fn first_nonfinite<T: Copy + Into<f64>>(vector: &[T]) -> Option<(usize, f64)> {
    vector.iter().map(|&value| value.into()).enumerate().find(|(_, value)| !value.is_finite())
}

fn gather<T: Copy>(values: &[T], starts: impl Iterator<Item = usize>, dim: usize) -> Vec<T> {
    starts.flat_map(|start| &values[start..start + dim]).copied().collect()
}

fn buffer<T: ArrowPrimitiveType>(items: &ArrayRef) -> ScalarBuffer<T::Native> {
    items.as_primitive::<T>().values().clone()
}

/// Where lists begin, and how long they are.
fn offsets<O: ArrowNativeType>(offsets: &[O]) -> (Vec<usize>, Vec<usize>) {
    offsets.windows(2).map(|pair| (pair[0].as_usize(), pair[1].as_usize() - pair[0].as_usize())).unzip()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{FixedSizeListArray, Int64Array, ListArray};
    use arrow::datatypes::Field;

    use super::*;

    fn lists(rows: Vec<Option<Vec<Option<f32>>>>) -> ArrayRef {
        Arc::new(ListArray::from_iter_primitive::<Float32Type, _, _>(rows))
    }

    fn sums(rows: &LabelledRows) -> Vec<(usize, Vec<u32>, f64)> {
        let mut seen = Vec::new();
        rows.each_chunk(&GridChoice::Own, &Settings::default(), &mut Workspace::default(), |rounded, _| {
            let Features::F32(values) = rounded.chunk.batch.features() else { unreachable!() };
            let sum = values.iter().map(|&value| f64::from(value)).sum();
            seen.push((rounded.chunk.batch.dim(), rounded.rows.to_vec(), sum));
            Ok(())
        })
        .unwrap();
        seen
    }

    #[test]
    fn a_slice_shares_its_values_and_keeps_its_offset() {
        let item = Arc::new(Field::new_list_field(DataType::Float32, true));
        let values = Arc::new(arrow::array::Float32Array::from_iter_values((0..12_u8).map(f32::from)));
        let array: ArrayRef = Arc::new(FixedSizeListArray::new(item, 2, values, None));
        let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, 0, 1, 0, 1]));
        let rows = LabelledRows::of(&array.slice(2, 3), &labels.slice(2, 3), None, &Settings::default()).unwrap();
        assert_eq!(sums(&rows), [(2, vec![0, 1, 2], f64::from(4 + 5 + 6 + 7 + 8 + 9))]);
    }

    #[test]
    fn rows_of_several_lengths_come_apart_and_a_filter_takes_rows_out() {
        let array = lists(vec![
            Some(vec![Some(1.0), Some(2.0)]),
            Some(vec![Some(4.0)]),
            Some(vec![Some(8.0), Some(16.0)]),
            Some(vec![Some(32.0)]),
        ]);
        let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 0, 1, 1]));
        let filter = BooleanArray::from(vec![Some(true), Some(true), Some(true), None]);
        let rows = LabelledRows::of(&array, &labels, Some(&filter), &Settings::default()).unwrap();
        assert_eq!(sums(&rows), [(1, vec![1], 4.0), (2, vec![0, 2], 27.0)]);
    }

    #[test]
    fn what_cannot_be_used_fails_or_is_counted() {
        use datafusion::common::config::ExtensionOptions;
        let array = lists(vec![
            Some(vec![Some(1.0)]),
            None,
            Some(vec![None]),
            Some(vec![Some(f32::NAN)]),
            Some(vec![Some(2.0)]),
        ]);
        let labels: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(0), Some(0), Some(0), None]));
        let mut settings = Settings::default();
        assert!(LabelledRows::of(&array, &labels, None, &settings).is_err());
        settings.set("nulls", "skip").unwrap();
        assert!(LabelledRows::of(&array, &labels, None, &settings).is_err());
        settings.set("nonfinite", "skip").unwrap();
        let rows = LabelledRows::of(&array, &labels, None, &settings).unwrap();
        assert_eq!((rows.nulls.as_slice(), rows.nonfinite.as_slice()), ([1, 2, 4].as_slice(), [3].as_slice()));
        assert_eq!(sums(&rows), [(1, vec![0], 1.0)]);
    }
}
