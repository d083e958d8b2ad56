//! How a metric differs between two groups.

use super::side::{Noise, SideNumber};
use crate::metrics::{Card, Direction, Family, student_t};

/// A metric of two groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Its key.
    pub key: &'static str,
    /// Its value in the base, if it has one.
    pub base: Option<f64>,
    /// Its value in the other, if it has one.
    pub other: Option<f64>,
    /// The standard error of `other − base`, if it is known.
    pub se: Option<f64>,
    /// The 95 % interval of `other − base`, if it is known. Its middle is not that difference, where few rows move the two
    /// sides on average.
    pub interval: Option<(f64, f64)>,
    /// Whether the standard error is that of the difference, block by block, and not that of independent samples.
    pub is_paired: bool,
    /// How probable so large a difference is if there is none but chance, 0 to 1; two-sided, by Student's t.
    pub p: Option<f64>,
    /// What to make of it.
    pub verdict: Verdict,
    /// Why there is no difference to look at, or no noise to hold it against; or why the verdict is not what the two values say.
    pub reason: Option<String>,
}

/// What a difference means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One side has no value.
    Unknown,
    /// The values are equal.
    Same,
    /// Rounding alone may have made the difference.
    WithinRounding,
    /// Other samples of the same rows would differ as much: 0 is in the 95 % interval.
    WithinNoise,
    /// Error bars were asked for, and this metric has none on one side; the reason says why.
    NoiseUnknown,
    /// The other is nearer to full collapse; beyond noise if noise is known.
    Better,
    /// The other is farther from full collapse; beyond noise if noise is known.
    Worse,
    /// They differ, and neither is nearer to collapse.
    Differs,
}

/// Differences below this share of the values say nothing: sums over classes and dimensions are rounded too. Angles and
/// differences of unit vectors are rounded in units of 1.
const ARITHMETIC: f64 = 1e-14;

impl Verdict {
    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Same => "same",
            Self::WithinRounding => "within rounding",
            Self::WithinNoise => "within noise",
            Self::NoiseUnknown => "noise unknown",
            Self::Better => "better",
            Self::Worse => "worse",
            Self::Differs => "differs",
        }
    }

    /// Whether it says that the sides differ.
    pub const fn is_difference(self) -> bool {
        matches!(self, Self::Better | Self::Worse | Self::Differs)
    }
}

/// Probability beyond the interval.
pub(super) const LEVEL: f64 = 0.05;

impl Change {
    pub(super) fn between(card: &'static Card, base: &SideNumber, other: &SideNumber) -> Self {
        let why = |number: &SideNumber, side: &str| {
            number
                .value
                .is_none()
                .then(|| format!("no value in the {side}: {}", number.reason.as_deref().unwrap_or("unknown")))
        };
        let mut change = Self {
            key: card.key,
            base: base.value,
            other: other.value,
            se: None,
            interval: None,
            is_paired: false,
            p: None,
            verdict: Verdict::Unknown,
            reason: why(base, "base").or_else(|| why(other, "other")),
        };
        let (Some(from), Some(to)) = (base.value, other.value) else { return change };
        let difference = to - from;
        // What few rows add on both sides is not in it.
        let mut centre = difference;
        if let Some((a, b)) = base.noise.as_ref().zip(other.noise.as_ref()) {
            change.is_paired = Noise::has_pairs(a, b);
            let (se, freedom) = Noise::of_difference(a, b);
            centre = b.centre - a.centre;
            let reach = student_t::quantile(1.0 - LEVEL / 2.0, freedom) * se;
            change.se = Some(se);
            change.interval = Some((centre - reach, centre + reach));
            change.p = Some(match () {
                () if se > 0.0 => student_t::two_sided(centre / se, freedom),
                () if centre == 0.0 => 1.0,
                () => 0.0,
            });
        }
        let no_noise = base.no_noise.as_ref().or(other.no_noise.as_ref());
        let unitless = card.unit.is_empty() && matches!(card.family, Family::Nc2 | Family::Nc3);
        let rounding = base.rounding.max(ARITHMETIC) * from.abs()
            + other.rounding.max(ARITHMETIC) * to.abs()
            + if unitless { ARITHMETIC } else { 0.0 };
        change.verdict = match (card.direction, change.p) {
            _ if difference == 0.0 => Verdict::Same,
            _ if difference.abs() <= rounding => Verdict::WithinRounding,
            (_, Some(p)) if p >= LEVEL => Verdict::WithinNoise,
            (_, None) if no_noise.is_some() => Verdict::NoiseUnknown,
            (Direction::None, _) => Verdict::Differs,
            (Direction::Lower, _) if centre < 0.0 => Verdict::Better,
            (Direction::Higher, _) if centre > 0.0 => Verdict::Better,
            (Direction::Lower | Direction::Higher, _) => Verdict::Worse,
        };
        if change.verdict == Verdict::NoiseUnknown {
            change.reason = no_noise.map(|why| format!("no error bar: {why}"));
        } else if change.verdict.is_difference() && centre * difference < 0.0 {
            change.reason = Some("without the bias of few rows".to_owned());
        }
        change
    }

    /// What to make of it, for people.
    pub(in crate::report) fn told(&self) -> String {
        let reason = self.reason.as_ref().map(|reason| reason.replace('_', " "));
        match (reason, self.verdict) {
            (Some(reason), Verdict::Unknown) => reason,
            (Some(reason), verdict) if verdict.is_difference() => format!("{} {reason}", verdict.words()),
            (_, verdict) => verdict.words().to_owned(),
        }
    }

    /// Whether neither side has a value.
    pub(super) fn is_absent(&self) -> bool {
        self.base.is_none() && self.other.is_none()
    }

    /// `other − base`.
    pub fn difference(&self) -> Option<f64> {
        Some(self.other? - self.base?)
    }

    /// `other / base`, if both are more than 0.
    pub fn ratio(&self) -> Option<f64> {
        let (base, other) = (self.base?, self.other?);
        (base > 0.0 && other > 0.0).then(|| other / base)
    }
}

impl Noise {
    /// Whether both sides have the same blocks of rows.
    fn has_pairs(base: &Self, other: &Self) -> bool {
        base.influences.len() >= 2 && base.influences.keys().eq(other.influences.keys())
    }

    /// The standard error of a difference, and its degrees of freedom: of what each block adds to the difference where both
    /// sides have the same blocks of rows, and else as of independent samples, by Welch and Satterthwaite.
    ///
    /// Of blocks it is the delete-m_j jackknife (Busing, Meijer & van der Leeden 1999) of the difference, in which a block
    /// weighs the mean of what it weighs on both sides.
    fn of_difference(base: &Self, other: &Self) -> (f64, f64) {
        if Self::has_pairs(base, other) {
            let pairs = base.influences.values().zip(other.influences.values());
            let pairs: Vec<(f64, f64)> =
                pairs.map(|(a, b)| (b.amount - a.amount, f64::midpoint(a.weight, b.weight))).collect();
            let blocks = pairs.len() as f64;
            let mean = pairs.iter().map(|(amount, _)| amount).sum::<f64>() / blocks;
            let square = pairs.iter().map(|(amount, weight)| (amount - mean).powi(2) / weight).sum::<f64>() / blocks;
            return (square.sqrt(), blocks - 1.0);
        }
        let (a, b) = (base.se.powi(2), other.se.powi(2));
        let freedom = (a + b).powi(2) / (a * a / base.freedom + b * b / other.freedom);
        ((a + b).sqrt(), if freedom.is_finite() { freedom } else { base.freedom + other.freedom })
    }
}
