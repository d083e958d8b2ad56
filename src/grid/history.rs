//! Records on which grids the rows of a state were rounded, and how many of them rounding changed.

use super::{Grid, RESIDUAL_BITS, power_of_two};
use crate::error::{Error, Result};

/// The rows of one dimension that were rounded with one exponent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExponentRows {
    /// `e`.
    pub exponent: i16,
    /// Rows rounded to multiples of `2^e`.
    pub rows: u64,
    /// How many of them rounding changed.
    pub changed: u64,
    /// How many of the changed rows have no residual in the state: states of version 1 kept no residuals.
    pub unresolved: u64,
}

impl ExponentRows {
    fn is_sound(&self) -> bool {
        self.rows > 0
            && self.unresolved <= self.changed
            && self.changed <= self.rows
            && super::EXPONENTS.contains(&self.exponent)
    }
}

/// Per dimension the exponents in use, ascending, each with at least one row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History(Vec<Vec<ExponentRows>>);

impl History {
    /// The history of `rows` rows, all rounded on `grid`; `changed[j]` of them were changed in dimension `j`.
    pub fn of(grid: &Grid, rows: u64, changed: &[u64]) -> Self {
        let tally = |(&exponent, &changed): (&Option<i16>, &u64)| match exponent {
            Some(exponent) if rows > 0 => vec![ExponentRows { exponent, rows, changed, unresolved: 0 }],
            _ => Vec::new(),
        };
        Self(grid.exponents().iter().zip(changed).map(tally).collect())
    }

    /// A history from its parts; `None` unless ascending and without empty entries.
    pub fn from_exponents(dimensions: Vec<Vec<ExponentRows>>) -> Option<Self> {
        let canonical = |tallies: &Vec<ExponentRows>| {
            tallies.windows(2).all(|pair| pair[0].exponent < pair[1].exponent)
                && tallies.iter().all(ExponentRows::is_sound)
        };
        dimensions.iter().all(canonical).then_some(Self(dimensions))
    }

    /// Per dimension, the exponents in use.
    pub fn tallies(&self) -> &[Vec<ExponentRows>] {
        &self.0
    }

    /// The coarsest grid on which all these rows lie.
    pub fn grid(&self) -> Grid {
        Grid::new(self.0.iter().map(|tallies| tallies.first().map(|tally| tally.exponent)).collect())
    }

    /// Whether no dimension counts more than `rows` rows.
    pub fn covers_at_most(&self, rows: u64) -> bool {
        let counted =
            |tallies: &Vec<ExponentRows>| tallies.iter().try_fold(0_u64, |sum, tally| sum.checked_add(tally.rows));
        self.0.iter().all(|tallies| counted(tallies).is_some_and(|sum| sum <= rows))
    }

    /// Adds the rows of another history of the same dimensions. The caller has checked that the counts do not overflow.
    pub fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            for tally in theirs {
                match mine.binary_search_by_key(&tally.exponent, |tally| tally.exponent) {
                    Ok(at) => {
                        mine[at].rows += tally.rows;
                        mine[at].changed += tally.changed;
                        mine[at].unresolved += tally.unresolved;
                    }
                    Err(at) => mine.insert(at, *tally),
                }
            }
        }
    }

    /// Removes the rows of another history.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if this history does not hold all of them.
    pub fn subtract(&mut self, other: &Self) -> Result<()> {
        let absent = || Error::data("the rows to be subtracted are not in the state");
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            for tally in theirs {
                let entry = mine.iter_mut().find(|entry| entry.exponent == tally.exponent).ok_or_else(absent)?;
                entry.rows = entry.rows.checked_sub(tally.rows).ok_or_else(absent)?;
                entry.changed = entry.changed.checked_sub(tally.changed).ok_or_else(absent)?;
                entry.unresolved = entry.unresolved.checked_sub(tally.unresolved).ok_or_else(absent)?;
                if entry.changed > entry.rows || entry.unresolved > entry.changed {
                    return Err(absent());
                }
            }
            mine.retain(|tally| tally.rows > 0);
        }
        Ok(())
    }

    /// `Γ_j = Σ_e changed · 4^e / 12` over `rows`, or over the rows changed when that is `None`: the mean squared
    /// rounding error of each dimension (METRICS 4.7).
    pub fn rounding_noise(&self, rows: Option<u64>) -> Vec<f64> {
        self.0.iter().map(|tallies| average(tallies, |tally| tally.changed, rows)).collect()
    }

    /// The mean squared error that rounding leaves in a row's share of its class's mean, by dimension.
    ///
    /// It is a twelfth of the squared unit of residuals on the coarsest grid, since all rows of a class may lie in one
    /// chunk. If there are changed rows without residuals, it is at least a twelfth of their squared step, on average.
    pub fn mean_noise(&self) -> Vec<f64> {
        let noise = |tallies: &Vec<ExponentRows>| {
            let coarsest = tallies.iter().rfind(|tally| tally.changed > 0);
            let unit = coarsest.map_or(0.0, |tally| power_of_two(tally.exponent) * 0.5_f64.powi(RESIDUAL_BITS as i32));
            average(tallies, |tally| tally.unresolved, None).max(unit.powi(2) / 12.0)
        };
        self.0.iter().map(noise).collect()
    }
}

/// The summed squared rounding error of some rows, divided by `over`, or by the number of these rows.
fn average(tallies: &[ExponentRows], some: fn(&ExponentRows) -> u64, over: Option<u64>) -> f64 {
    let total: f64 = tallies.iter().map(|t| some(t) as f64 / 12.0 * power_of_two(t.exponent).powi(2)).sum();
    let over = over.unwrap_or_else(|| tallies.iter().map(some).sum());
    if over == 0 { 0.0 } else { total / over as f64 }
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
        assert!(all.subtract(&unresolved(-3, 1, 1)).is_err(), "rows with residuals do not stand for rows without");
    }

    /// The history of a state of version 1.
    fn unresolved(exponent: i16, rows: u64, changed: u64) -> History {
        let tally = ExponentRows { exponent, rows, changed, unresolved: changed };
        History::from_exponents(vec![vec![tally], Vec::new()]).unwrap()
    }

    #[test]
    fn rows_without_residuals_come_and_go() {
        let mut all = history(0, 10, 4);
        all.add(&unresolved(0, 5, 3));
        assert!(all.clone().subtract(&history(0, 12, 5)).is_err(), "three changed rows have no residuals");
        all.subtract(&unresolved(0, 5, 3)).unwrap();
        assert_eq!(all, history(0, 10, 4));
    }

    #[test]
    fn means_are_as_good_as_their_worst_rows() {
        let fine = 4_f64.powi(-20) / 12.0;
        let mut all = history(0, 10, 5);
        all.add(&history(1, 10, 5));
        all.add(&history(2, 10, 0));
        assert_eq!(all.mean_noise(), [4.0 * fine, 0.0]);
        all.add(&unresolved(2, 3, 1));
        assert_eq!(all.mean_noise(), [16.0 / 12.0, 0.0]);
        all.add(&unresolved(0, 3, 3));
        assert_eq!(all.mean_noise(), [(0.25 * 16.0 + 0.75) / 12.0, 0.0]);
    }

    #[test]
    fn noise_is_a_twelfth_of_the_squared_step_per_changed_row() {
        let mut all = history(0, 10, 5);
        all.add(&history(1, 10, 5));
        assert_eq!(all.rounding_noise(Some(20)), [25.0 / 12.0 / 20.0, 0.0]);
        assert_eq!(all.rounding_noise(None), [25.0 / 12.0 / 10.0, 0.0]);
    }
}
