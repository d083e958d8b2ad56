//! Mahalanobis distances of rows from class means.

use super::{SecondPass, SecondPassState};
use crate::error::{Error, Result};
use crate::kernels::dot::squared_distance;
use crate::kernels::nearest::{Candidates, Offsets};
use crate::kernels::{Mahalanobis, Workspace};

/// What Mahalanobis distances say of a row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Distances {
    /// The class of the nearest mean.
    nearest: u32,
    /// Whether another mean is as near, as far as rounding lets tell.
    unsure: bool,
    /// Less the squared distance from the nearest mean, and the same with that from the mean of all rows added to it; where
    /// rows are scored.
    pub(super) scores: Option<[f64; 2]>,
}

/// The class means in the metric of the covariance within classes, to choose among.
pub(super) fn candidates(mahalanobis: &Mahalanobis) -> Candidates<'_> {
    Candidates::new(mahalanobis.within.rank(), &mahalanobis.means, None, &[Offsets::HalfSquares])
}

impl SecondPass<'_> {
    /// The distances of rows, rows × D; nothing unless they are asked for.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) for a distance that leaves the range of `f64`, with the place of its row.
    pub(super) fn distances(&self, values: &[f64], workspace: &mut Workspace) -> Result<Vec<Distances>> {
        let Some((mahalanobis, means)) = self.spec.mahalanobis.zip(self.whitened_means.as_ref()) else {
            return Ok(Vec::new());
        };
        let (dim, rank) = (self.spec.statistics.dim, means.dim());
        let mut coordinates = Vec::with_capacity(values.len() / dim * rank);
        values.chunks_exact(dim).for_each(|row| mahalanobis.within.append(row, &mut coordinates));
        if let Some(at) = coordinates.iter().position(|x| !x.is_finite()) {
            return Err(Error::data("a Mahalanobis distance is out of range").with("row", at / rank));
        }
        let choices = means.choose(&coordinates, true, workspace)?.swap_remove(0);
        let mean = |class: u32| &mahalanobis.means[class as usize * rank..][..rank];
        let mut about_mean = Vec::new();
        let of_row = |((row, x), choice): ((&[f64], &[f64]), crate::kernels::nearest::Choice)| {
            let near = squared_distance(x, mean(choice.best));
            let margin = choice.second.map(|second| squared_distance(x, mean(second)) - near);
            let scores = mahalanobis.total.as_ref().map(|total| {
                about_mean.clear();
                total.append(row, &mut about_mean);
                [-near, about_mean.iter().map(|x| x * x).sum::<f64>() - near]
            });
            let off = mahalanobis.error * (2.0 * near + margin.unwrap_or(0.0).max(0.0));
            Distances {
                nearest: choice.best,
                unsure: choice.tied || margin.is_some_and(|margin| margin <= off),
                scores,
            }
        };
        let rows = values.chunks_exact(dim).zip(coordinates.chunks_exact(rank)).zip(choices);
        let distances: Vec<Distances> = rows.map(of_row).collect();
        let infinite = |found: &Distances| found.scores.is_some_and(|scores| scores.iter().any(|x| !x.is_finite()));
        match distances.iter().position(infinite) {
            Some(at) => Err(Error::data("a Mahalanobis score is out of range").with("row", at)),
            None => Ok(distances),
        }
    }
}

impl Distances {
    /// Counts a row: one of the decisions by its class, or one out of distribution.
    pub(super) fn count(self, class: Option<usize>, seen: &mut SecondPassState) {
        if let Some(class) = class {
            seen.lda.rows += 1;
            seen.lda.right += u64::from(self.nearest as usize == class);
            seen.lda.unsure += u64::from(self.unsure);
        }
        let role = usize::from(class.is_none());
        for (histograms, score) in seen.mahalanobis.iter_mut().zip(self.scores.into_iter().flatten()) {
            histograms[role].add(score);
        }
    }
}
