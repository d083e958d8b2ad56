//! From states to numbers.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, Int64Array, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::metrics::{Card, Evidence, Extras, Measurements, Need, OodMean, Selection, cards, measure};
use crate::sql::functions::remarks::{self, Remarks};
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Budget;
use crate::sql::values::head::Classifier;
use crate::sql::values::sql_state::SqlState;
use crate::state::Statistics;

/// What a metric is made of in SQL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sql) enum MetricInput {
    /// A state.
    State,
    /// A state and a head.
    StateAndHead,
    /// A state and one of out-of-distribution rows.
    StateAndOod,
    /// Decisions on rows.
    Decisions,
    /// Rows of a second pass, whose state SQL does not keep.
    Rows,
}

impl MetricInput {
    pub(in crate::sql) fn of(card: &Card) -> Self {
        let needs = |need| card.needs.contains(&need);
        if needs(Need::Decisions) {
            Self::Decisions
        } else if [Need::Directional, Need::HugIntra, Need::Neco, Need::Mahalanobis, Need::Lda].into_iter().any(needs) {
            Self::Rows
        } else if needs(Need::OodMean) {
            Self::StateAndOod
        } else if needs(Need::Head) {
            Self::StateAndHead
        } else {
            Self::State
        }
    }
}

/// Whether a metric stands on the scatter.
pub(in crate::sql) fn needs_scatter(card: &Card) -> bool {
    card.needs.contains(&Need::Scatter)
}

/// The statistics of a state, classes outside `nc.min_count` and `nc.max_count` left out, and how many those were.
pub(in crate::sql) fn statistics(summary: &SqlState, settings: &Settings) -> Result<(Statistics, u64)> {
    Ok(settings.options.select_classes(summary.state.statistics()?))
}

/// Matrices of `D × D` numbers that metrics are made in: `Σ_W` as it is and normalised, its factors, and room to make them.
const MATRICES: usize = 5;

/// Bytes that the metrics of a state are made in, beside the state.
pub(in crate::sql) fn workspace(summary: &SqlState) -> u64 {
    let sums = summary.class_sums();
    let (classes, dim) = (sums.classes(), sums.dim());
    let matrices = if summary.state.has_scatter() { MATRICES * dim * dim } else { 0 };
    // The means as they are and centred.
    (8 * (matrices + 2 * classes * dim)) as u64
}

/// The metrics of these keys.
pub(in crate::sql) fn measurements(
    summary: &SqlState,
    keys: &[&'static str],
    head: Option<&Classifier>,
    ood: Option<&SqlState>,
    extras: Extras,
    settings: &Settings,
) -> Result<Measurements> {
    let _held = Budget::of(settings).hold(workspace(summary), settings.memory)?;
    let (statistics, dropped_classes) = statistics(summary, settings)?;
    let head = head.map(|head| head.of(&statistics, settings)).transpose()?;
    let headless = head.as_ref().and_then(|head| head.as_ref().err()).map(|reason| match *reason {
        "no_scatter" if dropped_classes > 0 => "filter_after_pooling",
        reason => reason,
    });
    let head = head.and_then(std::result::Result::ok);
    if ood.is_some_and(|ood| ood.normalized != summary.normalized) {
        return Err(Error::data("one state is of rows at length 1, and that of out-of-distribution rows is not"));
    }
    let ood = ood.map(|ood| ood.state.statistics()).transpose()?;
    let ood_mean = ood.map(|ood| match settings.options.ood_mean {
        OodMean::Classes => ood.mean_of_means(),
        OodMean::Rows => ood.mean_of_rows(),
    });
    let evidence = Evidence {
        statistics: &statistics,
        significand_bits: summary.significand_bits,
        head: head.as_ref(),
        findings: None,
        ood_mean: ood_mean.as_deref(),
        dropped_classes,
        normalized: summary.normalized,
    };
    let selection: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
    let mut made = measure(&evidence, &settings.options, &Selection::parse(&selection)?, extras)?;
    made.explain(headless);
    Ok(made)
}

/// The keys of all metrics of the default selection that a state makes, a head and out-of-distribution rows beside it or
/// not.
pub(in crate::sql) fn keys_of_states() -> Vec<&'static str> {
    let of_state = |card: &&Card| !matches!(MetricInput::of(card), MetricInput::Decisions | MetricInput::Rows);
    cards().iter().filter(of_state).filter(|card| card.is_default()).map(|card| card.key).collect()
}

/// What is said of a state beside its metrics: rows and classes are those that are left.
const SHAPES: [&str; 4] = ["rows", "classes", "dim", "dropped_classes"];

/// The fields of a [`table`].
pub(in crate::sql) fn table_fields(keys: &[&'static str]) -> Fields {
    let shapes = SHAPES.map(|name| Field::new(name, DataType::Int64, true));
    let metrics = keys.iter().map(|&key| Field::new(key, DataType::Float64, true));
    let shaped = shapes.into_iter().chain(metrics).map(Arc::new);
    shaped.chain(remarks::fields().iter().cloned()).collect()
}

/// A state, with the head and the state of out-of-distribution rows beside it.
pub(in crate::sql) type Beside<'a> = (Option<&'a SqlState>, Option<&'a Classifier>, Option<&'a SqlState>);

/// Metrics of several states, one struct each: its shape, its metrics, and their remarks. A state of no rows is null.
pub(in crate::sql) fn table(keys: &[&'static str], states: &[Beside<'_>], settings: &Settings) -> Result<StructArray> {
    let made = states.par_iter().map(|&(summary, head, ood)| {
        let summary = summary.filter(|summary| summary.class_sums().rows() > 0);
        summary.map(|summary| row(keys, summary, head, ood, settings)).transpose()
    });
    let rows: Vec<Option<Row>> = made.collect::<Vec<Result<_>>>().into_iter().collect::<Result<_>>()?;
    let shapes = (0..SHAPES.len()).map(|at| {
        Arc::new(rows.iter().map(|row| row.as_ref().map(|row| row.shape[at])).collect::<Int64Array>()) as ArrayRef
    });
    let metrics = (0..keys.len()).map(|at| {
        Arc::new(rows.iter().map(|row| row.as_ref().and_then(|row| row.values[at])).collect::<Float64Array>())
            as ArrayRef
    });
    let mut beside = Remarks::new();
    rows.iter().try_for_each(|row| beside.append(row.as_ref().map(|row| &row.measured)))?;
    let valid = NullBuffer::from(rows.iter().map(Option::is_some).collect::<Vec<_>>());
    StructArray::try_new(table_fields(keys), shapes.chain(metrics).chain(beside.finish()).collect(), Some(valid))
        .map_err(|error| Error::internal("cannot build the columns of metrics").caused_by(error))
}

struct Row {
    shape: [i64; SHAPES.len()],
    values: Vec<Option<f64>>,
    measured: Measurements,
}

fn row(
    keys: &[&'static str],
    summary: &SqlState,
    head: Option<&Classifier>,
    ood: Option<&SqlState>,
    settings: &Settings,
) -> Result<Row> {
    let measured = measurements(summary, keys, head, ood, Extras::default(), settings)?;
    let (sums, counts) = (summary.class_sums(), settings.options.class_counts());
    let kept = sums.labels().iter().map(|label| sums.count(label)).filter(|count| counts.contains(count));
    let dropped = sums.classes() as u64 - measured.classes;
    let shape = [kept.sum::<u64>(), measured.classes, sums.dim() as u64, dropped].map(|number| number as i64);
    let values = keys.iter().map(|key| measured.value(key)).collect();
    // A query for all metrics shows the remarks itself.
    settings.doubts.note(&measured, keys != keys_of_states());
    Ok(Row { shape, values, measured })
}

/// One metric of several states.
pub(in crate::sql) fn metric(key: &'static str, states: &[Beside<'_>], settings: &Settings) -> Result<ArrayRef> {
    let made = table(&[key], states, settings)?;
    made.column_by_name(key).cloned().ok_or_else(|| Error::internal("the metric is missing from its own table"))
}
