//! Distances in the metric of a covariance.

use super::dot::dots;

/// Coordinates in which a covariance is the identity.
#[derive(Clone, Debug, PartialEq)]
pub struct Whitening {
    /// What is subtracted from a row, `D`.
    pub centre: Vec<f64>,
    /// Eigenvectors over the roots of their eigenvalues, `r × D`, row-major, `r` at least 1.
    pub axes: Vec<f64>,
}

impl Whitening {
    /// `r`.
    pub fn rank(&self) -> usize {
        self.axes.len() / self.centre.len()
    }

    /// The coordinates of a row, appended to `out`: their squares sum to the squared Mahalanobis distance from the centre.
    ///
    /// The bits are the same on any machine: see [`dot`](super::dot).
    pub fn append(&self, row: &[f64], out: &mut Vec<f64>) {
        let centred: Vec<f64> = row.iter().zip(&self.centre).map(|(x, centre)| x - centre).collect();
        let start = out.len();
        out.resize(start + self.rank(), 0.0);
        dots(&centred, &self.axes, &mut out[start..]);
    }
}

/// Class means in the metric of the covariance within classes (Lee et al. 2018).
#[derive(Clone, Debug, PartialEq)]
pub struct Mahalanobis {
    /// By the covariance within classes.
    pub within: Whitening,
    /// The class means in these coordinates, `K × r`.
    pub means: Vec<f64>,
    /// By the covariance of all rows, about their mean, where scores are wanted (Ren et al. 2021).
    pub total: Option<Whitening>,
    /// Directions in which the covariance within classes holds nothing but rounding: they are left out.
    pub directions_dropped: u64,
    /// How far off a squared distance may be, relative to it.
    pub error: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_of_coordinates_sum_to_the_distance() {
        // diag(4, 9), about (1, 1).
        let whitening = Whitening { centre: vec![1.0, 1.0], axes: vec![0.5, 0.0, 0.0, 1.0 / 3.0] };
        let mut coordinates = vec![7.0];
        whitening.append(&[3.0, 4.0], &mut coordinates);
        assert_eq!((whitening.rank(), &coordinates[..]), (2, &[7.0, 1.0, 1.0][..]));
    }
}
