//! The class means of two groups beside each other: how alike they lie, and how far each class has moved.

use std::cmp::Ordering;

use crate::batch::Label;
use crate::linalg::{gram, outer_gram, transposed_product};
use crate::state::Statistics;

/// The means of the classes of a group, kept when its state is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMeans {
    /// `D`.
    pub dim: usize,
    /// The `K` labels, ascending.
    pub labels: Vec<Label>,
    /// `n_k`, each at least 1.
    pub counts: Vec<u64>,
    /// A point among the data, `D`.
    pub origin: Vec<f64>,
    /// `μ_k − origin`, `K × D`, row-major, feature units.
    pub offsets: Vec<f64>,
}

/// How the class means of a second group differ from those of a first one, over the classes of both.
#[derive(Clone, Debug, PartialEq)]
pub struct MeansChange {
    /// Linear CKA of the class means, 0 to 1: 1 if one configuration is the other one turned, moved and scaled. `None` if
    /// the means of either group are all equal, or fewer than two classes are in both.
    ///
    /// Each mean is weighted by `√(n_k m_k)`, the geometric mean of its two counts, and both are centred with those weights.
    /// Kornblith et al. 2019, equation (4), on class means.
    pub cka: Option<f64>,
    /// Classes of both, in label order.
    pub classes: Vec<ClassChange>,
    /// Classes that only the first, and only the second group has.
    pub unmatched: (u64, u64),
}

/// A class in two groups.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassChange {
    /// The class.
    pub label: Label,
    /// Its rows in the first and in the second group.
    pub counts: (u64, u64),
    /// `‖ν_k − μ_k‖ / s`, where `μ` are the means of the first group, `ν` those of the second, and `s` is the root mean square
    /// of `‖μ_k − μ_G‖`. At least 0; `None` if the groups differ in `D`, or `s` is 0.
    pub drift: Option<f64>,
    /// The cosine of `μ_k − μ_G` and `ν_k − ν_G`; `None` if the groups differ in `D`, or either is 0.
    pub cosine: Option<f64>,
}

impl MeansChange {
    /// The median of the classes' cosines; `None` if no class has one.
    pub fn median_cosine(&self) -> Option<f64> {
        median(self.classes.iter().filter_map(|class| class.cosine))
    }

    /// The median of the classes' drifts; `None` if no class has one.
    pub fn median_drift(&self) -> Option<f64> {
        median(self.classes.iter().filter_map(|class| class.drift))
    }

    /// The class that has moved most, the first of several; `None` if no class has a drift.
    pub fn farthest(&self) -> Option<&ClassChange> {
        let moved = self.classes.iter().filter(|class| class.drift.is_some());
        moved.reduce(|most, class| if class.drift > most.drift { class } else { most })
    }
}

fn median(values: impl Iterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        count if count % 2 == 1 => Some(values[middle]),
        _ => Some(values[middle - 1].midpoint(values[middle])),
    }
}

impl ClassMeans {
    /// The means that are in a state's numbers.
    pub fn of(statistics: &Statistics) -> Self {
        let Statistics { dim, labels, counts, origin, offsets, .. } = statistics;
        let (labels, counts, origin, offsets) = (labels.clone(), counts.clone(), origin.clone(), offsets.clone());
        Self { dim: *dim, labels, counts, origin, offsets }
    }

    /// How `other` differs from these means.
    pub fn change_to(&self, other: &Self) -> MeansChange {
        let shared = shared(&self.labels, &other.labels);
        let weights: Vec<f64> =
            shared.iter().map(|&(a, b)| (self.counts[a] as f64 * other.counts[b] as f64).sqrt()).collect();
        let (first, second): (Vec<usize>, Vec<usize>) = shared.iter().copied().unzip();
        let missing = |all: usize| (all - shared.len()) as u64;
        MeansChange {
            cka: cka(&weights, &self.centred(&first, &weights), &other.centred(&second, &weights)),
            classes: self.moved(other, &shared),
            unmatched: (missing(self.labels.len()), missing(other.labels.len())),
        }
    }

    /// The means of these classes less their mean with these weights.
    fn centred(&self, classes: &[usize], weights: &[f64]) -> Matrix {
        let total: f64 = weights.iter().sum();
        let mut centre = vec![0.0; self.dim];
        for (&class, weight) in classes.iter().zip(weights) {
            let share = weight / total;
            centre.iter_mut().zip(self.offset(class)).for_each(|(sum, x)| *sum += share * x);
        }
        let rows =
            classes.iter().flat_map(|&class| self.offset(class).iter().zip(&centre).map(|(x, centre)| x - centre));
        Matrix { values: rows.collect(), dim: self.dim }
    }

    fn offset(&self, class: usize) -> &[f64] {
        &self.offsets[class * self.dim..][..self.dim]
    }

    fn moved(&self, other: &Self, shared: &[(usize, usize)]) -> Vec<ClassChange> {
        let (first, second): (Vec<usize>, Vec<usize>) = shared.iter().copied().unzip();
        let equal = vec![1.0; shared.len()];
        let is_of_one_space = self.dim == other.dim;
        let (mine, theirs) = (self.centred(&first, &equal), other.centred(&second, &equal));
        let scale = (dot(&mine.values, &mine.values) / shared.len() as f64).sqrt();
        let distance = |a: usize, b: usize| {
            let origins = other.origin.iter().zip(&self.origin).map(|(to, from)| to - from);
            let offsets = other.offset(b).iter().zip(self.offset(a)).map(|(to, from)| to - from);
            origins.zip(offsets).map(|(origin, offset)| (origin + offset).powi(2)).sum::<f64>().sqrt()
        };
        let change = |(at, &(a, b)): (usize, &(usize, usize))| {
            let (from, to) = (mine.row(at), theirs.row(at));
            let lengths = (dot(from, from) * dot(to, to)).sqrt();
            let cosine = || (lengths > 0.0).then(|| (dot(from, to) / lengths).clamp(-1.0, 1.0));
            ClassChange {
                label: self.labels[a].clone(),
                counts: (self.counts[a], other.counts[b]),
                drift: (is_of_one_space && scale > 0.0).then(|| distance(a, b) / scale),
                cosine: if is_of_one_space { cosine() } else { None },
            }
        };
        shared.iter().enumerate().map(change).collect()
    }
}

/// Vectors of some classes, row-major.
struct Matrix {
    values: Vec<f64>,
    dim: usize,
}

impl Matrix {
    fn row(&self, at: usize) -> &[f64] {
        &self.values[at * self.dim..][..self.dim]
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Where the labels of both lie in the one and in the other list; both ascend.
fn shared(first: &[Label], second: &[Label]) -> Vec<(usize, usize)> {
    let (mut a, mut b) = (0, 0);
    let mut shared = Vec::new();
    while a < first.len() && b < second.len() {
        match first[a].cmp(&second[b]) {
            Ordering::Less => a += 1,
            Ordering::Greater => b += 1,
            Ordering::Equal => {
                shared.push((a, b));
                (a, b) = (a + 1, b + 1);
            }
        }
    }
    shared
}

/// Linear CKA of two configurations of the same classes.
fn cka(weights: &[f64], first: &Matrix, second: &Matrix) -> Option<f64> {
    let classes = weights.len();
    let weighted = |matrix: &Matrix| -> Option<Vec<f64>> {
        // Of one scale, so that no product overflows.
        let largest = matrix.values.iter().fold(0.0_f64, |most, x| most.max(x.abs()));
        let most = weights.iter().fold(0.0_f64, |most, &weight| most.max(weight));
        (largest > 0.0).then(|| {
            let rows = matrix.values.chunks(matrix.dim).zip(weights);
            rows.flat_map(|(row, weight)| row.iter().map(move |x| x / largest * (weight / most).sqrt())).collect()
        })
    };
    let (a, b) = (weighted(first)?, weighted(second)?);
    let (cross, own, other) = if classes <= first.dim.min(second.dim) {
        let (a, b) = (outer_gram(&a, first.dim), outer_gram(&b, second.dim));
        (dot(&a, &b), dot(&a, &a), dot(&b, &b))
    } else {
        let squares = |matrix: &[f64]| dot(matrix, matrix);
        let cross = transposed_product(&a, &b, first.dim, second.dim);
        (squares(&cross), squares(&gram(&a, first.dim)), squares(&gram(&b, second.dim)))
    };
    let lengths = (own * other).sqrt();
    (lengths > 0.0).then(|| (cross / lengths).clamp(0.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn means(dim: usize, labels: &[i128], counts: &[u64], rows: &[f64]) -> ClassMeans {
        let origin: Vec<f64> = (0..dim).map(|at| 100.0 + at as f64).collect();
        let offsets = rows.iter().enumerate().map(|(at, x)| x - origin[at % dim]).collect();
        let labels = labels.iter().map(|&label| Label::Int(label)).collect();
        ClassMeans { dim, labels, counts: counts.to_vec(), origin, offsets }
    }

    const ROWS: [f64; 8] = [3.0, 0.0, 0.0, 2.0, -1.0, -1.0, 0.5, 4.0];

    #[test]
    fn a_turn_a_move_and_a_scale_leave_cka_at_one() {
        let labels = [0, 1, 2, 7];
        let first = means(2, &labels, &[5, 9, 2, 4], &ROWS);
        let turned: Vec<f64> = ROWS.chunks(2).flat_map(|row| [5.0 - 3.0 * row[1], 3.0 * row[0] - 70.0]).collect();
        let change = first.change_to(&means(2, &labels, &[1, 1, 8, 6], &turned));
        assert!((change.cka.unwrap() - 1.0).abs() < 1e-12, "{change:?}");
        assert_eq!(change.unmatched, (0, 0));
        // In another space too.
        let padded: Vec<f64> = ROWS.chunks(2).flat_map(|row| [0.0, row[1], 0.0, row[0], 9.0]).collect();
        let change = first.change_to(&means(5, &labels, &[1, 1, 8, 6], &padded));
        assert!((change.cka.unwrap() - 1.0).abs() < 1e-12, "{change:?}");
        assert!(change.classes.iter().all(|class| class.drift.is_none() && class.cosine.is_none()));
    }

    /// CKA by its definition, with K × K matrices.
    fn plain_cka(weights: &[f64], a: &[f64], b: &[f64], dims: (usize, usize)) -> f64 {
        let total: f64 = weights.iter().sum();
        let kernel = |rows: &[f64], dim: usize| -> Vec<f64> {
            let centre: Vec<f64> = (0..dim)
                .map(|j| weights.iter().enumerate().map(|(k, w)| w * rows[k * dim + j]).sum::<f64>() / total)
                .collect();
            let value = |k: usize, l: usize| {
                let product: f64 =
                    (0..dim).map(|j| (rows[k * dim + j] - centre[j]) * (rows[l * dim + j] - centre[j])).sum();
                product * (weights[k] * weights[l]).sqrt()
            };
            (0..weights.len()).flat_map(|k| (0..weights.len()).map(move |l| (k, l))).map(|(k, l)| value(k, l)).collect()
        };
        let (a, b) = (kernel(a, dims.0), kernel(b, dims.1));
        dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
    }

    #[test]
    fn both_ways_give_the_definition() {
        let other = [1.0, 0.5, -2.0, 0.0, 1.0, 1.0, 0.25, -1.0, 3.0, 0.0, 2.0, 2.0];
        let (counts, others) = ([5, 9, 2, 4], [20, 1, 3, 3]);
        let weights: Vec<f64> = counts.iter().zip(others).map(|(&a, b)| (a as f64 * b as f64).sqrt()).collect();
        let labels = [0, 1, 2, 3];
        // Four classes in two dimensions, and in four.
        let change = means(2, &labels, &counts, &ROWS).change_to(&means(3, &labels, &others, &other));
        assert!((change.cka.unwrap() - plain_cka(&weights, &ROWS, &other, (2, 3))).abs() < 1e-12);
        let deep = |rows: &[f64], dim: usize| -> Vec<f64> {
            rows.chunks(dim).flat_map(|row| (0..4).map(move |at| row.get(at).map_or(row[0] * row[1], |&x| x))).collect()
        };
        let (a, b) = (deep(&ROWS, 2), deep(&other, 3));
        let change = means(4, &labels, &counts, &a).change_to(&means(4, &labels, &others, &b));
        assert!((change.cka.unwrap() - plain_cka(&weights, &a, &b, (4, 4))).abs() < 1e-12);
    }

    #[test]
    fn drifts_are_in_units_of_the_first_spread() {
        let first = means(2, &[0, 1, 2], &[1, 1, 1], &[3.0, 0.0, -3.0, 0.0, 0.0, 0.0]);
        let second = means(2, &[1, 2, 3], &[1, 2, 1], &[-3.0, 6.0, 0.0, 0.0, 9.0, 9.0]);
        let change = first.change_to(&second);
        assert_eq!(change.unmatched, (1, 1));
        // The centred means of classes 1 and 2 are ∓1.5 from their middle.
        let drifts: Vec<f64> = change.classes.iter().map(|class| class.drift.unwrap()).collect();
        assert!((drifts[0] - 4.0).abs() < 1e-12 && drifts[1].abs() < 1e-12, "{change:?}");
        assert_eq!(change.classes[1].counts, (1, 2));
        // (−1.5, 0) and (−1.5, 3).
        assert!((change.classes[0].cosine.unwrap() - 1.5 / 11.25_f64.sqrt()).abs() < 1e-12, "{change:?}");
    }

    #[test]
    fn what_does_not_exist_is_none() {
        let first = means(2, &[0, 1], &[1, 1], &[1.0, 0.0, 1.0, 0.0]);
        let second = means(2, &[0, 1], &[1, 1], &[1.0, 0.0, 5.0, 0.0]);
        let change = first.change_to(&second);
        assert_eq!((change.cka, change.classes[0].drift, change.classes[0].cosine), (None, None, None));
        let apart = first.change_to(&means(2, &[5], &[1], &[0.0, 0.0]));
        assert_eq!((apart.cka, apart.classes.len(), apart.unmatched), (None, 0, (2, 1)));
    }
}
