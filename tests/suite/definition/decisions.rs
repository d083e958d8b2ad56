//! What rows decide, one by one: NC4, and what lies along the lines between means.

use nckit::state::Head;

use super::Truth;
use crate::exact::Double;

fn norm(x: &[f64]) -> f64 {
    x.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// The first of the largest; scores that differ by no more than `error` of them are equal.
fn first_of_largest(scores: &[(Double, f64)]) -> usize {
    let mut best = 0;
    for (k, &(score, error)) in scores.iter().enumerate() {
        if (score - scores[best].0).value() > error.max(scores[best].1) {
            best = k;
        }
    }
    best
}

impl Truth {
    /// The nearest mean; of equally near ones the first.
    fn nearest(&self, x: &[f64]) -> usize {
        let dim = self.dim();
        let difference = |k: usize, j: usize| Double::from(x[j]) - self.means[k * dim + j];
        let rough: Vec<f64> =
            (0..self.labels.len()).map(|k| (0..dim).map(|j| difference(k, j).value().powi(2)).sum()).collect();
        let least = rough.iter().copied().fold(f64::INFINITY, f64::min);
        let near: Vec<usize> = (0..rough.len()).filter(|&k| rough[k] <= least * (1.0 + 1e-9)).collect();
        let exact = |&k: &usize| {
            let (mut square, mut scale) = (Double::default(), 0.0);
            for (j, x) in x.iter().enumerate() {
                square += difference(k, j).squared();
                scale += difference(k, j).value().abs() * x.abs();
            }
            (-square, 1e-28 * scale)
        };
        if near.len() == 1 { near[0] } else { near[first_of_largest(&near.iter().map(exact).collect::<Vec<_>>())] }
    }

    /// NC4 of rows, N × D, of these classes.
    pub(crate) fn decisions(&self, rows: &[f64], classes: &[usize], head: &Head) -> Vec<(&'static str, f64)> {
        let (dim, count) = (self.dim(), self.labels.len());
        let choose = |x: &[f64], bias: Option<&[f64]>| {
            let logit = |k: usize| {
                let mut sum = Double::from(bias.map_or(0.0, |bias| bias[k]));
                let mut scale = 0.0;
                for (&x, &w) in x.iter().zip(&head.weights[k * dim..][..dim]) {
                    sum += Double::product(x, w);
                    scale += (x * w).abs();
                }
                (sum, 1e-29 * scale)
            };
            first_of_largest(&(0..count).map(logit).collect::<Vec<_>>())
        };
        let mut agreed = vec![[0.0_f64; 2]; count];
        // Agreements, with and without bias, disagreements; rows that classifier, nearest mean, both, only one, none get right.
        let mut sums = [0.0_f64; 9];
        for (x, &class) in rows.chunks(dim).zip(classes) {
            let nearest = self.nearest(x);
            let (chosen, no_bias) = (choose(x, head.bias.as_deref()), choose(x, None));
            let yes = |holds: bool| f64::from(u8::from(holds));
            agreed[class][0] += 1.0;
            agreed[class][1] += yes(nearest == chosen);
            let (by_head, by_mean) = (chosen == class, nearest == class);
            let seen = [
                nearest == chosen,
                nearest == no_bias,
                nearest != chosen,
                by_head,
                by_mean,
                by_head && by_mean,
                by_head && !by_mean,
                by_mean && !by_head,
                !by_head && !by_mean,
            ];
            sums.iter_mut().zip(seen).for_each(|(sum, seen)| *sum += yes(seen));
        }
        let [agreements, no_bias, mismatch, classifier, ncc, both, only_classifier, only_ncc, none] =
            sums.map(|sum| sum / classes.len() as f64);
        let rates: Vec<f64> = agreed.iter().filter(|rows| rows[0] > 0.0).map(|rows| rows[1] / rows[0]).collect();
        vec![
            ("nc4_agreement", agreements),
            ("nc4_agreement_macro", rates.iter().sum::<f64>() / rates.len() as f64),
            ("nc4_agreement_no_bias", no_bias),
            ("nc4_mismatch", mismatch),
            ("nc4_both_right", both),
            ("nc4_only_classifier", only_classifier),
            ("nc4_only_ncc", only_ncc),
            ("nc4_both_wrong", none),
            ("ncc_accuracy", ncc),
            ("classifier_accuracy", classifier),
        ]
    }

    /// The mean over ordered pairs of the variance of class i along the line to `μ_j`, over its squared length; over classes
    /// of two rows or more. `classes` says of which class each row of the deviations is.
    pub(crate) fn directional(&self, classes: &[usize]) -> f64 {
        let dim = self.dim();
        let kept: Vec<usize> = (0..self.labels.len()).filter(|&k| self.counts[k] > 1.0).collect();
        let mean = |k: usize| &self.means[k * dim..][..dim];
        let line = |i: usize, j: usize| -> Vec<f64> {
            let line: Vec<f64> = mean(i).iter().zip(mean(j)).map(|(&a, &b)| (b - a).value()).collect();
            let square = norm(&line).powi(2);
            line.into_iter().map(|x| x / square).collect()
        };
        let mut of_class = vec![Vec::new(); self.labels.len()];
        for (row, &class) in self.deviations.chunks(dim).zip(classes) {
            of_class[class].push(row);
        }
        let mut sum = 0.0;
        for &i in &kept {
            for &j in kept.iter().filter(|&&j| j != i) {
                let line = line(i, j);
                let along = |row: &&[f64]| row.iter().zip(&line).map(|(x, d)| x * d).sum::<f64>().powi(2);
                sum += of_class[i].iter().map(along).sum::<f64>() / self.counts[i];
            }
        }
        sum / (kept.len() * (kept.len() - 1)) as f64
    }
}

/// `Σ_k mean ‖x̂ − ŵ_k‖` over rows that have a direction.
pub(crate) fn hug_intra(rows: &[f64], classes: &[usize], head: &Head, dim: usize) -> f64 {
    let count = head.weights.len() / dim;
    let mut sums = vec![[0.0; 2]; count];
    for (x, &class) in rows.chunks(dim).zip(classes) {
        let w = &head.weights[class * dim..][..dim];
        // Lengths in units of the largest entry, so that no square leaves the range.
        let largest = |x: &[f64]| x.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
        let (x_unit, w_unit) = (largest(x), largest(w));
        if x_unit == 0.0 || w_unit == 0.0 {
            continue;
        }
        let (x, w): (Vec<f64>, Vec<f64>) = x.iter().zip(w).map(|(x, w)| (x / x_unit, w / w_unit)).unzip();
        let difference: Vec<f64> = x.iter().zip(&w).map(|(a, b)| a / norm(&x) - b / norm(&w)).collect();
        sums[class][0] += 1.0;
        sums[class][1] += norm(&difference);
    }
    sums.iter().filter(|sums| sums[0] > 0.0).map(|sums| sums[1] / sums[0]).sum()
}
