//! What stands beside the metrics of a group, as columns: flags and accuracy.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, Float64Builder, LargeListBuilder, MapBuilder, StringBuilder};
use arrow::datatypes::{DataType, Field, Fields};

use crate::error::{Error, Result};
use crate::metrics::Measurements;

/// Builds the columns, one row a group.
pub(in crate::sql) struct Remarks {
    flags: LargeListBuilder<StringBuilder>,
    accuracy: MapBuilder<StringBuilder, Float64Builder>,
    metric_flags: MapBuilder<StringBuilder, LargeListBuilder<StringBuilder>>,
}

/// Their fields: `flags` of the group, `accuracy` by metric or quantity, `metric_flags` by metric.
pub(in crate::sql) fn fields() -> &'static Fields {
    static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
        let columns = Remarks::new().finish_all();
        columns.map(|(name, column)| Field::new(name, column.data_type().clone(), true)).into_iter().collect()
    });
    &FIELDS
}

impl Remarks {
    pub(in crate::sql) fn new() -> Self {
        Self {
            flags: LargeListBuilder::new(StringBuilder::new()),
            accuracy: MapBuilder::new(None, StringBuilder::new(), Float64Builder::new()),
            metric_flags: MapBuilder::new(None, StringBuilder::new(), LargeListBuilder::new(StringBuilder::new())),
        }
    }

    /// Adds a group; a group without rows is null.
    pub(in crate::sql) fn append(&mut self, measured: Option<&Measurements>) -> Result<()> {
        let failed = |error| Error::internal("cannot build the columns of remarks").caused_by(error);
        let made = measured.into_iter();
        match measured {
            Some(made) => append_all(&mut self.flags, made.flags.iter().copied()),
            None => self.flags.append_null(),
        }
        for (key, error) in made.clone().flat_map(|made| &made.accuracy) {
            self.accuracy.keys().append_value(key);
            self.accuracy.values().append_value(*error);
        }
        for metric in made.flat_map(|made| &made.metrics).filter(|metric| !metric.flags.is_empty()) {
            self.metric_flags.keys().append_value(metric.key);
            append_all(self.metric_flags.values(), metric.flags.iter().copied());
        }
        self.accuracy.append(measured.is_some()).map_err(failed)?;
        self.metric_flags.append(measured.is_some()).map_err(failed)
    }

    /// The columns, in the order of [`fields`].
    pub(in crate::sql) fn finish(self) -> impl Iterator<Item = ArrayRef> {
        self.finish_all().into_iter().map(|(_, column)| column)
    }

    fn finish_all(mut self) -> [(&'static str, ArrayRef); 3] {
        [
            ("flags", Arc::new(self.flags.finish())),
            ("accuracy", Arc::new(self.accuracy.finish())),
            ("metric_flags", Arc::new(self.metric_flags.finish())),
        ]
    }
}

/// The type of a list of flags.
pub(in crate::sql) fn list_type() -> DataType {
    DataType::LargeList(Arc::new(Field::new_list_field(DataType::Utf8, true)))
}

/// Lists of flags as a column.
pub(in crate::sql) fn lists(rows: &[Option<Vec<&'static str>>]) -> ArrayRef {
    let mut list = LargeListBuilder::new(StringBuilder::new());
    for row in rows {
        match row {
            Some(flags) => append_all(&mut list, flags.iter().copied()),
            None => list.append_null(),
        }
    }
    Arc::new(list.finish())
}

fn append_all<'a>(list: &mut LargeListBuilder<StringBuilder>, flags: impl Iterator<Item = &'a str>) {
    flags.for_each(|flag| list.values().append_value(flag));
    list.append(true);
}
