//! States as typed, named columns: what is stored in Parquet, read by others, and merged next week.
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `version` | int32 | of this layout: 2 |
//! | `grid` | string | `chunk`: the same bits whatever the batches; `own`: some rows brought no grid along |
//! | `significand_bits` | int32 | of the features, of the least precise rows: 8, 11, 24 or 53 |
//! | `skipped_nulls`, `skipped_nonfinite` | uint64 | rows left out by `nc.nulls` and `nc.nonfinite` |
//! | `normalized` | boolean | whether rows were divided by their length (`nc.normalize`); older states lack it, and were not |
//! | `dim` | int64 | `D` |
//! | `history` | list of (`dimension` int32, `exponent` int16, `rows` uint64, `changed` uint64, `unresolved` uint64) | on which grids rows were rounded |
//! | `label_kind` | string | `integer`, `string` or `bool` |
//! | `labels` | list of string | the classes, in the order of their values |
//! | `counts` | list of uint64 | `n`, K |
//! | `shifts`, `sums` | list of int64 | `c` and `s`, K × D, in steps of the grid |
//! | `low` | list of decimal(38) | what rounding took off, K × D, in units of `2^-20` steps |
//! | `squares` | list of decimal(76) | `t`, K, in squares of the finest step |
//! | `gram` | list of decimal(38), or null | the lower triangle of `Q` by columns |
//!
//! All lists have 64-bit offsets. A state of no rows is null. States of version 1 have neither `low` nor `unresolved`, and
//! are read.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, Decimal128Builder, Decimal256Builder, Int16Builder, Int32Builder,
    Int64Builder, LargeListBuilder, LargeStringBuilder, PrimitiveArray, StringBuilder, StructArray, StructBuilder,
    UInt64Builder, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Decimal128Type, Decimal256Type, Field, Fields, Int16Type, Int32Type, Int64Type,
    UInt64Type,
};

use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::grid::ExponentRows;
use crate::sql::values::sql_state::SqlState;
use crate::state::{Low, RawState};

/// The version of the layout that is written; those before it are read.
const VERSION: i32 = 2;

const SQUARES: DataType = DataType::Decimal256(76, 0);
const WIDE: DataType = DataType::Decimal128(38, 0);

static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let list = |item: DataType| DataType::LargeList(Arc::new(Field::new_list_field(item, true)));
    Fields::from(vec![
        field("version", DataType::Int32),
        field("grid", DataType::Utf8),
        field("significand_bits", DataType::Int32),
        field("skipped_nulls", DataType::UInt64),
        field("skipped_nonfinite", DataType::UInt64),
        field("normalized", DataType::Boolean),
        field("dim", DataType::Int64),
        field("history", list(DataType::Struct(tally_fields()))),
        field("label_kind", DataType::Utf8),
        field("labels", list(DataType::LargeUtf8)),
        field("counts", list(DataType::UInt64)),
        field("shifts", list(DataType::Int64)),
        field("sums", list(DataType::Int64)),
        field("low", list(WIDE)),
        field("squares", list(SQUARES)),
        field("gram", list(WIDE)),
    ])
});

fn tally_fields() -> Fields {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    Fields::from(vec![
        field("dimension", DataType::Int32),
        field("exponent", DataType::Int16),
        field("rows", DataType::UInt64),
        field("changed", DataType::UInt64),
        field("unresolved", DataType::UInt64),
    ])
}

/// What older states lack: those of version 1 the first two.
fn is_new(field: &Field) -> bool {
    matches!(field.name().as_str(), "low" | "unresolved" | "normalized")
}

/// The type of a state in SQL.
pub(in crate::sql) fn data_type() -> DataType {
    DataType::Struct(FIELDS.clone())
}

/// Whether values of a type can be states, whichever writer they have been through.
pub(in crate::sql) fn is_state(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => FIELDS.iter().all(|field| is_new(field) || fields.find(field.name()).is_some()),
        DataType::Null => true,
        _ => false,
    }
}

/// States as an array; a state of no rows is null.
pub(in crate::sql) fn encode<'a>(states: impl IntoIterator<Item = Option<&'a SqlState>>) -> Result<StructArray> {
    let mut columns = Builders::default();
    for summary in states {
        match summary.filter(|summary| !summary.is_empty()) {
            Some(summary) => columns.append(summary, &summary.state.to_raw()?),
            None => columns.append_null(),
        }
    }
    columns.finish()
}

struct Builders {
    valid: Vec<bool>,
    version: Int32Builder,
    grid: StringBuilder,
    significand_bits: Int32Builder,
    skipped_nulls: UInt64Builder,
    skipped_nonfinite: UInt64Builder,
    normalized: BooleanBuilder,
    dim: Int64Builder,
    history: LargeListBuilder<StructBuilder>,
    label_kind: StringBuilder,
    labels: LargeListBuilder<LargeStringBuilder>,
    counts: LargeListBuilder<UInt64Builder>,
    shifts: LargeListBuilder<Int64Builder>,
    sums: LargeListBuilder<Int64Builder>,
    low: LargeListBuilder<Decimal128Builder>,
    squares: LargeListBuilder<Decimal256Builder>,
    gram: LargeListBuilder<Decimal128Builder>,
}

impl Default for Builders {
    fn default() -> Self {
        Self {
            valid: Vec::new(),
            version: Int32Builder::new(),
            grid: StringBuilder::new(),
            significand_bits: Int32Builder::new(),
            skipped_nulls: UInt64Builder::new(),
            skipped_nonfinite: UInt64Builder::new(),
            normalized: BooleanBuilder::new(),
            dim: Int64Builder::new(),
            history: LargeListBuilder::new(StructBuilder::from_fields(tally_fields(), 0)),
            label_kind: StringBuilder::new(),
            labels: LargeListBuilder::new(LargeStringBuilder::new()),
            counts: LargeListBuilder::new(UInt64Builder::new()),
            shifts: LargeListBuilder::new(Int64Builder::new()),
            sums: LargeListBuilder::new(Int64Builder::new()),
            low: LargeListBuilder::new(Decimal128Builder::new().with_data_type(WIDE)),
            squares: LargeListBuilder::new(Decimal256Builder::new().with_data_type(SQUARES)),
            gram: LargeListBuilder::new(Decimal128Builder::new().with_data_type(WIDE)),
        }
    }
}

impl Builders {
    fn append(&mut self, state: &SqlState, parts: &RawState) {
        self.valid.push(true);
        self.version.append_value(VERSION);
        self.grid.append_value(if state.own_grid { "own" } else { "chunk" });
        self.significand_bits.append_value(state.significand_bits as i32);
        self.skipped_nulls.append_value(state.skipped_nulls);
        self.skipped_nonfinite.append_value(state.skipped_nonfinite);
        self.normalized.append_value(state.normalized);
        self.dim.append_value(parts.dim as i64);
        for (dimension, tallies) in parts.history.iter().enumerate() {
            for tally in tallies {
                self.append_tally(dimension as i32, tally);
            }
        }
        self.history.append(true);
        match parts.labels.first() {
            Some(label) => self.label_kind.append_value(label.kind().to_string()),
            None => self.label_kind.append_null(),
        }
        parts.labels.iter().for_each(|label| self.labels.values().append_value(label.to_string()));
        self.labels.append(true);
        self.counts.values().append_slice(&parts.counts);
        self.counts.append(true);
        self.shifts.values().append_slice(&parts.shifts);
        self.shifts.append(true);
        self.sums.values().append_slice(&parts.sums);
        self.sums.append(true);
        (0..parts.low.len()).for_each(|at| self.low.values().append_value(parts.low.get(at)));
        self.low.append(true);
        self.squares.values().append_slice(&parts.squares);
        self.squares.append(true);
        if let Some(gram) = &parts.gram {
            self.gram.values().append_slice(gram);
        }
        self.gram.append(parts.gram.is_some());
    }

    fn append_tally(&mut self, dimension: i32, tally: &ExponentRows) {
        let entry = self.history.values();
        // The builders are those of `tally_fields`, in their order.
        if let Some(field) = entry.field_builder::<Int32Builder>(0) {
            field.append_value(dimension);
        }
        if let Some(field) = entry.field_builder::<Int16Builder>(1) {
            field.append_value(tally.exponent);
        }
        if let Some(field) = entry.field_builder::<UInt64Builder>(2) {
            field.append_value(tally.rows);
        }
        if let Some(field) = entry.field_builder::<UInt64Builder>(3) {
            field.append_value(tally.changed);
        }
        if let Some(field) = entry.field_builder::<UInt64Builder>(4) {
            field.append_value(tally.unresolved);
        }
        entry.append(true);
    }

    fn append_null(&mut self) {
        self.valid.push(false);
        self.version.append_null();
        self.grid.append_null();
        self.significand_bits.append_null();
        self.skipped_nulls.append_null();
        self.skipped_nonfinite.append_null();
        self.normalized.append_null();
        self.dim.append_null();
        self.history.append(false);
        self.label_kind.append_null();
        self.labels.append(false);
        self.counts.append(false);
        self.shifts.append(false);
        self.sums.append(false);
        self.low.append(false);
        self.squares.append(false);
        self.gram.append(false);
    }

    fn finish(mut self) -> Result<StructArray> {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.version.finish()),
            Arc::new(self.grid.finish()),
            Arc::new(self.significand_bits.finish()),
            Arc::new(self.skipped_nulls.finish()),
            Arc::new(self.skipped_nonfinite.finish()),
            Arc::new(self.normalized.finish()),
            Arc::new(self.dim.finish()),
            Arc::new(self.history.finish()),
            Arc::new(self.label_kind.finish()),
            Arc::new(self.labels.finish()),
            Arc::new(self.counts.finish()),
            Arc::new(self.shifts.finish()),
            Arc::new(self.sums.finish()),
            Arc::new(self.low.finish()),
            Arc::new(self.squares.finish()),
            Arc::new(self.gram.finish()),
        ];
        StructArray::try_new(FIELDS.clone(), columns, Some(NullBuffer::from(self.valid)))
            .map_err(|error| Error::internal("cannot build the columns of a state").caused_by(error))
    }
}

/// A column of states, in the types above whatever their writer made of them.
pub(in crate::sql) struct States {
    /// `None` if all rows are null.
    columns: Option<Vec<ArrayRef>>,
    nulls: Option<NullBuffer>,
    rows: usize,
}

impl States {
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the column does not hold states.
    pub(in crate::sql) fn of(array: &ArrayRef) -> Result<Self> {
        let rows = array.len();
        let Some(states) = array.as_struct_opt() else {
            if array.data_type() == &DataType::Null {
                return Ok(Self { columns: None, nulls: None, rows });
            }
            return Err(Error::data("a state was expected").with("found", array.data_type()));
        };
        let column = |field: &Arc<Field>| match states.column_by_name(field.name()) {
            Some(column) => typed(column, field),
            None if is_new(field) => Ok(new_null_array(field.data_type(), rows)),
            None => Err(Error::data("not a state: a field is missing").with("field", field.name())),
        };
        let columns = FIELDS.iter().map(column).collect::<Result<_>>()?;
        Ok(Self { columns: Some(columns), nulls: states.nulls().cloned(), rows })
    }

    pub(in crate::sql) fn len(&self) -> usize {
        self.rows
    }

    /// The state in a row, if it has one.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for a state of another version, or one that contradicts itself.
    pub(in crate::sql) fn get(&self, row: usize) -> Result<Option<SqlState>> {
        let Some(columns) =
            self.columns.as_ref().filter(|_| self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row)))
        else {
            return Ok(None);
        };
        let columns = Row { columns, row };
        let version = columns.one::<Int32Type>("version")?;
        if !(1..=VERSION).contains(&version) {
            return Err(Error::data("a state of another version").with("version", version).with("known", VERSION));
        }
        let dim = usize::try_from(columns.one::<Int64Type>("dim")?).map_err(|_| broken("dim"))?;
        let labels = columns.labels()?;
        let shifts = columns.list::<Int64Type>("shifts")?.ok_or_else(|| broken("shifts"))?;
        let low = match columns.list::<Decimal128Type>("low")? {
            Some(low) if version > 1 => low.into_iter().collect(),
            None if version == 1 => Low::zeros(shifts.len()),
            _ => return Err(broken("low")),
        };
        let parts = RawState {
            dim,
            history: columns.history(dim, version)?,
            labels,
            counts: columns.list::<UInt64Type>("counts")?.ok_or_else(|| broken("counts"))?,
            shifts,
            low,
            sums: columns.list::<Int64Type>("sums")?.ok_or_else(|| broken("sums"))?,
            squares: columns.list::<Decimal256Type>("squares")?.ok_or_else(|| broken("squares"))?,
            gram: columns.list::<Decimal128Type>("gram")?,
        };
        let state = parts.into_state()?;
        let significand_bits = match columns.one::<Int32Type>("significand_bits")? {
            bits @ (8 | 11 | 24 | 53) => bits as u32,
            // Of no rows but such as were left out.
            0 if dim == 0 => 0,
            _ => return Err(broken("significand_bits")),
        };
        Ok(Some(SqlState {
            state,
            significand_bits,
            own_grid: match columns.text("grid")? {
                "own" => true,
                "chunk" => false,
                _ => return Err(broken("grid")),
            },
            normalized: columns.flag("normalized")?,
            skipped_nulls: columns.one::<UInt64Type>("skipped_nulls")?,
            skipped_nonfinite: columns.one::<UInt64Type>("skipped_nonfinite")?,
        }))
    }
}

/// A column in the type of its field. Its writer may have had other names for texts and lists, and integers of another
/// width; numbers that it has made inexact are refused by their type.
fn typed(column: &ArrayRef, field: &Field) -> Result<ArrayRef> {
    let refused = || {
        Error::data("not a state: a field has another type")
            .with("field", field.name())
            .with("expected", field.data_type())
            .with("found", column.data_type())
            .help("keep states in Parquet files that nckit sql writes; other engines turn wide integers into doubles")
    };
    if !is_alike(column.data_type(), field.data_type()) {
        return Err(refused());
    }
    let old = old_history(column.data_type());
    cast(column, old.as_ref().unwrap_or(field.data_type())).map_err(|error| refused().caused_by(error))
}

/// The type of the history in states of version 1, if it is that.
fn old_history(found: &DataType) -> Option<DataType> {
    let (DataType::List(item) | DataType::LargeList(item)) = found else { return None };
    let DataType::Struct(fields) = item.data_type() else { return None };
    let old: Fields = tally_fields().iter().filter(|field| !is_new(field)).cloned().collect();
    (fields.len() == old.len())
        .then(|| DataType::LargeList(Arc::new(Field::new_list_field(DataType::Struct(old), true))))
}

/// Whether a type holds what the other does, exactly.
fn is_alike(found: &DataType, expected: &DataType) -> bool {
    use DataType as T;
    match (found, expected) {
        (T::Null, _) => true,
        (T::Dictionary(_, values), _) => is_alike(values, expected),
        (T::Boolean, _) => expected == &T::Boolean,
        (T::Utf8 | T::LargeUtf8 | T::Utf8View, _) => matches!(expected, T::Utf8 | T::LargeUtf8),
        (T::List(found) | T::LargeList(found) | T::FixedSizeList(found, _), T::LargeList(expected)) => {
            is_alike(found.data_type(), expected.data_type())
        }
        (T::Struct(found), T::Struct(expected)) => expected.iter().all(|field| {
            let found = found.find(field.name());
            found.map_or(is_new(field), |(_, found)| is_alike(found.data_type(), field.data_type()))
        }),
        (found, expected) => is_whole(found) && is_whole(expected),
    }
}

/// Whether numbers of a type are integers.
fn is_whole(data_type: &DataType) -> bool {
    use DataType as T;
    match data_type {
        T::Decimal32(_, scale) | T::Decimal64(_, scale) | T::Decimal128(_, scale) | T::Decimal256(_, scale) => {
            *scale == 0
        }
        other => other.is_integer(),
    }
}

fn broken(field: &str) -> Error {
    Error::data("the state is damaged").with("field", field)
}

fn without_nulls<T: ArrowPrimitiveType>(items: &StructArray, at: usize) -> Option<&PrimitiveArray<T>> {
    items.columns().get(at).map(AsArray::as_primitive::<T>).filter(|column| column.null_count() == 0)
}

/// One row of the columns.
struct Row<'a> {
    columns: &'a [ArrayRef],
    row: usize,
}

impl Row<'_> {
    fn column(&self, name: &str) -> Result<&ArrayRef> {
        let at = FIELDS.iter().position(|field| field.name() == name).ok_or_else(|| broken(name))?;
        Ok(&self.columns[at])
    }

    fn one<T: ArrowPrimitiveType>(&self, name: &str) -> Result<T::Native> {
        let column = self.column(name)?.as_primitive::<T>();
        if column.is_valid(self.row) { Ok(column.value(self.row)) } else { Err(broken(name)) }
    }

    /// `false` where it is null.
    fn flag(&self, name: &str) -> Result<bool> {
        let column = self.column(name)?.as_boolean();
        Ok(column.is_valid(self.row) && column.value(self.row))
    }

    fn text(&self, name: &str) -> Result<&str> {
        let column = self.column(name)?.as_string::<i32>();
        if column.is_valid(self.row) { Ok(column.value(self.row)) } else { Err(broken(name)) }
    }

    /// The items of a list; `None` if it is null.
    fn items(&self, name: &str) -> Result<Option<ArrayRef>> {
        let column = self.column(name)?.as_list::<i64>();
        let items = column.is_valid(self.row).then(|| column.value(self.row));
        if items.as_ref().is_some_and(|items| items.null_count() > 0) { Err(broken(name)) } else { Ok(items) }
    }

    fn list<T: ArrowPrimitiveType>(&self, name: &str) -> Result<Option<Vec<T::Native>>> {
        let items = self.items(name)?;
        Ok(items.map(|items| items.as_primitive::<T>().values().to_vec()))
    }

    fn labels(&self) -> Result<Vec<Label>> {
        let kind = self.column("label_kind")?;
        let items = self.items("labels")?.ok_or_else(|| broken("labels"))?;
        let texts = items.as_string::<i64>();
        if kind.is_null(self.row) {
            return if texts.is_empty() { Ok(Vec::new()) } else { Err(broken("label_kind")) };
        }
        let kind = LabelKind::from_name(self.text("label_kind")?).ok_or_else(|| broken("label_kind"))?;
        let label = |text: Option<&str>| text.and_then(|text| kind.parse(text)).filter(Label::is_class);
        texts.iter().map(|text| label(text).ok_or_else(|| broken("labels"))).collect()
    }

    fn history(&self, dim: usize, version: i32) -> Result<Vec<Vec<ExponentRows>>> {
        let broken = || broken("history");
        let items = self.items("history")?.ok_or_else(broken)?;
        let items = items.as_struct();
        let dimensions = without_nulls::<Int32Type>(items, 0).ok_or_else(broken)?;
        let exponents = without_nulls::<Int16Type>(items, 1).ok_or_else(broken)?;
        let rows = without_nulls::<UInt64Type>(items, 2).ok_or_else(broken)?;
        let changed = without_nulls::<UInt64Type>(items, 3).ok_or_else(broken)?;
        // All rows of version 1 that were changed are without residuals.
        let unresolved =
            if version == 1 { changed } else { without_nulls::<UInt64Type>(items, 4).ok_or_else(broken)? };
        let shifts = self.column("sums")?.as_list::<i64>();
        // A dimension takes a place in every class's sums: no claim of `dim` alone asks for memory.
        if shifts.is_null(self.row) || shifts.value_length(self.row) < dim as i64 {
            return Err(broken());
        }
        let mut history = vec![Vec::new(); dim];
        for at in 0..items.len() {
            let dimension = usize::try_from(dimensions.value(at)).ok().filter(|&dimension| dimension < dim);
            history[dimension.ok_or_else(broken)?].push(ExponentRows {
                exponent: exponents.value(at),
                rows: rows.value(at),
                changed: changed.value(at),
                unresolved: unresolved.value(at),
            });
        }
        Ok(history)
    }
}
