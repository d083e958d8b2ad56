//! What rows say by definition: two passes over them, deviations in twice the precision of `f64`.

use nckit::batch::Label;

use crate::exact::Double;
use crate::rows::Rows;

/// Statistics and metrics of rows, classes in label order.
pub(crate) struct Truth {
    pub(crate) labels: Vec<Label>,
    pub(crate) counts: Vec<f64>,
    /// Variance within classes, by dimension.
    pub(crate) dimensions: Vec<f64>,
    /// `v_k`.
    pub(crate) classes: Vec<f64>,
    pub(crate) means: Vec<Double>,
    /// Rows less their class's mean, N × D.
    pub(crate) deviations: Vec<f64>,
}

impl Truth {
    pub(crate) fn of(chunks: &[Rows]) -> Self {
        let dim = chunks[0].dim;
        let mut labels: Vec<Label> = chunks.iter().flat_map(|rows| rows.classes.iter().cloned()).collect();
        labels.sort_unstable();
        labels.dedup();
        let mut counts = vec![0.0; labels.len()];
        let mut means = vec![Double::default(); labels.len() * dim];
        each_row(chunks, &labels, |class, row| {
            counts[class] += 1.0;
            means[class * dim..][..dim].iter_mut().zip(row).for_each(|(mean, &x)| *mean += x.into());
        });
        for (class, &count) in counts.iter().enumerate() {
            means[class * dim..][..dim].iter_mut().for_each(|mean| *mean = mean.over(count));
        }
        let (mut dimensions, mut classes) = (vec![Double::default(); dim], vec![Double::default(); labels.len()]);
        let mut deviations = Vec::new();
        each_row(chunks, &labels, |class, row| {
            for (j, &x) in row.iter().enumerate() {
                let deviation = Double::from(x) - means[class * dim + j];
                dimensions[j] += deviation.squared();
                classes[class] += deviation.squared();
                deviations.push(deviation.value());
            }
        });
        let total: f64 = counts.iter().sum();
        Self {
            labels,
            dimensions: dimensions.into_iter().map(|sum| sum.over(total).value()).collect(),
            classes: classes.into_iter().zip(&counts).map(|(sum, &count)| sum.over(count).value()).collect(),
            counts,
            means,
            deviations,
        }
    }

    fn dim(&self) -> usize {
        self.dimensions.len()
    }

    /// `μ_k − Σ_k w_k μ_k` for weights that add up to 1.
    fn centred(&self, weights: &[f64]) -> Vec<f64> {
        let dim = self.dim();
        let mut centre = vec![Double::default(); dim];
        for (mean, &weight) in self.means.chunks(dim).zip(weights) {
            centre.iter_mut().zip(mean).for_each(|(centre, &mean)| *centre += mean * weight.into());
        }
        self.means.iter().enumerate().map(|(at, &mean)| (mean - centre[at % dim]).value()).collect()
    }

    /// `tr(Σ_W Σ_B⁺) / K`: with `X = C⁺ᵀ`, the mean of `‖X δ‖²` over rows.
    pub(crate) fn nc1(&self) -> f64 {
        let (dim, classes) = (self.dim(), self.labels.len());
        let centred = self.centred(&vec![1.0 / classes as f64; classes]);
        let through = if classes <= dim {
            // C Cᵀ has the null vector 1; as 1ᵀC = 0, what is added along it does not reach C⁺.
            let mut gram = products(&centred, dim);
            let fill = trace(&gram, classes) / (classes * classes) as f64;
            for entry in &mut gram {
                *entry += fill;
            }
            let factor = cholesky(&gram, classes).unwrap();
            backward(&factor, &forward(&factor, &centred, dim), dim)
        } else {
            let gram = products(&transposed(&centred, dim), classes);
            forward(&cholesky(&gram, dim).unwrap(), &identity(dim), dim)
        };
        let squares = self.deviations.chunks(dim).map(|deviation| {
            let dot = |row: &[f64]| row.iter().zip(deviation).map(|(a, b)| a * b).sum::<f64>();
            through.chunks(dim).map(|row| dot(row).powi(2)).sum::<f64>()
        });
        squares.sum::<f64>() / self.counts.iter().sum::<f64>()
    }

    /// `tr Σ_W / tr Σ_B`.
    pub(crate) fn trace_ratio(&self) -> f64 {
        let classes = self.labels.len() as f64;
        let between: f64 = self.centred(&vec![1.0 / classes; self.labels.len()]).iter().map(|x| x * x).sum();
        self.dimensions.iter().sum::<f64>() / between * classes
    }

    /// The mean of `(v_i + v_j) / (2 ‖μ_i − μ_j‖²)` over pairs of classes of two rows or more.
    pub(crate) fn cdnv(&self) -> f64 {
        let dim = self.dim();
        let used: Vec<usize> = (0..self.labels.len()).filter(|&k| self.counts[k] > 1.0).collect();
        let (mut sum, mut pairs) = (0.0, 0.0);
        for (at, &a) in used.iter().enumerate() {
            for &b in &used[..at] {
                let mut square = Double::default();
                for j in 0..dim {
                    square += (self.means[a * dim + j] - self.means[b * dim + j]).squared();
                }
                sum += (self.classes[a] + self.classes[b]) / (2.0 * square.value());
                pairs += 1.0;
            }
        }
        sum / pairs
    }

    /// `mean_r 1/(1 + λ_r)` over the eigenvalues of `Σ_W⁻¹ Σ_B`; `None` if `Σ_W` is all but singular.
    pub(crate) fn vci(&self) -> Option<f64> {
        let (dim, classes) = (self.dim(), self.labels.len());
        let total: f64 = self.counts.iter().sum();
        let scale: Vec<f64> = self.dimensions.iter().map(|v| (v * total).sqrt()).collect();
        if total < (classes + dim) as f64 || scale.iter().any(|scale| scale.is_nan() || *scale <= 0.0) {
            return None;
        }
        let scaled: Vec<f64> = self.deviations.iter().enumerate().map(|(at, x)| x / scale[at % dim]).collect();
        let factor = cholesky(&products(&transposed(&scaled, dim), scaled.len() / dim), dim)?;
        if (0..dim).any(|j| factor[j * dim + j] < 1e-4) {
            return None;
        }
        let shares: Vec<f64> = self.counts.iter().map(|n| n / total).collect();
        // L⁻¹ Cᵀ diag(√p), D × K; it is S_W = N Σ_W that was factored.
        let mut ratios = transposed(&self.centred(&shares), dim);
        for (at, x) in ratios.iter_mut().enumerate() {
            *x *= self.counts[at % classes].sqrt() / scale[at / classes];
        }
        let ratios = forward(&factor, &ratios, classes);
        let (size, mut gram, extra) = if classes <= dim {
            // The eigenvalue of √p is 0. It becomes one like the others, and its term is taken off.
            let mut gram = products(&transposed(&ratios, classes), dim);
            let typical = trace(&gram, classes) / classes as f64;
            for (at, entry) in gram.iter_mut().enumerate() {
                *entry += typical * (shares[at / classes] * shares[at % classes]).sqrt();
            }
            (classes, gram, 1.0 / (1.0 + typical))
        } else {
            (dim, products(&ratios, classes), 0.0)
        };
        (0..size).for_each(|r| gram[r * size + r] += 1.0);
        let inverse_factor = forward(&cholesky(&gram, size)?, &identity(size), size);
        let trace: f64 = inverse_factor.iter().map(|x| x * x).sum();
        Some((trace - extra) / (classes - 1).min(dim) as f64)
    }
}

fn each_row(chunks: &[Rows], labels: &[Label], mut row: impl FnMut(usize, &[f64])) {
    for rows in chunks {
        let class_of: Vec<usize> = rows.classes.iter().map(|label| labels.binary_search(label).unwrap()).collect();
        for (i, &code) in rows.codes.iter().enumerate() {
            row(class_of[code as usize], &rows.row(i));
        }
    }
}

fn transposed(rows: &[f64], width: usize) -> Vec<f64> {
    (0..width).flat_map(|j| rows.iter().skip(j).step_by(width)).copied().collect()
}

/// `A Aᵀ`; `a` is row-major with rows of `width`.
fn products(a: &[f64], width: usize) -> Vec<f64> {
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let size = a.len() / width;
    let mut products = vec![0.0; size * size];
    for (i, row) in a.chunks(width).enumerate() {
        for (j, other) in a.chunks(width).enumerate().take(i + 1) {
            products[i * size + j] = dot(row, other);
            products[j * size + i] = products[i * size + j];
        }
    }
    products
}

fn identity(size: usize) -> Vec<f64> {
    (0..size * size).map(|at| f64::from(u8::from(at % (size + 1) == 0))).collect()
}

fn trace(a: &[f64], size: usize) -> f64 {
    a.iter().step_by(size + 1).sum()
}

/// `L` with `L Lᵀ = a`, row-major; `None` if `a` is not positive definite.
fn cholesky(a: &[f64], size: usize) -> Option<Vec<f64>> {
    let mut factor = vec![0.0; size * size];
    for i in 0..size {
        for j in 0..=i {
            let (row, other) = (&factor[i * size..][..j], &factor[j * size..][..j]);
            let rest = a[i * size + j] - row.iter().zip(other).map(|(a, b)| a * b).sum::<f64>();
            if i == j && (rest.is_nan() || rest <= 0.0) {
                return None;
            }
            factor[i * size + j] = if i == j { rest.sqrt() } else { rest / factor[j * size + j] };
        }
    }
    Some(factor)
}

/// `L⁻¹ B`; `b` is row-major with rows of `width`.
fn forward(factor: &[f64], b: &[f64], width: usize) -> Vec<f64> {
    let size = b.len() / width;
    let mut solved = b.to_vec();
    for i in 0..size {
        for j in 0..=i {
            let entry = factor[i * size + j];
            eliminate(&mut solved, i, j, entry, width);
        }
    }
    solved
}

/// `L⁻ᵀ B`.
fn backward(factor: &[f64], b: &[f64], width: usize) -> Vec<f64> {
    let size = b.len() / width;
    let mut solved = b.to_vec();
    for i in (0..size).rev() {
        for j in (i..size).rev() {
            let entry = factor[j * size + i];
            eliminate(&mut solved, i, j, entry, width);
        }
    }
    solved
}

/// Takes `entry` times row `j` off row `i`, or divides row `i` by it if that is the same.
fn eliminate(rows: &mut [f64], i: usize, j: usize, entry: f64, width: usize) {
    for at in 0..width {
        let known = rows[j * width + at];
        let row = &mut rows[i * width + at];
        if i == j { *row /= entry } else { *row -= entry * known }
    }
}
