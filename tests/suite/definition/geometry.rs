//! NC2, GNC2 and NC3 by their definitions: all pairs, in twice the precision of `f64`.

use crate::exact::Double;

/// `K` vectors and their inner products.
pub(crate) struct Vectors {
    values: Vec<Double>,
    dim: usize,
    /// `X Xᵀ`, K × K.
    products: Vec<Double>,
    classes: usize,
}

/// What a set of numbers says; `variance` has the divisor asked for.
#[derive(Clone, Copy)]
struct Moments {
    mean: f64,
    variance: f64,
}

fn moments(values: &[Double], less: f64) -> Option<Moments> {
    let count = values.len() as f64;
    if count <= less {
        return None;
    }
    let mut mean = Double::default();
    for &x in values {
        mean += x;
    }
    let mean = mean.over(count);
    let mut squares = Double::default();
    for &x in values {
        squares += (x - mean).squared();
    }
    Some(Moments { mean: mean.value(), variance: squares.over(count - less).value() })
}

fn ln(x: Double) -> Double {
    x.value().ln().into()
}

/// `‖S/‖S‖ − F/‖F‖‖`; `F` has 1 + `off` on its diagonal and `off` beside it.
fn frame_error(structure: &[Double], classes: usize, off: f64) -> Option<f64> {
    let k = classes as f64;
    let norm = sum(structure.iter().map(|x| x.squared())).sqrt();
    let frame_norm = Double::from(k * (1.0 + off).powi(2) + k * (k - 1.0) * off * off).sqrt();
    if norm.value() == 0.0 || frame_norm.value() == 0.0 {
        return None;
    }
    let difference = structure.iter().enumerate().map(|(at, &s)| {
        let ideal = f64::from(u8::from(at / classes == at % classes)) + off;
        (s / norm - Double::from(ideal) / frame_norm).squared()
    });
    Some(sum(difference).sqrt().value())
}

fn sum(values: impl Iterator<Item = Double>) -> Double {
    let mut sum = Double::default();
    values.for_each(|x| sum += x);
    sum
}

fn dot(a: &[Double], b: &[Double]) -> Double {
    sum(a.iter().zip(b).map(|(&a, &b)| a * b))
}

impl Vectors {
    /// `values` is K × D; what is left of vectors of a length up to `scale` by subtraction may be nothing but rounding.
    pub(crate) fn new(values: Vec<Double>, dim: usize, scale: f64) -> Self {
        let classes = values.len() / dim;
        let row = |k: usize| &values[k * dim..][..dim];
        let mut products = vec![Double::default(); classes * classes];
        for i in 0..classes {
            for j in 0..=i {
                products[i * classes + j] = dot(row(i), row(j));
                products[j * classes + i] = products[i * classes + j];
            }
        }
        for k in 0..classes {
            if products[k * classes + k].value() <= (1e-28 * scale).powi(2) {
                products[k * classes + k] = Double::default();
            }
        }
        Self { values, dim, products, classes }
    }

    fn product(&self, i: usize, j: usize) -> Double {
        self.products[i * self.classes + j]
    }

    fn norms(&self) -> Vec<Double> {
        (0..self.classes).map(|k| self.product(k, k).sqrt()).collect()
    }

    /// Classes with a direction.
    fn directed(&self) -> Vec<usize> {
        (0..self.classes).filter(|&k| self.product(k, k).value() > 0.0).collect()
    }

    /// Something of each pair of `of`.
    fn pairs(of: &[usize], number: impl Fn(usize, usize) -> Double) -> Vec<Double> {
        of.iter()
            .enumerate()
            .flat_map(|(at, &i)| of[..at].iter().map(move |&j| (i, j)))
            .map(|(i, j)| number(i, j))
            .collect()
    }

    /// All metrics of one set of vectors, keys without `_weights`; `None` where the definition has no value.
    pub(crate) fn metrics(&self, riesz_s: f64) -> Vec<(&'static str, Option<f64>)> {
        let norms = self.norms();
        let directed = self.directed();
        let everything: Vec<usize> = (0..self.classes).collect();
        let cos = |i: usize, j: usize| self.product(i, j) / (norms[i] * norms[j]);
        let two = Double::from(2.0);
        let one = Double::from(1.0);
        let lengths = moments(&norms, 1.0);
        let logs = moments(&directed.iter().map(|&k| ln(norms[k])).collect::<Vec<_>>(), 1.0);
        let cosines = Self::pairs(&directed, cos);
        let cos_moments = moments(&cosines, 0.0);
        let interference = moments(&Self::pairs(&everything, |i, j| self.product(i, j)), 0.0);
        let shift = one.over(directed.len() as f64 - 1.0);
        let angle = cosines.iter().map(|&x| {
            let apart = x + shift;
            if apart.value() < 0.0 { -apart } else { apart }
        });
        let squared: Vec<Double> = cosines.iter().map(|&cos| two - two * cos).collect();
        let distances: Vec<Double> =
            squared.iter().map(|x| if x.value() <= 0.0 { Double::default() } else { x.sqrt() }).collect();
        // Two vectors of one direction have no energy.
        let apart: Vec<Double> = squared.iter().copied().filter(|x| x.value() > 1e-28).collect();
        let energy: Vec<Double> = apart.iter().map(|&x| -ln(x).over(2.0)).collect();
        let riesz = |s: f64| -> Vec<Double> {
            let kernel = |x: Double| if s == 2.0 { one / x } else { x.value().powf(-0.5 * s).into() };
            apart.iter().map(|&x| kernel(x)).collect()
        };
        // In units of the largest, which may be out of range.
        let ln_scale = apart.iter().map(|x| -0.5 * riesz_s * x.value().ln()).fold(f64::NEG_INFINITY, f64::max);
        let scaled = apart.iter().map(|x| (-0.5 * riesz_s * x.value().ln() - ln_scale).exp());
        let ln_mean = (!apart.is_empty()).then(|| (scaled.sum::<f64>() / apart.len() as f64).ln() + ln_scale);
        let of_riesz = moments(&if riesz_s == 0.0 { energy.clone() } else { riesz(riesz_s) }, 0.0);
        let sign = if riesz_s < 0.0 { -1.0 } else { 1.0 };
        let energy = moments(&energy, 0.0);
        let distance = moments(&distances, 0.0);
        let mean = |moments: Option<Moments>| moments.map(|moments| moments.mean);
        let variance = |moments: Option<Moments>| moments.map(|moments| moments.variance);
        // A mean that is nothing but the rounding of sums is 0.
        let cv = |moments: Option<Moments>| {
            moments
                .filter(|moments| moments.mean.abs() > 1e-25 * moments.variance.sqrt())
                .map(|moments| moments.variance.sqrt() / moments.mean)
        };
        let trace = sum((0..self.classes).map(|k| self.product(k, k)));
        let square = sum(self.products.iter().map(|x| x.squared()));
        let k = self.classes as f64;
        vec![
            ("nc2_norm_mean", mean(lengths)),
            ("nc2_norm_var", variance(lengths)),
            ("nc2_equinorm_cv", cv(lengths)),
            ("nc2_log_norm_mean", mean(logs)),
            ("nc2_log_norm_var", variance(logs)),
            ("nc2_log_norm_cv", cv(logs)),
            ("nc2_cos_mean", mean(cos_moments)),
            ("nc2_equiangular_std", variance(cos_moments).map(f64::sqrt)),
            ("nc2_interference_cv", cv(cos_moments)),
            ("nc2_max_angle", mean(moments(&angle.collect::<Vec<_>>(), 0.0))),
            ("nc2_interference_mean", mean(interference)),
            ("nc2_interference_var", variance(interference)),
            ("nc2_etf_error", frame_error(&self.products, self.classes, -1.0 / k)),
            ("nc2_of_error", frame_error(&self.products, self.classes, 0.0)),
            ("nc2_participation_ratio", (trace.value() > 0.0).then(|| (trace.squared() / square).value())),
            ("gnc2_distance_mean", mean(distance)),
            ("gnc2_distance_var", variance(distance)),
            ("gnc2_log_energy_mean", mean(energy)),
            ("gnc2_log_energy_var", variance(energy)),
            ("gnc2_log_energy_cv", cv(energy)),
            ("gnc2_riesz_mean", mean(of_riesz).map(|mean| sign * mean)),
            ("gnc2_riesz_var", variance(of_riesz)),
            ("gnc2_riesz_ln_mean", ln_mean),
            ("gnc2_min_distance", distances.iter().map(|x| x.value()).reduce(f64::min)),
            ("hug_inter", mean(moments(&riesz(2.0), 0.0))),
        ]
    }

    /// `‖Σ x_k‖/(√K ‖X‖)`; nothing if all are 0.
    pub(crate) fn row_sum(&self) -> Option<f64> {
        let all = sum(self.products.iter().copied());
        let trace = sum(self.products.iter().step_by(self.classes + 1).copied());
        // What is left of vectors that sum to 0 may be below 0.
        let all = all.value().max(0.0);
        (trace.value() > 0.0).then(|| (all / (self.classes as f64 * trace.value())).sqrt())
    }

    /// Of means as they are.
    pub(crate) fn orthogonal_frame(&self) -> Option<f64> {
        frame_error(&self.products, self.classes, 0.0)
    }
}

/// Classifier rows beside centred means.
pub(crate) struct Duality<'a> {
    pub(crate) weights: &'a Vectors,
    pub(crate) means: &'a Vectors,
    pub(crate) bias: Option<&'a [f64]>,
    pub(crate) centre: &'a [Double],
}

impl Duality<'_> {
    /// The NC3 metrics.
    pub(crate) fn metrics(&self) -> Vec<(&'static str, Option<f64>)> {
        let (w, c) = (self.weights, self.means);
        let (classes, dim) = (c.classes, c.dim);
        let row = |vectors: &Vectors, k: usize| vectors.values[k * dim..][..dim].to_vec();
        let (lengths, norms) = (w.norms(), c.norms());
        let whole = |norms: &[Double]| sum(norms.iter().map(|x| x.squared())).sqrt();
        let (all_w, all_c) = (whole(&lengths), whole(&norms));
        let mut structure = Vec::with_capacity(classes * classes);
        for i in 0..classes {
            structure.extend((0..classes).map(|j| dot(&w.values[i * dim..][..dim], &c.values[j * dim..][..dim])));
        }
        let dots: Vec<Double> = (0..classes).map(|k| structure[k * classes + k]).collect();
        let directed: Vec<usize> =
            (0..classes).filter(|&k| norms[k].value() > 0.0 && lengths[k].value() > 0.0).collect();
        let cos: Vec<Double> = directed.iter().map(|&k| dots[k] / (norms[k] * lengths[k])).collect();
        let distances: Vec<Double> = directed
            .iter()
            .map(|&k| {
                let pairs = row(w, k).into_iter().zip(row(c, k));
                sum(pairs.map(|(w, c)| (w / lengths[k] - c / norms[k]).squared())).sqrt()
            })
            .collect();
        let both = all_w.value() > 0.0 && all_c.value() > 0.0;
        let self_duality =
            both.then(|| sum(w.values.iter().zip(&c.values).map(|(&w, &c)| (w / all_w - c / all_c).squared())).value());
        let bias = sum((0..classes).map(|k| {
            let bias = self.bias.map_or(0.0, |bias| bias[k]);
            (dot(&row(w, k), self.centre) + bias.into()).squared()
        }));
        let (dot, cos, dist) = (moments(&dots, 1.0), moments(&cos, 1.0), moments(&distances, 1.0));
        let mean = |moments: Option<Moments>| moments.filter(|_| both).map(|moments| moments.mean);
        let variance = |moments: Option<Moments>| moments.filter(|_| both).map(|moments| moments.variance);
        vec![
            ("nc3_self_duality_sq", self_duality),
            ("nc3_duality_error", frame_error(&structure, classes, -1.0 / classes as f64)),
            ("nc3_dot_mean", mean(dot)),
            ("nc3_dot_var", variance(dot)),
            ("unc3_dot_var", variance(dot)),
            ("nc3_cos_mean", mean(cos)),
            ("nc3_cos_var", variance(cos)),
            ("unc3_cos_cv", mean(cos).zip(variance(cos)).map(|(mean, variance)| variance.sqrt() / mean)),
            ("nc3_dist_mean", mean(dist)),
            ("nc3_dist_var", variance(dist)),
            ("nc3_bias_collapse", Some(bias.sqrt().value())),
        ]
    }
}

/// The mean of `|cos(μ_k, o)|` over means that have a direction.
pub(crate) fn ortho_dev(means: &[Double], outside: &[Double]) -> Option<f64> {
    let norm = |x: &[Double]| dot(x, x).sqrt();
    let length = norm(outside);
    let rows = means.chunks(outside.len()).filter(|row| norm(row).value() > 0.0);
    let cosines: Vec<f64> = rows.map(|row| (dot(row, outside) / (norm(row) * length)).value().abs()).collect();
    let defined = length.value() > 0.0 && !cosines.is_empty();
    defined.then(|| cosines.iter().sum::<f64>() / cosines.len() as f64)
}
