//! On which grids the rows of a state were rounded, and how many of them rounding changed.

use super::{Grid, power_of_two};
use crate::error::{Error, Result};

/// The rows of one dimension that were rounded with one exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tally {
    /// `e`.
    pub exponent: i16,
    /// Rows rounded to multiples of `2^e`.
    pub rows: u64,
    /// Those of them whose value was no such multiple.
    pub changed: u64,
}

/// Per dimension the exponents in use, ascending, each with at least one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Vec<Vec<Tally>>);

impl History {
    /// The history of `rows` rows, all rounded on `grid`; `changed[j]` of them were changed in dimension `j`.
    pub fn of(grid: &Grid, rows: u64, changed: &[u64]) -> Self {
        let tally = |(&exponent, &changed): (&Option<i16>, &u64)| match exponent {
            Some(exponent) if rows > 0 => vec![Tally { exponent, rows, changed }],
            _ => Vec::new(),
        };
        Self(grid.exponents().iter().zip(changed).map(tally).collect())
    }

    /// A history from its parts; `None` unless ascending and without empty entries.
    pub fn from_tallies(dimensions: Vec<Vec<Tally>>) -> Option<Self> {
        let canonical = |tallies: &Vec<Tally>| {
            tallies.windows(2).all(|pair| pair[0].exponent < pair[1].exponent)
                && tallies.iter().all(|t| t.rows > 0 && t.changed <= t.rows && super::EXPONENTS.contains(&t.exponent))
        };
        dimensions.iter().all(canonical).then_some(Self(dimensions))
    }

    /// Per dimension, the exponents in use.
    pub fn tallies(&self) -> &[Vec<Tally>] {
        &self.0
    }

    /// The coarsest grid on which all these rows lie.
    pub fn grid(&self) -> Grid {
        Grid::new(self.0.iter().map(|tallies| tallies.first().map(|tally| tally.exponent)).collect())
    }

    /// Whether no dimension counts more than `rows` rows.
    pub fn covers_at_most(&self, rows: u64) -> bool {
        let counted = |tallies: &Vec<Tally>| tallies.iter().try_fold(0_u64, |sum, tally| sum.checked_add(tally.rows));
        self.0.iter().all(|tallies| counted(tallies).is_some_and(|sum| sum <= rows))
    }

    /// Adds the rows of another history of the same dimensions; the caller has made sure that they can be counted.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            for tally in theirs {
                match mine.binary_search_by_key(&tally.exponent, |tally| tally.exponent) {
                    Ok(at) => {
                        mine[at].rows += tally.rows;
                        mine[at].changed += tally.changed;
                    }
                    Err(at) => mine.insert(at, *tally),
                }
            }
        }
    }

    /// Takes the rows of another history out again.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if they are not all in it.
    pub fn subtract(&mut self, other: &Self) -> Result<()> {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            for tally in theirs {
                let found = mine.iter_mut().find(|entry| {
                    entry.exponent == tally.exponent && entry.rows >= tally.rows && entry.changed >= tally.changed
                });
                let entry = found.ok_or_else(|| Error::data("the rows to be subtracted are not in the state"))?;
                entry.rows -= tally.rows;
                entry.changed -= tally.changed;
                if entry.rows == 0 && entry.changed > 0 {
                    return Err(Error::data("the rows to be subtracted are not in the state"));
                }
            }
            mine.retain(|tally| tally.rows > 0);
        }
        Ok(())
    }

    /// `Γ_j = Σ_e changed · 4^e / 12` over `rows`, or over the rows changed when that is `None`: the mean squared
    /// rounding error of each dimension (METRICS 4.7).
    pub fn rounding_noise(&self, rows: Option<u64>) -> Vec<f64> {
        let noise = |tallies: &Vec<Tally>| {
            let total: f64 = tallies.iter().map(|t| t.changed as f64 / 12.0 * power_of_two(t.exponent).powi(2)).sum();
            let over = rows.unwrap_or_else(|| tallies.iter().map(|tally| tally.changed).sum());
            if over == 0 { 0.0 } else { total / over as f64 }
        };
        self.0.iter().map(noise).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(exponent: i16, rows: u64, changed: u64) -> History {
        History::of(&Grid::new(vec![Some(exponent), None]), rows, &[changed, 0])
    }

    #[test]
    fn the_grid_is_the_finest_with_a_row_and_coarsens_when_those_leave() {
        let mut all = history(-3, 10, 4);
        all.add(&history(-5, 2, 1));
        assert_eq!(all.grid().exponents(), [Some(-5), None]);
        all.subtract(&history(-5, 2, 1)).unwrap();
        assert_eq!(all, history(-3, 10, 4));
        assert!(all.subtract(&history(-5, 1, 0)).is_err());
        assert!(all.subtract(&history(-3, 10, 3)).is_err());
    }

    #[test]
    fn noise_is_a_twelfth_of_the_squared_step_per_changed_row() {
        let mut all = history(0, 10, 5);
        all.add(&history(1, 10, 5));
        assert_eq!(all.rounding_noise(Some(20)), [25.0 / 12.0 / 20.0, 0.0]);
        assert_eq!(all.rounding_noise(None), [25.0 / 12.0 / 10.0, 0.0]);
    }
}
