//! The delete-a-group jackknife of one number.

use crate::metrics::{ValueRange, student_t};

/// How far a number would move with other rows of the same kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErrorBar {
    /// The standard error, in the unit of the number.
    pub se: f64,
    /// The lower end of the interval that holds the number of infinitely many rows with probability 95 %.
    pub lo: f64,
    /// Its upper end.
    pub hi: f64,
    /// By how much the number is too large on average because there are so few rows: the interval has its middle at the
    /// number less this.
    pub bias: f64,
}

impl ErrorBar {
    /// The error bar of `value` from replicates, each with the number of rows that it leaves out. `whole` is the number of all
    /// their rows together: `value`, or nearly that where some rows take no part in replicates. `None` for fewer than
    /// two replicates, or numbers beyond the range of `f64`.
    ///
    /// ```text
    /// h_j = n/m_j   θ̃_j = h_j θ − (h_j − 1) θ_(j)   θ_J = 1/B Σ θ̃_j   se² = 1/B Σ (θ̃_j − θ_J)²/(h_j − 1)
    /// ```
    ///
    /// is the delete-m_j jackknife (Busing, Meijer & van der Leeden 1999); for blocks of equal size it is the delete-a-group
    /// jackknife, `se² = (B−1)/B Σ (θ_(j) − mean θ_(j))²` (Shao & Wu 1989). The bias is `θ − θ_J`. The interval is
    /// `value − bias ± t se` with the quantile of `B − 1` degrees of freedom, as far as it lies in `range`. The order of the
    /// replicates changes no bit.
    pub fn of(value: f64, whole: f64, replicates: &[(f64, u64)], range: ValueRange) -> Option<Self> {
        let mut sorted: Vec<(f64, u64)> = replicates.iter().copied().filter(|&(_, rows)| rows > 0).collect();
        sorted.sort_by(|a, b| a.1.cmp(&b.1).then(a.0.total_cmp(&b.0)));
        let freedom = (sorted.len() as u64).checked_sub(1).filter(|&freedom| freedom > 0)?;
        let Moments { bias, se } = Moments::of(whole, &sorted);
        let reach = student_t::quantile(0.975, freedom as f64) * se;
        let end = |end: f64| end.clamp(range.least, range.most);
        let centre = value - bias;
        let bar = Self { se, lo: end(centre - reach), hi: end(centre + reach), bias };
        [bar.se, bar.lo, bar.hi, bar.bias].iter().all(|x| x.is_finite()).then_some(bar)
    }
}

/// The bias of a number, and its standard error.
#[derive(Clone, Copy, Debug)]
struct Moments {
    bias: f64,
    se: f64,
}

impl Moments {
    fn of(value: f64, replicates: &[(f64, u64)]) -> Self {
        let (rows, blocks) = (replicates.iter().map(|&(_, rows)| rows).sum::<u64>() as f64, replicates.len() as f64);
        // About `value`, so that a small difference keeps its digits.
        let less_one = |left_out: u64| (rows - left_out as f64) / left_out as f64;
        let offsets: Vec<(f64, f64)> = replicates
            .iter()
            .map(|&(replicate, left_out)| (less_one(left_out) * (value - replicate), less_one(left_out)))
            .collect();
        let mean = offsets.iter().map(|(offset, _)| offset).sum::<f64>() / blocks;
        let square = offsets.iter().map(|(offset, less_one)| (offset - mean).powi(2) / less_one).sum::<f64>() / blocks;
        Self { bias: -mean, se: square.sqrt() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::fixture::assert_close;

    const ANY: ValueRange = ValueRange { least: f64::NEG_INFINITY, most: f64::INFINITY };

    /// The jackknife of a mean is the standard error of textbooks.
    #[test]
    fn a_mean_has_the_error_of_textbooks() {
        let rows = [3.0, 7.0, 1.0, 4.0, 9.0, 6.0];
        let mean = |rows: &[f64]| rows.iter().sum::<f64>() / rows.len() as f64;
        let without = |at: usize| {
            let mut rest = rows.to_vec();
            rest.remove(at);
            (mean(&rest), 1)
        };
        let replicates: Vec<(f64, u64)> = (0..rows.len()).map(without).collect();
        let bar = ErrorBar::of(mean(&rows), mean(&rows), &replicates, ANY).unwrap();
        let square = rows.iter().map(|x| (x - 5.0) * (x - 5.0)).sum::<f64>();
        assert_close(bar.se, (square / 30.0).sqrt(), 1e-14);
        assert!(bar.bias.abs() < 1e-14);
        // The quantile of five degrees of freedom.
        assert_close(bar.hi - 5.0, 2.570_581_835_636_3 * bar.se, 1e-12);
        assert_close(5.0 - bar.lo, bar.hi - 5.0, 1e-12);
        let turned: Vec<(f64, u64)> = replicates.into_iter().rev().collect();
        assert_eq!(ErrorBar::of(mean(&rows), mean(&rows), &turned, ANY).unwrap(), bar);
    }

    /// Written out for three blocks of 1, 2 and 3 rows.
    #[test]
    fn blocks_of_unequal_size_have_their_own_weights() {
        let (value, replicates) = (2.0, [(2.5, 1), (1.5, 2), (2.25, 3)]);
        let bar = ErrorBar::of(value, value, &replicates, ANY).unwrap();
        // Pseudo-values 6·2 − 5·2.5, 3·2 − 2·1.5, 2·2 − 2.25.
        let pseudo: [f64; 3] = [-0.5, 3.0, 1.75];
        let mean = pseudo.iter().sum::<f64>() / 3.0;
        let terms = [(pseudo[0] - mean).powi(2) / 5.0, (pseudo[1] - mean).powi(2) / 2.0, (pseudo[2] - mean).powi(2)];
        assert_close(bar.se, (terms.iter().sum::<f64>() / 3.0).sqrt(), 1e-14);
        assert_close(bar.bias, 2.0 - mean, 1e-14);
    }

    #[test]
    fn an_interval_stays_in_the_range() {
        let replicates = [(0.02, 5), (0.3, 5), (0.5, 5), (0.1, 5)];
        let whole = ErrorBar::of(0.2, 0.2, &replicates, ANY).unwrap();
        assert!(whole.lo < 0.0 && whole.hi > 0.5);
        let bar = ErrorBar::of(0.2, 0.2, &replicates, ValueRange { least: 0.0, most: 0.5 }).unwrap();
        assert_eq!(bar, ErrorBar { lo: 0.0, hi: 0.5, ..whole });
    }

    #[test]
    fn an_interval_lies_about_the_number_itself() {
        let replicates = [(0.02, 5), (0.3, 5), (0.5, 5), (0.1, 5)];
        let bar = ErrorBar::of(0.2, 0.2, &replicates, ANY).unwrap();
        let moved = ErrorBar::of(1.2, 0.2, &replicates, ANY).unwrap();
        assert_close(moved.lo, bar.lo + 1.0, 1e-14);
        assert_eq!((moved.se, moved.bias), (bar.se, bar.bias));
    }

    #[test]
    fn one_block_says_nothing() {
        assert_eq!(ErrorBar::of(1.0, 1.0, &[(1.0, 5)], ANY), None);
        assert_eq!(ErrorBar::of(1.0, 1.0, &[(1.0, 5), (2.0, 0)], ANY), None);
        assert_eq!(ErrorBar::of(1.0, 1.0, &[(1.0, 5), (f64::INFINITY, 5)], ANY), None);
    }
}
