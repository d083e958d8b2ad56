//! Mean and variance, merged without cancellation.

use super::lanes::sum;

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

impl Moments {
    /// The moments of some values.
    #[inline(always)]
    pub(super) fn of(values: &[f64]) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        let mean = sum(values, |x| x) / values.len() as f64;
        Self { count: values.len() as u64, mean, squares: sum(values, |x| (x - mean) * (x - mean)) }
    }

    /// The moments of all values of both (Chan et al. 1983).
    pub(super) fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        let (count, theirs) = ((self.count + other.count) as f64, other.count as f64);
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * (self.count as f64 * theirs / count);
        self.mean += delta * (theirs / count);
        self.count += other.count;
    }

    /// The moments of all values times `factor`.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self { count: self.count, mean: self.mean * factor, squares: self.squares * factor * factor }
    }

    /// The population variance; `None` without values.
    pub fn variance(&self) -> Option<f64> {
        (self.count > 0).then(|| self.squares / self.count as f64)
    }
}

/// Moments of `x / exp(ln_scale)`, for values beyond the range of `f64`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ScaledMoments {
    /// `ln` of what the values were divided by.
    pub ln_scale: f64,
    /// The moments.
    pub moments: Moments,
}

impl ScaledMoments {
    /// The moments of all values of both, at the larger scale.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.moments.count == 0 {
            *self = *other;
        } else if other.moments.count > 0 {
            let ln_scale = self.ln_scale.max(other.ln_scale);
            self.moments = self.moments.scaled((self.ln_scale - ln_scale).exp());
            self.moments.merge(&other.moments.scaled((other.ln_scale - ln_scale).exp()));
            self.ln_scale = ln_scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_equals_one_pass() {
        let values: Vec<f64> = (0..100).map(|i| 1e6 + f64::from(i * i % 37)).collect();
        let whole = Moments::of(&values);
        let mut merged = Moments::default();
        values.chunks(7).for_each(|part| merged.merge(&Moments::of(part)));
        assert_eq!(merged.count, 100);
        assert!((merged.mean - whole.mean).abs() < 1e-9);
        assert!((merged.squares / whole.squares - 1.0).abs() < 1e-10);
    }

    #[test]
    fn scales_are_brought_together() {
        let mut a = ScaledMoments { ln_scale: 2000.0, moments: Moments::of(&[1.0, 0.5]) };
        a.merge(&ScaledMoments { ln_scale: 2000.0 + 2_f64.ln(), moments: Moments::of(&[1.0]) });
        assert!((a.moments.mean - (0.5 + 0.25 + 1.0) / 3.0).abs() < 1e-12);
        assert_eq!(a.ln_scale, 2000.0 + 2_f64.ln());
    }
}
