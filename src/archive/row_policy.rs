//! Which rows are used: the one policy on nulls, on values that are not finite, and on labels.
//!
//! Every source of rows asks it: the archive's reader and SQL. In order of precedence: a row without a label is null; a
//! row of the ignored label is left out whatever else it is; a label that is not a class is an error; then the vector
//! counts.

use super::codes::NULL;
use super::request::Policy;
use crate::batch::Label;
use crate::error::{Error, Result};

/// What to do with rows that cannot be used.
#[derive(Clone, Debug)]
pub(crate) struct RowPolicy {
    /// Rows with a null label, vector or element.
    pub(crate) nulls: Policy,
    /// Rows with a NaN or an infinity.
    pub(crate) nonfinite: Policy,
    /// Rows of this label are left out and counted.
    pub(crate) ignored: Option<Label>,
    /// Whether labels only tell rows apart, so that negative ones will do.
    pub(crate) any_labels: bool,
    /// Whether rows are divided by their length; a row of zeros has none, and counts as one that is not finite.
    pub(crate) normalize: bool,
    /// The columns of vectors and labels, where errors name them.
    pub(crate) columns: Option<(String, String)>,
    /// What errors advise.
    pub(crate) advice: &'static RowAdvice,
}

/// What a user can do about rows that cannot be used, in the words of whatever they use.
#[derive(Debug)]
pub(crate) struct RowAdvice {
    pub(crate) nulls: &'static str,
    pub(crate) nonfinite: &'static str,
    pub(crate) negative: fn(&Label) -> String,
}

/// On the command line.
pub(super) const FLAGS: RowAdvice = RowAdvice {
    nulls: "--nulls skip leaves such rows out and counts them",
    nonfinite: "--nonfinite skip leaves such rows out and counts them",
    negative: |label| format!("--ignore-label {label} leaves such rows out and counts them"),
};

/// What a user can do about vectors that differ in length.
pub(super) const RAGGED: &str =
    "all vectors of a column have one length: pad them, pool them, or leave such rows out as the file is written";

/// What is wrong with the vector of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum RowDefect {
    /// It is null, or one of its elements is.
    Null,
    /// The first value that is a NaN or an infinity.
    NonFinite { dimension: usize, value: f64 },
    /// It is all zeros, and has no direction where rows are divided by their length.
    Zero,
}

/// What becomes of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RowStatus {
    Used,
    /// Left out for its label.
    Ignored,
    /// Left out for a null.
    Null,
    /// Left out for a NaN or an infinity.
    NonFinite,
}

/// The policy on rows whose labels have codes.
#[derive(Debug)]
pub(crate) struct RowCheck<'a> {
    policy: &'a RowPolicy,
    codes: &'a [u32],
    classes: &'a [Label],
    ignored: Option<u32>,
    refused: Vec<bool>,
}

impl<'a> RowCheck<'a> {
    /// `codes` are indices into `classes`, or [`NULL`].
    pub(crate) fn new(policy: &'a RowPolicy, codes: &'a [u32], classes: &'a [Label]) -> Self {
        let ignored = policy.ignored.as_ref();
        let ignored = ignored.and_then(|ignored| classes.iter().position(|label| label == ignored));
        let refused = classes.iter().map(|label| !policy.any_labels && !label.is_class()).collect();
        Self { policy, codes, classes, ignored: ignored.map(|code| code as u32), refused }
    }

    /// The status of a row with that defect, if its vector has one.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for a row that cannot be used and may not be left out.
    pub(crate) fn status(&self, row: usize, defect: Option<RowDefect>) -> Result<RowStatus> {
        let code = self.codes[row];
        if code == NULL {
            return skip(self.policy.nulls, RowStatus::Null, || self.null(true));
        }
        if Some(code) == self.ignored {
            return Ok(RowStatus::Ignored);
        }
        if self.refused[code as usize] {
            return Err(self.negative(&self.classes[code as usize]));
        }
        match defect {
            None => Ok(RowStatus::Used),
            Some(RowDefect::Null) => skip(self.policy.nulls, RowStatus::Null, || self.null(false)),
            Some(RowDefect::NonFinite { dimension, value }) => {
                skip(self.policy.nonfinite, RowStatus::NonFinite, || self.not_finite(code, dimension, value))
            }
            Some(RowDefect::Zero) => skip(self.policy.nonfinite, RowStatus::NonFinite, || self.zero(code)),
        }
    }

    fn null(&self, is_label: bool) -> Error {
        let error = Error::data(if is_label { "null label" } else { "null in a feature vector" });
        self.with_column(error, is_label).help(self.policy.advice.nulls)
    }

    fn negative(&self, label: &Label) -> Error {
        let error = Error::data("negative label").with("label", label);
        self.with_column(error, true).help((self.policy.advice.negative)(label))
    }

    fn not_finite(&self, code: u32, dimension: usize, value: f64) -> Error {
        let error = self.with_column(Error::data("feature is not finite"), false);
        // Where no column is named, no file and row will be: the class leads to the row.
        let error = match self.policy.columns {
            Some(_) => error,
            None => error.with("class", &self.classes[code as usize]),
        };
        error.with("dimension", dimension).with("found", value).help(self.policy.advice.nonfinite)
    }

    fn zero(&self, code: u32) -> Error {
        let error = self.with_column(Error::data("a row of zeros has no length to be divided by"), false);
        let error = match self.policy.columns {
            Some(_) => error,
            None => error.with("class", &self.classes[code as usize]),
        };
        error.help(self.policy.advice.nonfinite)
    }

    fn with_column(&self, error: Error, is_label: bool) -> Error {
        match &self.policy.columns {
            Some((_, labels)) if is_label => error.with("column", labels),
            Some((features, _)) => error.with("column", features),
            None => error,
        }
    }
}

fn skip(policy: Policy, status: RowStatus, error: impl FnOnce() -> Error) -> Result<RowStatus> {
    match policy {
        Policy::Skip => Ok(status),
        Policy::Fail => Err(error()),
    }
}

/// Whether a row counts towards the grid of its chunk: all do that have a label and a finite vector, those outside the
/// filters and under the ignored label included.
pub(super) fn counts_towards_grid(code: u32, defect: Option<RowDefect>) -> bool {
    code != NULL && defect.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAN: Option<RowDefect> = Some(RowDefect::NonFinite { dimension: 2, value: f64::NAN });

    fn status(policy: &RowPolicy, code: u32, defect: Option<RowDefect>) -> Result<RowStatus, String> {
        let classes = [Label::Int(3), Label::Int(-1), Label::Int(-2)];
        RowCheck::new(policy, &[code], &classes).status(0, defect).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn what_cannot_be_used_fails_or_is_left_out_in_one_order() {
        let fail = RowPolicy {
            nulls: Policy::Fail,
            nonfinite: Policy::Fail,
            ignored: Some(Label::Int(-1)),
            any_labels: false,
            normalize: true,
            columns: None,
            advice: &FLAGS,
        };
        let skip = RowPolicy { nulls: Policy::Skip, nonfinite: Policy::Skip, ..fail.clone() };
        let any = RowPolicy { any_labels: true, ..fail.clone() };
        let refused = |message: &str| Err(message.to_owned());
        let null = Some(RowDefect::Null);
        for (policy, code, defect, expected) in [
            (&fail, 0, None, Ok(RowStatus::Used)),
            (&fail, NULL, None, refused("null label")),
            (&fail, 0, null, refused("null in a feature vector")),
            (&fail, 0, NAN, refused("feature is not finite")),
            (&fail, 0, Some(RowDefect::Zero), refused("a row of zeros has no length to be divided by")),
            (&skip, 0, Some(RowDefect::Zero), Ok(RowStatus::NonFinite)),
            (&fail, 1, NAN, Ok(RowStatus::Ignored)),
            (&fail, 2, NAN, refused("negative label")),
            (&skip, NULL, NAN, Ok(RowStatus::Null)),
            (&skip, 0, null, Ok(RowStatus::Null)),
            (&skip, 0, NAN, Ok(RowStatus::NonFinite)),
            (&skip, 2, NAN, refused("negative label")),
            (&any, 2, None, Ok(RowStatus::Used)),
        ] {
            assert_eq!(status(policy, code, defect), expected, "{code} {defect:?}");
        }
        assert!(counts_towards_grid(1, None) && !counts_towards_grid(1, NAN) && !counts_towards_grid(NULL, None));
    }
}
