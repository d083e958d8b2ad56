//! Data sets drawn at random from all that makes numbers hard to get right.

use nckit::batch::Label;
use nckit::metrics::{Centring, Options};
use nckit::state::Head;

use crate::rows::{Random, Rows};
use crate::stress::{Means, Noise, Recipe, Sizes};

/// How large sets may be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Size {
    /// A second for a dozen of them.
    Small,
    /// K to 300, D to 1030, N to 20,000.
    Full,
}

/// One data set and the conventions under which it is measured.
pub(crate) struct Set {
    pub(crate) name: String,
    /// Chunk by chunk.
    pub(crate) rows: Vec<Rows>,
    /// Out of distribution, in one chunk.
    pub(crate) outside: Rows,
    pub(crate) options: Options,
}

/// Between `low` and `high`, every order of magnitude alike.
fn log_uniform(random: &mut Random, low: f64, high: f64) -> f64 {
    low * (high / low).powf(random.uniform())
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(from.len())]
}

/// K, D and N.
fn shape(random: &mut Random, size: Size) -> (usize, usize, usize) {
    let (classes, dim, rows, work) = match size {
        Size::Small => (40.0, 100.0, 2500.0, 4e6),
        Size::Full => (300.0, 1030.0, 20_000.0, 4e8),
    };
    let classes = log_uniform(random, 2.0, classes + 1.0) as usize;
    let dim = log_uniform(random, 1.0, dim + 1.0) as usize;
    let most = f64::min(rows, work / (dim * dim.max(classes)) as f64);
    let least = (classes as f64 * 3.0).min(most);
    (classes, dim, log_uniform(random, least, most.max(least + 1.0)) as usize)
}

/// The chunks of some files: whole ones, or row groups of a few hundred rows.
fn cut(random: &mut Random, rows: usize, dim: usize) -> Vec<usize> {
    let files = 1 + random.below(3);
    let group = if random.chance(2) { rows } else { 200 + random.below(3000) };
    let chunk = nckit::archive::chunk_rows(dim).min(group);
    let mut cuts = Vec::new();
    for file in 0..files {
        let mut left = rows / files + usize::from(file < rows % files);
        while left > 0 {
            cuts.push(left.min(chunk));
            left -= left.min(chunk);
        }
    }
    cuts
}

impl Set {
    /// The set of that number.
    pub(crate) fn draw(number: u64, size: Size) -> Self {
        let mut random = Random::new(number.wrapping_mul(0x2545_f491_4f6c_dd1d) ^ 0xacc);
        let random = &mut random;
        let (classes, dim, count) = shape(random, size);
        let bits = pick(random, &[16, 32, 32, 64]);
        let chunks = cut(random, count, dim);
        let mut recipe =
            Recipe { chunks, classes, bits, ..Recipe::new("", dim, 10_f64.powi(-(random.below(7) as i32))) };
        recipe.means = match random.below(8) {
            0 => Means::Simplex,
            1 | 2 => Means::Near(10_f64.powi(-1 - random.below(6) as i32)),
            _ => Means::Spread,
        };
        recipe.noise = match random.below(10) {
            0 => Noise::HeavyTails,
            1 | 2 => Noise::Relu([0.0, 1.0, 3.0][random.below(3)]),
            3 => Noise::OneHot,
            _ => Noise::Normal,
        };
        recipe.sizes = pick(random, &[Sizes::Alike, Sizes::Alike, Sizes::Zipf, Sizes::Singletons]);
        recipe.decay = pick(random, &[0.0, 0.0, 0.0, 1.0, 2.0, 2.5, 4.0]);
        recipe.rotated = random.chance(3);
        recipe.sorted = random.chance(4);
        if random.chance(6) {
            recipe.rank = 1 + random.below(dim);
        }
        recipe.layer_norm = dim > 2 && random.chance(5);
        if random.chance(4) {
            recipe.offset = pick(random, &[1.0, 30.0, 100.0]);
        }
        if random.chance(5) {
            recipe.factors = vec![1000.0; 1 + random.below(dim.min(4))];
        }
        if random.chance(5) {
            // Dead dimensions beside massive ones.
            recipe.factors = (0..dim).map(|_| pick(random, &[1.0, 1.0, 0.0, 1.0])).collect();
        }
        if random.chance(5) {
            recipe.class_scales = vec![1.0, pick(random, &[1e-2, 1e-4])];
        }
        let scale = match bits {
            16 => pick(random, &[1.0, 1.0, 1e-3, 10.0]),
            _ => pick(random, &[1.0, 1.0, 1.0, 1e4, 1e-4, 1e30, 1e-30]),
        };
        recipe.twins = random.chance(6);
        let apart = if bits == 16 { [1.0, 1e-2, 30.0] } else { [1.0, 1e-4, 1e4] };
        recipe.chunk_scales = vec![scale];
        if recipe.twins || random.chance(6) {
            recipe.chunk_scales.push(scale * pick(random, &apart));
        }
        recipe.name = format!("set {number}");
        let rows = recipe.rows();
        let outside = recipe.clone();
        let outside = Recipe {
            name: format!("set {number}, outside"),
            chunks: vec![(count / 4).clamp(2, 2000)],
            classes: 1 + random.below(3),
            chunk_scales: vec![scale],
            class_scales: vec![1.0],
            sizes: Sizes::Alike,
            twins: false,
            ..outside
        };
        let outside = outside.rows().remove(0);
        let mut options = Options::default();
        if random.chance(4) {
            options.riesz_s = dim as f64 - 2.0;
        }
        if random.chance(6) {
            options.cdnv_exponent = 2.0;
        }
        if random.chance(6) {
            options.centring = Centring::Sample;
        }
        if random.chance(6) {
            options.weight_decay = 1e-12;
        }
        options.ood_centred = random.chance(6);
        let name = format!(
            "set {number}: K={classes} D={dim} N={count} f{bits}, σ/‖μ‖={:e}, {:?}, {:?}, {:?}, j^-{}, chunks of {:?} at {:?}{}{}{}{}{}{}{}",
            recipe.collapse,
            recipe.means,
            recipe.noise,
            recipe.sizes,
            recipe.decay,
            recipe.chunks.iter().take(4).collect::<Vec<_>>(),
            recipe.chunk_scales,
            if recipe.rotated { ", rotated" } else { "" },
            if recipe.rank < dim { format!(", rank {}", recipe.rank) } else { String::new() },
            if recipe.layer_norm { ", layer norm" } else { "" },
            if recipe.offset > 0.0 { format!(", offset {}", 10.0 * recipe.offset) } else { String::new() },
            if recipe.factors.is_empty() { "" } else { ", massive or dead dimensions" },
            if recipe.class_scales.len() > 1 { ", tighter classes" } else { "" },
            if recipe.twins { ", twins" } else { "" },
        );
        Self { name, rows, outside, options }
    }

    /// A classifier of these classes: aligned with the means to some degree, or in any direction.
    pub(crate) fn head(&self, number: u64, labels: &[Label], centred: &[f64]) -> Head {
        let mut random = Random::new(number ^ 0x4ead);
        let dim = self.rows[0].dim;
        let length = (centred.iter().map(|x| x * x).sum::<f64>() / labels.len() as f64).sqrt();
        let noise = pick(&mut random, &[0.0, 1e-6, 1e-2, 1.0, f64::INFINITY]);
        let weight = |x: &f64, random: &mut Random| {
            let other = random.normal() / (dim as f64).sqrt();
            match noise {
                noise if noise.is_infinite() || length == 0.0 => other,
                noise => x / length + noise * other,
            }
        };
        let mut weights: Vec<f64> = centred.iter().map(|x| f64::from(weight(x, &mut random) as f32)).collect();
        if random.chance(5) {
            weights[..dim].fill(0.0);
        }
        let bias = random.chance(2).then(|| labels.iter().map(|_| f64::from(random.normal() as f32 * 0.1)).collect());
        Head { weights, bias, errors: Vec::new() }
    }
}
