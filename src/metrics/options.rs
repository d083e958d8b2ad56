//! The conventions that decide a number.

/// Which mean the class means are centred with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Centring {
    /// The unweighted mean of the class means.
    #[default]
    Class,
    /// The mean of all rows.
    Sample,
}

/// What the within-class scatter is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Normaliser {
    /// `N`.
    #[default]
    Rows,
    /// `N − K`, unbiased.
    RowsLessClasses,
    /// The mean over classes of each class's own covariance: every class counts the same.
    Balanced,
}

/// How many principal axes NECO keeps.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum NecoDim {
    /// As many as explain this fraction of the variance.
    Fraction(f64),
    /// That many.
    Axes(usize),
}

/// What NECO divides the projected norm by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NecoDenominator {
    /// The norm of the standardised row.
    Scaled,
    /// The norm of the row as stored.
    Raw,
}

/// Conventions; the default is the reference's where there is one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Options {
    /// `μ_G`.
    pub centring: Centring,
    /// `Σ_W`.
    pub normaliser: Normaliser,
    /// Classes with fewer rows are left out; `None` is 2 for CDNV and per-class variances, 1 for all others.
    pub min_count: Option<u64>,
    /// Classes with more rows are left out.
    pub max_count: Option<u64>,
    /// `p` of CDNV.
    pub cdnv_exponent: f64,
    /// Whether NC1 is divided by `K`.
    pub divide_by_k: bool,
    /// `s` of the Riesz energy.
    pub riesz_s: f64,
    /// Whether decisions use the bias when there is one.
    pub use_bias: bool,
    /// Whether NC5 takes `μ_G` off the means and the out-of-distribution mean.
    pub ood_centred: bool,
    /// NECO's axes.
    pub neco_dim: NecoDim,
    /// Whether NECO standardises columns.
    pub neco_scale: bool,
    /// NECO's denominator.
    pub neco_denominator: NecoDenominator,
    /// Whether NECO's score is multiplied by the row's largest logit.
    pub neco_max_logit: bool,
    /// The weight decay of training, twice the `λ` of the MSE decomposition.
    pub weight_decay: f64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            centring: Centring::Class,
            normaliser: Normaliser::Rows,
            min_count: None,
            max_count: None,
            cdnv_exponent: 1.0,
            divide_by_k: true,
            riesz_s: 2.0,
            use_bias: true,
            ood_centred: false,
            neco_dim: NecoDim::Fraction(0.9),
            neco_scale: true,
            neco_denominator: NecoDenominator::Scaled,
            neco_max_logit: false,
            weight_decay: 5e-4,
        }
    }
}
