//! A number, or the reason why there is none.

use super::{Value, finite};

/// What a formula comes to.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Outcome {
    /// The number, or a machine-readable reason.
    pub value: Value,
    /// The least value that data of these shapes can attain.
    pub floor: Option<f64>,
    /// Machine-readable remarks.
    pub flags: Vec<&'static str>,
    /// What the remarks are about, counted.
    pub counts: Vec<(&'static str, u64)>,
    /// How far rounding may have moved the number, in its own unit; 0 where that is not known here.
    pub error: f64,
}

impl Outcome {
    /// There is none.
    pub(super) fn null(reason: &'static str) -> Self {
        Err(reason).into()
    }

    /// With a floor.
    #[must_use]
    pub(super) fn floor(mut self, floor: Option<f64>) -> Self {
        self.floor = floor;
        self
    }

    /// With what rounding may have moved it by.
    #[must_use]
    pub(super) fn off_by(mut self, error: f64) -> Self {
        self.error = error;
        self
    }

    /// With a remark, if `holds`.
    #[must_use]
    pub(super) fn flag_if(mut self, holds: bool, flag: &'static str) -> Self {
        if holds {
            self.flags.push(flag);
        }
        self
    }

    /// With the number of what a remark is about, unless that is 0.
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
