//! Archives that are hard to measure, by what makes them so.

use half::f16;

use crate::rows::{Random, Rows, Stored};

/// How features are drawn. Rows are `scale_chunk · (mean_k + σ_k · spread_j · noise)`, then changed by `finish`.
#[derive(Clone, Debug)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) dim: usize,
    /// Rows of each chunk.
    pub(crate) chunks: Vec<usize>,
    pub(crate) classes: usize,
    /// σ over ‖μ‖ in a typical direction.
    pub(crate) collapse: f64,
    /// The power of `j` with which the variances of directions fall.
    pub(crate) decay: f64,
    pub(crate) rotated: bool,
    pub(crate) bits: u32,
    pub(crate) sorted: bool,
    /// Factors of the first dimensions.
    pub(crate) factors: Vec<f64>,
    /// Factors of chunks, in turn.
    pub(crate) chunk_scales: Vec<f64>,
    /// Factors of the classes' σ, in turn.
    pub(crate) class_scales: Vec<f64>,
    pub(crate) noise: Noise,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Noise {
    Normal,
    /// Student's t with three degrees of freedom.
    HeavyTails,
    /// Normal, and what lies below this many σ above 0 is 0.
    Relu(f64),
    /// A single 1, in a dimension that depends on the class more often than not.
    OneHot,
}

impl Recipe {
    pub(crate) fn new(name: impl Into<String>, dim: usize, collapse: f64) -> Self {
        Self {
            name: name.into(),
            dim,
            chunks: vec![1000; 4],
            classes: 10,
            collapse,
            decay: 0.0,
            rotated: false,
            bits: 32,
            sorted: false,
            factors: Vec::new(),
            chunk_scales: vec![1.0],
            class_scales: vec![1.0],
            noise: Noise::Normal,
        }
    }

    pub(crate) fn rows(&self) -> Vec<Rows> {
        let mut random =
            Random::new(self.name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) ^ u64::from(byte)));
        let dim = self.dim;
        let means: Vec<f64> = (0..self.classes).flat_map(|_| scaled_unit(&mut random, dim, 10.0)).collect();
        let reflections: Vec<Vec<f64>> = (0..4).map(|_| scaled_unit(&mut random, dim, 1.0)).collect();
        let sigma = self.collapse * 10.0 / (dim as f64).sqrt();
        let spread: Vec<f64> = (0..dim).map(|j| sigma * (j as f64 + 1.0).powf(-self.decay / 2.0)).collect();
        let total: usize = self.chunks.iter().sum();
        let mut labels: Vec<usize> = (0..total).map(|_| random.below(self.classes)).collect();
        if self.sorted {
            labels.sort_unstable();
        }
        let mut labels = labels.into_iter();
        let mut chunks = Vec::new();
        for (at, &count) in self.chunks.iter().enumerate() {
            let labels: Vec<usize> = labels.by_ref().take(count).collect();
            let scale = self.chunk_scales[at % self.chunk_scales.len()];
            let mut values = Vec::with_capacity(count * dim);
            for &class in &labels {
                let class_scale = self.class_scales[class % self.class_scales.len()];
                let mut row = self.row(&mut random, class, &means[class * dim..][..dim], &spread, class_scale);
                if self.rotated {
                    for axis in &reflections {
                        reflect(&mut row, axis);
                    }
                }
                row.iter_mut().zip(&self.factors).for_each(|(x, factor)| *x *= factor);
                values.extend(row.iter().map(|x| x * scale));
            }
            let values = match self.bits {
                16 => Stored::F16(values.iter().map(|&x| f16::from_f64(x)).collect()),
                32 => Stored::F32(values.iter().map(|&x| x as f32).collect()),
                _ => Stored::F64(values),
            };
            let labels: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
            chunks.push(Rows::new(dim, values, &labels));
        }
        chunks
    }

    fn row(&self, random: &mut Random, class: usize, mean: &[f64], spread: &[f64], class_scale: f64) -> Vec<f64> {
        if self.noise == Noise::OneHot {
            let hot = if random.chance(3) { random.below(self.dim) } else { class % self.dim };
            return (0..self.dim).map(|j| f64::from(u8::from(j == hot))).collect();
        }
        let mut one = |mean: f64, spread: f64| match self.noise {
            Noise::HeavyTails => {
                let chi: f64 = (0..3).map(|_| random.normal().powi(2)).sum();
                mean + spread * class_scale * random.normal() / (chi / 3.0).sqrt()
            }
            Noise::Relu(threshold) => (mean + spread * class_scale * (random.normal() - threshold)).max(0.0),
            _ => mean + spread * class_scale * random.normal(),
        };
        mean.iter().zip(spread).map(|(&mean, &spread)| one(mean, spread)).collect()
    }
}

fn scaled_unit(random: &mut Random, dim: usize, length: f64) -> Vec<f64> {
    let direction: Vec<f64> = (0..dim).map(|_| random.normal()).collect();
    let norm = direction.iter().map(|x| x * x).sum::<f64>().sqrt();
    direction.iter().map(|x| x * length / norm).collect()
}

/// Householder's reflection.
fn reflect(row: &mut [f64], axis: &[f64]) {
    let along: f64 = 2.0 * row.iter().zip(axis).map(|(x, a)| x * a).sum::<f64>();
    row.iter_mut().zip(axis).for_each(|(x, a)| *x -= along * a);
}
