//! Lists and structs that functions of a state give back: classes, pairs, spectra.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, Float64Builder, LargeListArray, LargeListBuilder, StringBuilder, StructArray, UInt64Builder,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields};

use crate::error::{Error, Result};
use crate::metrics::{ClassRow, Pair, Spectrum};

fn structs(fields: Fields, columns: Vec<ArrayRef>, nulls: Option<NullBuffer>) -> Result<StructArray> {
    StructArray::try_new(fields, columns, nulls)
        .map_err(|error| Error::internal("cannot build the columns of a result").caused_by(error))
}

/// Lists of structs, one a state.
fn lists<T>(rows: &[Option<Vec<T>>], items: StructArray) -> Result<ArrayRef> {
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), true));
    let lengths = rows.iter().map(|row| row.as_ref().map_or(0, Vec::len));
    let valid = NullBuffer::from(rows.iter().map(Option::is_some).collect::<Vec<_>>());
    LargeListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(items), Some(valid))
        .map(|array| Arc::new(array) as ArrayRef)
        .map_err(|error| Error::internal("cannot build a list of results").caused_by(error))
}

fn fields(columns: &[(&str, DataType)]) -> Fields {
    columns.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true)).collect()
}

pub(super) fn spectrum_fields() -> Fields {
    let list = DataType::LargeList(Arc::new(Field::new_list_field(DataType::Float64, true)));
    fields(&[("within", list.clone()), ("between", list)])
}

/// A number of a class.
type ClassNumber = fn(&ClassRow) -> Option<f64>;

const CLASS_NUMBERS: [(&str, ClassNumber); 7] = [
    ("variance", |row| row.variance),
    ("distance", |row| Some(row.distance)),
    ("snr", |row| row.snr),
    ("cdnv_mean", |row| row.cdnv_mean),
    ("cdnv_worst", |row| row.cdnv_worst),
    ("cos_head", |row| row.cos_head),
    ("dot_head", |row| row.dot_head),
];

pub(super) fn class_fields() -> Fields {
    let texts = [("label", DataType::Utf8), ("count", DataType::UInt64), ("worst_neighbour", DataType::Utf8)];
    let numbers = CLASS_NUMBERS.iter().map(|(name, _)| (*name, DataType::Float64));
    fields(&texts.into_iter().chain(numbers).collect::<Vec<_>>())
}

pub(super) fn classes(rows: &[Option<Vec<ClassRow>>]) -> Result<ArrayRef> {
    let mut label = StringBuilder::new();
    let mut count = UInt64Builder::new();
    let mut neighbour = StringBuilder::new();
    let mut numbers = CLASS_NUMBERS.map(|_| Float64Builder::new());
    for row in rows.iter().flatten().flatten() {
        label.append_value(row.label.to_string());
        count.append_value(row.count);
        neighbour.append_option(row.worst_neighbour.as_ref().map(ToString::to_string));
        for (column, (_, number)) in numbers.iter_mut().zip(CLASS_NUMBERS) {
            column.append_option(number(row));
        }
    }
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(label.finish()), Arc::new(count.finish()), Arc::new(neighbour.finish())];
    columns.extend(numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef));
    lists(rows, structs(class_fields(), columns, None)?)
}

pub(super) fn pair_fields() -> Fields {
    fields(&[
        ("first", DataType::Utf8),
        ("second", DataType::Utf8),
        ("cdnv", DataType::Float64),
        ("distance", DataType::Float64),
    ])
}

pub(super) fn pairs(rows: &[Option<Vec<Pair>>]) -> Result<ArrayRef> {
    let (mut first, mut second) = (StringBuilder::new(), StringBuilder::new());
    let (mut cdnv, mut distance) = (Float64Builder::new(), Float64Builder::new());
    for pair in rows.iter().flatten().flatten() {
        first.append_value(pair.first.to_string());
        second.append_value(pair.second.to_string());
        cdnv.append_value(pair.cdnv);
        distance.append_value(pair.distance);
    }
    let columns: Vec<ArrayRef> =
        vec![Arc::new(first.finish()), Arc::new(second.finish()), Arc::new(cdnv.finish()), Arc::new(distance.finish())];
    lists(rows, structs(pair_fields(), columns, None)?)
}

/// Eigenvalues of several states, a struct of two lists each.
pub(super) fn spectra(spectra: &[Option<Spectrum>]) -> Result<ArrayRef> {
    let mut within = LargeListBuilder::new(Float64Builder::new());
    let mut between = LargeListBuilder::new(Float64Builder::new());
    for spectrum in spectra {
        let inside = spectrum.as_ref().and_then(|spectrum| spectrum.within.as_ref().ok());
        for (list, values) in
            [(&mut within, inside), (&mut between, spectrum.as_ref().map(|spectrum| &spectrum.between))]
        {
            list.values().append_slice(values.map_or(&[], Vec::as_slice));
            list.append(values.is_some());
        }
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(within.finish()), Arc::new(between.finish())];
    let valid = spectra.iter().map(Option::is_some).collect::<Vec<_>>();
    structs(spectrum_fields(), columns, Some(valid.into())).map(|array| Arc::new(array) as ArrayRef)
}
