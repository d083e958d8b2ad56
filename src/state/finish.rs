//! From integers to numbers: the only place where a state is rounded.

use super::class::{ClassIntegers, NoMoves};
use super::class_sums::TotalSquare;
use super::gram_moves::GramMoves;
use super::scatter::check_trace;
use super::{ClassSums, Low, Scatter, Statistics};
use crate::error::{Error, Result};
use crate::grid::{Grid, RESIDUAL_BITS, f64_from_i256, power_of_two};
use crate::kernels::gram::{GramSum, packed_column, packed_len, plain_gram, rows_at_a_time};

/// Exponents of steps whose squares, times integers of up to 2^126, are ordinary `f64`.
const SQUARED: std::ops::RangeInclusive<i16> = -440..=380;

/// What is left of the squares of a class about its own mean is at least this share of those about its shift, or the class
/// has to move: subtracting the others takes at most ten of the 53 bits of a number.
const LEAST_LEFT: f64 = 1.0 / 1024.0;

impl ClassSums {
    /// Means and variances, without the scatter.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::canonical`](super::Merge::canonical); [`Data`](crate::error::ErrorKind::Data) if squares leave the
    /// range of `f64`.
    pub fn statistics(&self) -> Result<Statistics> {
        self.numbers(&self.history.grid(), |each| self.each_canonical(&mut NoMoves, each), |_| {})
            .map(|(found, _)| found)
    }

    /// The same about the shifts as they are; `None` if these are far from the means of their classes, so that less than
    /// [`LEAST_LEFT`] is left of some squares.
    pub(super) fn statistics_as_it_is(&self) -> Result<Option<Statistics>> {
        let (statistics, least_left) = self.numbers(&self.grid, |each| self.each_as_it_is(each), |_| {})?;
        Ok((least_left >= LEAST_LEFT).then_some(statistics))
    }

    /// `μ_k = g (c_k + (s_k + 2^-20 low_k)/n_k)` and `v_k = (g_min² t_k − Σ_j g_j² s_kj²/n_k) / n_k` of the classes that
    /// `classes` hands over, on this grid and in label order. In the canonical form the subtracted term is at most half of the
    /// other. `also` gets every class too. Returns the least share of squares that is left beside the numbers.
    fn numbers(
        &self,
        grid: &Grid,
        classes: impl FnOnce(&mut dyn FnMut(&ClassIntegers<'_>) -> Result<()>) -> Result<()>,
        mut also: impl FnMut(&ClassIntegers<'_>),
    ) -> Result<(Statistics, f64)> {
        let dim = self.dim;
        let beyond = |e: &Option<i16>| e.is_some_and(|e| !SQUARED.contains(&e));
        if let Some(dimension) = grid.exponents().iter().position(beyond) {
            return Err(Error::data("the features are too large or too small for their squares")
                .with("dimension", dimension)
                .help("multiply them by a power of ten"));
        }
        let steps = grid.steps();
        let (unit, residual_unit) = (power_of_two(grid.finest().unwrap_or(0)), 0.5_f64.powi(RESIDUAL_BITS as i32));
        // Rounded to `f64` first, so that offsets are relative to the number that is reported.
        let mut origin: Vec<i64> = Vec::new();
        let mut labels = Vec::with_capacity(self.classes());
        let mut counts = Vec::with_capacity(self.classes());
        let mut offsets = Vec::with_capacity(self.shifts.len());
        let mut variances = Vec::with_capacity(self.classes());
        let (mut residuals, mut taken) = (vec![0.0; dim], Taken::new(dim));
        let mut least_left: f64 = 1.0;
        classes(&mut |class| {
            let ClassIntegers { shifts: c, sums: s, low, .. } = *class;
            if labels.is_empty() {
                origin = c.iter().map(|&c| c as f64 as i64).collect();
            }
            let n = class.count as f64;
            match low {
                Low::Narrow(low) => residuals.iter_mut().zip(low).for_each(|(to, &low)| *to = low as f64),
                Low::Wide(low) => residuals.iter_mut().zip(low).for_each(|(to, &low)| *to = low as f64),
            }
            let first = offsets.len();
            offsets.resize(first + dim, 0.0);
            let (offsets, origin, steps) = (&mut offsets[first..][..dim], &origin[..dim], &steps[..dim]);
            for j in 0..dim {
                // The difference of two shifts is taken exactly; both are at most 2^62.
                let from_shift = (s[j] as f64 + residuals[j] * residual_unit) / n;
                offsets[j] = ((c[j] - origin[j]) as f64 + from_shift) * steps[j];
            }
            taken.add(n, offsets, &residuals);
            let off_centre: f64 = s.iter().zip(steps).map(|(&s, step)| (s as f64 * step).powi(2)).sum();
            let square = f64_from_i256(class.square) * unit * unit;
            let about_mean = square - off_centre / n;
            if square > 0.0 {
                least_left = least_left.min(about_mean / square);
            }
            variances.push(about_mean / n);
            labels.push(class.label.clone());
            counts.push(class.count);
            also(class);
            Ok(())
        })?;
        let within: f64 = variances.iter().zip(&counts).map(|(v, &n): (&f64, &u64)| v * n as f64).sum();
        let statistics = Statistics {
            dim,
            labels,
            counts,
            origin: origin.iter().zip(&steps).map(|(&c, step)| c as f64 * step).collect(),
            offsets,
            variances,
            scatter: None,
            rounding: self.history.rounding_noise(Some(self.rows())),
            rounding_changed: self.rounding_changed(&taken, &steps, within),
            mean_rounding: self.history.mean_noise(),
        };
        Ok((statistics, least_left))
    }

    /// `Γ_j` over the rows that rounding changed, or more where errors are not random, so that they add up over rows:
    /// `(Σ r)² / changed` if that is more, since errors may be all alike, as those of one-hot rows are; and `β_j² Σ_k n_k v_k`
    /// if errors go with the values, `r = α_j + β_j x`, as those of features of two values do. Then second moments are off by
    /// `2 β` of them, all in one direction.
    fn rounding_changed(&self, taken: &Taken, steps: &[f64], within: f64) -> Vec<f64> {
        let mut noise = self.history.rounding_noise(None);
        let residual_unit = 0.5_f64.powi(RESIDUAL_BITS as i32);
        let units: Vec<f64> = steps.iter().map(|step| step * residual_unit).collect();
        let slopes = taken.slopes(&units, &noise);
        for (j, (noise, tallies)) in noise.iter_mut().zip(self.history.tallies()).enumerate() {
            let changed: u64 = tallies.iter().map(|tally| tally.changed).sum();
            if changed > 0 {
                let alike = (taken.sum[j] * units[j]).powi(2) / changed as f64;
                *noise = noise.max(alike).max(slopes[j].powi(2) * within);
            }
        }
        noise
    }
}

/// What rounding took off, beside the class means: sums over classes, D, residuals in units of `2^-20` steps.
struct Taken {
    /// `N`.
    rows: f64,
    /// `Σ r`.
    sum: Vec<f64>,
    /// `Σ_k n_k m_k`, `Σ_k n_k m_k²` and `Σ_k m_k r_k`, with `m_k` the offset of the mean and `r_k` the sum of residuals.
    means: Vec<f64>,
    squares: Vec<f64>,
    products: Vec<f64>,
}

impl Taken {
    fn new(dim: usize) -> Self {
        let [sum, means, squares, products] = [(); 4].map(|()| vec![0.0; dim]);
        Self { rows: 0.0, sum, means, squares, products }
    }

    fn add(&mut self, n: f64, offsets: &[f64], residuals: &[f64]) {
        let dim = self.sum.len();
        let (offsets, residuals) = (&offsets[..dim], &residuals[..dim]);
        let (sum, means) = (&mut self.sum[..dim], &mut self.means[..dim]);
        let (squares, products) = (&mut self.squares[..dim], &mut self.products[..dim]);
        self.rows += n;
        for j in 0..dim {
            sum[j] += residuals[j];
            means[j] += n * offsets[j];
            squares[j] += n * offsets[j] * offsets[j];
            products[j] += offsets[j] * residuals[j];
        }
    }

    /// `β_j` of the regression of residuals on values, class by class, weighed by rows; 0 where it is what random residuals of
    /// this mean square leave. Over all dimensions together that is about 1 of the mean square each.
    fn slopes(&self, units: &[f64], noise: &[f64]) -> Vec<f64> {
        let fit = |j: usize| {
            let spread = self.squares[j] - self.means[j] * self.means[j] / self.rows;
            let shared = (self.products[j] - self.means[j] * self.sum[j] / self.rows) * units[j];
            // A spread that is rounding alone says nothing.
            let is_spread = spread > 1e-12 * self.squares[j] && noise[j] > 0.0;
            if is_spread { (shared / spread, shared * shared / spread / noise[j]) } else { (0.0, 0.0) }
        };
        let fits: Vec<(f64, f64)> = (0..units.len()).map(fit).collect();
        let rounded = fits.iter().filter(|(_, explained)| *explained > 0.0).count() as f64;
        let explained = fits.iter().map(|(_, explained)| explained).sum::<f64>() / rounded;
        // Six standard deviations.
        if explained > 1.0 + 6.0 * (2.0 / rounded).sqrt() {
            fits.into_iter().map(|(slope, explained)| if explained > 4.0 { slope } else { 0.0 }).collect()
        } else {
            vec![0.0; units.len()]
        }
    }
}

impl Scatter {
    /// Means, variances and the pooled scatter.
    ///
    /// # Errors
    ///
    /// Those of [`ClassSums::statistics`].
    pub fn statistics(&self) -> Result<Statistics> {
        let dim = self.sums.dim;
        let mut gram = self.gram.clone();
        let mut moves = GramMoves::new(&mut gram, dim);
        let grid = self.sums.history.grid();
        let (mut off_centre, mut squares) = (OffCentre::new(dim), TotalSquare::default());
        let (statistics, _) = self.sums.numbers(
            &grid,
            |each| self.sums.each_canonical(&mut moves, each),
            |class| {
                off_centre.add(class);
                squares.add(class.square);
            },
        )?;
        moves.finish()?;
        self.coarsen(&mut gram)?;
        check_trace(&grid, gram.diagonal(), squares.finish()?)?;
        with_scatter(statistics, &gram, &off_centre.finish(), &grid)
    }

    /// The same about the shifts as they are; `None` as for [`ClassSums::statistics_as_it_is`].
    pub(super) fn statistics_as_it_is(&self) -> Result<Option<Statistics>> {
        let dim = self.sums.dim;
        let mut off_centre = OffCentre::new(dim);
        let (statistics, least_left) =
            self.sums.numbers(&self.sums.grid, |each| self.sums.each_as_it_is(each), |class| off_centre.add(class))?;
        let off_centre = off_centre.finish();
        // Dimensions of small scale are nothing beside the others of a class.
        let left =
            |(j, entry): (usize, i128)| entry as f64 - off_centre[packed_column(dim, j)] >= LEAST_LEFT * entry as f64;
        if least_left < LEAST_LEFT || !self.gram.diagonal().enumerate().all(left) {
            return Ok(None);
        }
        with_scatter(statistics, &self.gram, &off_centre, &self.sums.grid).map(Some)
    }
}

/// Statistics with `S_W,ij = g_i g_j (Q_ij − Σ_k s_ki s_kj / n_k)`.
fn with_scatter(mut statistics: Statistics, gram: &GramSum, off_centre: &[f64], grid: &Grid) -> Result<Statistics> {
    let dim = statistics.dim;
    let scatter = scatter(gram, off_centre, &grid.steps());
    let trace: f64 = (0..dim).map(|j| scatter[j * dim + j]).sum();
    let total: f64 = statistics.variances.iter().zip(&statistics.counts).map(|(v, &n)| v * n as f64).sum();
    // Two sums of the same terms differ by rounding alone; more than that is a broken state.
    if (trace - total).abs() > 1e-11 * total {
        return Err(Error::internal("the trace of the scatter is not the sum of the classes' variances"));
    }
    statistics.scatter = Some(scatter);
    Ok(statistics)
}

/// `Σ_k s_k s_kᵀ / n_k`, the lower triangle by columns.
struct OffCentre {
    sum: Vec<f64>,
    /// `s_k / √n_k` of classes that are not in the sum yet.
    rows: Vec<f64>,
    dim: usize,
}

impl OffCentre {
    fn new(dim: usize) -> Self {
        Self { sum: vec![0.0; packed_len(dim)], rows: Vec::new(), dim }
    }

    fn add(&mut self, class: &ClassIntegers<'_>) {
        let scale = 1.0 / (class.count as f64).sqrt();
        self.rows.extend(class.sums.iter().map(|&s| s as f64 * scale));
        if self.rows.len() == rows_at_a_time(self.dim) * self.dim {
            plain_gram(&mut self.sum, &self.rows, self.dim);
            self.rows.clear();
        }
    }

    fn finish(mut self) -> Vec<f64> {
        if !self.rows.is_empty() {
            plain_gram(&mut self.sum, &self.rows, self.dim);
        }
        self.sum
    }
}

/// `S_W`, both triangles.
fn scatter(gram: &GramSum, off_centre: &[f64], steps: &[f64]) -> Vec<f64> {
    let dim = steps.len();
    let mut scatter = vec![0.0; dim * dim];
    for j in 0..dim {
        let column = packed_column(dim, j);
        for i in j..dim {
            let entry = (gram.entry(column + i - j) as f64 - off_centre[column + i - j]) * steps[i] * steps[j];
            scatter[i * dim + j] = entry;
            scatter[j * dim + i] = entry;
        }
    }
    scatter
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Features, Label};
    use crate::kernels::{Profile, Workspace};
    use crate::state::{Accumulate, Chunk, Merge, Shifts};

    const DIM: usize = 12;

    /// The within-class squares of rows of ten classes, in `f64` and by a state, and the estimate of the relative error.
    fn squares(value: impl Fn(usize, usize) -> f32) -> (f64, f64, f64) {
        let (rows, classes) = (4000, 10);
        let codes: Vec<u32> = (0..rows).map(|row| (row * 7 % 10) as u32).collect();
        let values: Vec<f32> = (0..rows * DIM).map(|at| value(at / DIM, at % DIM)).collect();
        let labels: Vec<Label> = (0..classes).map(Label::Int).collect();
        let batch = Batch::new(DIM, Features::F32(&values), &codes, &labels).unwrap();
        let mut workspace = Workspace::default();
        let profile = Profile::of(&batch, 0, &mut workspace).unwrap();
        let mut state = ClassSums::identity();
        let chunk = Chunk { batch, profile: &profile };
        state.update(&chunk, None, &Shifts::default(), &mut workspace).unwrap();
        let statistics = state.statistics().unwrap();
        let found = statistics.variances.iter().zip(&statistics.counts).map(|(v, &n)| v * n as f64).sum::<f64>();
        let of_class = |code: u32, j: usize| {
            let of_class = codes.iter().zip(values.iter().skip(j).step_by(DIM)).filter(move |(c, _)| **c == code);
            of_class.map(|(_, &x)| f64::from(x)).collect::<Vec<f64>>()
        };
        let expected = (0..10).flat_map(|code| (0..DIM).map(move |j| (code, j))).map(|(code, j)| {
            let x = of_class(code, j);
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            x.iter().map(|x| (x - mean).powi(2)).sum::<f64>()
        });
        let noise = statistics.rounding_changed.iter().sum::<f64>() / DIM as f64;
        (expected.sum(), found, 2.0 * (noise / found).sqrt())
    }

    fn random(at: u64) -> u64 {
        let x = (at + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (x ^ (x >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 33
    }

    #[test]
    fn errors_that_go_with_the_values_are_estimated() {
        let sign = |row: usize, j: usize| random((row * DIM + j) as u64) % 10 < (row * 7 % 10 + j) as u64 % 8 + 1;
        for (low, high) in [(-0.123_456_7, 0.123_456_7), (-0.71, 0.33), (0.0, 0.1)] {
            let (expected, found, estimate) = squares(|row, j| if sign(row, j) { low } else { high });
            let error = (found - expected).abs() / expected;
            assert!(error > 1e-7 && error < estimate && estimate < 30.0 * error, "{low} {high}: {error} {estimate}");
        }
        // Those of other rows are random.
        let (expected, found, estimate) = squares(|row, j| random((row * DIM + j) as u64) as f32 / 2e9 + j as f32);
        let error = (found - expected).abs() / expected;
        assert!(error < 6.0 * estimate && estimate < 5e-8, "{error} {estimate}");
    }
}
