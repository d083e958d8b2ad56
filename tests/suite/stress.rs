//! Archives that are hard to measure, by what makes them so.

use half::f16;
use nckit::batch::Label;

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
    pub(crate) means: Means,
    pub(crate) sizes: Sizes,
    /// Directions in which means and noise lie; the others are 0 until rows are rotated.
    pub(crate) rank: usize,
    /// The length of a vector that is added to all rows, in units of the noise-free means.
    pub(crate) offset: f64,
    /// Rows are brought to mean 0 and variance 1, one by one, as a last layer does it.
    pub(crate) layer_norm: bool,
    /// The rows of class 0 once more under a label of their own, at the end of the last chunk.
    pub(crate) twins: bool,
}

/// Where the classes' means lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Means {
    /// In any direction, all of length 10.
    Spread,
    /// At right angles to each other: a simplex about their centre, if there are directions enough.
    Simplex,
    /// This far from a common one, relative to its length.
    Near(f64),
}

/// How many rows each class has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sizes {
    Alike,
    /// `1/k` of the first.
    Zipf,
    /// Half of the classes have one row.
    Singletons,
}

/// The label of the rows that [`Recipe::twins`] repeats.
const TWIN: i64 = 1_000_000;

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
            means: Means::Spread,
            sizes: Sizes::Alike,
            rank: usize::MAX,
            offset: 0.0,
            layer_norm: false,
            twins: false,
        }
    }

    pub(crate) fn rows(&self) -> Vec<Rows> {
        let mut random =
            Random::new(self.name.bytes().fold(7, |seed: u64, byte| seed.wrapping_mul(31) ^ u64::from(byte)));
        let dim = self.dim;
        let means = self.means(&mut random);
        let offset = if self.offset > 0.0 { scaled_unit(&mut random, dim, 10.0 * self.offset) } else { vec![0.0; dim] };
        let reflections: Vec<Vec<f64>> = (0..4).map(|_| scaled_unit(&mut random, dim, 1.0)).collect();
        let sigma = self.collapse * 10.0 / (dim as f64).sqrt();
        let variance = |j: usize| if j < self.rank { (j as f64 + 1.0).powf(-self.decay) } else { 0.0 };
        let spread: Vec<f64> = (0..dim).map(|j| sigma * variance(j).sqrt()).collect();
        let total: usize = self.chunks.iter().sum();
        let mut labels: Vec<usize> = (0..total).map(|row| self.class(&mut random, row)).collect();
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
                row.iter_mut().zip(&offset).for_each(|(x, offset)| *x += offset);
                if self.layer_norm {
                    normalise(&mut row);
                }
                values.extend(row.iter().map(|x| x * scale));
            }
            let labels: Vec<i64> = labels.iter().map(|&label| label as i64).collect();
            chunks.push(Rows::new(dim, self.stored(values), &labels));
        }
        if self.twins {
            self.repeat(&mut chunks);
        }
        chunks
    }

    fn means(&self, random: &mut Random) -> Vec<f64> {
        let (dim, used) = (self.dim, self.rank.min(self.dim));
        let mut vector = |length: f64| {
            let mut vector = scaled_unit(random, used, length);
            vector.resize(dim, 0.0);
            vector
        };
        match self.means {
            Means::Spread => (0..self.classes).flat_map(|_| vector(10.0)).collect(),
            Means::Simplex => {
                (0..self.classes * dim).map(|at| if at / dim % used == at % dim { 10.0 } else { 0.0 }).collect()
            }
            Means::Near(share) => {
                let common = vector(10.0);
                let mean = |_| vector(10.0 * share).into_iter().zip(common.clone()).map(|(x, common)| common + x);
                (0..self.classes).flat_map(mean).collect()
            }
        }
    }

    fn class(&self, random: &mut Random, row: usize) -> usize {
        let singletons = match self.sizes {
            Sizes::Singletons => self.classes / 2,
            Sizes::Zipf => {
                // The inverse of the distribution whose density falls as 1/k.
                return ((self.classes as f64 + 1.0).powf(random.uniform()) as usize - 1).min(self.classes - 1);
            }
            Sizes::Alike => 0,
        };
        if row < singletons { row } else { singletons + random.below(self.classes - singletons) }
    }

    /// As files of this type hold them.
    pub(crate) fn stored(&self, values: Vec<f64>) -> Stored {
        match self.bits {
            16 => Stored::F16(values.iter().map(|&x| f16::from_f64(x.clamp(-6e4, 6e4))).collect()),
            32 => Stored::F32(values.iter().map(|&x| x as f32).collect()),
            _ => Stored::F64(values),
        }
    }

    fn repeat(&self, chunks: &mut [Rows]) {
        let mut twins = Vec::new();
        for rows in &*chunks {
            let of_class_0 = |i: &usize| rows.classes[rows.codes[*i] as usize] == Label::Int(0);
            twins.extend((0..rows.len()).filter(of_class_0).flat_map(|i| rows.row(i)));
        }
        let count = twins.len() / self.dim;
        let Some(last) = chunks.last_mut() else { return };
        let values = (0..last.len()).flat_map(|i| last.row(i)).chain(twins).collect();
        let label = |&code: &u32| match last.classes[code as usize] {
            Label::Int(label) => label as i64,
            _ => unreachable!("labels are numbers"),
        };
        let labels: Vec<i64> = last.codes.iter().map(label).chain(std::iter::repeat_n(TWIN, count)).collect();
        *last = Rows::new(self.dim, self.stored(values), &labels);
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

fn normalise(row: &mut [f64]) {
    let dim = row.len() as f64;
    let mean = row.iter().sum::<f64>() / dim;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / dim;
    for x in row.iter_mut() {
        *x = (*x - mean) / (variance + 1e-12).sqrt();
    }
}

/// Householder's reflection.
fn reflect(row: &mut [f64], axis: &[f64]) {
    let along: f64 = 2.0 * row.iter().zip(axis).map(|(x, a)| x * a).sum::<f64>();
    row.iter_mut().zip(axis).for_each(|(x, a)| *x -= along * a);
}
