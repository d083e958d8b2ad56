//! The conventions that decide a number.

use std::ops::RangeInclusive;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::state::Statistics;

/// Which mean the class means are centred with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Centring {
    /// The unweighted mean of the class means.
    #[default]
    Class,
    /// The mean of all rows.
    Sample,
}

/// What the within-class scatter is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Normaliser {
    /// `N`.
    #[default]
    Rows,
    /// `N − K`, unbiased.
    RowsLessClasses,
    /// The mean over classes of each class's own covariance: every class counts the same.
    Balanced,
}

/// Which mean represents the out-of-distribution rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OodMean {
    /// The unweighted mean of their class means, as in the Python package `neural_collapse`; unlabelled rows are one class.
    Classes,
    /// The mean of all rows.
    Rows,
}

/// How many principal axes NECO keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NecoDim {
    /// As many as explain this fraction of the variance.
    Fraction(f64),
    /// That many.
    Axes(usize),
}

/// What NECO divides the projected norm by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NecoDenominator {
    /// The norm of the standardised row.
    Scaled,
    /// The norm of the row as stored.
    Raw,
}

/// Classes that are drawn at random.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SweepSample {
    /// How many.
    pub classes: u32,
    /// Other seeds draw others.
    pub seed: u64,
}

impl SweepSample {
    /// What `M` or `M:SEED` says; `None` if it says nothing.
    fn parse(text: &str) -> Option<Self> {
        let (classes, seed) = text.split_once(':').unwrap_or((text, "0"));
        let classes = classes.parse().ok().filter(|&classes| classes >= 2)?;
        Some(Self { classes, seed: seed.parse().ok()? })
    }
}

/// Conventions. The defaults are those of the Python package `neural_collapse` (rhubarbwu/neural-collapse) where it has
/// them.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a convention of its own, set by its own name")]
pub struct Options {
    /// `μ_G`.
    pub centring: Centring,
    /// `Σ_W`.
    pub normaliser: Normaliser,
    /// Classes with fewer rows are left out; `None` is 2 for CDNV and per-class variances, 1 for all others.
    pub min_count: Option<u64>,
    /// Classes with more rows are left out.
    pub max_count: Option<u64>,
    /// Metrics of pairs of classes are made of those with at least so many rows.
    pub sweep_min_count: Option<u64>,
    /// Metrics of pairs of classes are made of some that are drawn at random, where there are more.
    pub sweep_sample: Option<SweepSample>,
    /// `p` of CDNV.
    pub cdnv_exponent: f64,
    /// Whether NC1 is divided by `K`.
    pub divide_by_k: bool,
    /// `s` of the Riesz energy; at 0 it is the log energy.
    pub riesz_s: f64,
    /// Whether decisions use the bias when there is one.
    pub use_bias: bool,
    /// Whether NC5 takes `μ_G` off the means and the out-of-distribution mean.
    pub ood_centred: bool,
    /// The out-of-distribution mean of NC5.
    pub ood_mean: OodMean,
    /// NECO's axes.
    pub neco_dim: NecoDim,
    /// Whether NECO standardises columns.
    pub neco_scale: bool,
    /// NECO's denominator.
    pub neco_denominator: NecoDenominator,
    /// Whether NECO's score is multiplied by the row's largest logit.
    pub neco_max_logit: bool,
    /// The weight decay of training, twice the `λ` of the MSE decomposition.
    pub weight_decay: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            centring: Centring::Class,
            normaliser: Normaliser::Rows,
            min_count: None,
            max_count: None,
            sweep_min_count: None,
            sweep_sample: None,
            cdnv_exponent: 1.0,
            divide_by_k: true,
            riesz_s: 2.0,
            use_bias: true,
            ood_centred: false,
            ood_mean: OodMean::Classes,
            neco_dim: NecoDim::Fraction(0.9),
            neco_scale: true,
            neco_denominator: NecoDenominator::Scaled,
            neco_max_logit: false,
            weight_decay: 5e-4,
        }
    }
}

/// The names that `--option` knows, and what each takes.
const KEYS: [(&str, &str); 17] = [
    ("centring", "class or sample"),
    ("normaliser", "n, n-k or balanced"),
    ("min_count", "a number of rows"),
    ("max_count", "a number of rows"),
    ("cdnv_exponent", "a number above 0"),
    ("divide_by_k", "true or false"),
    ("riesz_s", "a number"),
    ("use_bias", "true or false"),
    ("ood_centred", "true or false"),
    ("ood_mean", "classes or rows"),
    ("neco_dim", "a share of the variance such as 90%, or a number of axes"),
    ("neco_scale", "true or false"),
    ("neco_denominator", "scaled or raw"),
    ("neco_max_logit", "true or false"),
    ("weight_decay", "a number, 0 or above"),
    ("sweep_min_count", "a number of rows"),
    ("sweep_sample", "a number of classes, 2 or more, and a seed if wanted: 10000 or 10000:7"),
];

impl Options {
    /// How many rows a class has to have to be used.
    pub fn class_counts(&self) -> RangeInclusive<u64> {
        self.min_count.unwrap_or(1)..=self.max_count.unwrap_or(u64::MAX)
    }

    /// How many rows a class needs at least to have a variance.
    pub fn variance_count(&self) -> u64 {
        self.min_count.unwrap_or(2)
    }

    /// Leaves out the classes that are not to be used, and says how many. The scatter of a state is summed over all classes,
    /// so it goes once a class with scatter is left out, and metrics that need it are null.
    pub fn select_classes(&self, statistics: Statistics) -> (Statistics, u64) {
        let counts = self.class_counts();
        if statistics.counts.iter().all(|n| counts.contains(n)) {
            return (statistics, 0);
        }
        let kept = statistics.retain(|class| counts.contains(&statistics.counts[class]));
        let dropped = (statistics.classes() - kept.classes()) as u64;
        (kept, dropped)
    }

    /// Sets one convention from its name and value as typed.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for an unknown key, or a value that the option does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let Some((_, takes)) = KEYS.iter().find(|(known, _)| *known == key) else {
            let keys: Vec<&str> = KEYS.iter().map(|(key, _)| *key).collect();
            return Err(Error::usage("no such option").with("option", key).help(format!("one of {}", keys.join(", "))));
        };
        self.assign(key, value).ok_or_else(|| {
            Error::usage("the option does not take this value")
                .with("option", key)
                .with("value", value)
                .help(format!("{key} takes {takes}"))
        })
    }

    fn assign(&mut self, key: &str, value: &str) -> Option<()> {
        match key {
            "centring" => {
                self.centring = match value {
                    "class" => Centring::Class,
                    "sample" => Centring::Sample,
                    _ => return None,
                }
            }
            "normaliser" => {
                self.normaliser = match value {
                    "n" => Normaliser::Rows,
                    "n-k" => Normaliser::RowsLessClasses,
                    "balanced" => Normaliser::Balanced,
                    _ => return None,
                }
            }
            "min_count" => self.min_count = Some(value.parse().ok()?),
            "max_count" => self.max_count = Some(value.parse().ok()?),
            "cdnv_exponent" => self.cdnv_exponent = number(value).filter(|p| *p > 0.0)?,
            "divide_by_k" => self.divide_by_k = value.parse().ok()?,
            "riesz_s" => self.riesz_s = number(value)?,
            "use_bias" => self.use_bias = value.parse().ok()?,
            "ood_centred" => self.ood_centred = value.parse().ok()?,
            "ood_mean" => {
                self.ood_mean = match value {
                    "classes" => OodMean::Classes,
                    "rows" => OodMean::Rows,
                    _ => return None,
                }
            }
            "neco_dim" => {
                self.neco_dim = match value.strip_suffix('%') {
                    Some(share) => NecoDim::Fraction(number(share).filter(|s| *s > 0.0 && *s <= 100.0)? / 100.0),
                    None => NecoDim::Axes(value.parse().ok().filter(|axes| *axes > 0)?),
                }
            }
            "neco_scale" => self.neco_scale = value.parse().ok()?,
            "neco_denominator" => {
                self.neco_denominator = match value {
                    "scaled" => NecoDenominator::Scaled,
                    "raw" => NecoDenominator::Raw,
                    _ => return None,
                }
            }
            "neco_max_logit" => self.neco_max_logit = value.parse().ok()?,
            "weight_decay" => self.weight_decay = number(value).filter(|decay| *decay >= 0.0)?,
            "sweep_min_count" => self.sweep_min_count = Some(value.parse().ok()?),
            "sweep_sample" => self.sweep_sample = Some(SweepSample::parse(value)?),
            _ => return None,
        }
        Some(())
    }

    /// The name and value of every convention, as [`set`](Self::set) takes them; a number that is not set is null.
    pub fn describe(&self) -> Vec<(&'static str, Value)> {
        KEYS.iter().map(|&(key, _)| (key, self.value(key))).collect()
    }

    fn value(&self, key: &str) -> Value {
        match key {
            "centring" => match self.centring {
                Centring::Class => "class".into(),
                Centring::Sample => "sample".into(),
            },
            "normaliser" => match self.normaliser {
                Normaliser::Rows => "n".into(),
                Normaliser::RowsLessClasses => "n-k".into(),
                Normaliser::Balanced => "balanced".into(),
            },
            "min_count" => self.min_count.into(),
            "max_count" => self.max_count.into(),
            "cdnv_exponent" => self.cdnv_exponent.into(),
            "divide_by_k" => self.divide_by_k.into(),
            "riesz_s" => self.riesz_s.into(),
            "use_bias" => self.use_bias.into(),
            "ood_centred" => self.ood_centred.into(),
            "ood_mean" => match self.ood_mean {
                OodMean::Classes => "classes",
                OodMean::Rows => "rows",
            }
            .into(),
            "neco_dim" => match self.neco_dim {
                // Twelve digits: 7 % must not come out as 7.000000000000001 %.
                NecoDim::Fraction(share) => format!("{}%", (share * 1e12).round() / 1e10).into(),
                NecoDim::Axes(axes) => axes.into(),
            },
            "neco_scale" => self.neco_scale.into(),
            "neco_denominator" => match self.neco_denominator {
                NecoDenominator::Scaled => "scaled".into(),
                NecoDenominator::Raw => "raw".into(),
            },
            "neco_max_logit" => self.neco_max_logit.into(),
            "weight_decay" => self.weight_decay.into(),
            "sweep_min_count" => self.sweep_min_count.into(),
            "sweep_sample" => self.sweep_sample.map(|SweepSample { classes, seed }| format!("{classes}:{seed}")).into(),
            _ => Value::Null,
        }
    }
}

/// A finite number.
fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn words(options: &Options) -> Vec<(&'static str, String)> {
        let word = |value: Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        options.describe().into_iter().map(|(key, value)| (key, word(value))).collect()
    }

    #[test]
    fn what_is_described_can_be_set_again() {
        let mut odd = Options::default();
        for (key, value) in [
            ("centring", "sample"),
            ("normaliser", "n-k"),
            ("min_count", "3"),
            ("max_count", "900"),
            ("cdnv_exponent", "2"),
            ("divide_by_k", "false"),
            ("riesz_s", "62"),
            ("use_bias", "false"),
            ("ood_centred", "true"),
            ("ood_mean", "rows"),
            ("neco_dim", "7%"),
            ("neco_scale", "false"),
            ("neco_denominator", "raw"),
            ("neco_max_logit", "true"),
            ("weight_decay", "0.003"),
            ("sweep_min_count", "5"),
            ("sweep_sample", "100:7"),
        ] {
            odd.set(key, value).unwrap();
        }
        for (before, after) in words(&Options::default()).iter().zip(words(&odd)) {
            assert_ne!(*before, after);
        }
        assert_eq!(words(&odd)[10], ("neco_dim", "7%".to_owned()));
        let mut again = Options::default();
        for (key, value) in words(&odd) {
            again.set(key, &value).unwrap();
        }
        assert_eq!(again, odd);
        again.set("neco_dim", "12").unwrap();
        again.set("normaliser", "balanced").unwrap();
        assert_eq!((again.neco_dim, again.normaliser), (NecoDim::Axes(12), Normaliser::Balanced));
        assert_eq!(words(&Options::default())[10], ("neco_dim", "90%".to_owned()));
    }

    #[test]
    fn what_is_no_option_or_no_value_is_refused_with_what_is() {
        let refused = |key: &str, value: &str| {
            let error = Options::default().set(key, value).unwrap_err();
            assert_eq!((error.kind(), error.fact("option")), (ErrorKind::Usage, Some(key)));
            error.advice().unwrap_or_default().to_owned()
        };
        assert!(refused("neco_dims", "3").starts_with("one of centring, normaliser, min_count"));
        assert_eq!(refused("neco_dim", "0"), "neco_dim takes a share of the variance such as 90%, or a number of axes");
        for (key, value) in [
            ("neco_dim", "0%"),
            ("neco_dim", "101%"),
            ("neco_dim", "-1"),
            ("cdnv_exponent", "0"),
            ("cdnv_exponent", "inf"),
            ("riesz_s", "NaN"),
            ("weight_decay", "-1"),
            ("divide_by_k", "yes"),
            ("min_count", "-1"),
            ("centring", "Class"),
            ("normaliser", "N"),
            ("neco_denominator", ""),
            ("sweep_sample", "1"),
            ("sweep_sample", "100:x"),
        ] {
            refused(key, value);
        }
    }
}
