//! What a second read is asked for, and what it finds for one row.

use crate::kernels::{Mahalanobis, Projection};
use crate::state::{Head, Statistics};

/// What a second read is asked for.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent questions, each asked or not")]
pub struct SecondPassSpec<'a> {
    /// The classes. Their means are the centres of the nearest-centre rule, and every row is put into one of them.
    pub statistics: &'a Statistics,
    /// The classifier of these classes.
    pub head: Option<&'a Head>,
    /// Whether the classifier decides with its bias, if it has one.
    pub use_bias: bool,
    /// Whether to find nearest centres, and the classifier's choices if there is one.
    pub decisions: bool,
    /// Asks for variances along the lines between the means of classes with at least this many rows.
    pub directional: Option<u64>,
    /// Whether to measure distances of unit rows from their unit weights; needs a classifier.
    pub hug_intra: bool,
    /// NECO's subspace.
    pub projection: Option<&'a Projection>,
    /// The metric of Mahalanobis distances: rows are put into the class of the nearest mean in it, and scored if it has the
    /// covariance of all rows too.
    pub mahalanobis: Option<&'a Mahalanobis>,
    /// About how many rows will be decided. Where these are many beside the classes, rows near to the mean of their class are
    /// decided without products; 0 leaves that out. No result depends on it.
    pub expected_rows: u64,
    /// Whether NECO's score is multiplied by the row's largest logit; needs a classifier.
    pub max_logit: bool,
}

/// Whose rows a second read looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The group's own rows, if decisions are made on other rows: `directional`, `hug_intra`.
    Train,
    /// Rows of the decisions: NC4, and NECO's positives.
    Eval,
    /// The group's own rows, on which decisions are made too.
    TrainAndEval,
    /// Out-of-distribution rows, whose labels are ignored: NECO's negatives.
    Ood,
}

/// What a second read finds for one row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Verdict {
    /// The nearest centre; its margin is how much farther the second one is, in feature units.
    pub nearest: Option<Decision>,
    /// The classifier's choice; its margin is the difference of the two largest logits.
    pub classifier: Option<Decision>,
    /// NECO's score.
    pub neco: Option<f64>,
    /// Less the squared Mahalanobis distance from the nearest class mean.
    pub mahalanobis: Option<f64>,
    /// The same with the squared distance from the mean of all rows, in the metric of their covariance, added to it.
    pub relative_mahalanobis: Option<f64>,
}

/// A class that a row was put into.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// An index into the labels of the statistics.
    pub class: u32,
    /// By how much; `None` if there is only one class, or the number leaves the range of `f64`.
    pub margin: Option<f64>,
}

impl Verdict {
    /// Whether classifier and nearest centre agree; `None` without a classifier.
    pub fn agreement(&self) -> Option<bool> {
        Some(self.nearest?.class == self.classifier?.class)
    }
}
