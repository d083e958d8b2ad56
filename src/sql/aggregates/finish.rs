//! What groups of rows become at the end of an aggregation.

use std::sync::Arc;

use arrow::array::ArrayRef;

use crate::archive::StoredHead;
use crate::error::Result;
use crate::sql::functions::evaluate::{Beside, keys_of_states, metric, table};
use crate::sql::settings::Settings;
use crate::sql::values::head::{HeadPlace, Library};
use crate::sql::values::state_column;
use crate::sql::values::summary::Summary;

/// What is made of a group once all its rows are in.
pub(in crate::sql) trait Finish: Send + Sync + 'static {
    /// The values of groups, one a row, each with the head that came with its rows.
    fn finish(&self, groups: &[(Summary, Option<HeadPlace>)]) -> Result<ArrayRef>;
}

/// Groups become states.
pub(in crate::sql) struct ToStates;

impl Finish for ToStates {
    fn finish(&self, groups: &[(Summary, Option<HeadPlace>)]) -> Result<ArrayRef> {
        Ok(Arc::new(state_column::encode(groups.iter().map(|(summary, _)| Some(summary)))?))
    }
}

/// Groups become one metric.
pub(in crate::sql) struct ToMetric {
    pub(in crate::sql) key: &'static str,
    pub(in crate::sql) settings: Settings,
}

impl Finish for ToMetric {
    fn finish(&self, groups: &[(Summary, Option<HeadPlace>)]) -> Result<ArrayRef> {
        let heads = heads(groups)?;
        metric(self.key, &beside(groups, &heads), &self.settings)
    }
}

/// Groups become all metrics.
pub(in crate::sql) struct ToMeasurements {
    pub(in crate::sql) settings: Settings,
}

impl Finish for ToMeasurements {
    fn finish(&self, groups: &[(Summary, Option<HeadPlace>)]) -> Result<ArrayRef> {
        let heads = heads(groups)?;
        Ok(Arc::new(table(&keys_of_states(), &beside(groups, &heads), &self.settings)?))
    }
}

fn heads(groups: &[(Summary, Option<HeadPlace>)]) -> Result<Vec<Option<Arc<StoredHead>>>> {
    let mut library = Library::default();
    groups.iter().map(|(_, head)| head.as_ref().map(|head| library.read(head)).transpose()).collect()
}

fn beside<'a>(groups: &'a [(Summary, Option<HeadPlace>)], heads: &'a [Option<Arc<StoredHead>>]) -> Vec<Beside<'a>> {
    groups.iter().zip(heads).map(|((summary, _), head)| (Some(summary), head.as_deref(), None)).collect()
}
