//! What groups of rows become at the end of an aggregation.

use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::error::Result;
use crate::sql::functions::evaluate::{Beside, keys_of_states, metric, table};
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Held;
use crate::sql::values::head::{Classifier, HeadPlace, Library};
use crate::sql::values::sql_state::SqlState;
use crate::sql::values::state_column;

/// A group of rows, and the head that came with them.
#[derive(Default)]
pub(in crate::sql) struct GroupedRows {
    pub(in crate::sql) summary: SqlState,
    pub(in crate::sql) head: Option<HeadPlace>,
    /// The memory of the session that it holds until it is dropped.
    pub(in crate::sql) held: Option<Held>,
}

/// What is made of a group once all its rows are in.
pub(in crate::sql) trait FinishGroups: Send + Sync + 'static {
    /// The values of groups, one a row, each with the head that came with its rows.
    fn finish(&self, groups: &[GroupedRows]) -> Result<ArrayRef>;
}

/// Groups become states.
pub(in crate::sql) struct ToStates;

impl FinishGroups for ToStates {
    fn finish(&self, groups: &[GroupedRows]) -> Result<ArrayRef> {
        Ok(Arc::new(state_column::encode(groups.iter().map(|group| Some(&group.summary)))?))
    }
}

/// Groups become one metric.
pub(in crate::sql) struct ToMetric {
    pub(in crate::sql) key: &'static str,
    pub(in crate::sql) settings: Settings,
}

impl FinishGroups for ToMetric {
    fn finish(&self, groups: &[GroupedRows]) -> Result<ArrayRef> {
        let heads = heads(groups)?;
        metric(self.key, &beside(groups, &heads), &self.settings)
    }
}

/// Groups become the metrics of the default selection.
pub(in crate::sql) struct ToMeasurements {
    pub(in crate::sql) settings: Settings,
}

impl FinishGroups for ToMeasurements {
    fn finish(&self, groups: &[GroupedRows]) -> Result<ArrayRef> {
        let heads = heads(groups)?;
        Ok(Arc::new(table(&keys_of_states(), &beside(groups, &heads), &self.settings)?))
    }
}

fn heads(groups: &[GroupedRows]) -> Result<Vec<Option<Arc<Classifier>>>> {
    let mut library = Library::default();
    groups.iter().map(|group| group.head.as_ref().map(|head| library.read(head)).transpose()).collect()
}

fn beside<'a>(groups: &'a [GroupedRows], heads: &'a [Option<Arc<Classifier>>]) -> Vec<Beside<'a>> {
    groups.iter().zip(heads).map(|(group, head)| (Some(&group.summary), head.as_deref(), None)).collect()
}
