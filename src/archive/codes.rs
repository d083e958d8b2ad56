//! Columns of single values, as labels and group keys are, encoded as codes into their distinct values.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use super::damage::damaged;
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};

/// The code of a null.
pub(super) const NULL: u32 = u32::MAX;

/// A column of a chunk: `codes[row]` is an index into `values`, or [`NULL`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Coded {
    pub(super) codes: Vec<u32>,
    pub(super) values: Vec<Label>,
}
/// The kind of label that a type makes; `None` if its values cannot be labels.
pub(super) fn label_kind(kind: &DataType) -> Option<LabelKind> {
    match kind {
        DataType::Boolean => Some(LabelKind::Bool),
        DataType::Utf8 => Some(LabelKind::Text),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(LabelKind::Int),
        kind if kind.is_integer() => Some(LabelKind::Int),
        _ => None,
    }
}

/// The labels of an array without nulls, one a row; `base` is the first row's number.
pub(super) fn labels(array: &ArrayRef, base: u64) -> Result<Vec<Label>> {
    let Coded { codes, values } = coded(array, base)?;
    Ok(codes.into_iter().map(|code| values[code as usize].clone()).collect())
}

/// The labels of an array.
pub(super) fn coded(array: &ArrayRef, base: u64) -> Result<Coded> {
    macro_rules! integers {
        ($type:ty) => {
            Ok(primitive::<$type>(array.as_primitive(), base, |value| Some(value.into()))?)
        };
    }
    macro_rules! floats {
        ($type:ty) => {
            primitive::<$type>(array.as_primitive(), base, |value| integer(f64::from(value), limit::<$type>()))
        };
    }
    match array.data_type() {
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        DataType::Float16 => floats!(Float16Type),
        DataType::Float32 => floats!(Float32Type),
        DataType::Float64 => floats!(Float64Type),
        DataType::Boolean => {
            let mut coder = Coder::default();
            array.as_boolean().iter().for_each(|value| coder.push(value, |&value| Label::Bool(value)));
            Ok(coder.coded)
        }
        DataType::Utf8 => {
            let mut coder = Coder::default();
            array.as_string::<i32>().iter().for_each(|value| coder.push(value, |&value| Label::Text(value.into())));
            Ok(coder.coded)
        }
        DataType::Dictionary(key, value) if **key == DataType::Int32 && **value == DataType::Utf8 => {
            let (mut coder, dictionary) = (Coder::default(), array.as_dictionary::<Int32Type>());
            let values = dictionary.values().as_string::<i32>();
            let mut codes = vec![NULL; values.len()];
            for key in dictionary.keys() {
                let key = key.map(|key| key as usize).filter(|&key| values.is_valid(key));
                match key.map(|key| (key, codes[key])) {
                    Some((key, NULL)) => {
                        coder.push(Some(values.value(key)), |&value| Label::Text(value.into()));
                        codes[key] = coder.coded.codes[coder.coded.codes.len() - 1];
                    }
                    Some((_, code)) => coder.coded.codes.push(code),
                    None => coder.coded.codes.push(NULL),
                }
            }
            Ok(coder.coded)
        }
        other => Err(Error::internal("a column of labels has a type that was not planned").with("type", other)),
    }
}

/// Floats in which each NaN is a null; any other array as it is.
pub(crate) fn nan_as_null(array: ArrayRef) -> ArrayRef {
    fn nulls<T: ArrowPrimitiveType>(array: &ArrayRef, is_nan: impl Fn(T::Native) -> bool) -> ArrayRef {
        let array = array.as_primitive::<T>();
        Arc::new(array.iter().map(|value| value.filter(|&value| !is_nan(value))).collect::<PrimitiveArray<T>>())
    }
    match array.data_type() {
        DataType::Float16 => nulls::<Float16Type>(&array, half::f16::is_nan),
        DataType::Float32 => nulls::<Float32Type>(&array, f32::is_nan),
        DataType::Float64 => nulls::<Float64Type>(&array, f64::is_nan),
        _ => array,
    }
}

/// The labels of an array whose values need not be classes: a float that is not an exact integer becomes its text.
pub(super) fn coded_any(array: &ArrayRef) -> Result<Coded> {
    if !array.data_type().is_floating() {
        return coded(array, 0);
    }
    let wide = arrow::compute::cast(array, &DataType::Float64).map_err(damaged)?;
    let mut coder = Coder::default();
    let label = |&bits: &u64| {
        let value = f64::from_bits(bits);
        integer(value, limit::<Float64Type>()).map_or_else(|| Label::Text(value.to_string().into()), Label::Int)
    };
    // One zero, and one NaN.
    let bits = |value: f64| if value.is_nan() { f64::NAN.to_bits() } else { (value + 0.0).to_bits() };
    wide.as_primitive::<Float64Type>().iter().for_each(|value| coder.push(value.map(bits), label));
    Ok(coder.coded)
}

/// The class of rows without a label. It differs from all labels of the kind of the other values.
fn unlabelled(values: &[Label]) -> Label {
    if values.iter().any(|value| matches!(value, Label::Bool(_))) { Label::Int(0) } else { Label::Bool(false) }
}

impl Coded {
    /// `rows` rows without a label, as one class.
    pub(super) fn unlabelled(rows: usize) -> Self {
        Self { codes: vec![0; rows], values: vec![unlabelled(&[])] }
    }

    /// Makes the nulls a class of their own.
    pub(super) fn with_nulls_as_class(mut self) -> Self {
        if self.codes.contains(&NULL) {
            let class = self.values.len() as u32;
            self.values.push(unlabelled(&self.values));
            self.codes.iter_mut().filter(|code| **code == NULL).for_each(|code| *code = class);
        }
        self
    }
}

fn primitive<T: ArrowPrimitiveType>(
    array: &PrimitiveArray<T>,
    base: u64,
    convert: impl Fn(T::Native) -> Option<i128>,
) -> Result<Coded> {
    let mut coder = Coder::default();
    for (row, value) in array.iter().enumerate() {
        let converted = value.map(|value| convert(value).ok_or(value)).transpose().map_err(|value| {
            Error::data("a label is a float, and not a whole number that its type holds exactly")
                .with("row", base + row as u64)
                .with("label", format!("{value:?}"))
                .help(if format!("{value:?}") == "NaN" {
                    "--nulls skip takes a NaN for a label that is missing, leaves such rows out and counts them"
                } else {
                    "labels name classes: integers, text or booleans; --labels names another column or file"
                })
        })?;
        coder.push(converted, |&value| Label::Int(value));
    }
    Ok(coder.coded)
}

/// Below `2^p` a float of the type represents integers exactly.
fn limit<T: ArrowPrimitiveType>() -> f64 {
    match T::DATA_TYPE {
        DataType::Float16 => 2048.0,
        DataType::Float32 => 16_777_216.0,
        _ => 9_007_199_254_740_992.0,
    }
}

fn integer(value: f64, limit: f64) -> Option<i128> {
    (value.abs() < limit && value.fract() == 0.0).then_some(value as i128)
}

/// Numbers values in the order of their first rows.
struct Coder<T> {
    known: HashMap<T, u32>,
    last: Option<(T, u32)>,
    coded: Coded,
}

impl<T> Default for Coder<T> {
    fn default() -> Self {
        Self { known: HashMap::new(), last: None, coded: Coded::default() }
    }
}

impl<T: Copy + Eq + std::hash::Hash> Coder<T> {
    fn push(&mut self, value: Option<T>, label: impl Fn(&T) -> Label) {
        let Some(value) = value else {
            self.coded.codes.push(NULL);
            return;
        };
        let code = match self.last {
            // In sorted files a value mostly repeats the one before.
            Some((last, code)) if last == value => code,
            _ => *self.known.entry(value).or_insert_with(|| {
                self.coded.values.push(label(&value));
                (self.coded.values.len() - 1) as u32
            }),
        };
        self.last = Some((value, code));
        self.coded.codes.push(code);
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Float32Array, Float64Array, Int64Array, StringArray, UInt64Array};

    use super::*;

    fn labels(array: impl Array + 'static) -> Vec<Option<Label>> {
        let coded = coded(&(Arc::new(array) as ArrayRef), 0).unwrap();
        coded.codes.iter().map(|&code| coded.values.get(code as usize).cloned()).collect()
    }

    #[test]
    fn every_type_becomes_its_label() {
        let extremes = labels(Int64Array::from(vec![Some(i64::MIN), None, Some(-1), Some(i64::MIN)]));
        let min = Some(Label::Int(i64::MIN.into()));
        assert_eq!(extremes, [min.clone(), None, Some(Label::Int(-1)), min]);
        assert_eq!(labels(UInt64Array::from(vec![u64::MAX])), [Some(Label::Int(u64::MAX.into()))]);
        assert_eq!(labels(BooleanArray::from(vec![true])), [Some(Label::Bool(true))]);
        assert_eq!(labels(StringArray::from(vec!["é\n"])), [Some(Label::Text("é\n".into()))]);
        assert_eq!(labels(Float64Array::from(vec![3.0, -0.0])), [Some(Label::Int(3)), Some(Label::Int(0))]);
    }

    #[test]
    fn floats_that_are_not_exact_integers_are_refused() {
        let two_53 = 9_007_199_254_740_992.0_f64;
        for value in [3.5, f64::NAN, f64::INFINITY, two_53, -two_53, f64::from_bits(1)] {
            let error = coded(&(Arc::new(Float64Array::from(vec![1.0, value])) as ArrayRef), 0).unwrap_err();
            assert_eq!(error.fact("row"), Some("1"), "{value}");
        }
        let largest = labels(Float64Array::from(vec![two_53 - 1.0]));
        assert_eq!(largest, [Some(Label::Int((1 << 53) - 1))]);
        assert!(coded(&(Arc::new(Float32Array::from(vec![16_777_216.0])) as ArrayRef), 0).is_err());
    }
}
