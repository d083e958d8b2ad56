//! One formula, one pure function of states.

mod options;

pub use options::{Centring, NecoDenominator, NecoDim, Normaliser, Options};

/// A classifier, its rows in the order of the classes of a [`Statistics`](crate::state::Statistics).
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// `W`, `K × D`, row-major.
    pub weights: Vec<f64>,
    /// `b`, `K`.
    pub bias: Option<Vec<f64>>,
}

/// A metric's number, or why there is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// The key of METRICS, `nc1_pinv`.
    pub key: &'static str,
    /// The number; `None` says why in `reason`.
    pub value: Option<f64>,
    /// The least value that data of these shapes can attain, where that is known.
    pub floor: Option<f64>,
    /// Machine-readable: `no_head`, `single_class`, `zero_between`, …
    pub reason: Option<&'static str>,
    /// Machine-readable remarks: `singleton_classes`, `pinv_tolerance_sensitive`, …
    pub flags: Vec<&'static str>,
}
