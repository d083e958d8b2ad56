//! Error bars: how far the metrics of a group would move with other rows of the same kind.
//!
//! The rows of a group lie in blocks. States subtract exactly, so the metrics without each block cost no read of rows:
//! from them the delete-a-group jackknife makes a standard error and an interval.

mod jackknife;

pub use jackknife::ErrorBar;

use std::collections::BTreeMap;

use rayon::prelude::*;

use super::catalogue::{Card, Need, card};
use super::measure::values;
use super::{Evidence, Measurements, Options, Selection};
use crate::batch::Label;
use crate::error::Result;
use crate::state::{Head, State, Statistics, Whole};

/// Classes that take no part in error bars may be this share of the classes at most, and hold this share of the rows and of their
/// squares about class means, or no metric has one: it would be that of another number.
const MOST_LEFT_OUT: f64 = 0.01;

/// The remark on a group in which some classes take no part in error bars.
const LEFT_OUT: &str = "classes_without_error_bars";

/// Metrics in which classes weigh as much as they have rows. Their sizes are taken as given: replicates keep those of all
/// rows, since a row more or less of a class in a block would make more of a difference than anything else where classes
/// have collapsed.
const OF_SIZES: [&str; 11] = [
    "nc1_vci",
    "spectrum_effective_rank",
    "spectrum_rankme",
    "spectrum_participation",
    "spectrum_stable_rank",
    "spectrum_top_share",
    "spectrum_alpha_req",
    "separation_fisher_trace",
    "separation_h_score",
    "imbalance_seli_error",
    "imbalance_minority_cos",
];

/// Those of them that divide by `S_W`.
const OF_INVERSE: [&str; 3] = ["nc1_vci", "separation_fisher_trace", "separation_h_score"];

/// Whether rows are enough to span the dimensions in which they vary within classes.
fn spans_within(statistics: &Statistics) -> bool {
    let varying = |scatter: &Vec<f64>| (0..statistics.dim).filter(|&j| scatter[j * statistics.dim + j] > 0.0).count();
    let needed = statistics.classes() + statistics.scatter.as_ref().map_or(0, varying);
    statistics.rows() >= needed as u64
}

/// The blocks of a group of rows.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    /// All rows.
    pub total: &'a State,
    /// The rows of each block; together they are all rows, and no row is in two. Those without rows count for nothing.
    pub parts: &'a [(Label, State)],
}

/// The metrics of a group without each of its blocks.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Replicates {
    /// The blocks with rows, in their order.
    pub blocks: Vec<Label>,
    /// The rows of each block, of the classes that take part.
    pub rows: Vec<u64>,
    /// Classes that take no part, since some replicate has too few rows of them.
    pub classes_left_out: u64,
    /// The metrics of all blocks together, over the classes that take part.
    pub whole: BTreeMap<&'static str, f64>,
    /// The metrics without each block, over the classes that take part; in the order of the blocks.
    pub values: BTreeMap<&'static str, Vec<Option<f64>>>,
}

/// Gives every metric of a group its error bar, or the reason why it has none, and returns what they are made of.
///
/// `evidence` is what `measurements` were made from, and `at_once` how many replicates are in memory together. A class
/// takes part if every replicate has as many rows of it as a variance takes, [`Options::variance_count`]; if others do not,
/// replicates are compared with the metrics without them, unless they are more than a hundredth: then there is no error bar.
///
/// # Errors
///
/// Those of [`Whole::without`].
pub fn error_bars(
    blocks: &Blocks<'_>,
    evidence: &Evidence<'_>,
    options: &Options,
    measurements: &mut Measurements,
    at_once: usize,
) -> Result<Replicates> {
    let sample = Sample::of(blocks.parts, evidence, options);
    let rows = |state: &State| sample.kept.iter().map(|label| state.class_sums().count(label)).sum::<u64>();
    let counted: Vec<(&(Label, State), u64)> = blocks.parts.iter().map(|part| (part, rows(&part.1))).collect();
    let (parts, rows): (Vec<&(Label, State)>, Vec<u64>) = counted.into_iter().filter(|&(_, rows)| rows > 0).unzip();
    let valid = |key: &str| sample.refusal(&parts, card(key)?).is_none().then_some(());
    let made = measurements.metrics.iter().filter(|metric| metric.value.is_some() && valid(metric.key).is_some());
    let keys: Vec<&'static str> = made.map(|metric| metric.key).collect();
    let mut replicates = Replicates {
        blocks: parts.iter().map(|(label, _)| label.clone()).collect(),
        rows,
        classes_left_out: sample.left_out,
        ..Replicates::default()
    };
    if !keys.is_empty() {
        // A direction that is left out of a metric makes a flag.
        let directions = ["directions_dropped", "rank_lowered", "pinv_tolerance_sensitive"];
        let flagged = |flags: &[&str]| directions.iter().any(|flag| flags.contains(flag));
        let whole_rank = |key: &str| measurements.metric(key).is_some_and(|metric| !flagged(&metric.flags));
        let make = |statistics: Statistics| sample.values(statistics, evidence, options, &keys, &whole_rank);
        replicates.whole = if sample.left_out == 0 {
            keys.iter().filter_map(|&key| Some((key, measurements.value(key)?))).collect()
        } else {
            make(evidence.statistics.clone()).into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
        };
        let all = Whole::of(blocks.total)?;
        let replicate = |(_, part): &&(Label, State)| Ok(make(all.without(part)?));
        for some in parts.chunks(at_once.max(1)) {
            let made: Vec<Result<Vec<_>>> = some.par_iter().map(replicate).collect();
            for values in made {
                for (key, value) in values? {
                    replicates.values.entry(key).or_default().push(value);
                }
            }
        }
    }
    for metric in &mut measurements.metrics {
        let Some(card) = card(metric.key) else { continue };
        metric.error_bar = Some(match (metric.value, sample.refusal(&parts, card)) {
            (None, _) => Err("no_value"),
            (Some(_), Some(reason)) => Err(reason),
            (Some(value), None) => replicates.error_bar(card, value).ok_or("replicate_without_value"),
        });
    }
    if sample.left_out > 0 {
        measurements.flags.push(LEFT_OUT);
    }
    Ok(replicates)
}

impl Replicates {
    /// The error bar of a metric; `None` where some replicate has no value.
    fn error_bar(&self, card: &Card, value: f64) -> Option<ErrorBar> {
        let values: Vec<f64> = self.values.get(card.key)?.iter().copied().collect::<Option<_>>()?;
        let replicates: Vec<(f64, u64)> = values.into_iter().zip(self.rows.iter().copied()).collect();
        ErrorBar::of(value, *self.whole.get(card.key)?, &replicates, card.range)
    }
}

/// What of a group takes part in its error bars.
struct Sample {
    /// The labels of the classes, ascending.
    kept: Vec<Label>,
    /// Their rows in all blocks together.
    counts: Vec<u64>,
    /// How many classes take no part.
    left_out: u64,
    /// Whether the metrics of the classes that take part are those of all, nearly.
    is_whole: bool,
    /// The classifier of these classes, if some take no part.
    head: Option<Head>,
    /// Whether the classifier is made of the rows themselves.
    is_own_head: bool,
}

impl Sample {
    fn of(parts: &[(Label, State)], evidence: &Evidence<'_>, options: &Options) -> Self {
        let statistics = evidence.statistics;
        let least = options.variance_count().max(1);
        // Replicates lack at most what the largest block has.
        let largest = |label: &Label| parts.iter().map(|(_, state)| state.class_sums().count(label)).max().unwrap_or(0);
        let has_rows =
            |(_, state): &&(Label, State)| statistics.labels.iter().any(|label| state.class_sums().count(label) > 0);
        // Of one block there are no replicates, and no class has too few rows for one.
        let is_one = parts.iter().filter(has_rows).take(2).count() < 2;
        let stays = |k: usize| is_one || statistics.counts[k].saturating_sub(largest(&statistics.labels[k])) >= least;
        let (kept, left_out): (Vec<usize>, Vec<usize>) = (0..statistics.classes()).partition(|&k| stays(k));
        let rows: u64 = left_out.iter().map(|&k| statistics.counts[k]).sum();
        let squares = |k: usize| statistics.variances[k] * statistics.counts[k] as f64;
        let (of_left_out, of_all): (f64, f64) =
            (left_out.iter().map(|&k| squares(k)).sum(), (0..statistics.classes()).map(squares).sum());
        let pick =
            |values: &[f64], width: usize| kept.iter().flat_map(|&k| &values[k * width..][..width]).copied().collect();
        let head = evidence.head.filter(|_| !left_out.is_empty()).map(|head| Head {
            weights: pick(&head.weights, statistics.dim),
            bias: head.bias.as_ref().map(|bias| pick(bias, 1)),
            errors: if head.errors.is_empty() { Vec::new() } else { pick(&head.errors, 1) },
        });
        Self {
            kept: kept.iter().map(|&k| statistics.labels[k].clone()).collect(),
            counts: kept.iter().map(|&k| statistics.counts[k]).collect(),
            left_out: left_out.len() as u64,
            // Their rows stay in the pooled scatter.
            is_whole: of_left_out <= MOST_LEFT_OUT * of_all
                && rows as f64 <= MOST_LEFT_OUT * statistics.rows() as f64
                && left_out.len() as f64 <= MOST_LEFT_OUT * statistics.classes() as f64,
            head,
            // One that was given has no rounding errors of rows.
            is_own_head: evidence.head.is_some_and(|head| !head.errors.is_empty()),
        }
    }

    /// Why a metric has no error bar, whatever its replicates are.
    fn refusal(&self, parts: &[&(Label, State)], card: &Card) -> Option<&'static str> {
        match card.no_error_bar() {
            Some(reason) => Some(reason),
            None if self.is_own_head && card.needs.contains(&Need::Head) => Some("head_of_same_rows"),
            None if parts.len() < 2 => Some("too_few_blocks"),
            None if self.kept.is_empty() || !self.is_whole => Some("small_classes"),
            None => None,
        }
    }

    /// The metrics of a replicate, or of all rows, over the classes that take part.
    fn values(
        &self,
        mut statistics: Statistics,
        whole: &Evidence<'_>,
        options: &Options,
        keys: &[&'static str],
        whole_rank: &dyn Fn(&str) -> bool,
    ) -> Vec<(&'static str, Option<f64>)> {
        // Blocks of states have classes that --max-count leaves out, say.
        if statistics.labels != self.kept {
            let keep = |k: usize| self.kept.binary_search(&statistics.labels[k]).is_ok();
            // The pooled scatter holds the rows of the few that are left out all the same.
            statistics = statistics.restricted(keep, whole.statistics.scatter.is_some());
        }
        let (sized, plain): (Vec<&str>, Vec<&str>) = keys.iter().partition(|key| OF_SIZES.contains(key));
        let values = |statistics: &Statistics, keys: &[&str]| {
            if keys.is_empty() {
                return Vec::new();
            }
            let head = self.head.as_ref().or(whole.head);
            let evidence = Evidence {
                head,
                dropped_classes: whole.dropped_classes,
                normalized: whole.normalized,
                ..Evidence::new(statistics, whole.significand_bits)
            };
            values(&evidence, options, &Selection::of_keys(keys), whole_rank)
        };
        let mut made = values(&statistics, &plain);
        // Whether there are rows enough is asked of those that there are.
        let spans = spans_within(&statistics);
        let (sized, lost): (Vec<&str>, Vec<&str>) =
            sized.into_iter().partition(|key| spans || !OF_INVERSE.contains(key));
        made.extend(keys.iter().filter(|key| lost.contains(key)).map(|&key| (key, None)));
        let growth = self.counts.iter().sum::<u64>() as f64 / statistics.rows().max(1) as f64;
        statistics.counts.clone_from(&self.counts);
        statistics.scatter.iter_mut().flatten().for_each(|entry| *entry *= growth);
        made.extend(values(&statistics, &sized));
        made
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_weighted_by_sizes_is_in_the_catalogue() {
        for key in OF_SIZES {
            assert!(card(key).is_some_and(|card| card.no_error_bar().is_none()), "{key}");
        }
    }
}
