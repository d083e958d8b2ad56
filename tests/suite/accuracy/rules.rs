//! One set for each rule about what rounding hides.

use nckit::metrics::{Measurements, Options};
use nckit::state::Head;

use super::judge::Verdict;
use super::judged;
use super::sets::Set;
use crate::stress::{Means, Recipe};

fn set(recipe: &Recipe, options: Options) -> Set {
    let outside =
        Recipe { name: format!("{}, outside", recipe.name), twins: false, chunks: vec![200], ..recipe.clone() };
    Set { name: recipe.name.clone(), rows: recipe.rows(), outside: outside.rows().remove(0), options }
}

/// The metrics of a set, none of which misleads, with a classifier whose rows are the centred means.
fn measured(recipe: &Recipe, options: Options) -> (Measurements, Vec<(&'static str, Verdict)>) {
    let head = |_: &_, centred: &[f64]| Head { weights: centred.to_vec(), bias: None, errors: Vec::new() };
    let (found, verdicts) = judged(&set(recipe, options), false, head).unwrap();
    assert!(!verdicts.iter().any(|(_, verdict)| verdict.is_wrong()), "{}", recipe.name);
    (found, verdicts)
}

fn value(found: &Measurements, key: &str) -> (Option<f64>, Option<&'static str>, Vec<&'static str>) {
    let metric = found.metric(key).unwrap();
    (metric.value, metric.reason, metric.flags.clone())
}

fn verdict<'a>(verdicts: &'a [(&'static str, Verdict)], key: &str) -> &'a Verdict {
    &verdicts.iter().find(|(known, _)| *known == key).unwrap().1
}

/// The same rows under two labels, in chunks whose steps differ by 10,000: the means differ by what rounding left, and no
/// decision between them is one.
#[test]
fn twins_are_one_centre_and_ties_are_counted() {
    let recipe = Recipe {
        bits: 64,
        classes: 4,
        twins: true,
        chunks: vec![300, 300],
        chunk_scales: vec![1.0, 1e4],
        ..Recipe::new("twins", 12, 1e-3)
    };
    let (found, verdicts) = measured(&recipe, Options::default());
    for key in ["nc4_agreement", "ncc_accuracy", "nc4_both_right", "nc4_agreement_macro"] {
        assert!(value(&found, key).2.contains(&"ties"), "{key}");
        assert!(matches!(verdict(&verdicts, key), Verdict::Right { .. }), "{key}: {:?}", verdict(&verdicts, key));
    }
    assert!(!value(&found, "classifier_accuracy").2.contains(&"ties"));
}

/// Features that fill 5 of 40 directions, at scales at which the grid's rounding is as large as the weight decay.
#[test]
fn the_squared_loss_of_low_rank_says_what_rounding_does() {
    // Few rows of few dimensions, where arithmetic errs far less than the grid.
    let sizes = [(40, 5, 10, 800), (8, 2, 3, 24), (6, 3, 4, 16)];
    let cases = [(1e4, 5e-4), (1e3, 5e-4), (1.0, 1e-12), (1e4, 1e-12)];
    for ((dim, rank, classes, rows), (scale, weight_decay)) in
        sizes.into_iter().flat_map(|size| cases.into_iter().map(move |case| (size, case)))
    {
        let recipe = Recipe {
            rank,
            classes,
            rotated: true,
            bits: 64,
            chunk_scales: vec![scale],
            chunks: vec![rows / 2, rows / 2],
            ..Recipe::new(format!("rank {rank} of {dim} at {scale:e}, {weight_decay:e}"), dim, 0.3)
        };
        let (found, verdicts) = measured(&recipe, Options { weight_decay, ..Options::default() });
        let told = |key: &str| {
            matches!(verdict(&verdicts, key), Verdict::Estimated { .. } | Verdict::Null { .. })
                || found.accuracy.get(key).is_some_and(|&error| error > 1e-6)
        };
        assert!(told("mse_nc1") && told("mse_nc23"), "{}: {:?}", recipe.name, verdict(&verdicts, "mse_nc1"));
    }
}

/// Ten directions that vary alike: nine tenths of the variance take nine of them or ten, and every score is 1 with ten.
#[test]
fn scores_in_all_directions_are_no_scores() {
    let recipe = Recipe { means: Means::Near(0.01), chunks: vec![1500], ..Recipe::new("few directions", 3, 1.0) };
    let (found, _) = measured(&recipe, Options::default());
    for key in ["nc5_neco_auroc", "nc5_neco_fpr95"] {
        assert_eq!(value(&found, key).1, Some("neco_all_axes"), "{key}");
    }
}

/// At an exact simplex, and beside a classifier that is dual to it, numbers are 0 but for arithmetic, and say so.
#[test]
fn what_is_nothing_but_rounding_says_so() {
    let recipe = Recipe { bits: 64, means: Means::Simplex, classes: 6, ..Recipe::new("simplex", 6, 1e-6) };
    let recipe = Recipe { sizes: crate::stress::Sizes::Alike, ..recipe };
    let (found, _) = measured(&recipe, Options::default());
    for key in ["nc3_self_duality_sq", "nc3_cos_var", "nc3_dist_var"] {
        assert!(value(&found, key).2.contains(&"nothing_but_rounding"), "{key}: {:?}", value(&found, key));
    }
}
