//! The rows of a group without some of them, many times over, as error bars need it.

use super::{Merge, State, Statistics};
use crate::error::Result;

/// All rows of a group, about the rounded means of their classes.
///
/// Without a few of the rows these are near the means still, so that statistics need no shifts of their own.
#[derive(Clone, Debug)]
pub struct Whole(State);

/// What is left of the squares of a class about its own mean is at least this share of those about its shift, or the class
/// moves: subtracting the others takes at most ten of the 53 bits of a number.
const LEAST_LEFT: f64 = 1.0 / 1024.0;

impl Whole {
    /// The rows of a state.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::canonical`].
    pub fn of(state: &State) -> Result<Self> {
        state.canonical().map(Self)
    }

    /// Means and variances of the rows that are not in `part`, with the pooled scatter if the states hold it: those of
    /// [`State::statistics`] to within some units in the last place. Equal rows give equal bits.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::subtract`] and [`State::statistics`].
    pub fn without(&self, part: &State) -> Result<Statistics> {
        let mut rest = self.0.clone();
        rest.subtract(part)?;
        let (statistics, least_left) = match &rest {
            State::ClassSums(sums) => sums.statistics_as_it_is()?,
            State::Scatter(scatter) => scatter.statistics_as_it_is()?,
        };
        if least_left >= LEAST_LEFT { Ok(statistics) } else { rest.statistics() }
    }
}
