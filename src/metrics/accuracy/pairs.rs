//! Estimates of metrics over pairs of classes.
//!
//! The noise of means adds up over pairs as if all pairs erred in the same direction, since those of one class do.

use std::f64::consts::LN_10;

use super::{GridNoise, Inputs};
use crate::kernels::pairs::{Angles, Cdnv, Moments, ScaledMoments};

type Estimates = Vec<(&'static str, Option<f64>)>;

impl GridNoise<'_> {
    /// Of all metrics that are statistics of `V_ij`.
    pub(super) fn of_cdnv(&self, cdnv: &Cdnv, inputs: &Inputs<'_>) -> Estimates {
        let mean = self.cdnv_mean(cdnv, inputs).map(|error| error + cdnv.mean_error);
        let hidden = self.hidden(cdnv, inputs);
        let quantile = |q: f64| {
            let value = cdnv.distribution.quantile(q).filter(|&value| value > 0.0)?;
            let error = self.pair_variances(cdnv, inputs).zip(farthest(value, inputs)).map(|(of, at)| of + at);
            let hidden = hidden.map(|hidden| (hidden / value).min(1.0));
            Some(error.unwrap_or(0.0).max(hidden.or(error.map(|_| 0.0))?) + cdnv.distribution.error())
        };
        // Pairs that count as 0 are not in the mean of logarithms; if they are not 0, it is another one.
        let typical =
            self.typical_variance(cdnv, inputs).map(|error| if hidden.is_some() { error.max(1.0) } else { error });
        let log10 =
            cdnv.log10_mean.zip(typical).map(|(value, error)| (error + cdnv.typical_error) / LN_10 / value.abs());
        vec![
            ("nc1_cdnv", mean),
            ("nc1_cdnv_strict", mean),
            ("nc1_cdnv_log10_mean", log10),
            ("nc1_cdnv_q50", quantile(0.5)),
            ("nc1_cdnv_q90", quantile(0.9)),
            ("nc1_cdnv_q99", quantile(0.99)),
            ("nc1_cdnv_max", self.cdnv_max(cdnv, inputs)),
            ("nc1_cdnv_directional", directional(cdnv, inputs)),
        ]
    }

    /// The most that `V_ij` can be of two classes of several rows that have no variance, since rounding may have hidden it: all
    /// rows of a class lie within one step then, whose square is `12 Γ_j`. `None` without such pairs.
    fn hidden(&self, cdnv: &Cdnv, inputs: &Inputs<'_>) -> Option<f64> {
        let statistics = inputs.statistics;
        let classes = cdnv.by_class.iter().enumerate().filter(|(class, of_class)| {
            of_class.pairs > 0 && statistics.counts[*class] > 1 && statistics.variances[*class] == 0.0
        });
        let inverses: Vec<f64> = classes.map(|(_, of_class)| of_class.inverse_distances).collect();
        let nearest = inverses.iter().copied().reduce(f64::max)?;
        (inverses.len() > 1 && self.total > 0.0).then_some(24.0 * self.total * nearest)
    }

    /// With `a_k = Σ_{i≠k} 1/(2 d_ik^2p)` over the number of pairs: `(G Σ a_k + √(Σ a_k² 4 Gw v_k/n_k)) / cdnv`.
    fn cdnv_mean(&self, cdnv: &Cdnv, inputs: &Inputs<'_>) -> Option<f64> {
        let (pairs, statistics) = (cdnv.pairs as f64, inputs.statistics);
        let (mut sum, mut squares) = (0.0, 0.0);
        for (class, of_class) in cdnv.by_class.iter().enumerate() {
            let a = of_class.inverse_distances / pairs;
            sum += a;
            squares += a * a * 4.0 * self.weighted * statistics.variances[class] / statistics.counts[class] as f64;
        }
        (pairs > 0.0 && cdnv.mean > 0.0).then(|| (self.total * sum + squares.sqrt()) / cdnv.mean)
    }

    /// The variances of the classes in a pair, and their errors.
    fn varied(&self, cdnv: &Cdnv, inputs: &Inputs<'_>) -> Vec<(f64, f64)> {
        let used = cdnv.by_class.iter().enumerate().filter(|(_, of_class)| of_class.pairs > 0);
        used.map(|(k, _)| (inputs.statistics.variances[k], self.class_variance(inputs.statistics, k))).collect()
    }

    /// The relative error of `v_i + v_j` of an average pair: each class's own at most, of both.
    fn typical_variance(&self, cdnv: &Cdnv, inputs: &Inputs<'_>) -> Option<f64> {
        let varied = self.varied(cdnv, inputs);
        let zeros = if varied.iter().any(|&(v, _)| v == 0.0) { self.total } else { 0.0 };
        let shares: Vec<f64> = varied.iter().filter(|(v, _)| *v > 0.0).map(|(v, error)| (error + zeros) / v).collect();
        (!shares.is_empty()).then(|| 2.0 * shares.iter().sum::<f64>() / shares.len() as f64)
    }

    /// The relative error of `v_i + v_j` of the worst pair: one of the worst class, or at most that of the second worst.
    fn pair_variances(&self, cdnv: &Cdnv, inputs: &Inputs<'_>) -> Option<f64> {
        let mut varied = self.varied(cdnv, inputs);
        let share = |(v, error): (f64, f64)| if v > 0.0 { error / v } else { f64::INFINITY };
        varied.sort_by(|&a, &b| share(b).total_cmp(&share(a)));
        // In a pair without any variance V is 0, and has no relative error.
        let others = varied.iter().skip(1).copied().map(share).find(|share| share.is_finite())?;
        let (v, error) = varied[0];
        let with_worst = varied[1..].iter().filter(|(other, _)| v + other > 0.0);
        with_worst
            .map(|(other, other_error)| (error + other_error) / (v + other))
            .reduce(f64::max)
            .map(|x| x.max(others))
    }

    fn cdnv_max(&self, cdnv: &Cdnv, inputs: &Inputs<'_>) -> Option<f64> {
        let worst = cdnv.by_class.iter().enumerate().filter_map(|(k, of_class)| Some((k, of_class.worst?)));
        let (i, (value, j)) = worst.reduce(|a, b| if b.1.0 > a.1.0 { b } else { a }).filter(|(_, (v, _))| *v > 0.0)?;
        let statistics = inputs.statistics;
        let variances = statistics.variances[i] + statistics.variances[j];
        let errors = self.class_variance(statistics, i) + self.class_variance(statistics, j);
        let noise = inputs.means.noise[i] + inputs.means.noise[j];
        Some(errors / variances + distance_error(value, variances, noise, inputs))
    }
}

/// Twice `p` times the relative error of the distance at which `(v_i + v_j)/(2 d^2p)` is `value`.
fn distance_error(value: f64, variances: f64, noise: f64, inputs: &Inputs<'_>) -> f64 {
    let (means, p) = (inputs.means, inputs.options.cdnv_exponent);
    let square = (variances / (2.0 * value)).powf(1.0 / p) / (means.unit * means.unit);
    2.0 * p * means.error(noise / square)
}

/// The same at most, of any two classes of which at least one has a variance.
fn farthest(value: f64, inputs: &Inputs<'_>) -> Option<f64> {
    let variances = &inputs.statistics.variances;
    let least = variances.iter().copied().filter(|&v| v > 0.0).reduce(f64::min)?;
    let both = if variances.contains(&0.0) { least } else { 2.0 * least };
    let noise = inputs.means.noise.iter().copied().reduce(f64::max)?;
    Some(distance_error(value, both, 2.0 * noise, inputs))
}

/// With `e` the relative error of a distance, in all directions since lines tilt, and `V` the mean CDNV:
/// `6 e √(2V/directional) + e²/directional`.
fn directional(cdnv: &Cdnv, inputs: &Inputs<'_>) -> Option<f64> {
    let value = inputs.directional.filter(|&value| value > 0.0)?;
    let p = inputs.options.cdnv_exponent;
    let error = 0.5 * cdnv.mean_error / p / inputs.means.along.sqrt();
    // V has an exponent of its own; where that is not 1, rows are taken to spread alike in all directions.
    let alike = 2.0 * inputs.means.dim as f64;
    let spread = if (p - 1.0).abs() < f64::EPSILON { 2.0 * cdnv.mean / value } else { alike };
    Some(6.0 * error * spread.max(1.0).sqrt() + error * error / value)
}

/// Of the metrics of angles between means.
pub(super) fn of_angles(angles: &Angles) -> Estimates {
    let errors = &angles.errors;
    let relative = |error: f64, value: f64| Some(error / value.abs());
    let log = (relative(errors.ln.mean, angles.log_energy.mean), variance(&errors.ln, &angles.log_energy));
    let (riesz, riesz_var) = if angles.riesz_s == 0.0 {
        log
    } else {
        let s = angles.riesz_s.abs();
        (riesz_mean(angles), variance(&errors.riesz.moments, &angles.riesz.moments).map(|error| s * error))
    };
    let ScaledMoments { ln_scale, moments } = angles.riesz;
    vec![
        ("nc2_max_angle", relative(2.0 * errors.distance.mean, angles.simplex_deviation)),
        ("gnc2_distance_mean", relative(errors.distance.mean, angles.distance.mean)),
        ("gnc2_distance_var", variance(&errors.distance, &angles.distance)),
        ("gnc2_log_energy_mean", log.0),
        ("gnc2_log_energy_var", log.1),
        ("gnc2_log_energy_cv", log.0.zip(log.1).map(|(mean, var)| mean + 0.5 * var)),
        ("gnc2_riesz_mean", riesz),
        ("gnc2_riesz_var", riesz_var),
        ("gnc2_riesz_ln_mean", riesz_mean(angles).map(|error| error / (ln_scale + moments.mean.ln()).abs())),
        ("gnc2_min_distance", angles.min_distance.map(|distance| errors.min_distance / distance)),
    ]
}

/// Of a mean of `‖u_i − u_j‖^−s`.
pub(super) fn riesz_mean(angles: &Angles) -> Option<f64> {
    let (errors, values) = (&angles.errors.riesz.moments, &angles.riesz.moments);
    (values.mean > 0.0).then(|| angles.riesz_s.abs() * errors.mean / values.mean)
}

/// Of a variance: twice the errors' root mean square over the standard deviation, and their square.
fn variance(errors: &Moments, values: &Moments) -> Option<f64> {
    let variance = values.variance().filter(|&variance| variance > 0.0)?;
    let square = errors.variance()? + errors.mean * errors.mean;
    Some(2.0 * (square / variance).sqrt() + square / variance)
}
