//! Rows that hurt: made from a seed, in chunks, with the traits that real archives have.

use half::f16;
use nckit::batch::{Batch, Features, Label};
use nckit::kernels::{Profile, Workspace};
use nckit::state::{Accumulate, Chunk, Shifts};

/// A generator whose numbers are the same everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    pub(crate) fn bits(&mut self) -> u64 {
        // splitmix64, Steele et al. 2014
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        (self.bits() % n as u64) as usize
    }

    pub(crate) fn chance(&mut self, one_in: usize) -> bool {
        self.below(one_in) == 0
    }

    /// In [0, 1).
    pub(crate) fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, self.below(i + 1));
        }
    }
}

/// How features are stored.
#[derive(Clone, Debug)]
pub(crate) enum Stored {
    F16(Vec<f16>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

/// Rows that are rounded together.
#[derive(Clone, Debug)]
pub(crate) struct Rows {
    pub(crate) dim: usize,
    pub(crate) values: Stored,
    pub(crate) codes: Vec<u32>,
    pub(crate) classes: Vec<Label>,
    /// Bits by which the grid is finer than its own: rows become long.
    pub(crate) extra_bits: u32,
}

impl Rows {
    pub(crate) fn new(dim: usize, values: Stored, labels: &[i64]) -> Self {
        let mut classes = Vec::new();
        let codes = labels.iter().map(|&label| code_of(&Label::Int(label.into()), &mut classes)).collect();
        Self { dim, values, codes, classes, extra_bits: 0 }
    }

    pub(crate) fn batch(&self) -> Batch<'_> {
        let features = match &self.values {
            Stored::F16(values) => Features::F16(values),
            Stored::F32(values) => Features::F32(values),
            Stored::F64(values) => Features::F64(values),
        };
        Batch::new(self.dim, features, &self.codes, &self.classes).unwrap()
    }

    pub(crate) fn profile(&self, workspace: &mut Workspace) -> Profile {
        Profile::of(&self.batch(), self.extra_bits, workspace).unwrap()
    }

    /// Adds all rows to a state.
    pub(crate) fn add_to<S: Accumulate>(&self, state: &mut S, shifts: &Shifts, workspace: &mut Workspace) {
        let profile = self.profile(workspace);
        state.update(&Chunk { batch: self.batch(), profile: &profile }, None, shifts, workspace).unwrap();
    }

    /// Row `i` in `f64`.
    pub(crate) fn row(&self, i: usize) -> Vec<f64> {
        let at = i * self.dim..(i + 1) * self.dim;
        match &self.values {
            Stored::F16(values) => values[at].iter().map(|x| x.to_f64()).collect(),
            Stored::F32(values) => values[at].iter().map(|&x| x.into()).collect(),
            Stored::F64(values) => values[at].to_vec(),
        }
    }

    /// Some of the rows by themselves, with a table of classes of their own.
    pub(crate) fn part(&self, rows: &[u32]) -> Self {
        let at = rows.iter().flat_map(|&row| (0..self.dim).map(move |j| row as usize * self.dim + j));
        let values = match &self.values {
            Stored::F16(values) => Stored::F16(at.map(|at| values[at]).collect()),
            Stored::F32(values) => Stored::F32(at.map(|at| values[at]).collect()),
            Stored::F64(values) => Stored::F64(at.map(|at| values[at]).collect()),
        };
        let mut classes = Vec::new();
        let codes = rows.iter().map(|&row| code_of(&self.classes[self.codes[row as usize] as usize], &mut classes));
        Self { codes: codes.collect(), values, classes, ..*self }
    }

    /// The same rows, every value times `scale`.
    pub(crate) fn scaled(&self, scale: f64) -> Self {
        let values = match &self.values {
            Stored::F16(values) => Stored::F32(values.iter().map(|x| x.to_f32() * scale as f32).collect()),
            Stored::F32(values) => Stored::F32(values.iter().map(|x| x * scale as f32).collect()),
            Stored::F64(values) => Stored::F64(values.iter().map(|x| x * scale).collect()),
        };
        Self { values, ..self.clone() }
    }

    pub(crate) fn len(&self) -> usize {
        self.codes.len()
    }

    /// The state of all rows.
    pub(crate) fn state<S: Accumulate>(&self, shifts: &Shifts) -> S {
        let mut state = S::identity();
        self.add_to(&mut state, shifts, &mut Workspace::default());
        state
    }
}

/// The code of a label in a table that grows by it if it is new.
fn code_of(label: &Label, classes: &mut Vec<Label>) -> u32 {
    classes.iter().position(|known| known == label).unwrap_or_else(|| {
        classes.push(label.clone());
        classes.len() - 1
    }) as u32
}

/// One to five chunks of the same dimension, with traits that hurt.
pub(crate) fn chunks(seed: u64) -> Vec<Rows> {
    let mut random = Random::new(seed);
    let dim = [1, 2, 5, 9, 17][random.below(5)];
    let classes = 1 + random.below(6);
    let stored = random.below(3);
    let relative_sigma = 10_f64.powi(-(random.below([7, 7, 4][stored]) as i32));
    let relu = random.chance(4);
    let sorted = random.chance(2);
    let units_differ = random.chance(3);
    let factors: Vec<f64> = (0..dim)
        .map(|j| match random.below(8) {
            0 if stored != 0 => 1000.0,
            1 => 0.0,
            _ if j % 4 == 3 && stored == 2 => 1e-6,
            _ => 1.0,
        })
        .collect();
    let constant: Vec<bool> = (0..dim).map(|_| random.chance(8)).collect();
    // The last class, when there are several, is far tighter than the others or as wide.
    let tighter = if random.chance(3) { 1e-4 } else { 1.0 };
    // Mostly long rows, or a few.
    let extra_bits = if random.chance(3) { random.below([8, 8, 3][stored]) as u32 } else { 0 };
    let means: Vec<f64> = (0..classes * dim).map(|_| random.normal()).collect();
    (0..=random.below(5))
        .map(|_| {
            let count = if random.chance(30) { 2100 } else { [1, 2, 7, 60, 300][random.below(5)] };
            // Means as far apart as these, in steps of a chunk that has collapsed, still have to fit.
            let bits = if units_differ && relative_sigma > 1e-4 { [0, 6, 3][stored] } else { 0 };
            let scale = 2_f64.powi(random.below(2 * bits + 1) as i32 - bits as i32);
            let mut labels: Vec<i64> = (0..count).map(|_| random.below(classes) as i64 * 3 - 5).collect();
            if sorted {
                labels.sort_unstable();
            }
            if random.chance(3) {
                labels[0] = 1_000_000 + random.below(3) as i64; // mostly a singleton
            }
            let mut values = Vec::with_capacity(count * dim);
            for &label in &labels {
                let class = (label.unsigned_abs() as usize) % classes;
                for j in 0..dim {
                    let sigma = if class + 1 == classes { relative_sigma * tighter } else { relative_sigma };
                    let noise = if constant[j] { 0.0 } else { random.normal() * sigma };
                    let x = (means[class * dim + j] + noise) * factors[j] * scale;
                    values.push(if relu { x.max(0.0) } else { x });
                }
            }
            let values = match stored {
                0 => Stored::F16(values.iter().map(|&x| f16::from_f64(x)).collect()),
                1 => Stored::F32(values.iter().map(|&x| x as f32).collect()),
                _ => Stored::F64(values),
            };
            Rows { extra_bits, ..Rows::new(dim, values, &labels) }
        })
        .collect()
}
