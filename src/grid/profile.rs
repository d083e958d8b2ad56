//! One pass over a chunk that finds how finely its values have to be rounded.

use std::cell::Cell;

use super::{EXPONENTS, Grid, VALUE_BITS, Value, ceil_log2, power_of_two, vectorised};
use crate::batch::{Batch, ByClass, Features};
use crate::error::{Error, Result};

/// What one pass over a chunk tells: its grid, and where its classes lie.
///
/// It is a pure function of the chunk's rows and labels, so whoever reads the same chunk rounds it alike: sums run
/// over rows class after class, with one lane per dimension, hence in the same order whatever the width of the
/// registers.
#[derive(Clone, Debug)]
pub struct Profile {
    grid: Grid,
    /// All rows.
    classes: ByClass,
    /// Class means, classes × D.
    means: Vec<f64>,
    /// Largest |x|, D.
    largest: Vec<f64>,
}

thread_local! {
    /// Memory of means, which may be a mebibyte or more: asked for once and not for every chunk.
    static SPARE: Cell<Vec<f64>> = Cell::default();
}

impl Drop for Profile {
    fn drop(&mut self) {
        SPARE.set(std::mem::take(&mut self.means));
    }
}

/// Degrees of freedom below which the spread within classes says too little.
const MIN_FREEDOM: usize = 8;

/// Bits below the largest deviation that a step lies: |δ| fits 21 bits and a sign.
const DEVIATION_BITS: i32 = 21;

/// How many bits finer than a chunk's coarsest step another may be.
///
/// A standard deviation 2^37 times smaller than the largest still has 2^10 steps, and `Q` of 2^28 rows of a class
/// whose dimension is all but dead here and not elsewhere stays in range.
const MAX_FINER: i32 = 32;

/// As many bits may lie between the coarsest and the finest step of any grid that rows are rounded to.
const MAX_SPREAD: u32 = 64;

/// Bits below the largest |x| at which a dimension is rounded that is constant within classes.
///
/// Nothing says how finely it would vary. An f16 or f32 stays exact down to 2^-12 of the largest, so that classes whose
/// constant is small keep their digits. More would leave a chunk of one row off the range of the sums of chunks with a
/// spread.
const CONSTANT_BITS: i32 = 36;

/// Fewer rows than this, of which hardly two are of a class, say little of a dimension.
const FEW_ROWS: usize = 32;

/// Where few rows say little, no step is this many bits finer than the median: by chance some dimension is nearly
/// zero, or hardly varies, in any chunk of one row or two.
const FEW_ROWS_FINER: i32 = 8;

impl Profile {
    /// Profiles rows of a chunk whose grid is known.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if it cannot be theirs: of another dimension, without a step where they
    /// are not zero, or no grid that a chunk has.
    pub fn on(rows: &Batch<'_>, grid: Grid) -> Result<Self> {
        let spread = grid.weights().into_iter().max().unwrap_or(0);
        let valid = grid.exponents().iter().flatten().all(|e| EXPONENTS.contains(e)) && spread <= MAX_SPREAD;
        if grid.dim() != rows.dim() || !valid {
            return Err(Error::data("not a grid for these rows"));
        }
        let outline = match rows.features() {
            Features::F16(values) => Outline::of(values, rows),
            Features::F32(values) => Outline::of(values, rows),
            Features::F64(values) => Outline::of(values, rows),
        };
        let Outline { classes, means, largest } = outline;
        let profile = Self { grid, classes, means, largest };
        let zero = |(&x, e): (&f64, &Option<i16>)| e.is_some() || x == 0.0;
        if !profile.largest.iter().zip(profile.grid.exponents()).all(zero) {
            return Err(Error::data("not a grid for these rows"));
        }
        Ok(profile)
    }

    /// Profiles rows that are to be rounded to multiples of `2^exponent` in all dimensions.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the exponent is not among [`EXPONENTS`].
    pub fn with_exponent(rows: &Batch<'_>, exponent: i16) -> Result<Self> {
        Self::on(rows, Grid::new(vec![Some(exponent); rows.dim()]))
    }

    /// Profiles a chunk; `extra_bits` makes its grid finer by that many bits.
    pub fn of(chunk: &Batch<'_>, extra_bits: u32) -> Self {
        // Beyond 128 every step is at its finest already.
        let extra_bits = extra_bits.min(128) as i32;
        let spread = match chunk.features() {
            Features::F16(values) => Spread::of(values, chunk),
            Features::F32(values) => Spread::of(values, chunk),
            Features::F64(values) => Spread::of(values, chunk),
        };
        let grid = Grid::new(exponents(&spread, extra_bits));
        let Spread { classes, means, largest, .. } = spread;
        Self { grid, classes, means, largest }
    }

    /// The chunk's grid.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// The largest |x| of each dimension, `D`.
    pub fn largest(&self) -> &[f64] {
        &self.largest
    }

    /// About where the rows of a class of the chunk lie, `D`; `None` if it has none.
    pub fn mean(&self, code: u32) -> Option<&[f64]> {
        let dim = self.grid.dim();
        self.classes.class(code).map(|class| &self.means[class * dim..][..dim])
    }
}

/// What rounding wants to know of rows whose grid is given.
struct Outline {
    classes: ByClass,
    /// Means of the first rows of each class, classes × D: a shift need only be near.
    means: Vec<f64>,
    largest: Vec<f64>,
}

/// Rows of a class that say about where it lies: their mean is off by a quarter of a standard deviation.
const OUTLINE_ROWS: usize = 16;

impl Outline {
    fn of<T: Value>(values: &[T], rows: &Batch<'_>) -> Self {
        let dim = rows.dim();
        let mut largest = vec![0.0; dim];
        vectorised(
            #[inline(always)]
            || values.chunks_exact(dim).for_each(|row| raise(&mut largest, row)),
        );
        let classes = ByClass::of(rows, None);
        let mut means = spare(classes.counts().len() * dim);
        for (means, rows) in means.chunks_exact_mut(dim).zip(classes.each()) {
            means.fill(0.0);
            let first = &rows[..rows.len().min(OUTLINE_ROWS)];
            for &row in first {
                let row = &values[row as usize * dim..][..dim];
                means.iter_mut().zip(row).for_each(|(mean, x)| *mean += x.widen());
            }
            // A sum may have left the range of f64.
            let mean = |(mean, &largest): (&mut f64, &f64)| {
                *mean = (*mean / first.len() as f64).clamp(-largest, largest);
            };
            means.iter_mut().zip(&largest).for_each(mean);
        }
        Self { classes, means, largest }
    }
}

/// Per dimension, how a chunk's values spread within their classes.
struct Spread {
    classes: ByClass,
    /// Class means, classes × D.
    means: Vec<f64>,
    /// Largest |x|.
    largest: Vec<f64>,
    /// Largest |δ| about the first row of the class, times `2^-scale`.
    deviation: Vec<f64>,
    /// Standard deviation within classes, times `2^-scale`.
    sigma: Vec<f64>,
    /// The power of two by which values were divided before they were squared.
    scale: Vec<i32>,
    /// Rows that differ from the first of their class.
    hits: Vec<f64>,
    /// `N`.
    rows: usize,
    /// `Σ (n_k − 1)`.
    freedom: usize,
    /// Largest |δ| about the chunk's first row, only when there is little freedom; `None` otherwise.
    about_first: Option<Vec<f64>>,
}

impl Spread {
    fn of<T: Value>(values: &[T], chunk: &Batch<'_>) -> Self {
        let dim = chunk.dim();
        let classes = ByClass::of(chunk, None);
        let mut largest = vec![0.0; dim];
        if T::WIDE_RANGE {
            vectorised(
                #[inline(always)]
                || values.chunks_exact(dim).for_each(|row| raise(&mut largest, row)),
            );
        }
        let scale: Vec<i32> =
            largest.iter().map(|&x| if x > 0.0 { ceil_log2(x).clamp(-1022, 1022) } else { 0 }).collect();
        let factors: Vec<f64> = scale.iter().map(|&p| power_of_two(-p as i16)).collect();

        let zeros = || vec![0.0; dim];
        let mut pass = Pass {
            values,
            dim,
            factors: &factors,
            sums: spare(classes.counts().len() * dim),
            totals: [zeros(), zeros(), zeros(), largest],
        };
        let first: Vec<u32> = classes.each().map(|rows| rows[0]).collect();
        vectorised(
            #[inline(always)]
            || {
                let whole = dim / LANES * LANES;
                // Loops and not iterators with closures, which might not be inlined.
                for (rows, classes) in classes.rows().chunks(TILE_ROWS).zip(classes.classes().chunks(TILE_ROWS)) {
                    let tile = Tile { rows, classes, first: &first };
                    for start in (0..whole).step_by(LANES) {
                        pass.add::<LANES>(&tile, start);
                    }
                    for start in whole..dim {
                        pass.add::<1>(&tile, start);
                    }
                }
            },
        );
        let Pass { sums, totals: [deviation, squares, hits, largest], .. } = pass;

        let freedom = chunk.rows() - classes.counts().len();
        let (mut sigma, mut means) = (squares, sums);
        vectorised(
            #[inline(always)]
            || {
                let (sigma, largest, factors) = (&mut sigma[..dim], &largest[..dim], &factors[..dim]);
                for (class, &count) in classes.counts().iter().enumerate() {
                    let (share, origin) = (1.0 / count as f64, &values[first[class] as usize * dim..][..dim]);
                    let means = &mut means[class * dim..][..dim];
                    for j in 0..dim {
                        let mean = means[j] * share;
                        sigma[j] -= means[j] * mean;
                        // Scaled as long as possible: the difference of two values of f64 may be no f64.
                        let scaled = origin[j].widen() * factors[j] + mean;
                        let mean = if T::WIDE_RANGE { scaled / factors[j] } else { scaled };
                        means[j] = mean.max(-largest[j]).min(largest[j]);
                    }
                }
            },
        );
        for sigma in &mut sigma {
            *sigma = if *sigma > 0.0 { (*sigma / freedom as f64).sqrt() } else { 0.0 };
        }
        let about_first = (freedom < MIN_FREEDOM).then(|| {
            let mut about = vec![0.0_f64; dim];
            for row in values.chunks_exact(dim) {
                for j in 0..dim {
                    let delta = row[j].widen() * factors[j] - values[j].widen() * factors[j];
                    about[j] = about[j].max(delta.abs());
                }
            }
            about
        });
        let rows = chunk.rows();
        Self { classes, means, largest, deviation, sigma, scale, hits, rows, freedom, about_first }
    }
}

/// Dimensions that are summed in registers while a tile of rows passes.
const LANES: usize = 8;

/// Rows of a tile, which stays in the nearest cache.
const TILE_ROWS: usize = 8;

/// Some rows of a chunk in the order of classes.
struct Tile<'a> {
    rows: &'a [u32],
    classes: &'a [u32],
    /// The first row of each class.
    first: &'a [u32],
}

/// The rows of a chunk, and what they add up to.
struct Pass<'a, T> {
    values: &'a [T],
    dim: usize,
    factors: &'a [f64],
    /// `Σ δ`, classes × D; whatever it was before the first row of a class.
    sums: Vec<f64>,
    /// Largest |δ|, `Σ δ²`, rows with `δ ≠ 0` and largest |x|, each D.
    totals: [Vec<f64>; 4],
}

impl<T: Value> Pass<'_, T> {
    /// Adds `N` dimensions of some rows, from `start` on.
    #[inline(always)]
    fn add<const N: usize>(&mut self, tile: &Tile<'_>, start: usize) {
        let factors: [f64; N] = load(self.factors, start);
        // One by one: a closure might not be inlined.
        let [deviation, squares, hits, largest] = &self.totals;
        let (mut deviation, mut squares) = (load::<N>(deviation, start), load::<N>(squares, start));
        let (mut hits, mut largest) = (load::<N>(hits, start), load::<N>(largest, start));
        let (mut at, mut class) = (0, usize::MAX);
        let (mut origin, mut sums) = ([0.0; N], [0.0; N]);
        while at < tile.rows.len() {
            let row = tile.rows[at] as usize;
            if tile.classes[at] as usize != class {
                if class != usize::MAX {
                    self.sums[class * self.dim + start..][..N].copy_from_slice(&sums);
                }
                class = tile.classes[at] as usize;
                let first = tile.first[class] as usize;
                origin = self.scaled(first, start, &factors).1;
                sums = if row == first { [0.0; N] } else { load(&self.sums, class * self.dim + start) };
            }
            let (x, scaled) = self.scaled(row, start, &factors);
            for lane in 0..N {
                let delta = scaled[lane] - origin[lane];
                let (size, distance) = (x[lane].abs(), delta.abs());
                largest[lane] = if size > largest[lane] { size } else { largest[lane] };
                deviation[lane] = if distance > deviation[lane] { distance } else { deviation[lane] };
                squares[lane] += delta * delta;
                hits[lane] += if delta == 0.0 { 0.0 } else { 1.0 };
                sums[lane] += delta;
            }
            at += 1;
        }
        self.sums[class * self.dim + start..][..N].copy_from_slice(&sums);
        for (total, lanes) in self.totals.iter_mut().zip([&deviation, &squares, &hits, &largest]) {
            total[start..start + N].copy_from_slice(lanes);
        }
    }

    /// Values of a row, and the same as differences are taken of.
    #[inline(always)]
    fn scaled<const N: usize>(&self, row: usize, start: usize, factors: &[f64; N]) -> ([f64; N], [f64; N]) {
        let values = &self.values[row * self.dim + start..][..N];
        let (mut x, mut scaled) = ([0.0; N], [0.0; N]);
        for lane in 0..N {
            x[lane] = values[lane].widen();
            scaled[lane] = if T::WIDE_RANGE { x[lane] * factors[lane] } else { x[lane] };
        }
        (x, scaled)
    }
}

#[inline(always)]
fn load<const N: usize>(values: &[f64], start: usize) -> [f64; N] {
    let mut lanes = [0.0; N];
    lanes.copy_from_slice(&values[start..start + N]);
    lanes
}

/// Memory for so many means, which are whatever they were.
fn spare(length: usize) -> Vec<f64> {
    let mut means = SPARE.take();
    means.resize(length, 0.0);
    means
}

/// Takes the larger magnitudes.
#[inline(always)]
fn raise<T: Value>(largest: &mut [f64], row: &[T]) {
    let largest = &mut largest[..row.len()];
    for j in 0..row.len() {
        let x = row[j].widen().abs();
        largest[j] = if x > largest[j] { x } else { largest[j] };
    }
}

/// The exponents of a chunk's grid.
fn exponents(spread: &Spread, extra_bits: i32) -> Vec<Option<i16>> {
    let dims = 0..spread.largest.len();
    let own: Vec<Option<i32>> = dims.clone().map(|j| own_exponent(spread, j)).collect();
    let few_rows = spread.about_first.is_some() && spread.rows < FEW_ROWS;
    let enough_hits = (spread.freedom as f64 / 2.0).min(32.0);
    let rare = |j: usize| spread.about_first.is_none() && spread.deviation[j] > 0.0 && spread.hits[j] < enough_hits;
    // What the other dimensions say is asked of those that say something themselves.
    let speaks = |&j: &usize| few_rows || (spread.deviation[j] > 0.0 && !rare(j));
    let mut others: Vec<i32> = dims.clone().filter(speaks).filter_map(|j| own[j]).collect();
    others.sort_unstable();
    let median = others.get(others.len() / 2).copied();
    let chosen: Vec<Option<i32>> = dims
        .map(|j| {
            let finest = match median {
                Some(median) if few_rows => median - FEW_ROWS_FINER,
                Some(median) if rare(j) => median,
                _ => i32::MIN,
            };
            own[j].map(|e| e.max(finest) - extra_bits)
        })
        .collect();
    let floor = chosen.iter().flatten().max().map_or(0, |coarsest| coarsest - MAX_FINER);
    let bounded = |(e, largest): (&Option<i32>, &f64)| {
        e.map(|e| {
            let e = e.max(floor).max(ceil_log2(*largest) - (VALUE_BITS as i32 - 1));
            e.clamp(i32::from(*EXPONENTS.start()), i32::from(*EXPONENTS.end())) as i16
        })
    };
    chosen.iter().zip(&spread.largest).map(bounded).collect()
}

/// The exponent that a dimension asks for by itself; `None` if it is all zeros.
fn own_exponent(spread: &Spread, j: usize) -> Option<i32> {
    if spread.largest[j] == 0.0 {
        return None;
    }
    let (size, bits) = match &spread.about_first {
        Some(about) => (about[j], DEVIATION_BITS + 1),
        None => (spread.deviation[j].max(8.0 * spread.sigma[j]), DEVIATION_BITS),
    };
    Some(if size == 0.0 {
        ceil_log2(spread.largest[j]) - CONSTANT_BITS
    } else {
        ceil_log2(size) + spread.scale[j] - bits
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::Label;

    fn grid(dim: usize, values: &[f32], codes: &[u32]) -> Vec<Option<i16>> {
        let classes: Vec<Label> = (0..=codes.iter().copied().max().unwrap()).map(|k| Label::Int(k.into())).collect();
        let batch = Batch::new(dim, Features::F32(values), codes, &classes).unwrap();
        Profile::of(&batch, 0).grid().exponents().to_vec()
    }

    #[test]
    fn a_step_lies_21_bits_below_eight_standard_deviations() {
        // One class, first row 0, then ±1 in turn: σ² = 9/9, 8σ = 8, and 2^3 − 21.
        let values = [0.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0, 1.0, -1.0];
        assert_eq!(grid(1, &values, &[0; 11]), [Some(3 - 21)]);
    }

    #[test]
    fn constant_zero_and_rare_dimensions() {
        let mut values = Vec::new();
        for row in 0..100_u8 {
            let rare = if row == 50 { 1e-6 } else { 0.0 };
            values.extend([f32::from(row % 7), 3.0, 0.0, rare]);
        }
        let e = grid(4, &values, &[0; 100]);
        assert_eq!(e[1], Some(2 - 36), "a constant keeps 36 bits");
        assert_eq!(e[2], None, "zeros lie on any grid");
        assert_eq!(e[3], e[0], "one hit says nothing about the scale");
    }

    #[test]
    fn few_degrees_of_freedom_use_the_spread_about_the_first_row() {
        assert_eq!(grid(1, &[5.0, 6.0, 9.0], &[0, 1, 2]), [Some(2 - 22)]);
        assert_eq!(grid(1, &[5.0], &[0]), [Some(3 - 36)]);
    }

    #[test]
    fn in_a_chunk_of_one_row_no_value_is_small_by_chance() {
        assert_eq!(grid(3, &[1.5, 1.25, 1e-20], &[0]), [Some(1 - 36), Some(1 - 36), Some(1 - 36 - 8)]);
        let classes = [Label::Int(0)];
        let batch = Batch::new(2, Features::F64(&[1.5, 1e-200]), &[0], &classes).unwrap();
        assert_eq!(Profile::of(&batch, 0).grid().exponents(), [Some(1 - 36), Some(1 - 36 - 8)]);
    }

    #[test]
    fn no_step_is_far_finer_than_the_coarsest() {
        let values: Vec<f32> = (0..40_u8).flat_map(|i| [f32::from(i % 5), f32::from(i % 7) * 1e-20]).collect();
        let e = grid(2, &values, &[0; 40]);
        assert_eq!(e[1], e[0].map(|e| e - 32));
    }

    #[test]
    fn a_grid_that_cannot_be_that_of_the_rows_is_refused() {
        let classes = [Label::Int(0)];
        let rows = Batch::new(2, Features::F32(&[1.0, 0.0]), &[0], &classes).unwrap();
        let refused = |exponents: &[Option<i16>]| Profile::on(&rows, Grid::new(exponents.to_vec())).is_err();
        assert!(!refused(&[Some(0), None]) && !refused(&[Some(0), Some(-64)]));
        assert!(refused(&[Some(0)]) && refused(&[None, Some(0)]) && refused(&[Some(0), Some(-65)]));
        assert!(refused(&[Some(-1023), None]) && Profile::with_exponent(&rows, i16::MAX).is_err());
    }

    #[test]
    fn doubles_of_any_magnitude_have_a_grid() {
        for magnitude in [1e300, 1e-300, 1.0] {
            let values: Vec<f64> = (0..64).map(|i| magnitude * f64::from(i % 5)).collect();
            let classes = [Label::Int(0)];
            let batch = Batch::new(1, Features::F64(&values), &[0; 64], &classes).unwrap();
            let e = Profile::of(&batch, 0).grid().exponents()[0].unwrap();
            let relative = i32::from(e) - ceil_log2(magnitude);
            assert!((-21..=-15).contains(&relative), "{magnitude}: {relative}");
        }
    }

    #[test]
    fn extra_bits_make_it_finer() {
        let values: Vec<f32> = (0..64).map(|i| (i % 5) as f32).collect();
        let classes = [Label::Int(0)];
        let batch = Batch::new(1, Features::F32(&values), &[0; 64], &classes).unwrap();
        let plain = Profile::of(&batch, 0).grid().exponents()[0].unwrap();
        assert_eq!(Profile::of(&batch, 3).grid().exponents()[0], Some(plain - 3));
    }
}
