//! The classifier of a model, matched to the classes of a state.

/// A classifier, its rows in the order of the classes of a [`Statistics`](super::Statistics).
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// `W`, `K × D`, row-major.
    pub weights: Vec<f64>,
    /// `b`, `K`.
    pub bias: Option<Vec<f64>>,
}
