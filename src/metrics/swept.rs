//! Which classes metrics of pairs are made of: all, those with enough rows, or some of these drawn at random.

use super::catalogue::{Card, Family, Need, card};
use super::context::MetricContext;
use super::error_bars::ErrorBar;
use super::{Options, student_t};
use crate::state::Statistics;

/// Into so many parts the classes drawn are divided, to see how far metrics differ from part to part.
const PARTS: usize = 16;

/// A part of fewer classes has too few pairs to say anything.
const LEAST: usize = 4;

/// Some of the classes.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct SweptClasses {
    /// Indices of classes, ascending.
    pub classes: Vec<usize>,
    /// Whether classes with few rows were left out.
    frequent: bool,
    /// What was drawn, if anything.
    sample: Option<Sample>,
}

/// Classes drawn at random.
#[derive(Clone, Debug, PartialEq)]
struct Sample {
    /// In the order in which they were drawn.
    drawn: Vec<usize>,
    /// Of how many.
    of: usize,
}

impl SweptClasses {
    /// `None` where pairs are made of all classes.
    pub(super) fn of(statistics: &Statistics, options: &Options) -> Option<Self> {
        let least = options.sweep_min_count.unwrap_or(0);
        let mut classes: Vec<usize> =
            (0..statistics.classes()).filter(|&class| statistics.counts[class] >= least).collect();
        let frequent = classes.len() < statistics.classes();
        let sample = options.sweep_sample.filter(|sample| (sample.classes as usize) < classes.len()).map(|sample| {
            let of = classes.len();
            let mut drawn = classes.clone();
            shuffle(&mut drawn, sample.classes as usize, sample.seed);
            drawn.truncate(sample.classes as usize);
            classes.clone_from(&drawn);
            classes.sort_unstable();
            Sample { drawn, of }
        });
        (frequent || sample.is_some()).then_some(Self { classes, frequent, sample })
    }

    /// The parts of the classes drawn, each ascending; none if nothing was drawn, or too little.
    pub(super) fn parts(&self) -> Vec<Vec<usize>> {
        let Some(Sample { drawn, .. }) = &self.sample else { return Vec::new() };
        let each = drawn.len() / PARTS;
        if each < LEAST {
            return Vec::new();
        }
        drawn
            .chunks_exact(each)
            .take(PARTS)
            .map(|part| {
                let mut part = part.to_vec();
                part.sort_unstable();
                part
            })
            .collect()
    }

    /// The remarks on a metric of pairs.
    pub(super) fn flags(&self) -> impl Iterator<Item = &'static str> {
        let remarks = [(self.frequent, "frequent_classes"), (self.sample.is_some(), "sampled_classes")];
        remarks.into_iter().filter_map(|(holds, flag)| holds.then_some(flag))
    }

    /// How far other draws would move a metric: its value, and those of the parts. Parts hold a sixteenth of the classes, and
    /// a mean over pairs varies as one over its classes, so their standard deviation is four times that of all. Where no class
    /// matters by itself, as for angles of random directions, a mean varies less, and the error bar is up to four times too long.
    fn error_bar(&self, card: &Card, value: f64, parts: &[Option<f64>]) -> Result<ErrorBar, &'static str> {
        if is_extreme(card) {
            return Err("extreme");
        }
        let Some(Sample { drawn, of }) = &self.sample else { return Err("no_value") };
        if parts.len() < PARTS {
            return Err("too_few_classes");
        }
        let parts: Vec<f64> = parts.iter().copied().collect::<Option<_>>().ok_or("replicate_without_value")?;
        let count = parts.len() as f64;
        let mean = parts.iter().sum::<f64>() / count;
        let variance = parts.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (count - 1.0);
        // None is drawn twice: of all classes there is nothing left to err about.
        let left = 1.0 - drawn.len() as f64 / *of as f64;
        let se = (variance / count * left).sqrt();
        let reach = student_t::quantile(0.975, count - 1.0) * se;
        let end = |end: f64| end.clamp(card.range.least, card.range.most);
        let bar = ErrorBar { se, lo: end(value - reach), hi: end(value + reach), bias: 0.0 };
        if se.is_finite() { Ok(bar) } else { Err("replicate_without_value") }
    }
}

/// Whether a metric is made of the pairs of these classes. The Davies-Bouldin index looks for the worst neighbour of every class,
/// and is made of all.
pub(super) fn is_of_pairs(card: &Card) -> bool {
    card.needs.contains(&Need::Pairs) && card.family != Family::Separation
}

/// The error bars of metrics of pairs, in the order of `cards`; `None` for other metrics, and where nothing was drawn.
pub(super) fn error_bars(
    context: &mut MetricContext<'_>,
    made: &[(&'static Card, Option<f64>)],
) -> Vec<Option<Result<ErrorBar, &'static str>>> {
    let Some(swept) = context.swept.clone().filter(|swept| swept.sample.is_some()) else {
        return made.iter().map(|_| None).collect();
    };
    let mut parts: Vec<Vec<Option<f64>>> = made.iter().map(|_| Vec::new()).collect();
    for part in swept.parts() {
        context.with_pairs_of(&part, |context| {
            for ((card, value), parts) in made.iter().zip(&mut parts) {
                if is_of_pairs(card) && value.is_some() {
                    parts.push(card.outcome(context).value.ok());
                }
            }
        });
    }
    let bar = |((card, value), parts): (&(&Card, Option<f64>), &Vec<Option<f64>>)| {
        is_of_pairs(card).then(|| value.ok_or("no_value").and_then(|value| swept.error_bar(card, value, parts)))
    };
    made.iter().zip(&parts).map(bar).collect()
}

/// Whether a metric is a largest or smallest value, of the means or of the classifier.
fn is_extreme(of: &Card) -> bool {
    let twin = of.key.strip_suffix("_weights").and_then(card).unwrap_or(of);
    twin.no_error_bar() == Some("extreme")
}

/// Moves `count` elements to the front, each as likely as any other.
fn shuffle(elements: &mut [usize], count: usize, seed: u64) {
    let mut state = seed;
    for at in 0..count.min(elements.len()) {
        // SplitMix64 (Steele et al. 2014).
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = state;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        let left = (elements.len() - at) as u128;
        elements.swap(at, at + ((u128::from(bits) * left) >> 64) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Label;
    use crate::metrics::options::SweepSample;
    use crate::metrics::{Evidence, Extras, Measurements, Selection, measure};

    /// Classes of `1, 2, 3, …` rows with means and variances that are hardly related.
    fn statistics(classes: usize, dim: usize) -> Statistics {
        let mut state = 3_u64;
        let mut number = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1_u64 << 53) as f64
        };
        Statistics {
            dim,
            labels: (0..classes).map(|k| Label::Int(k as i128)).collect(),
            counts: (1..=classes as u64).collect(),
            origin: vec![0.0; dim],
            offsets: (0..classes * dim).map(|_| number() - 0.5).collect(),
            variances: (0..classes).map(|k| if k == 0 { 0.0 } else { 0.2 + number() }).collect(),
            scatter: None,
            rounding: vec![0.0; dim],
            rounding_changed: vec![0.0; dim],
            mean_rounding: vec![0.0; dim],
        }
    }

    fn measured(statistics: &Statistics, options: &Options, extras: Extras) -> Measurements {
        let names =
            ["nc1_cdnv", "nc1_cdnv_q50", "nc1_cdnv_max", "nc2_max_angle", "gnc2_log_energy_mean", "nc1_trace_ratio"];
        let selection = Selection::parse(&names.map(str::to_owned)).unwrap();
        measure(&Evidence::new(statistics, 24), options, &selection, extras).unwrap()
    }

    fn sampled(classes: u32, seed: u64) -> Options {
        Options { sweep_sample: Some(SweepSample { classes, seed }), ..Options::default() }
    }

    #[test]
    fn frequent_classes_are_those_that_are_left_when_others_are_taken_out() {
        let statistics = statistics(60, 5);
        let frequent = Options { sweep_min_count: Some(21), ..Options::default() };
        let extras = Extras { per_class: true, worst_pairs: 3, ..Extras::default() };
        let found = measured(&statistics, &frequent, extras);
        let only = statistics.retain(|class| class >= 20);
        let alone = measured(&only, &Options::default(), extras);
        for key in ["nc1_cdnv", "nc1_cdnv_q50", "nc1_cdnv_max"] {
            let (found, alone) = (found.value(key).unwrap(), alone.value(key).unwrap());
            assert!((found / alone - 1.0).abs() < 1e-12, "{key}: {found} {alone}");
        }
        let metric = found.metric("nc1_cdnv").unwrap();
        assert_eq!((&metric.flags[..], &metric.counts[..]), (&["frequent_classes"][..], &[("classes_swept", 40)][..]));
        assert_eq!(metric.error_bar, None);
        assert!(found.metric("nc1_trace_ratio").unwrap().flags.is_empty());
        // Classes keep their names.
        let names = |made: &Measurements| {
            made.worst_pairs.iter().map(|pair| (pair.first.clone(), pair.second.clone())).collect::<Vec<_>>()
        };
        assert_eq!(names(&found), names(&alone));
        assert_eq!(found.per_class.len(), 60);
        assert_eq!((found.per_class[19].cdnv_mean, &found.per_class[19].worst_neighbour), (None, &None));
        for (found, alone) in found.per_class[20..].iter().zip(&alone.per_class) {
            assert_eq!((&found.label, &found.worst_neighbour), (&alone.label, &alone.worst_neighbour));
            assert!((found.cdnv_mean.unwrap() / alone.cdnv_mean.unwrap() - 1.0).abs() < 1e-12);
        }
        // All classes are frequent: nothing changes.
        let all = Options { sweep_min_count: Some(1), ..Options::default() };
        assert_eq!(measured(&statistics, &all, extras), measured(&statistics, &Options::default(), extras));
    }

    #[test]
    fn samples_are_seeded_and_err_as_they_say() {
        let statistics = statistics(1200, 12);
        let truth = measured(&statistics, &Options::default(), Extras::default());
        let keys = ["nc1_cdnv", "nc1_cdnv_q50", "nc2_max_angle", "gnc2_log_energy_mean"];
        let (mut squares, mut tries) = ([0.0; 4], 0.0);
        for seed in 0..40 {
            let made = measured(&statistics, &sampled(160, seed), Extras::default());
            tries += 1.0;
            for (key, square) in keys.iter().zip(&mut squares) {
                let metric = made.metric(key).unwrap();
                let bar = metric.bar().unwrap();
                *square += ((metric.value.unwrap() - truth.value(key).unwrap()) / bar.se).powi(2);
                assert!(metric.flags.contains(&"sampled_classes") && metric.counts.contains(&("classes_swept", 160)));
            }
            assert_eq!(made.metric("nc1_cdnv_max").unwrap().error_bar, Some(Err("extreme")));
            assert_eq!(made.metric("nc1_trace_ratio").unwrap().error_bar, None);
        }
        // In units of its standard error a number errs by 1, in the mean of squares, give or take; angles of random directions
        // by less.
        for (key, square) in keys.iter().zip(squares) {
            let least = if key.starts_with("nc1") { 0.3 } else { 1.0 / 40.0 };
            assert!((least..3.0).contains(&(square / tries)), "{key}: {}", square / tries);
        }
        let value = |options: &Options| measured(&statistics, options, Extras::default()).value("nc1_cdnv");
        assert_eq!(value(&sampled(160, 3)), value(&sampled(160, 3)));
        assert_ne!(value(&sampled(160, 3)), value(&sampled(160, 4)));
        // As many as there are is all of them; a few are too few for an error bar.
        assert_eq!(value(&sampled(1200, 3)), truth.value("nc1_cdnv"));
        let few = measured(&statistics, &sampled(40, 3), Extras::default());
        assert_eq!(few.metric("nc1_cdnv").unwrap().error_bar, Some(Err("too_few_classes")));
    }

    #[test]
    fn draws_are_of_different_classes_and_each_is_drawn_alike() {
        let mut hits = [0; 10];
        for seed in 0..1000 {
            let mut elements: Vec<usize> = (0..10).collect();
            shuffle(&mut elements, 4, seed);
            elements[..4].iter().for_each(|&drawn| hits[drawn] += 1);
            elements.sort_unstable();
            assert_eq!(elements, (0..10).collect::<Vec<_>>());
        }
        assert!(hits.iter().all(|hits| (330..470).contains(hits)), "{hits:?}");
    }
}
