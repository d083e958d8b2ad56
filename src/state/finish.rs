//! From integers to numbers: the only place where a state is rounded.

use super::{ClassSums, Merge, Scatter, Statistics};
use crate::error::{Error, Result};
use crate::grid::{RESIDUAL_BITS, f64_from_i256, power_of_two};
use crate::kernels::gram::{BLOCK_ROWS, packed_column, plain_gram};

/// Exponents of steps whose squares, times integers of up to 2^126, are ordinary `f64`.
const SQUARED: std::ops::RangeInclusive<i16> = -440..=380;

impl ClassSums {
    /// Means and variances, without the scatter.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::canonical`]; [`Data`](crate::error::ErrorKind::Data) if squares leave the range of `f64`.
    pub fn statistics(&self) -> Result<Statistics> {
        self.canonical()?.finish()
    }

    /// `μ_k = g (c_k + (s_k + 2^-20 low_k)/n_k)` and `v_k = (g_min² t_k − Σ_j g_j² s_kj²/n_k) / n_k` of a canonical state, in
    /// which the subtracted term is at most half of the other.
    fn finish(&self) -> Result<Statistics> {
        let beyond = |e: &Option<i16>| e.is_some_and(|e| !SQUARED.contains(&e));
        if let Some(dimension) = self.grid.exponents().iter().position(beyond) {
            return Err(Error::data("the features are too large or too small for their squares")
                .with("dimension", dimension)
                .help("multiply them by a power of ten"));
        }
        let (dim, steps) = (self.dim, self.grid.steps());
        let (unit, residual_unit) = (power_of_two(self.grid.finest().unwrap_or(0)), 0.5_f64.powi(RESIDUAL_BITS as i32));
        // Rounded to `f64` first, so that offsets are relative to the number that is reported.
        let origin: Vec<i64> = self.shifts.iter().take(dim).map(|&c| c as f64 as i64).collect();
        let mut offsets = Vec::with_capacity(self.shifts.len());
        let mut variances = Vec::with_capacity(self.classes());
        for (k, &n) in self.counts.iter().enumerate() {
            let (c, s) = (&self.shifts[k * dim..][..dim], &self.sums[k * dim..][..dim]);
            let n = n as f64;
            for j in 0..dim {
                // The difference of two shifts is taken exactly; both are at most 2^62.
                let from_shift = (s[j] as f64 + self.low.get(k * dim + j) as f64 * residual_unit) / n;
                offsets.push(((c[j] - origin[j]) as f64 + from_shift) * steps[j]);
            }
            let off_centre: f64 = s.iter().zip(&steps).map(|(&s, step)| (s as f64 * step).powi(2)).sum();
            variances.push((f64_from_i256(self.squares[k]) * unit * unit - off_centre / n) / n);
        }
        Ok(Statistics {
            dim,
            labels: self.labels.clone(),
            counts: self.counts.clone(),
            origin: origin.iter().zip(&steps).map(|(&c, step)| c as f64 * step).collect(),
            offsets,
            variances,
            scatter: None,
            rounding: self.history.rounding_noise(Some(self.rows())),
            rounding_changed: self.rounding_changed(&steps),
            mean_rounding: self.history.mean_noise(),
        })
    }

    /// `Γ_j` over the rows that rounding changed, or `(Σ r)² / changed` if that is more: it is `Γ_j` on average if errors are
    /// random, and `changed · Γ_j` if they are all alike, as those of one-hot rows are.
    fn rounding_changed(&self, steps: &[f64]) -> Vec<f64> {
        let mut noise = self.history.rounding_noise(None);
        let residual_unit = 0.5_f64.powi(RESIDUAL_BITS as i32);
        for (j, (noise, tallies)) in noise.iter_mut().zip(self.history.tallies()).enumerate() {
            let changed: u64 = tallies.iter().map(|tally| tally.changed).sum();
            if changed > 0 {
                let taken: f64 = (0..self.classes()).map(|k| self.low.get(k * self.dim + j) as f64).sum();
                *noise = noise.max((taken * residual_unit * steps[j]).powi(2) / changed as f64);
            }
        }
        noise
    }
}

impl Scatter {
    /// Means, variances and the pooled scatter.
    ///
    /// # Errors
    ///
    /// Those of [`ClassSums::statistics`].
    pub fn statistics(&self) -> Result<Statistics> {
        let canonical = self.canonical()?;
        let mut statistics = canonical.sums.finish()?;
        let scatter = canonical.scatter();
        let dim = statistics.dim;
        let trace: f64 = (0..dim).map(|j| scatter[j * dim + j]).sum();
        let total: f64 = statistics.variances.iter().zip(&statistics.counts).map(|(v, &n)| v * n as f64).sum();
        // Two sums of the same terms differ by rounding alone; more than that is a broken state.
        if (trace - total).abs() > 1e-11 * total {
            return Err(Error::internal("the trace of the scatter is not the sum of the classes' variances"));
        }
        statistics.scatter = Some(scatter);
        Ok(statistics)
    }

    /// `S_W,ij = g_i g_j (Q_ij − Σ_k s_ki s_kj / n_k)` of a canonical state, both triangles.
    fn scatter(&self) -> Vec<f64> {
        let sums = &self.sums;
        let (dim, steps) = (sums.dim, sums.grid.steps());
        let mut off_centre = vec![0.0; self.gram.len()];
        for first in (0..sums.classes()).step_by(BLOCK_ROWS) {
            let classes = first..(first + BLOCK_ROWS).min(sums.classes());
            let rows: Vec<f64> = classes
                .flat_map(|k| {
                    let scale = 1.0 / (sums.counts[k] as f64).sqrt();
                    sums.sums[k * dim..][..dim].iter().map(move |&s| s as f64 * scale)
                })
                .collect();
            plain_gram(&mut off_centre, &rows, dim);
        }
        let mut scatter = vec![0.0; dim * dim];
        for j in 0..dim {
            let column = packed_column(dim, j);
            for i in j..dim {
                let entry = (self.gram[column + i - j] as f64 - off_centre[column + i - j]) * steps[i] * steps[j];
                scatter[i * dim + j] = entry;
                scatter[j * dim + i] = entry;
            }
        }
        scatter
    }
}
