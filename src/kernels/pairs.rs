//! All that is said of pairs of classes, in one sweep over tiles.

/// Points, one a class: centred means or classifier rows.
#[derive(Clone, Copy, Debug)]
pub struct Points<'a> {
    /// `D`.
    pub dim: usize,
    /// `K × D`, row-major, in units of `unit`.
    pub values: &'a [f64],
    /// Their norms, `K`, in units of `unit`; 0 for a point that has no direction.
    pub norms: &'a [f64],
    /// The unit, in feature units: a power of two that keeps squares in range.
    pub unit: f64,
}

/// What CDNV needs besides means.
#[derive(Clone, Copy, Debug)]
pub struct Variances<'a> {
    /// `v_k`, `K`, feature units squared.
    pub values: &'a [f64],
    /// Which classes have enough rows, `K`.
    pub used: &'a [bool],
    /// `p`.
    pub exponent: f64,
    /// How many of the worst pairs to keep.
    pub worst: usize,
}

/// What is known after a sweep.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sweep {
    /// If variances were given.
    pub cdnv: Option<Cdnv>,
    /// If the exponent of the Riesz energy was given.
    pub angles: Option<Angles>,
}

/// CDNV, `V_ij = (v_i + v_j) / (2 ‖μ_i − μ_j‖^2p)`, over unordered pairs of the classes used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cdnv {
    /// Classes used.
    pub classes: usize,
    /// Pairs counted in all below.
    pub pairs: u64,
    /// Pairs left out because their means are the same up to rounding.
    pub degenerate: u64,
}

/// Distances and angles over unordered pairs of points that have a direction; unit vectors throughout.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Angles {
    /// Points with a direction.
    pub points: usize,
    /// Points without.
    pub zeros: usize,
    /// Pairs of one direction up to rounding, left out of both energies.
    pub degenerate: u64,
    /// `cos`.
    pub cos: Moments,
    /// `|cos + 1/(K − 1)|`, its mean.
    pub simplex_deviation: f64,
    /// `‖u_i − u_j‖`.
    pub distance: Moments,
    /// `−ln ‖u_i − u_j‖`.
    pub log_energy: Moments,
    /// `‖u_i − u_j‖^−s`, divided by `exp(riesz_ln_scale)`.
    pub riesz: Moments,
    /// See [`riesz`](Self::riesz).
    pub riesz_ln_scale: f64,
    /// The least `‖u_i − u_j‖`; `None` without pairs.
    pub min_distance: Option<f64>,
}

/// Count, mean and sum of squared deviations.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// How many values.
    pub count: u64,
    /// Their mean.
    pub mean: f64,
    /// `Σ (x − mean)²`.
    pub squares: f64,
}

/// Sweeps all pairs of points once: CDNV if there are variances, angles if there is an exponent of the Riesz energy.
pub fn sweep(points: &Points<'_>, variances: Option<&Variances<'_>>, riesz_s: Option<f64>) -> Sweep {
    todo!()
}
