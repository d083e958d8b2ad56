//! What a formula gives: a number, or the reason why there is none, with remarks on it.

use super::{Value, finite};

/// Fewer than two vectors have a direction.
pub(super) const TOO_FEW: &str = "too_few_directions";

/// Vectors of length 0 were left out.
pub(super) const ZERO_NORMS: &str = "zero_norm_classes";

/// What a formula gives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// The number, or a machine-readable reason.
    pub value: Value,
    /// The least value that data of these shapes can attain.
    pub floor: Option<f64>,
    /// Machine-readable remarks.
    pub flags: Vec<&'static str>,
    /// The counts that belong to the remarks.
    pub counts: Vec<(&'static str, u64)>,
    /// How far rounding may have moved the number, in its own unit; 0 where no formula estimates it.
    pub error: f64,
}

impl Outcome {
    /// No number, for this reason.
    pub(super) fn null(reason: &'static str) -> Self {
        Err(reason).into()
    }

    /// The number, or null with this reason if there is none.
    pub(super) fn number_or(number: Option<f64>, reason: &'static str) -> Self {
        number.ok_or(reason).into()
    }

    /// Sets the least attainable value.
    #[must_use]
    pub(super) fn floor(mut self, floor: Option<f64>) -> Self {
        self.floor = floor;
        self
    }

    /// With the estimate of its error, which `error` makes from the number; nothing changes where there is no number.
    #[must_use]
    pub(super) fn off_by(mut self, error: impl FnOnce(f64) -> f64) -> Self {
        if let Ok(value) = self.value {
            self.error = error(value);
        }
        self
    }

    /// Adds a remark if `holds`.
    #[must_use]
    pub(super) fn flag_if(mut self, holds: bool, flag: &'static str) -> Self {
        if holds {
            self.flags.push(flag);
        }
        self
    }

    /// With a count that belongs to a remark, unless it is 0.
    #[must_use]
    pub(super) fn count(mut self, what: &'static str, number: u64) -> Self {
        if number > 0 {
            self.counts.push((what, number));
        }
        self
    }
}

impl From<Value> for Outcome {
    fn from(value: Value) -> Self {
        Self { value: value.and_then(finite), floor: None, flags: Vec::new(), counts: Vec::new(), error: 0.0 }
    }
}

impl From<f64> for Outcome {
    fn from(value: f64) -> Self {
        Ok(value).into()
    }
}
