//! How a chunk is rounded.

use std::borrow::Cow;

use super::Workspace;
use super::cpu::class_mean;
use super::quantise::Quantiser;
use crate::batch::{Batch, ByClass, Features};
use crate::error::{Error, Result};
use crate::grid::{EXPONENTS, Grid};

/// What one pass over a chunk finds: the chunk's grid, and where its classes lie.
///
/// The grid is a pure function of the chunk's rows and labels, so whoever reads the same chunk rounds it alike.
#[derive(Clone, Debug)]
pub struct Profile {
    quantiser: Quantiser,
    /// All rows.
    order: ByClass,
    /// Class means, classes × D; empty if a device measured the chunk.
    means: Vec<f64>,
    /// Largest |x|, D.
    largest: Vec<f64>,
}

/// At most so many bits may lie between the coarsest and the finest step of a grid that rows are rounded to.
const MAX_SPREAD: u32 = 64;

impl Profile {
    /// Profiles rows of a chunk whose grid is known.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if it cannot be their grid: it has another dimension, or no step where
    /// they are not zero, or it is not one that a chunk can have.
    pub fn on(rows: &Batch<'_>, grid: Grid, workspace: &mut Workspace) -> Result<Self> {
        let spread = grid.weights().into_iter().max().unwrap_or(0);
        let valid = grid.exponents().iter().flatten().all(|e| EXPONENTS.contains(e)) && spread <= MAX_SPREAD;
        if grid.dim() != rows.dim() || !valid {
            return Err(Error::data("not a grid for these rows"));
        }
        let order = ByClass::of(rows, None);
        let mut means = std::mem::take(&mut workspace.means);
        let largest = workspace.kernels.outline(rows, &order, &mut means)?;
        let zero = |(&x, e): (&f64, &Option<i16>)| e.is_some() || x == 0.0;
        if !largest.iter().zip(grid.exponents()).all(zero) {
            return Err(Error::data("not a grid for these rows"));
        }
        Ok(Self { quantiser: Quantiser::new(grid, &largest), order, means, largest })
    }

    /// Profiles rows that are to be rounded to multiples of `2^exponent` in all dimensions.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the exponent is not among [`EXPONENTS`].
    pub fn with_exponent(rows: &Batch<'_>, exponent: i16, workspace: &mut Workspace) -> Result<Self> {
        Self::on(rows, Grid::new(vec![Some(exponent); rows.dim()]), workspace)
    }

    /// Profiles a chunk; `extra_bits` makes its grid finer by that many bits.
    ///
    /// # Errors
    ///
    /// Those of the [kernels](super::Kernels).
    pub fn of(chunk: &Batch<'_>, extra_bits: u32, workspace: &mut Workspace) -> Result<Self> {
        let order = ByClass::of(chunk, None);
        let mut means = std::mem::take(&mut workspace.means);
        let spread = workspace.kernels.spread(chunk, &order, &mut means)?;
        let quantiser = Quantiser::new(spread.grid(extra_bits), &spread.largest);
        Ok(Self { quantiser, order, means, largest: spread.largest })
    }

    /// The chunk's grid.
    pub fn grid(&self) -> &Grid {
        self.quantiser.grid()
    }

    /// The largest |x| of each dimension, `D`.
    pub fn largest(&self) -> &[f64] {
        &self.largest
    }

    /// About where the rows of a class of the chunk lie, `D`; `None` if the chunk has no row of it. Where a device has not
    /// told, that is the mean of the first of `rows`, which are rows of that class in `batch`.
    pub(crate) fn mean(&self, code: u32, batch: &Batch<'_>, rows: &[u32]) -> Option<Cow<'_, [f64]>> {
        let dim = self.grid().dim();
        let class = self.order.class(code)?;
        if !self.means.is_empty() {
            return Some(Cow::Borrowed(&self.means[class * dim..][..dim]));
        }
        let mut mean = vec![0.0; dim];
        match batch.features() {
            Features::F16(values) => class_mean(values, rows, &self.largest, &mut mean),
            Features::F32(values) => class_mean(values, rows, &self.largest, &mut mean),
            Features::F64(values) => class_mean(values, rows, &self.largest, &mut mean),
        }
        Some(Cow::Owned(mean))
    }

    /// Whether all `|x / g|` of the chunk are below `2^51`.
    pub(crate) fn is_narrow(&self) -> bool {
        self.quantiser.is_narrow()
    }

    /// The grid, prepared for the CPU.
    pub(super) fn quantiser(&self) -> &Quantiser {
        &self.quantiser
    }

    pub(super) fn into_means(self) -> Vec<f64> {
        self.means
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Features, Label};
    use crate::grid::ceil_log2;

    fn grid(dim: usize, values: &[f32], codes: &[u32]) -> Vec<Option<i16>> {
        let classes: Vec<Label> = (0..=codes.iter().copied().max().unwrap()).map(|k| Label::Int(k.into())).collect();
        let batch = Batch::new(dim, Features::F32(values), codes, &classes).unwrap();
        Profile::of(&batch, 0, &mut Workspace::default()).unwrap().grid().exponents().to_vec()
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
        assert_eq!(
            Profile::of(&batch, 0, &mut Workspace::default()).unwrap().grid().exponents(),
            [Some(1 - 36), Some(1 - 36 - 8)]
        );
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
        let refused = |exponents: &[Option<i16>]| {
            Profile::on(&rows, Grid::new(exponents.to_vec()), &mut Workspace::default()).is_err()
        };
        assert!(!refused(&[Some(0), None]) && !refused(&[Some(0), Some(-64)]));
        assert!(refused(&[Some(0)]) && refused(&[None, Some(0)]) && refused(&[Some(0), Some(-65)]));
        assert!(
            refused(&[Some(-1023), None])
                && Profile::with_exponent(&rows, i16::MAX, &mut Workspace::default()).is_err()
        );
    }

    #[test]
    fn doubles_of_any_magnitude_have_a_grid() {
        for magnitude in [1e300, 1e-300, 1.0] {
            let values: Vec<f64> = (0..64).map(|i| magnitude * f64::from(i % 5)).collect();
            let classes = [Label::Int(0)];
            let batch = Batch::new(1, Features::F64(&values), &[0; 64], &classes).unwrap();
            let e = Profile::of(&batch, 0, &mut Workspace::default()).unwrap().grid().exponents()[0].unwrap();
            let relative = i32::from(e) - ceil_log2(magnitude);
            assert!((-21..=-15).contains(&relative), "{magnitude}: {relative}");
        }
    }

    #[test]
    fn extra_bits_make_it_finer() {
        let values: Vec<f32> = (0..64).map(|i| (i % 5) as f32).collect();
        let classes = [Label::Int(0)];
        let batch = Batch::new(1, Features::F32(&values), &[0; 64], &classes).unwrap();
        let plain = Profile::of(&batch, 0, &mut Workspace::default()).unwrap().grid().exponents()[0].unwrap();
        assert_eq!(Profile::of(&batch, 3, &mut Workspace::default()).unwrap().grid().exponents()[0], Some(plain - 3));
    }
}
