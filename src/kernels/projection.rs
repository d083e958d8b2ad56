//! How much of a row lies in a subspace.

use super::dot::{dots, norm};

/// Standardised coordinates and the axes of a subspace in them (NECO, Ammar et al. 2024).
#[derive(Clone, Debug, PartialEq)]
pub struct Projection {
    /// What is subtracted from a row, `D`.
    pub mean: Vec<f64>,
    /// What each dimension is then divided by, `D`; never 0.
    pub scale: Vec<f64>,
    /// Orthonormal axes, `q × D`, row-major.
    pub axes: Vec<f64>,
    /// Whether to divide by the norm of the row as stored, and not by that of the standardised row.
    pub raw_denominator: bool,
    /// How far off a score may be because of errors in the axes, means and scales.
    pub error: f64,
}

impl Projection {
    /// `‖P z‖ / ‖z‖` with `z = (x − mean) / scale`; in `[0, 1]` unless the denominator is raw; 0 where `‖z‖ = 0`.
    ///
    /// The bits are the same on any machine: see [`dot`](super::dot).
    pub fn score(&self, row: &[f64]) -> f64 {
        let standardised: Vec<f64> =
            row.iter().zip(&self.mean).zip(&self.scale).map(|((x, mean), scale)| (x - mean) / scale).collect();
        let length = norm(if self.raw_denominator { row } else { &standardised });
        if length == 0.0 {
            return 0.0;
        }
        let mut coordinates = vec![0.0; self.axes.len() / row.len()];
        dots(&standardised, &self.axes, &mut coordinates);
        let share = norm(&coordinates) / length;
        // Axes are orthonormal up to rounding only, so the share may pass 1 by as much.
        if self.raw_denominator { share } else { share.min(1.0) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_of_a_row_in_one_axis() {
        let mut projection = Projection {
            mean: vec![1.0, 1.0],
            scale: vec![1.0, 2.0],
            axes: vec![1.0, 0.0],
            raw_denominator: false,
            error: 0.0,
        };
        assert_eq!(projection.score(&[4.0, 9.0]), 0.6); // z = (3, 4)
        assert_eq!(projection.score(&[1.0, 1.0]), 0.0);
        projection.raw_denominator = true;
        assert_eq!(projection.score(&[-2.0, 1.0]), 3.0 / 5f64.sqrt());
    }
}
