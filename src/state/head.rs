//! The classifier of a model, matched to the classes of a state.

/// A classifier, its rows in the order of the classes of a [`Statistics`](super::Statistics).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Head {
    /// `W`, `K × D`, row-major.
    pub weights: Vec<f64>,
    /// `b`, `K`.
    pub bias: Option<Vec<f64>>,
    /// How far rounding of rows may have moved each row of `W`, `K`; empty where the numbers are as they were given.
    pub errors: Vec<f64>,
}
