//! Aggregates as bytes: their conventions travel with them.

use std::collections::BTreeMap;

use datafusion::common::Result as SqlResult;
use datafusion::common::config::ExtensionOptions;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::AggregateUDF;
use serde_json::{Value, json};

use crate::sql::aggregates::of_rows::RowAggregate;
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Budget;

/// Settings of a process, not of a query.
const OWN: [&str; 2] = ["memory", "device"];

/// What an aggregate of rows is bound to; `None` for all others.
pub(crate) fn write_aggregate(function: &AggregateUDF) -> Option<Vec<u8>> {
    let aggregate = function.inner().downcast_ref::<RowAggregate>()?;
    let settings = aggregate.settings().typed();
    let settings: BTreeMap<&String, &String> =
        settings.iter().filter(|(key, _)| !OWN.contains(&key.as_str())).collect();
    Some(json!({"scatter": aggregate.scatter(), "settings": settings}).to_string().into_bytes())
}

/// The aggregate of that name, bound as it was; `None` if it is none of ours.
pub(crate) fn read_aggregate(name: &str, bytes: &[u8]) -> SqlResult<Option<AggregateUDF>> {
    let Some(aggregate) = RowAggregate::all().into_iter().find(|known| known.is_called(name)) else { return Ok(None) };
    let broken = || DataFusionError::Internal(format!("{name} comes without its settings"));
    let bound: Value = serde_json::from_slice(bytes).map_err(|_| broken())?;
    let scatter = bound["scatter"].as_bool().ok_or_else(broken)?;
    let mut settings = Settings::default();
    for (key, value) in bound["settings"].as_object().ok_or_else(broken)? {
        settings.set(key, value.as_str().ok_or_else(broken)?)?;
    }
    let budget = Budget::of(&settings);
    Ok(Some(AggregateUDF::new_from_impl(aggregate.bound(&settings, scatter, &budget))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_aggregate_is_read_as_it_was_bound() {
        let mut settings = Settings::default();
        for (key, value) in [("extra_bits", "7"), ("nulls", "skip"), ("memory", "1000"), ("centring", "sample")] {
            settings.set(key, value).unwrap();
        }
        let state = RowAggregate::all().into_iter().find(|known| known.is_called("nc_moments")).unwrap();
        let bound = state.bound(&settings, false, &Budget::default());
        let bytes = write_aggregate(&AggregateUDF::new_from_impl(bound)).unwrap();
        let read = read_aggregate("nc_moments", &bytes).unwrap().unwrap();
        let read = read.inner().downcast_ref::<RowAggregate>().unwrap();
        assert!(!read.scatter());
        assert_eq!((read.settings().extra_bits, read.settings().memory), (7, None));
        assert_eq!(read.settings().options.centring, crate::metrics::Centring::Sample);
        // Not the defaults, silently.
        assert!(read_aggregate("nc_moments", b"").is_err());
        assert!(read_aggregate("sum", b"").unwrap().is_none());
    }
}
