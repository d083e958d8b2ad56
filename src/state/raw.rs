//! The integers of a state under names, for formats that store them one by one.

use arrow::datatypes::i256;

use super::class_sums::ClassSums;
use super::sound::contradiction;
use super::{Low, Merge, Scatter, State};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::grid::{ExponentRows, History};
use crate::kernels::gram::{GramSum, packed_len};

/// The integers of a canonical state: equal states have equal integers. The history decides the grid.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RawState {
    /// `D`; 0 for the state of no rows.
    pub dim: usize,
    /// `h`, by dimension: the exponents in use, ascending.
    pub history: Vec<Vec<ExponentRows>>,
    /// The labels, ascending, K.
    pub labels: Vec<Label>,
    /// `n`, K.
    pub counts: Vec<u64>,
    /// `c`, K × D, in steps.
    pub shifts: Vec<i64>,
    /// `s = Σ δ`, K × D, in steps.
    pub sums: Vec<i64>,
    /// What rounding took off, K × D, in units of `2^-20` steps.
    pub low: Low,
    /// `t`, K, in squares of the finest step.
    pub squares: Vec<i256>,
    /// The lower triangle of `Q` by columns, D(D+1)/2, if the state has a scatter matrix; entry i, j in units of `g_i g_j`.
    pub gram: Option<Vec<i128>>,
}

impl RawState {
    /// The state, with a scatter matrix if [`gram`](Self::gram) is there.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the integers contradict each other.
    pub fn into_state(self) -> Result<State> {
        match self.check()? {
            (sums, None) => Ok(sums.into()),
            (sums, Some(gram)) => {
                let gram = GramSum::of(sums.dim, gram);
                Scatter::from_parts(sums, gram)
                    .map(State::from)
                    .map_err(|error| Error::data("the state contradicts itself").caused_by(error))
            }
        }
    }

    /// The class sums.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the integers contradict each other, or hold a scatter.
    pub fn into_class_sums(self) -> Result<ClassSums> {
        match self.into_state()? {
            State::ClassSums(sums) => Ok(sums),
            State::Scatter(_) => Err(Error::data("the state has a scatter matrix, and class sums were expected")),
        }
    }

    /// The class sums with the scatter.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the integers contradict each other, or lack the scatter.
    pub fn into_scatter(self) -> Result<Scatter> {
        match self.into_state()? {
            State::Scatter(scatter) => Ok(scatter),
            State::ClassSums(_) => {
                Err(Error::data("the state has class sums alone, and a scatter matrix was expected"))
            }
        }
    }

    /// Refuses integers that real rows cannot have in canonical form. The caller checks the trace of a scatter.
    fn check(self) -> Result<(ClassSums, Option<Vec<i128>>)> {
        let Self { dim, history, labels, counts, shifts, sums, low, squares, gram } = self;
        let classes = labels.len();
        let cells = classes.checked_mul(dim).ok_or_else(broken)?;
        let whole = (dim == 0) == (classes == 0)
            && history.len() == dim
            && counts.len() == classes
            && shifts.len() == cells
            && sums.len() == cells
            && low.len() == cells
            && squares.len() == classes
            && gram.as_ref().is_none_or(|gram| gram.len() == packed_len(dim));
        if !whole {
            return Err(broken());
        }
        let history =
            History::from_exponents(history).ok_or_else(|| contradicts("its history is not that of a grid"))?;
        if counts.iter().try_fold(0_u64, |rows, &n| rows.checked_add(n)).is_none() {
            return Err(contradicts("it has more rows than can be counted"));
        }
        let grid = history.grid();
        let state = ClassSums::from_parts(grid, history, labels, counts, shifts, sums, low, squares);
        match contradiction(&state, gram.as_deref()) {
            Some(why) => Err(contradicts(why)),
            None => Ok((state, gram)),
        }
    }
}

impl ClassSums {
    /// The integers of the canonical form.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::canonical`].
    pub fn to_raw(&self) -> Result<RawState> {
        Ok(self.canonical()?.into_raw())
    }

    /// The integers of a state that is in canonical form.
    fn into_raw(self) -> RawState {
        let Self { dim, history, labels, counts, shifts, sums, low, squares, .. } = self;
        let history = history.tallies().to_vec();
        RawState { dim, history, labels, counts, shifts, sums, low, squares, gram: None }
    }
}

impl Scatter {
    /// The integers of the canonical form.
    ///
    /// # Errors
    ///
    /// Those of [`Merge::canonical`].
    pub fn to_raw(&self) -> Result<RawState> {
        let Self { sums, gram } = self.canonical()?;
        Ok(RawState { gram: Some(gram.into_entries()), ..sums.into_raw() })
    }
}

pub(super) fn broken() -> Error {
    Error::data("the state is damaged")
}

fn contradicts(why: &str) -> Error {
    broken().with("detail", why)
}
