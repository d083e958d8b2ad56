//! Every metric of data sets drawn at random, beside its definition in twice the precision of `f64`: right, or it says
//! itself that it may not be.
//!
//! A few small sets in every run; hundreds of all sizes, and the table of `docs/accuracy.md`, with
//! `NCKIT_SETS=500 cargo test --release --test suite accuracy::many_sets -- --ignored --nocapture`.

pub(crate) mod judge;
mod rules;
mod sets;
mod table;

use std::collections::BTreeMap;

use judge::{Verdict, judge};
use nckit::kernels::Workspace;
use nckit::metrics::{
    Evidence, Extras, Measurements, Need, Selection, cards, least_squares, mahalanobis, measure, neco_projection,
};
use nckit::state::{Head, Merge, Role, Scatter, SecondPass, SecondPassSpec, SecondPassState, Shifts, Statistics};
use sets::{Set, Size};
use table::Table;

use crate::definition::{Duality, Truth, Vectors, each_row, hug_intra, ortho_dev, separation};
use crate::exact::Double;
use crate::rows::{Random, Rows, Stored};

/// Rows times classes times dimensions up to which rows are looked at one by one.
const EVERY_ROW: usize = 30_000_000;

fn statistics(chunks: &[Rows]) -> Option<Statistics> {
    let shifts = Shifts::default();
    let mut state = Scatter::identity();
    chunks.iter().try_for_each(|rows| state.merge(&rows.state(&shifts))).ok()?;
    state.statistics().ok()
}

fn significand_bits(rows: &Rows) -> u32 {
    match rows.values {
        Stored::F16(_) => 11,
        Stored::F32(_) => 24,
        Stored::F64(_) => 53,
    }
}

fn values(doubles: &[Double]) -> Vec<f64> {
    doubles.iter().map(|x| x.value()).collect()
}

/// Whether the definitions look at every row of a set.
fn looks_at_rows(truth: &Truth) -> bool {
    truth.rows() as usize * truth.labels.len() * truth.dim() <= EVERY_ROW
}

/// As a state of version 1 has it: its means were as good as its rows, no better.
fn aged(mut statistics: Statistics) -> Statistics {
    let mut random = Random::new(statistics.rows());
    for (at, offset) in statistics.offsets.iter_mut().enumerate() {
        let count = statistics.counts[at / statistics.dim] as f64;
        *offset += random.normal() * (statistics.rounding_changed[at % statistics.dim] / count).sqrt();
    }
    statistics.mean_rounding.clone_from(&statistics.rounding_changed);
    statistics
}

/// What the library says of a set; `None` where its sums refuse so different scales.
fn found(set: &Set, truth: &Truth, head: &Head, outside: &Truth, old: bool) -> Option<Measurements> {
    let statistics = statistics(&set.rows)?;
    let statistics = if old { aged(statistics) } else { statistics };
    assert_eq!(statistics.labels, truth.labels, "{}", set.name);
    let projection = neco_projection(&statistics, &set.options).ok();
    let metric = mahalanobis(&statistics, true).ok();
    let rows = looks_at_rows(truth);
    let questions = SecondPassSpec {
        statistics: &statistics,
        head: Some(head),
        use_bias: true,
        decisions: true,
        directional: Some(2),
        hug_intra: true,
        projection: projection.as_ref(),
        mahalanobis: metric.as_ref(),
        expected_rows: 0,
        max_logit: false,
    };
    let findings = rows.then(|| {
        let pass = SecondPass::new(&questions).unwrap();
        let mut seen = SecondPassState::default();
        for rows in &set.rows {
            pass.update(Role::TrainAndEval, &rows.batch(), None, &mut seen, None, &mut Workspace::default()).unwrap();
        }
        pass.update(Role::Ood, &set.outside.batch(), None, &mut seen, None, &mut Workspace::default()).unwrap();
        pass.finish(&seen).unwrap()
    });
    let ood_mean = crate::accuracy::statistics(std::slice::from_ref(&set.outside))?.mean_of_means();
    assert_eq!(ood_mean.len(), outside.dim());
    let evidence = Evidence {
        statistics: &statistics,
        significand_bits: significand_bits(&set.rows[0]),
        head: Some(head),
        findings: findings.as_ref(),
        ood_mean: Some(&ood_mean),
        dropped_classes: 0,
        normalized: false,
    };
    let keys: Vec<String> = cards().iter().map(|card| card.key.to_owned()).collect();
    Some(measure(&evidence, &set.options, &Selection::parse(&keys).unwrap(), Extras::default()).unwrap())
}

/// What the definitions say; keys whose definition takes too long are missing.
fn truth_of(set: &Set, truth: &Truth, head: &Head, outside: &Truth) -> BTreeMap<&'static str, Option<f64>> {
    let (dim, options) = (truth.dim(), &set.options);
    let mut all: BTreeMap<&'static str, Option<f64>> = BTreeMap::new();
    let weights = match options.centring {
        nckit::metrics::Centring::Class => truth.equal_weights(),
        nckit::metrics::Centring::Sample => truth.counts.clone(),
    };
    let (centre, centred) = (truth.centre(&weights), truth.centred(&weights));
    let scale = truth.means.iter().map(|x| x.value().powi(2)).sum::<f64>().sqrt();
    let means = Vectors::new(centred, dim, scale);
    let rows = Vectors::new(head.weights.iter().map(|&w| w.into()).collect(), dim, 0.0);
    all.extend(means.metrics(options.riesz_s));
    for (key, value) in rows.metrics(options.riesz_s) {
        let card = cards().iter().find(|card| card.key.strip_suffix("_weights") == Some(key));
        all.extend(card.map(|card| (card.key, value)));
    }
    all.insert("nc2_of_error", Vectors::new(truth.means.clone(), dim, 0.0).orthogonal_frame());
    let duality = Duality { weights: &rows, means: &means, bias: head.bias.as_deref(), centre: &centre };
    all.extend(duality.metrics());

    let two = truth.labels.len() > 1;
    let of_two = |value: f64| Some(value).filter(|_| two);
    all.insert("nc1_trace_ratio", of_two(truth.trace_ratio(&weights)));
    all.insert("nc1_within_fraction", of_two(truth.within_fraction(&weights)));
    if two {
        all.insert("nc1_pinv", Some(truth.nc1(&weights)));
        all.insert("nc1_svd", all["nc1_pinv"]);
    }
    all.extend(truth.vci().map(|vci| ("nc1_vci", Some(vci))));
    cdnv(truth.cdnv(options.cdnv_exponent), &mut all);
    if let Some(mse) = truth.mse(head, options.weight_decay / 2.0) {
        all.extend([("mse_nc1", mse.nc1), ("mse_nc23", mse.nc23), ("mse_perp", mse.perp)].map(|(k, v)| (k, Some(v))));
    }
    let ood = values(&outside.centre(&outside.equal_weights()));
    assert_eq!(ood.len(), dim);
    let shift = if options.ood_centred { centre } else { vec![Double::default(); dim] };
    let shifted = |x: &[Double]| x.iter().enumerate().map(|(at, &x)| x - shift[at % dim]).collect::<Vec<_>>();
    let ood = shifted(&outside.centre(&outside.equal_weights()));
    all.insert("nc0_row_sum", rows.row_sum().filter(|_| two));
    // Rows are as they are: none has length 1.
    all.insert("spectrum_pair_cosine", None);
    all.insert("nc5_ortho_dev", ortho_dev(&shifted(&truth.means), &ood));
    let (rows, classes) = raw_rows(&set.rows, truth);
    if two {
        all.extend(beside(truth, &weights, head, &rows, &classes));
    }
    if looks_at_rows(truth) {
        of_rows(set, truth, head, (&rows, &classes), &mut all);
    }
    all
}

/// Rows as they are, N × D, and the class of each.
pub(crate) fn raw_rows(chunks: &[Rows], truth: &Truth) -> (Vec<f64>, Vec<usize>) {
    let (mut rows, mut classes) = (Vec::new(), Vec::new());
    each_row(chunks, &truth.labels, |class, row| {
        classes.push(class);
        rows.extend_from_slice(row);
    });
    (rows, classes)
}

/// What people measure beside neural collapse, means centred with these weights.
pub(crate) fn beside(
    truth: &Truth,
    weights: &[f64],
    head: &Head,
    rows: &[f64],
    classes: &[usize],
) -> Vec<(&'static str, Option<f64>)> {
    let mut all = truth.spectrum(rows, weights);
    all.extend(truth.separation(weights));
    all.extend(truth.imbalance(weights, head));
    if looks_at_rows(truth) {
        all.extend(truth.logme(rows, classes));
    }
    all
}

fn cdnv(mut pairs: Vec<f64>, all: &mut BTreeMap<&'static str, Option<f64>>) {
    pairs.sort_by(f64::total_cmp);
    let strict = pairs.iter().sum::<f64>() / pairs.len() as f64;
    pairs.retain(|v| v.is_finite());
    let mean = |values: &[f64]| (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64);
    let quantile = |q: f64| {
        let rank = q * (pairs.len() as f64 - 1.0);
        let (low, high) = (pairs.get(rank.floor() as usize)?, pairs.get(rank.ceil() as usize)?);
        Some(low + (rank - rank.floor()) * (high - low))
    };
    let logs: Vec<f64> = pairs.iter().filter(|v| **v > 0.0).map(|v| v.log10()).collect();
    all.insert("nc1_cdnv", mean(&pairs));
    all.insert("nc1_cdnv_strict", Some(strict).filter(|strict| strict.is_finite()));
    all.insert("nc1_cdnv_log10_mean", mean(&logs));
    all.insert("nc1_cdnv_q50", quantile(0.5));
    all.insert("nc1_cdnv_q90", quantile(0.9));
    all.insert("nc1_cdnv_q99", quantile(0.99));
    all.insert("nc1_cdnv_max", pairs.last().copied());
}

fn of_rows(
    set: &Set,
    truth: &Truth,
    head: &Head,
    (rows, classes): (&[f64], &[usize]),
    all: &mut BTreeMap<&'static str, Option<f64>>,
) {
    if truth.labels.len() > 1 {
        all.extend(truth.decisions(rows, classes, head).into_iter().map(|(key, value)| (key, Some(value))));
        all.insert("nc1_cdnv_directional", Some(truth.directional(classes)));
    }
    let others: Vec<f64> = (0..set.outside.len()).flat_map(|i| set.outside.row(i)).collect();
    if let Some([near, relative]) = truth.mahalanobis(rows, &others) {
        if truth.labels.len() > 1 {
            let right = near.nearest.iter().zip(classes).filter(|(a, b)| a == b).count();
            all.insert("lda_accuracy", Some(right as f64 / classes.len() as f64));
        }
        for (scores, keys) in [
            (near, ["nc5_mahalanobis_auroc", "nc5_mahalanobis_fpr95"]),
            (relative, ["nc5_relative_mahalanobis_auroc", "nc5_relative_mahalanobis_fpr95"]),
        ] {
            // Of one class, the relative score is 0 in every row.
            if truth.labels.len() < 2 && keys[0].starts_with("nc5_relative") {
                continue;
            }
            let (auroc, fpr95) = separation(&scores.inside, &scores.outside);
            all.extend([(keys[0], Some(auroc)), (keys[1], Some(fpr95))]);
        }
    }
    all.insert("hug_intra", Some(hug_intra(rows, classes, head, truth.dim())));
    if let Ok(scores) = truth.neco(rows, &others) {
        let scores = scores.map(|(inside, outside)| separation(&inside, &outside));
        all.insert("nc5_neco_auroc", scores.map(|(auroc, _)| auroc));
        all.insert("nc5_neco_fpr95", scores.map(|(_, fpr95)| fpr95));
    }
}

/// A set's metrics, and how each fared; `None` where no grid can hold its scales together, which the library says.
fn judged(
    set: &Set,
    old: bool,
    head: impl FnOnce(&Truth, &[f64]) -> Head,
) -> Option<(Measurements, Vec<(&'static str, Verdict)>)> {
    let (truth, outside) = (Truth::of(&set.rows), Truth::of(std::slice::from_ref(&set.outside)));
    let centred = values(&truth.centred(&truth.equal_weights()));
    let head = head(&truth, &centred);
    let found = found(set, &truth, &head, &outside, old)?;
    let verdicts = judge(&found, &truth_of(set, &truth, &head, &outside));
    for (key, verdict) in verdicts.iter().filter(|(_, verdict)| verdict.is_wrong()) {
        println!("{key}: {verdict:?} in {}", set.name);
    }
    Some((found, verdicts))
}

/// How the metrics of the least-squares classifier fared: the library makes it of its sums, the definition of rows. `None`
/// where either has none.
fn judged_own(set: &Set, lambda: f64) -> Option<Vec<(&'static str, Verdict)>> {
    let (truth, outside) = (Truth::of(&set.rows), Truth::of(std::slice::from_ref(&set.outside)));
    let exact = truth.least_squares(lambda)?;
    let head = least_squares(&statistics(&set.rows)?, lambda).ok()?;
    let found = found(set, &truth, &head, &outside, false)?;
    let of_weights = |key: &str| {
        let needs = nckit::metrics::card(key).unwrap().needs;
        needs.contains(&Need::Head) && !needs.contains(&Need::Decisions) && !needs.contains(&Need::HugIntra)
    };
    let mut verdicts = judge(&found, &truth_of(set, &truth, &exact, &outside));
    verdicts.retain(|(key, _)| of_weights(key));
    for (key, verdict) in verdicts.iter().filter(|(_, verdict)| verdict.is_wrong()) {
        println!("{key}: {verdict:?} with its own head of λ = {lambda} in {}", set.name);
    }
    Some(verdicts)
}

/// Draws sets and judges their metrics.
fn check(numbers: impl Iterator<Item = u64>, size: Size) -> Table {
    check_keys(numbers, size, false, |_| true)
}

/// The same of some metrics, of new states or old ones.
fn check_keys(numbers: impl Iterator<Item = u64>, size: Size, old: bool, of: fn(&str) -> bool) -> Table {
    let mut table = Table::default();
    for number in numbers {
        let set = Set::draw(number, size);
        match judged(&set, old, |truth, centred| set.head(number, &truth.labels, centred)) {
            Some((_, verdicts)) => {
                verdicts.iter().filter(|(key, _)| of(key)).for_each(|(key, verdict)| table.add(key, verdict));
                table.sets += 1;
            }
            None => table.refused += 1,
        }
    }
    table
}

#[test]
fn a_few_small_sets() {
    let sets = std::env::var("NCKIT_SMALL_SETS").map_or(24, |sets| sets.parse().unwrap());
    let table = check(0..sets, Size::Small);
    println!("{table}");
    assert_eq!(table.violations(), 0);
}

/// A classifier that is made of rounded rows is off, too, and metrics of it say by how much.
#[test]
fn heads_of_the_rows_themselves() {
    let sets = std::env::var("NCKIT_OWN_HEADS").map_or(24, |sets| sets.parse().unwrap());
    let mut table = Table::default();
    for number in 0..sets {
        let set = Set::draw(number, Size::Small);
        for lambda in [0.025, 1e-6, 0.0] {
            let Some(verdicts) = judged_own(&set, lambda) else { continue };
            for (key, verdict) in &verdicts {
                table.add(key, verdict);
            }
            table.sets += 1;
        }
    }
    println!("{table}");
    assert_eq!(table.violations(), 0);
}

/// Metrics that judge by the noise of means hold with little of it and with much.
#[test]
fn means_of_old_states() {
    let of_means = |key: &str| {
        let family = ["nc1_", "gnc2_", "hug_inter"].iter().any(|family| key.starts_with(family));
        family && !key.ends_with("_weights")
    };
    let sets = std::env::var("NCKIT_OLD_SETS").map_or(24, |sets| sets.parse().unwrap());
    let table = check_keys(0..sets, Size::Small, true, of_means);
    println!("{table}");
    assert_eq!(table.violations(), 0);
}

#[test]
#[ignore = "minutes: many sets of all sizes; prints the table of docs/accuracy.md"]
fn many_sets() {
    let sets = std::env::var("NCKIT_SETS").map_or(500, |sets| sets.parse().unwrap());
    let first = std::env::var("NCKIT_FIRST_SET").map_or(0, |first| first.parse().unwrap());
    let table = check(first..first + sets, Size::Full);
    println!("{table}");
    assert_eq!(table.violations(), 0);
}
