//! From a card to its number.

use super::{Card, Need};
use crate::metrics::context::MetricContext;
use crate::metrics::geometry::Geometry;
use crate::metrics::nc3;
use crate::metrics::nc4::Decided;
use crate::metrics::outcome::Outcome;

/// The function that makes a metric, by what it is a function of.
#[derive(Clone, Copy, Debug)]
pub(in crate::metrics) enum Formula {
    /// Takes the whole context of a group.
    Group(fn(&MetricContext<'_>) -> Outcome),
    /// Takes the centred class means.
    Means(fn(&Geometry) -> Outcome),
    /// Takes the classifier's rows.
    Weights(fn(&Geometry) -> Outcome),
    /// Takes the classifier's rows and the centred class means.
    Duality(fn(&nc3::Duality<'_>) -> Outcome),
    /// Takes the decisions on rows.
    Decisions(fn(&Decided) -> Outcome),
}

impl Card {
    /// The metric of this group.
    pub(in crate::metrics) fn outcome(&self, context: &MetricContext<'_>) -> Outcome {
        let made = match self.formula {
            Formula::Group(formula) => Ok(formula(context)),
            Formula::Means(formula) => Ok(formula(&context.means)),
            Formula::Weights(formula) => context.weights().map(formula),
            Formula::Duality(formula) => context.duality().map(|duality| formula(&duality)),
            Formula::Decisions(formula) => context.decided(self).map(|decided| formula(&decided)),
        };
        made.unwrap_or_else(Outcome::null)
    }

    /// Whether it cannot be made without a classifier.
    pub(in crate::metrics) fn needs_head(&self) -> bool {
        self.needs.contains(&Need::Head)
    }
}
