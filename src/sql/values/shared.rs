//! Values that many rows share: a dictionary, or a column whose rows repeat.

use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};

use crate::error::{Error, Result};

/// The type of the values of a column that may be shared.
pub(in crate::sql) fn shared(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => values,
        other => other,
    }
}

/// A column whose rows share values.
pub(in crate::sql) struct Shared {
    values: ArrayRef,
    /// Where each row's value is among them.
    keys: Vec<Option<u32>>,
}

impl Shared {
    pub(in crate::sql) fn of(column: &ArrayRef) -> Result<Self> {
        if let Some(dictionary) = column.as_any_dictionary_opt() {
            let keys = cast(dictionary.keys(), &DataType::Int64)
                .map_err(|error| Error::internal("cannot cast the keys of a dictionary to Int64").caused_by(error))?;
            let keys = keys.as_primitive::<Int64Type>().iter().map(|key| key.map(|key| key as u32)).collect();
            return Ok(Self { values: dictionary.values().clone(), keys });
        }
        if !column.data_type().is_string() {
            let mut keys: Vec<Option<u32>> = Vec::with_capacity(column.len());
            for row in 0..column.len() {
                let before = row.checked_sub(1).filter(|&before| column.slice(before, 1) == column.slice(row, 1));
                keys.push(before.map_or(Some(row as u32), |before| keys[before]));
            }
            return Ok(Self { values: column.clone(), keys });
        }
        let values = cast(column, &DataType::Utf8)
            .map_err(|error| Error::internal("cannot cast the column to Utf8").caused_by(error))?;
        let mut known: HashMap<&str, u32> = HashMap::new();
        let texts = values.as_string::<i32>().iter().enumerate();
        let keys = texts.map(|(row, text)| text.map(|text| *known.entry(text).or_insert(row as u32))).collect();
        Ok(Self { values: values.clone(), keys })
    }

    /// Where a row's value is; `None` if it is null. Rows of equal positions share a value.
    pub(in crate::sql) fn position(&self, row: usize) -> Option<u32> {
        self.keys[row].filter(|&at| self.values.is_valid(at as usize))
    }

    /// The value at a position, as an array of one row.
    pub(in crate::sql) fn value(&self, position: u32) -> ArrayRef {
        self.values.slice(position as usize, 1)
    }
}
