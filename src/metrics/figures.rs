//! What figures of one group are drawn from, beside its metrics: spectra, and classes beside each other.

use super::context::MetricContext;
use super::spectrum::{Covariance, DEVIATIONS};
use super::{ClassRow, Extras, Pair};
use crate::linalg;

/// The most classes whose means are compared pair by pair.
const MOST_COMPARED: usize = 64;

/// The pairs hardest to tell apart that are kept.
pub(super) const WORST: usize = 10;

/// The largest `D` for which `Σ_W` is decomposed although nothing but a page asks for it.
const MOST_DIMENSIONS: usize = 1024;

/// The reason for a spectrum that is not there because it would take long.
pub const NOT_DECOMPOSED: &str = "not_decomposed";

/// A spectrum, or the machine-readable reason why there is none.
pub type SpectrumValues = Result<Vec<f64>, &'static str>;

/// What figures of one group are drawn from.
#[derive(Clone, Debug, PartialEq)]
pub struct FigureData {
    /// The eigenvalues of `Σ_W = S_W/N` that are more than rounding, descending, feature units squared;
    /// [`NOT_DECOMPOSED`] where that would take long and is not asked for.
    pub within: SpectrumValues,
    /// The same of `Σ_B`, the mean over classes of `c_k c_kᵀ`.
    pub between: SpectrumValues,
    /// One row a class, in label order.
    pub classes: Vec<ClassRow>,
    /// The ten pairs hardest to tell apart, worst first.
    pub worst_pairs: Vec<Pair>,
    /// The centred class means along the two leading eigenvectors of `Σ_B`, feature units; empty where there are not two.
    pub plane: Vec<[f64; 2]>,
    /// The shares of the trace of `Σ_B` that these two hold.
    pub plane_shares: [f64; 2],
    /// Places of the classes whose means are compared, each followed by the one most like it of those that are left. All
    /// classes; of more than 64, so many that lie evenly along the leading eigenvector. Empty if all means are equal.
    pub compared: Vec<usize>,
    /// The cosines between their centred means, square, by rows; `None` where a mean is the centre.
    pub cosines: Vec<Option<f64>>,
}

/// The leading eigenvectors of `Σ_B`.
struct Leading {
    /// Descending, feature units squared.
    values: Vec<f64>,
    /// As many rows of length `D`.
    vectors: Vec<f64>,
}

impl FigureData {
    /// Makes what the metrics did not.
    pub(super) fn of(
        context: &MetricContext<'_>,
        extras: Extras,
        classes: Vec<ClassRow>,
        worst_pairs: Vec<Pair>,
    ) -> Self {
        let leading = Leading::of(context);
        let first = leading.as_ref().map(|leading| leading.along(context, 0)).unwrap_or_default();
        let second = leading.as_ref().map(|leading| leading.along(context, 1)).unwrap_or_default();
        let norms = &context.means.vectors.norms;
        let unit = context.means.vectors.unit;
        let trace = norms.iter().map(|norm| (norm * unit).powi(2)).sum::<f64>() / norms.len() as f64;
        let share =
            |at: usize| leading.as_ref().map_or(0.0, |all| all.values.get(at).map_or(0.0, |value| value / trace));
        let (compared, cosines) = compared(context, &first);
        Self {
            within: within(context, extras),
            plane_shares: [share(0), share(1)],
            between: leading.map(|leading| leading.values),
            classes,
            worst_pairs,
            plane: first.into_iter().zip(second).map(|(x, y)| [x, y]).collect(),
            compared,
            cosines,
        }
    }
}

/// The eigenvalues of `Σ_W` that are more than rounding.
fn within(context: &MetricContext<'_>, extras: Extras) -> SpectrumValues {
    let large = context.evidence.statistics.dim > MOST_DIMENSIONS;
    if large && !extras.spectrum && !context.has_eigenvalues_within() {
        return Err(NOT_DECOMPOSED);
    }
    let eigen = context.eigenvalues(Covariance::Within).map_err(|reason| context.scatter_reason(reason))?;
    let resolved = (0..eigen.values.len()).filter(|&r| eigen.values[r] > DEVIATIONS * eigen.error(r));
    let values: Vec<f64> = resolved.map(|r| eigen.values[r] * eigen.unit).collect();
    if values.is_empty() { Err(Covariance::Within.zero()) } else { Ok(values) }
}

impl Leading {
    /// Those that are more than rounding.
    fn of(context: &MetricContext<'_>) -> Result<Self, &'static str> {
        if let Some(reason) = context.means.undefined() {
            return Err(reason);
        }
        let means = &context.means.vectors;
        let square = means.unit * means.unit;
        // What `nc1_pinv` is made of.
        if let Ok(pinv) = context.pinv() {
            let values = pinv.eigenvalues.iter().map(|value| value * square).collect();
            return Ok(Self { values, vectors: pinv.eigenvectors.clone() });
        }
        let singular = linalg::right_singular(&means.values, means.dim).map_err(|_| "out_of_range")?;
        let error = super::doubt::whole(&means.errors());
        let rank = singular.values.iter().take(means.len() - 1).filter(|value| **value > error).count();
        let eigenvalue = |s: &f64| s * s / means.len() as f64 * square;
        Ok(Self {
            values: singular.values[..rank].iter().map(eigenvalue).collect(),
            vectors: singular.vectors[..rank * means.dim].to_vec(),
        })
    }

    /// The centred means along an eigenvector, with the sign that makes the farthest of them positive; empty if there are
    /// fewer eigenvectors.
    fn along(&self, context: &MetricContext<'_>, at: usize) -> Vec<f64> {
        let means = &context.means.vectors;
        let Some(vector) = self.vectors.chunks_exact(means.dim).nth(at) else { return Vec::new() };
        let mut along = linalg::product(&means.values, vector, means.dim, 1);
        let farthest = along.iter().copied().fold(0.0, |far: f64, x| if x.abs() > far.abs() { x } else { far });
        let unit = if farthest < 0.0 { -means.unit } else { means.unit };
        for x in &mut along {
            *x *= unit;
        }
        along
    }
}

/// The classes whose means are compared, in an order that puts like ones beside each other, and the cosines between them;
/// `first` has the means along the leading eigenvector.
fn compared(context: &MetricContext<'_>, first: &[f64]) -> (Vec<usize>, Vec<Option<f64>>) {
    let means = &context.means.vectors;
    let mut order: Vec<usize> = (0..first.len()).collect();
    order.sort_by(|&a, &b| first[b].total_cmp(&first[a]).then(a.cmp(&b)));
    if order.len() > MOST_COMPARED {
        let last = order.len() - 1;
        order = (0..MOST_COMPARED).map(|at| order[at * last / (MOST_COMPARED - 1)]).collect();
    }
    let directions: Vec<f64> = order
        .iter()
        .flat_map(|&class| means.unit_row(class).map_or_else(|| vec![0.0; means.dim], Iterator::collect))
        .collect();
    let count = order.len();
    let cosines = if count > 0 { linalg::outer_gram(&directions, means.dim) } else { Vec::new() };
    let chain = chain(&cosines, count);
    let has_direction = |at: usize| means.norms[order[at]] > 0.0;
    let cosine =
        |a: usize, b: usize| (has_direction(a) && has_direction(b)).then(|| cosines[a * count + b].clamp(-1.0, 1.0));
    let ordered = chain.iter().flat_map(|&a| chain.iter().map(move |&b| (a, b))).map(|(a, b)| cosine(a, b)).collect();
    (chain.iter().map(|&at| order[at]).collect(), ordered)
}

/// The first of `count` things, and after each the one most like it of those that are left.
fn chain(likeness: &[f64], count: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..count).collect();
    let mut chain = Vec::with_capacity(count);
    let mut next = 0;
    while !left.is_empty() {
        let current = left.remove(next);
        chain.push(current);
        // Likeness that differs by rounding alone is the same, so that no order depends on it.
        let like = |other: usize| (likeness[current * count + other] * 1e9).round();
        next = 0;
        for at in 1..left.len() {
            if like(left[at]) > like(left[next]) {
                next = at;
            }
        }
    }
    chain
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::{assert_close, statistics};
    use crate::metrics::{Evidence, Measurements, Options, Selection, measure};
    use crate::state::Statistics;

    fn made(statistics: &Statistics, words: &[&str], extras: Extras) -> Measurements {
        let selection = Selection::parse(&words.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
        measure(&Evidence::new(statistics, 53), &Options::default(), &selection, extras).unwrap()
    }

    fn figures(statistics: &Statistics, words: &[&str]) -> FigureData {
        let extras = Extras { figures: true, ..Extras::default() };
        *made(statistics, words, extras).figures.unwrap()
    }

    /// Four classes at (±3, 0, 1) and (0, ±2, 1), of two rows each that lie `spread` to both sides along the third axis.
    fn cross(spread: f64) -> Statistics {
        let means = [[3.0, 0.0], [-3.0, 0.0], [0.0, 2.0], [0.0, -2.0]];
        let rows: Vec<f64> = (0..8)
            .flat_map(|row| [means[row / 2][0], means[row / 2][1], if row % 2 == 0 { spread } else { -spread }])
            .collect();
        statistics(3, &rows, &[0, 0, 1, 1, 2, 2, 3, 3])
    }

    #[test]
    fn spectra_and_a_plane_of_means() {
        for words in [&["nc1"][..], &["nc2"]] {
            let made = figures(&cross(0.5), words);
            let within = made.within.unwrap();
            assert_eq!(within.len(), 1, "two of three directions do not vary");
            assert_close(within[0], 0.25, 1e-14);
            let between = made.between.unwrap();
            assert_eq!(between.len(), 2);
            assert_close(between[0], 4.5, 1e-13);
            assert_close(between[1], 2.0, 1e-13);
            assert_close(made.plane_shares[0], 4.5 / 6.5, 1e-13);
            assert_close(made.plane_shares[1], 2.0 / 6.5, 1e-13);
            let far: Vec<f64> = made.plane.iter().map(|[x, y]| x.hypot(*y)).collect();
            far.iter().zip([3.0, 3.0, 2.0, 2.0]).for_each(|(far, expected)| assert_close(*far, expected, 1e-13));
            assert_close(made.plane[0][0], -made.plane[1][0], 1e-13);
            assert_eq!(made.classes.len(), 4);
            assert_eq!(made.worst_pairs.len(), 6);
        }
    }

    #[test]
    fn figures_change_nothing_else() {
        let extras = Extras { figures: true, worst_pairs: 2, ..Extras::default() };
        let mut with = made(&cross(0.5), &["nc2", "nc1_cdnv"], extras);
        assert!(with.figures.take().is_some());
        assert_eq!(with, made(&cross(0.5), &["nc2", "nc1_cdnv"], Extras { figures: false, ..extras }));
        assert_eq!((with.worst_pairs.len(), with.per_class.len()), (2, 0));
    }

    #[test]
    fn what_has_no_direction_is_not_drawn() {
        let one = statistics(2, &[1.0, 2.0, 3.0, 4.0], &[0, 0]);
        let made = figures(&one, &["nc1"]);
        assert_eq!((made.between, made.plane.len(), made.compared.len()), (Err("single_class"), 0, 0));
        let two = figures(&statistics(2, &[1.0, 0.0, 1.0, 0.0, 3.0, 0.0, 3.0, 0.0], &[0, 0, 1, 1]), &["nc1"]);
        assert_eq!((two.within, two.plane.len()), (Err("zero_within"), 0));
        assert_eq!((two.compared.len(), two.cosines[1]), (2, Some(-1.0)));
        assert_close(two.between.unwrap()[0], 1.0, 1e-15);
        // A class at the centre has no angles.
        let centre = statistics(1, &[-1.0, -1.0, 0.0, 0.0, 1.0, 1.0], &[0, 0, 1, 1, 2, 2]);
        let made = figures(&centre, &["nc2"]);
        assert_eq!(made.cosines.iter().flatten().count(), 4);
    }

    #[test]
    fn a_large_matrix_is_decomposed_for_a_flag_alone() {
        let dim = MOST_DIMENSIONS + 1;
        let rows: Vec<f64> = (0..4 * dim).map(|at| ((at * at) % 101) as f64).collect();
        let wide = statistics(dim, &rows, &[0, 0, 1, 1]);
        assert_eq!(figures(&wide, &["nc1_trace_ratio"]).within, Err(NOT_DECOMPOSED));
        let extras = Extras { figures: true, spectrum: true, ..Extras::default() };
        let asked = made(&wide, &["nc1_trace_ratio"], extras).figures.unwrap().within.unwrap();
        assert_eq!(asked.len(), 2, "four rows less two means");
        assert_eq!(figures(&wide, &["spectrum_effective_rank_within"]).within.unwrap(), asked);
    }

    #[test]
    fn like_classes_stand_beside_each_other() {
        // 0 is like 3, 3 like 1, and 2 like none.
        let mut likeness = vec![0.0; 16];
        for (a, b, value) in [(0, 3, 0.9), (3, 1, 0.8), (0, 1, 0.5), (1, 2, -0.5)] {
            likeness[a * 4 + b] = value;
            likeness[b * 4 + a] = value;
        }
        assert_eq!(chain(&likeness, 4), [0, 3, 1, 2]);
        let many: Vec<f64> = (0..2 * 300).flat_map(|row| [f64::from(row / 2), f64::from(row / 2 % 7)]).collect();
        let labels: Vec<u32> = (0..600).map(|row| row / 2).collect();
        let made = figures(&statistics(2, &many, &labels), &["nc2"]);
        assert_eq!((made.compared.len(), made.cosines.len(), made.plane.len()), (64, 64 * 64, 300));
        let mut sorted = made.compared.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), 64);
        // The means lie along a line that the last of them ends.
        assert!(sorted[0] < 8 && sorted[63] > 291, "{sorted:?}");
    }
}
