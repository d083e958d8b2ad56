//! State files as tables: one row a group, its keys and its state.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use arrow::datatypes::{Field, Schema};
use arrow::record_batch::RecordBatch;
use datafusion::datasource::MemTable;

use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::sql::values::sql_state::SqlState;
use crate::sql::values::state_column;
use crate::store::{EncodedGroup, Provenance, StateFile};

/// The table of a state file that `nckit accumulate` or `nckit merge` wrote: a column for each key of its groups, one for
/// `block` if it has blocks, then `state`.
///
/// # Errors
///
/// Those of [`StateFile::read`]; [`Data`](crate::error::ErrorKind::Data) if the run that writes it is not finished.
pub(in crate::sql) fn open(path: &Path) -> Result<MemTable> {
    let file = StateFile::read(path)?;
    let located = |error: Error| error.with_default("file", path.display());
    if file.unfinished.is_some() {
        return Err(located(Error::data("the state file is not finished").help("resume the run that writes it")));
    }
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (at, key) in file.provenance.key_names().iter().enumerate() {
        let labels: Vec<&Label> = file.groups.keys().filter_map(|values| values.get(at)).collect();
        let array = key_column(&labels);
        fields.push(Field::new(key, array.data_type().clone(), true));
        arrays.push(array);
    }
    let summaries = file.groups.values().map(|group| summary(group, &file.provenance));
    let summaries: Vec<SqlState> = summaries.collect::<Result<_>>().map_err(located)?;
    let states = state_column::encode(summaries.iter().map(Some)).map_err(located)?;
    fields.push(Field::new("state", state_column::data_type(), true));
    arrays.push(Arc::new(states));
    let schema = Arc::new(Schema::new(fields));
    let failed = |error: String| {
        located(Error::internal("cannot build a table of the groups of a state file").with("detail", error))
    };
    let batch = RecordBatch::try_new(schema.clone(), arrays).map_err(|error| failed(error.to_string()))?;
    MemTable::try_new(schema, vec![vec![batch]]).map_err(|error| failed(error.to_string()))
}

fn summary(group: &EncodedGroup, provenance: &Provenance) -> Result<SqlState> {
    let group = group.decode(provenance.scatter)?;
    Ok(SqlState {
        state: group.state,
        significand_bits: group.precisions.significand_bits(),
        own_grid: false,
        normalized: provenance.normalize,
        skipped_nulls: group.skipped.nulls,
        skipped_nonfinite: group.skipped.nonfinite.values().sum(),
    })
}

/// The values of a key: integers that an `i64` holds, booleans, or else texts.
fn key_column(labels: &[&Label]) -> ArrayRef {
    let kind = labels.first().map_or(LabelKind::Text, |label| label.kind());
    let integer = |label: &&Label| match label {
        Label::Int(value) => i64::try_from(*value).ok(),
        _ => None,
    };
    let boolean = |label: &&Label| match label {
        Label::Bool(value) => Some(*value),
        _ => None,
    };
    match kind {
        LabelKind::Int if labels.iter().all(|label| integer(label).is_some()) => {
            Arc::new(labels.iter().map(integer).collect::<Int64Array>())
        }
        LabelKind::Bool => Arc::new(labels.iter().map(boolean).collect::<BooleanArray>()),
        LabelKind::Int | LabelKind::Text => {
            Arc::new(StringArray::from_iter_values(labels.iter().map(ToString::to_string)))
        }
    }
}
