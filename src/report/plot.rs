//! The names of figures that stand alone.

use crate::error::{Error, Result, did_you_mean};
use crate::metrics::{card, cards};

/// A figure that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plot {
    /// A metric over the groups, by its key.
    Lines(&'static str),
    /// A map of a metric, by its key: a row for each line of the other figure.
    Map(&'static str),
    /// A figure of one group, or of a few side by side.
    Group(GroupPlot),
}

/// A figure of what [`FigureData`](crate::metrics::FigureData) holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupPlot {
    /// The eigenvalues of `Σ_W` and `Σ_B` of the last group.
    Spectrum,
    /// Those of `Σ_W` of a few groups.
    SpectrumWithin,
    /// Those of `Σ_B` of a few groups.
    SpectrumBetween,
    /// The variance of each class over its size.
    ClassVariance,
    /// The distance of each class mean from the centre over the size of the class.
    ClassDistance,
    /// A map of the cosines between class means.
    ClassCosines,
    /// How often each cosine occurs.
    CosineHistogram,
    /// The class means on their two leading directions.
    ClassProjection,
}

/// Every figure of a group, with its name.
const OF_GROUPS: [(&str, GroupPlot); 8] = [
    ("spectrum", GroupPlot::Spectrum),
    ("spectrum-within", GroupPlot::SpectrumWithin),
    ("spectrum-between", GroupPlot::SpectrumBetween),
    ("class-variance", GroupPlot::ClassVariance),
    ("class-distance", GroupPlot::ClassDistance),
    ("class-cosines", GroupPlot::ClassCosines),
    ("cosine-histogram", GroupPlot::CosineHistogram),
    ("class-projection", GroupPlot::ClassProjection),
];

/// What is before the key of a map.
const MAP: &str = "map:";

impl Plot {
    /// The figure of this name: the key of a metric, `map:` and a key, or one of [`names`](Self::names).
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for any other word, with similar names as advice.
    pub fn parse(name: &str) -> Result<Self> {
        let key = name.strip_prefix(MAP).unwrap_or(name);
        let found = match (card(key), key == name) {
            (Some(card), true) => Some(Self::Lines(card.key)),
            (Some(card), false) => Some(Self::Map(card.key)),
            (None, _) => OF_GROUPS.iter().find(|(known, _)| *known == name).map(|(_, plot)| Self::Group(*plot)),
        };
        found.ok_or_else(|| {
            let near = did_you_mean(key, cards().iter().map(|card| card.key).chain(Self::names()));
            let names: Vec<&str> = Self::names().collect();
            let all = format!("one of {}, the key of a metric, or map: and a key", names.join(", "));
            Error::usage("no such figure").with("figure", name).help(near.unwrap_or(all))
        })
    }

    /// The names of figures that are not of one metric.
    pub fn names() -> impl Iterator<Item = &'static str> {
        OF_GROUPS.iter().map(|(name, _)| *name)
    }

    /// Its name.
    pub fn name(self) -> String {
        match self {
            Self::Lines(key) => key.to_owned(),
            Self::Map(key) => format!("{MAP}{key}"),
            Self::Group(plot) => {
                let named = OF_GROUPS.iter().find(|(_, known)| *known == plot);
                named.map_or(String::new(), |(name, _)| (*name).to_owned())
            }
        }
    }

    /// The key of the metric that it is of.
    pub fn metric(self) -> Option<&'static str> {
        match self {
            Self::Lines(key) | Self::Map(key) => Some(key),
            Self::Group(_) => None,
        }
    }

    /// Whether it has the eigenvalues of `Σ_W`.
    pub fn is_of_within(self) -> bool {
        matches!(self, Self::Group(GroupPlot::Spectrum | GroupPlot::SpectrumWithin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_of_one_figure_each() {
        for name in Plot::names().chain(["nc1_pinv", "map:nc1_pinv"]) {
            assert_eq!(Plot::parse(name).unwrap().name(), name);
        }
        assert!(Plot::names().all(|name| card(name).is_none()));
        let advice = |name: &str| Plot::parse(name).unwrap_err().advice().unwrap().to_owned();
        assert_eq!(advice("nc1_pin"), "did you mean nc1_pinv?");
        assert_eq!(advice("map:nc1_pin"), "did you mean nc1_pinv?");
        assert_eq!(advice("class-cosine"), "did you mean class-cosines?");
        assert!(advice("zzz").starts_with("one of spectrum, spectrum-within, "), "{}", advice("zzz"));
        assert!(Plot::parse("map:spectrum").is_err());
    }
}
