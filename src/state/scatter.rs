//! Class sums with the pooled within-class scatter.

use std::borrow::Cow;

use arrow::datatypes::i256;

use super::class::{Sign, out_of_range};
use super::class_sums::{ClassSums, with_grids};
use super::direct::Direct;
use super::gram_moves::GramMoves;
use super::observe::{Observer, observe};
use super::{Accumulate, Chunk, Merge, Shifts, encoding};
use crate::error::{Error, Result};
use crate::grid::{Grid, bits_i128, bits_i256, wide};
use crate::kernels::Workspace;
use crate::kernels::gram::{GramSum, GramTarget, packed_len, rows_with_room};

/// Exact class sums and `Q = Σ δ δᵀ`, pooled over classes: all that NC1 to NC3 need. They are compared
/// by their [canonical](Merge::canonical) forms.
#[derive(Clone, Debug, Default)]
pub struct Scatter {
    pub(super) sums: ClassSums,
    /// `Q`; entry i, j in units of `g_i g_j`.
    pub(super) gram: GramSum,
}

/// Bits that an entry of `Q` may take: a decimal of 38 digits holds `2^126`.
const GRAM_BITS: u32 = 126;

impl Scatter {
    /// A scatter from its parts, checked: the trace of `Q` is what the classes' squares add up to.
    pub(super) fn from_parts(sums: ClassSums, gram: GramSum) -> Result<Self> {
        check_trace(&sums.grid, gram.diagonal(), sums.total_square()?)?;
        Ok(Self { sums, gram })
    }

    /// The class sums.
    pub fn sums(&self) -> &ClassSums {
        &self.sums
    }

    /// The bytes that the state holds at most: `Q` takes half of its share as long as its entries fit 64 bits.
    pub fn bytes(classes: usize, dim: usize) -> usize {
        ClassSums::bytes(classes, dim) + 16 * packed_len(dim)
    }

    /// Moves a `Q` that lies on the grid of this state to the grid of its history.
    pub(super) fn coarsen(&self, gram: &mut GramSum) -> Result<()> {
        let target = self.sums.history.grid();
        let exact = gram.coarsen(&target.shifts_to(&self.sums.grid));
        let outside = |(exponent, entry): (&Option<i16>, i128)| exponent.is_none() && entry != 0;
        if !exact || target.exponents().iter().zip(gram.diagonal()).any(outside) {
            return Err(Error::internal("a scatter does not lie on the grid of its history"));
        }
        Ok(())
    }

    fn combine(&mut self, sums: &ClassSums, gram: &GramSum, sign: Sign) -> Result<()> {
        let steps = self.sums.grid.clone();
        self.try_combine(sums, gram, sign).map_err(|error| with_grids(error, &steps, &sums.grid))
    }

    fn try_combine(&mut self, sums: &ClassSums, gram: &GramSum, sign: Sign) -> Result<()> {
        if sums.dim == 0 {
            return Ok(());
        }
        let grid = self.sums.common_grid(&sums.grid)?;
        self.prepare(&grid)?;
        let left = sums.grid.shifts_to(&grid);
        check_range(gram.diagonal(), &left)?;
        self.gram.add(gram, &left, sign == Sign::Minus);
        self.absorb(sums, &grid, sign)
    }

    /// Makes `Q` ready for rows on this grid.
    fn prepare(&mut self, grid: &Grid) -> Result<()> {
        if self.sums.dim == 0 {
            self.gram = GramSum::zeros(grid.dim());
            return Ok(());
        }
        let mut left = self.sums.grid.shifts_to(grid);
        if check_range(self.gram.diagonal(), &left).is_err() {
            *self = self.canonical()?;
            left = self.sums.grid.shifts_to(grid);
            check_range(self.gram.diagonal(), &left)?;
        }
        if left.iter().any(|&bits| bits > 0) {
            self.gram.refine(&left);
        }
        Ok(())
    }

    /// Another state, whose `Q` has room on the common grid. About the means of classes it is smallest: a shift may lie far from one.
    fn with_room<'a>(&self, other: &'a Self) -> Result<Cow<'a, Self>> {
        let Ok(grid) = self.sums.common_grid(&other.sums.grid) else { return Ok(Cow::Borrowed(other)) };
        let is_empty = other.sums.dim == 0;
        if is_empty || check_range(other.gram.diagonal(), &other.sums.grid.shifts_to(&grid)).is_ok() {
            return Ok(Cow::Borrowed(other));
        }
        other.canonical().map(Cow::Owned)
    }

    /// Moves class sums to a grid on which `Q` lies already.
    fn refine_sums(&mut self, grid: &Grid) -> Result<()> {
        if self.sums.dim == 0 {
            return Ok(());
        }
        let mut moves = GramMoves::new(&mut self.gram, grid.dim());
        self.sums.refine(grid, &mut moves)?;
        moves.finish()
    }

    /// Adds class sums to which `Q` has been added already, on this grid, or takes them away.
    fn absorb(&mut self, sums: &ClassSums, grid: &Grid, sign: Sign) -> Result<()> {
        let mut moves = GramMoves::new(&mut self.gram, grid.dim());
        self.sums.absorb(sums, grid, sign, &mut moves)?;
        moves.finish()?;
        if self.sums.dim == 0 {
            return if std::mem::take(&mut self.gram).is_zero() { Ok(()) } else { Err(not_contained()) };
        }
        // Its entries lie far from each other: they are gathered once.
        let diagonal: Vec<i128> = self.gram.diagonal().collect();
        if sign == Sign::Minus && diagonal.iter().any(|&entry| entry < 0) {
            return Err(not_contained());
        }
        check_range(diagonal.iter().copied(), &vec![0; grid.dim()])?;
        check_trace(&self.sums.grid, diagonal.into_iter(), self.sums.total_square()?)
    }
}

/// Fails unless `Σ_j (g_j / g_min)² Q_jj` is `Σ_k t_k`, which is given, exactly.
pub(super) fn check_trace(grid: &Grid, diagonal: impl Iterator<Item = i128>, squares: i256) -> Result<()> {
    let mut trace = i256::ZERO;
    for (entry, weight) in diagonal.zip(grid.weights()) {
        let term = wide(entry, 2 * weight).ok_or_else(out_of_range)?;
        trace = trace.checked_add(term).ok_or_else(out_of_range)?;
    }
    if trace == squares {
        Ok(())
    } else if bits_i256(squares) > GRAM_BITS {
        Err(out_of_range())
    } else {
        Err(Error::internal("the trace of the scatter is not the sum of the classes' squares"))
    }
}

/// Checks that entries stay in range when moved left: those on the diagonal bound all others.
fn check_range(diagonal: impl Iterator<Item = i128>, left: &[u32]) -> Result<()> {
    let fits = |(entry, &bits): (i128, &u32)| entry == 0 || bits_i128(entry) + 2 * bits < GRAM_BITS;
    if diagonal.zip(left).all(fits) { Ok(()) } else { Err(out_of_range()) }
}

fn not_contained() -> Error {
    Error::data("the rows to be subtracted are not in the state")
}

impl Merge for Scatter {
    fn identity() -> Self {
        Self::default()
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        let other = self.with_room(other)?;
        self.combine(&other.sums, &other.gram, Sign::Plus)
    }

    fn subtract(&mut self, other: &Self) -> Result<()> {
        let other = self.with_room(other)?;
        self.combine(&other.sums, &other.gram, Sign::Minus)
    }

    fn canonical(&self) -> Result<Self> {
        let mut gram = self.gram.clone();
        let mut moves = GramMoves::new(&mut gram, self.sums.dim);
        let sums = self.sums.canonical_with(&mut moves)?;
        moves.finish()?;
        self.coarsen(&mut gram)?;
        Self::from_parts(sums, gram)
    }

    fn encode(&self) -> Result<Vec<u8>> {
        Ok(encoding::encode(&self.to_raw()?))
    }

    fn decode(bytes: &[u8]) -> Result<Self> {
        encoding::decode(bytes)?.into_scatter()
    }
}

impl PartialEq for Scatter {
    fn eq(&self, other: &Self) -> bool {
        matches!((self.encode(), other.encode()), (Ok(mine), Ok(theirs)) if mine == theirs)
    }
}

impl Accumulate for Scatter {
    fn update(
        &mut self,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let (of_chunk, count) = (chunk.profile.grid(), rows.map_or(chunk.batch.rows(), <[u32]>::len));
        if count == 0 {
            return Ok(());
        }
        let grid = self.sums.common_grid(of_chunk)?;
        let left = of_chunk.shifts_to(&grid);
        if count > rows_with_room(left.iter().copied().max().unwrap_or(0)) {
            let mut gram = std::mem::take(&mut workspace.gram);
            gram.clear(of_chunk.dim());
            let mut observer = Apart { state: self, gram, left: vec![0; of_chunk.dim()] };
            let outcome = observe(chunk, rows, shifts, workspace, &mut observer);
            workspace.gram = observer.gram;
            return outcome;
        }
        let steps = self.sums.grid.clone();
        let outcome = self
            .prepare(&grid)
            .and_then(|()| self.refine_sums(&grid))
            .and_then(|()| observe(chunk, rows, shifts, workspace, &mut Directly { state: self, grid, left }));
        outcome.map_err(|error| with_grids(error, &steps, of_chunk))
    }
}

/// Adds rows of a chunk to the `Q` of a state.
struct Directly<'a> {
    state: &'a mut Scatter,
    /// The grid of both.
    grid: Grid,
    /// By how many bits the grid of the chunk is coarser.
    left: Vec<u32>,
}

impl Observer for Directly<'_> {
    fn direct(&mut self) -> Option<Direct<'_>> {
        let Self { state: Scatter { sums, gram }, left, .. } = self;
        Some(Direct { sums, gram: Some(GramTarget { sum: gram, left }) })
    }

    fn gram(&mut self) -> Option<GramTarget<'_>> {
        Some(GramTarget { sum: &mut self.state.gram, left: &self.left })
    }

    fn summed(&mut self, sums: &ClassSums) -> Result<()> {
        self.state.absorb(sums, &self.grid, Sign::Plus)
    }
}

/// Makes a `Q` of the chunk alone, and adds that to the state: where the grid of the state is so much finer that a product of
/// the rows on it would not be exact.
struct Apart<'a> {
    state: &'a mut Scatter,
    gram: GramSum,
    /// No bits.
    left: Vec<u32>,
}

impl Observer for Apart<'_> {
    fn gram(&mut self) -> Option<GramTarget<'_>> {
        Some(GramTarget { sum: &mut self.gram, left: &self.left })
    }

    fn summed(&mut self, sums: &ClassSums) -> Result<()> {
        self.state.combine(sums, &self.gram, Sign::Plus)
    }
}
