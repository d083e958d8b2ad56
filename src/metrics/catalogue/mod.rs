//! What every metric is: a card for each, in the order in which records show them, and a file for each family. `gnc2`
//! also holds HUG, `nc5` also MSE, `imbalance` also LogME.
//!
//! A card names the function that makes its metric, so a card without a formula does not compile.

macro_rules! cards {
    ($($key:literal = $formula:expr, $family:ident, $paper:ident, $summary:literal,
        $direction:ident, ideal $ideal:literal, range $range:expr, unit $unit:expr,
        needs [$($need:ident)*] $(, $by_name:ident)? null [$($reason:ident)*] flags [$($flag:ident)*]
        $(, no_error_bar $why:ident)?;)*) => {
        pub(super) static CARDS: &[Card] = &[$(Card {
            key: $key,
            family: crate::metrics::Family::$family,
            summary: $summary,
            direction: crate::metrics::Direction::$direction,
            ideal: $ideal,
            range: $range,
            unit: $unit,
            source: &$paper,
            needs: &[$(crate::metrics::Need::$need),*],
            by_name_only: cards!(@ $($by_name)?),
            nulls: &["no_rows", $(stringify!($reason)),*],
            flags: &[$(stringify!($flag)),*],
            error_bar_refused: cards!(@refused $($why)?),
            formula: $formula,
        }),*];
    };
    (@refused) => { None };
    (@refused $why:ident) => { Some(stringify!($why)) };
    (@) => { false };
    (@ by_name_only) => { true };
}

mod formula;
mod gnc2;
mod imbalance;
mod nc1;
mod nc2;
mod nc3;
mod nc4;
mod nc5;
mod papers;
mod range;
mod remarks;
mod separation;
mod spectrum;

pub use papers::{Paper, papers};
pub use range::ValueRange;
pub use remarks::{Remark, common_flags, error_bar_reasons, flags, group_flags, reasons};

pub(super) use formula::Formula;

use std::sync::LazyLock;

/// The families that `--metrics` knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Variability within classes.
    Nc1,
    /// Geometry of class means and of classifier rows.
    Nc2,
    /// Uniformity of class means and classifier rows on the sphere.
    Gnc2,
    /// Hyperspherical uniformity gap.
    Hug,
    /// Duality of classifier and class means, and uniform duality.
    Nc3,
    /// Decisions by the nearest class centre.
    Nc4,
    /// Out-of-distribution rows.
    Nc5,
    /// The mean squared error's decomposition.
    Mse,
    /// How many directions features fill.
    Spectrum,
    /// How far apart classes lie.
    Separation,
    /// The geometry of classes of unequal sizes.
    Imbalance,
    /// What a linear model of the features would explain.
    Transfer,
}

impl Family {
    /// All, in display order.
    pub const ALL: [Self; 12] = [
        Self::Nc1,
        Self::Nc2,
        Self::Gnc2,
        Self::Hug,
        Self::Nc3,
        Self::Nc4,
        Self::Nc5,
        Self::Mse,
        Self::Spectrum,
        Self::Separation,
        Self::Imbalance,
        Self::Transfer,
    ];

    /// What `--metrics` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nc1 => "nc1",
            Self::Nc2 => "nc2",
            Self::Gnc2 => "gnc2",
            Self::Hug => "hug",
            Self::Nc3 => "nc3",
            Self::Nc4 => "nc4",
            Self::Nc5 => "nc5",
            Self::Mse => "mse",
            Self::Spectrum => "spectrum",
            Self::Separation => "separation",
            Self::Imbalance => "imbalance",
            Self::Transfer => "transfer",
        }
    }

    /// Whether its metrics are made where none was asked for. What people measure beside neural collapse is not: it takes the
    /// eigenvalues of matrices of `D × D`.
    pub fn is_default(self) -> bool {
        !matches!(self, Self::Spectrum | Self::Separation | Self::Imbalance | Self::Transfer)
    }
}

impl Family {
    /// What its metrics are about.
    pub fn text(self) -> &'static str {
        match self {
            Self::Nc1 => "variability within classes",
            Self::Nc2 => "geometry of class means and of classifier rows",
            Self::Gnc2 => "uniformity of class means and classifier rows on the sphere",
            Self::Hug => "hyperspherical uniformity gap",
            Self::Nc3 => "duality of classifier and class means, and uniform duality",
            Self::Nc4 => "decisions by the nearest class centre",
            Self::Nc5 => "out-of-distribution rows",
            Self::Mse => "the parts of the mean squared error",
            Self::Spectrum => "how many directions features fill",
            Self::Separation => "how far apart classes lie",
            Self::Imbalance => "the geometry of classes of unequal sizes",
            Self::Transfer => "what a linear model of the features would explain",
        }
    }
}

/// Which way collapse lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// Lower is more collapsed.
    Lower,
    /// Higher is more collapsed.
    Higher,
    /// Neither: a description.
    None,
}

impl Direction {
    /// An arrow that way; `None` for a description.
    pub fn arrow(self) -> Option<char> {
        match self {
            Self::Lower => Some('↓'),
            Self::Higher => Some('↑'),
            Self::None => None,
        }
    }
}

/// An input of a metric besides counts, means and class variances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The pooled scatter, `D × D`.
    Scatter,
    /// The classifier.
    Head,
    /// The sweep over pairs of classes.
    Pairs,
    /// A second read of the rows of the decisions.
    Decisions,
    /// A second read of the group's own rows, along the lines between means.
    Directional,
    /// A second read of the group's own rows, against the classifier's rows.
    HugIntra,
    /// The mean of out-of-distribution rows.
    OodMean,
    /// A second read of the rows of the decisions and of the out-of-distribution rows, for NECO scores.
    Neco,
    /// A second read of the same rows, for Mahalanobis scores.
    Mahalanobis,
    /// A second read of the rows of the decisions, in the metric of the covariance within classes.
    Lda,
}

impl Need {
    /// What it is, in words.
    pub fn text(self) -> &'static str {
        match self {
            Self::Scatter => "pooled scatter",
            Self::Head => "classifier",
            Self::Pairs => "sweep over pairs of classes",
            Self::Decisions => "second read: decisions",
            Self::Directional => "second read: variances along lines between means",
            Self::HugIntra => "second read: distances to classifier rows",
            Self::OodMean => "out-of-distribution rows",
            Self::Neco => "second read, also of out-of-distribution rows: NECO scores",
            Self::Mahalanobis => "second read, also of out-of-distribution rows: Mahalanobis scores",
            Self::Lda => "second read: Mahalanobis distances to class means",
        }
    }
}

/// All that is to be known of a metric.
///
/// ```
/// use nckit::metrics::{Direction, card};
///
/// let card = card("nc2_etf_error").unwrap();
/// assert_eq!((card.direction, card.ideal), (Direction::Lower, "0"));
/// assert_eq!((card.range.to_string(), card.source.name), ("[0, √2]".to_owned(), "Kothapalli 2023"));
/// assert!(card.needs.is_empty() && card.nulls.contains(&"single_class"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Card {
    /// Its key in records, reports and SQL.
    pub key: &'static str,
    /// Its family.
    pub family: Family,
    /// Formula and meaning, in a line.
    pub summary: &'static str,
    /// Which way collapse lies.
    pub direction: Direction,
    /// Its value at full collapse; empty where there is none.
    pub ideal: &'static str,
    /// The values that it can take, under all options.
    pub range: ValueRange,
    /// Its unit; empty for a pure number.
    pub unit: &'static str,
    /// The paper that defines it.
    pub source: &'static Paper,
    /// Its inputs besides counts, means and class variances.
    pub needs: &'static [Need],
    /// Whether it is made only if asked for by its own key, because it costs a read of its own.
    pub by_name_only: bool,
    /// The reasons for which it may be null; [`reasons`] says what they mean.
    pub nulls: &'static [&'static str],
    /// The remarks that it may have, besides the [`common_flags`]; [`flags`] says what they mean.
    pub flags: &'static [&'static str],
    /// Why a jackknife of it is not valid, if it is not.
    error_bar_refused: Option<&'static str>,
    /// The function that makes it.
    pub(super) formula: Formula,
}

impl Card {
    /// Whether it is made where no metric was asked for.
    pub fn is_default(&self) -> bool {
        self.family.is_default() && !self.by_name_only
    }

    /// Why it never has an error bar; [`error_bar_reasons`] says what the words mean. `None` if it can have one.
    pub fn no_error_bar(&self) -> Option<&'static str> {
        let reads_again = |need: &Need| match need {
            Need::Decisions | Need::Directional | Need::HugIntra | Need::Neco | Need::Mahalanobis | Need::Lda => true,
            Need::Scatter | Need::Head | Need::Pairs | Need::OodMean => false,
        };
        if self.needs.iter().any(reads_again) {
            return Some("second_read");
        }
        match self.formula {
            _ if self.needs.contains(&Need::OodMean) => Some("further_rows"),
            Formula::Weights(_) => Some("of_classifier_alone"),
            _ => self.error_bar_refused,
        }
    }
}

static CARDS: LazyLock<Vec<Card>> = LazyLock::new(|| {
    let of_collapse = [nc1::CARDS, nc2::CARDS, gnc2::CARDS, nc3::CARDS, nc4::CARDS, nc5::CARDS];
    let beside = [spectrum::CARDS, separation::CARDS, imbalance::CARDS];
    [of_collapse.concat(), beside.concat()].concat()
});

/// The card of a key.
pub fn card(key: &str) -> Option<&'static Card> {
    cards().iter().find(|card| card.key == key)
}

/// All cards in display order.
pub fn cards() -> &'static [Card] {
    &CARDS
}

/// Units of lengths and squared lengths of features.
const LENGTH: &str = "feature";
const SQUARE: &str = "feature²";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_once_and_no_family_is_torn() {
        for (at, card) in CARDS.iter().enumerate() {
            assert_eq!(CARDS.iter().filter(|other| other.key == card.key).count(), 1, "{}", card.key);
            assert_eq!(super::card(card.key).unwrap().key, card.key);
            assert!(!card.summary.is_empty(), "{}", card.key);
            let later = CARDS[at..].iter().skip_while(|other| other.family == card.family);
            assert!(later.clone().all(|other| other.family != card.family), "{}", card.key);
        }
        let families: Vec<&str> = Family::ALL.into_iter().map(Family::name).collect();
        let mut shown: Vec<&str> = CARDS.iter().map(|card| card.family.name()).collect();
        shown.dedup();
        assert_eq!(shown, families);
        assert!(super::card("nc1").is_none());
    }

    #[test]
    fn what_is_made_of_weights_needs_a_head_and_has_a_twin() {
        for card in cards() {
            if let Some(twin) = card.key.strip_suffix("_weights").map(|key| super::card(key).unwrap()) {
                assert!(card.needs.contains(&Need::Head) && !twin.needs.contains(&Need::Head), "{}", card.key);
                assert_eq!(
                    (card.family, card.direction, card.ideal, card.range, card.flags),
                    (twin.family, twin.direction, twin.ideal, twin.range, twin.flags),
                    "{}",
                    card.key
                );
            }
        }
    }

    #[test]
    fn every_word_on_a_card_has_one_meaning_and_every_word_is_on_a_card() {
        let check = |remarks: &[Remark], on_card: fn(&Card) -> &'static [&'static str]| {
            for card in cards() {
                for word in on_card(card) {
                    let meanings = remarks.iter().filter(|remark| remark.word == *word).count();
                    assert_eq!(meanings, 1, "{}: {word}", card.key);
                    assert_eq!(on_card(card).iter().filter(|other| *other == word).count(), 1, "{}: {word}", card.key);
                }
            }
            for remark in remarks {
                assert!(cards().iter().any(|card| on_card(card).contains(&remark.word)), "{}", remark.word);
            }
        };
        check(reasons(), |card| card.nulls);
        check(flags(), |card| card.flags);
        for reason in cards().iter().filter_map(Card::no_error_bar) {
            assert_eq!(error_bar_reasons().iter().filter(|remark| remark.word == reason).count(), 1, "{reason}");
        }
        for paper in papers() {
            assert!(cards().iter().any(|card| card.source == *paper), "{}", paper.name);
        }
    }
}
