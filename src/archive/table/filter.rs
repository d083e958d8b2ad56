//! Which rows of a table a request asks for.

use arrow::array::{ArrayRef, BooleanArray};

use super::{Place, Table};
use crate::archive::codes::coded;
use crate::archive::keys::{Filter, key_kind};
use crate::error::{Error, Result};

/// Filters on columns of a table.
#[derive(Clone, Debug)]
pub struct TableFilter {
    /// Each with its column.
    filters: Vec<(usize, Filter)>,
}

impl Table {
    /// The filters of `(key, value)` pairs: all keys must match, each with one of its values.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for a key that is no column, and for a value of another type.
    pub fn filter(&self, pairs: &[(String, String)]) -> Result<TableFilter> {
        let mut filters = Vec::new();
        for mut filter in Filter::all(pairs) {
            let column = self.columns.iter().position(|column| column.name == filter.name);
            let kind = column.and_then(|column| Some((column, key_kind(&self.columns[column].data_type)?)));
            let (column, kind) = kind.ok_or_else(|| {
                Error::usage("there is no such key or column").with("key", crate::archive::escaped(&filter.name))
            })?;
            filter.resolve(kind)?;
            self.constants.iter().filter_map(|unit| unit.get(&column)).for_each(|value| filter.meet(value));
            filters.push((column, filter));
        }
        Ok(TableFilter { filters })
    }

    /// Whether rows of a unit may pass: it is not known already that none does.
    pub fn may_pass(&self, unit: usize, filter: &TableFilter) -> bool {
        filter.filters.iter().all(|(column, filter)| {
            let is_key = matches!(self.files[self.units[unit].file].places[*column], Place::Key(None));
            !is_key && self.constants[unit].get(column).is_none_or(|value| filter.accepts(value))
        })
    }

    /// Whether it is known that all rows of a unit pass.
    pub fn passes(&self, unit: usize, filter: &TableFilter) -> bool {
        let known = |(column, filter): &(usize, Filter)| {
            self.constants[unit].get(column).is_some_and(|value| filter.accepts(value))
        };
        filter.filters.iter().all(known)
    }
}

impl TableFilter {
    /// The columns that it looks at.
    pub fn columns(&self) -> impl Iterator<Item = usize> + '_ {
        self.filters.iter().map(|(column, _)| *column)
    }

    /// Fails if a value matches no row, once the [rows](Self::rows) of all units that may pass were looked at.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) with the value.
    pub fn check(&self) -> Result<()> {
        self.filters.iter().try_for_each(|(_, filter)| filter.check_met())
    }

    /// Which rows pass; `arrays` are those of [`columns`](Self::columns), in their order.
    ///
    /// # Errors
    ///
    /// [`Internal`](crate::error::ErrorKind::Internal) if they are not.
    pub fn rows(&self, arrays: &[ArrayRef], rows: usize) -> Result<BooleanArray> {
        let mut passed = vec![true; rows];
        for ((_, filter), array) in self.filters.iter().zip(arrays) {
            let coded = coded(array, 0)?;
            coded.values.iter().for_each(|value| filter.meet(value));
            let accepted: Vec<bool> = coded.values.iter().map(|value| filter.accepts(value)).collect();
            for (passed, &code) in passed.iter_mut().zip(&coded.codes) {
                *passed &= accepted.get(code as usize).copied().unwrap_or(false);
            }
        }
        Ok(BooleanArray::from(passed))
    }
}
