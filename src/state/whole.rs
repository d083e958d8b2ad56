//! The rows of a group without some of them, many times over, as error bars need it.

use super::{Merge, State, Statistics};
use crate::error::Result;

/// All rows of a group, about the rounded means of their classes.
///
/// Without a few of the rows these are near the means still, so that statistics need no shifts of their own.
#[derive(Clone, Debug)]
pub struct Whole(State);

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
        let near = match &rest {
            State::ClassSums(sums) => sums.statistics_as_it_is()?,
            State::Scatter(scatter) => scatter.statistics_as_it_is()?,
        };
        near.map_or_else(|| rest.statistics(), Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Features, Label};
    use crate::kernels::{Profile, Workspace};
    use crate::state::{Accumulate, Chunk, Scatter, Shifts};

    /// Rows of one class, every one of `DIM` equal values.
    fn rows(values: &[f64]) -> State {
        const DIM: usize = 2;
        let mut workspace = Workspace::default();
        let features: Vec<f64> = values.iter().flat_map(|&x| [x; DIM]).collect();
        let codes = vec![0; values.len()];
        let batch = Batch::new(DIM, Features::F64(&features), &codes, &[Label::Int(0)]).unwrap();
        let profile = Profile::with_exponent(&batch, -20, &mut workspace).unwrap();
        let mut state = Scatter::identity();
        let chunk = Chunk { batch, profile: &profile };
        state.update(&chunk, None, &Shifts::default(), &mut workspace).unwrap();
        state.into()
    }

    #[test]
    fn rows_far_from_the_mean_of_all_keep_their_digits() {
        let far: Vec<f64> = (0..50).map(|row| 1000.0 + f64::from(row % 2)).collect();
        let near: Vec<f64> = (0..50).map(|row| f64::from(row % 5) / 8.0).collect();
        let (far, near) = (rows(&far), rows(&near));
        let mut all = far.clone();
        all.merge(&near).unwrap();
        let whole = Whole::of(&all).unwrap();
        for (part, rest) in [(&far, &near), (&near, &far)] {
            assert_eq!(whole.without(part).unwrap(), rest.statistics().unwrap());
        }
        let nothing = whole.without(&all).unwrap();
        assert_eq!((nothing.rows(), nothing.classes()), (0, 0));
    }
}
