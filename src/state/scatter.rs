//! Class sums with the pooled within-class scatter.

use arrow::datatypes::i256;

use super::class::{Moves, Sign, out_of_range};
use super::class_sums::{ClassSums, with_grids};
use super::observe::{Observer, observe};
use super::{Accumulate, Chunk, Merge, Shifts, encoding};
use crate::error::{Error, Result};
use crate::grid::{Grid, bits_i128, bits_i256, divide, wide};
use crate::kernels::Workspace;
use crate::kernels::gram::{self, GramSum, Par, packed_column, packed_len};

/// Exact class sums and `Q = Σ δ δᵀ`, pooled over classes: all that NC1 to NC3 need. They are compared
/// by their [canonical](Merge::canonical) forms.
#[derive(Clone, Debug, Default)]
pub struct Scatter {
    pub(super) sums: ClassSums,
    /// The lower triangle of `Q` by columns; entry i, j in units of `g_i g_j`.
    pub(super) gram: Vec<i128>,
}

/// Bits that an entry of `Q` may take: a decimal of 38 digits holds `2^126`.
const GRAM_BITS: u32 = 126;

impl Scatter {
    /// A scatter from its parts, checked: the trace of `Q` is what the classes' squares add up to.
    pub(super) fn from_parts(sums: ClassSums, gram: Vec<i128>) -> Result<Self> {
        let state = Self { sums, gram };
        state.check_trace()?;
        Ok(state)
    }

    /// The class sums.
    pub fn sums(&self) -> &ClassSums {
        &self.sums
    }

    /// The bytes that the state holds.
    pub fn bytes(classes: usize, dim: usize) -> usize {
        ClassSums::bytes(classes, dim) + 16 * packed_len(dim)
    }

    fn diagonal(&self) -> impl Iterator<Item = i128> {
        diagonal(&self.gram, self.sums.dim)
    }

    /// Fails unless the trace of `Q` is what the classes' squares add up to.
    fn check_trace(&self) -> Result<()> {
        check_trace(&self.sums.grid, &self.gram, self.sums.total_square()?)
    }

    /// Moves a `Q` that lies on the grid of this state to the grid of its history.
    pub(super) fn coarsen(&self, gram: &mut [i128]) -> Result<()> {
        let target = self.sums.history.grid();
        let coarser = target.shifts_to(&self.sums.grid);
        let mut exact = true;
        shifted_columns(&coarser, |at, bits| match divide(gram[at], bits) {
            Some(entry) => gram[at] = entry,
            None => exact = false,
        });
        let outside =
            |(j, exponent): (usize, &Option<i16>)| exponent.is_none() && gram[packed_column(target.dim(), j)] != 0;
        if !exact || target.exponents().iter().enumerate().any(outside) {
            return Err(Error::internal("a scatter does not lie on the grid of its history"));
        }
        Ok(())
    }

    fn combine(&mut self, sums: &ClassSums, gram: &impl Entries, sign: Sign) -> Result<()> {
        let steps = self.sums.grid.clone();
        self.try_combine(sums, gram, sign).map_err(|error| with_grids(error, &steps, &sums.grid))
    }

    fn try_combine(&mut self, sums: &ClassSums, gram: &impl Entries, sign: Sign) -> Result<()> {
        let dim = sums.dim;
        if dim == 0 {
            return Ok(());
        }
        let grid = self.sums.common_grid(sums)?;
        if self.sums.dim == 0 {
            self.gram = vec![0; packed_len(dim)];
        } else {
            self.refine(&grid)?;
        }
        let left = sums.grid.shifts_to(&grid);
        check_range((0..dim).map(|j| gram.entry(packed_column(dim, j))), &left)?;
        if left.iter().all(|&bits| bits == 0) && sign == Sign::Plus {
            gram.add_to(&mut self.gram);
        } else {
            shifted_columns(&left, |at, bits| {
                let (entry, sum) = (shifted(gram.entry(at), bits), &mut self.gram[at]);
                *sum = if sign == Sign::Plus { sum.wrapping_add(entry) } else { sum.wrapping_sub(entry) };
            });
        }
        let mut moves = GramMoves::new(&mut self.gram, dim);
        self.sums.absorb(sums, &grid, sign, &mut moves)?;
        moves.finish()?;
        if self.sums.dim == 0 {
            let gram = std::mem::take(&mut self.gram);
            return if gram.iter().all(|&entry| entry == 0) { Ok(()) } else { Err(not_contained()) };
        }
        if sign == Sign::Minus && self.diagonal().any(|entry| entry < 0) {
            return Err(not_contained());
        }
        check_range(self.diagonal(), &vec![0; dim])?;
        self.check_trace()
    }

    fn refine(&mut self, grid: &Grid) -> Result<()> {
        let left = self.sums.grid.shifts_to(grid);
        if left.iter().all(|&bits| bits == 0) {
            return Ok(());
        }
        check_range(self.diagonal(), &left)?;
        shifted_columns(&left, |at, bits| self.gram[at] = shifted(self.gram[at], bits));
        Ok(())
    }
}

/// Fails unless `Σ_j (g_j / g_min)² Q_jj` is `Σ_k t_k`, which is given, exactly.
pub(super) fn check_trace(grid: &Grid, gram: &[i128], squares: i256) -> Result<()> {
    let mut trace = i256::ZERO;
    for (entry, weight) in diagonal(gram, grid.dim()).zip(grid.weights()) {
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

/// The diagonal of a lower triangle by columns.
pub(super) fn diagonal(gram: &[i128], dim: usize) -> impl Iterator<Item = i128> {
    (0..dim).map(move |j| gram[packed_column(dim, j)])
}

/// The lower triangle of a `Q`, by columns.
trait Entries {
    fn entry(&self, at: usize) -> i128;

    /// Adds all of them to another, modulo `2^128`.
    fn add_to(&self, sums: &mut [i128]);
}

impl Entries for Vec<i128> {
    fn entry(&self, at: usize) -> i128 {
        self[at]
    }

    fn add_to(&self, sums: &mut [i128]) {
        for (sum, &entry) in sums.iter_mut().zip(self) {
            *sum = sum.wrapping_add(entry);
        }
    }
}

impl Entries for GramSum {
    fn entry(&self, at: usize) -> i128 {
        self.entry(at)
    }

    fn add_to(&self, sums: &mut [i128]) {
        self.add_to(sums);
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

/// Calls `entry` for every entry of the lower triangle, with its index and the sum of the bits of its row and column.
fn shifted_columns(bits: &[u32], mut entry: impl FnMut(usize, u32)) {
    let mut at = 0;
    for j in 0..bits.len() {
        for &row in &bits[j..] {
            entry(at, bits[j] + row);
            at += 1;
        }
    }
}

/// `entry · 2^bits`. The caller has bounded the diagonal, which bounds all other entries. An entry is 0 if one of its two
/// diagonal entries is, and then `bits` may be any number.
fn shifted(entry: i128, bits: u32) -> i128 {
    entry.checked_shl(bits).unwrap_or(0)
}

/// Classes whose shift moved, gathered until they make a block.
pub(super) struct GramMoves<'a> {
    gram: &'a mut [i128],
    dim: usize,
    /// `s + nΔ`, rows × D.
    moved: Vec<i128>,
    /// `s`, rows × D.
    sums: Vec<i128>,
    /// `Δ`, rows × D.
    deltas: Vec<i128>,
}

impl<'a> GramMoves<'a> {
    pub(super) fn new(gram: &'a mut [i128], dim: usize) -> Self {
        Self { gram, dim, moved: Vec::new(), sums: Vec::new(), deltas: Vec::new() }
    }

    /// `Q += (s + nΔ) Δᵀ + Δ sᵀ`, whose lower triangle is that of `s Δᵀ + Δ sᵀ + n Δ Δᵀ`.
    ///
    /// Terms may overflow 128 bits as long as their sum does not. The trace shows that the sum does not: a diagonal entry
    /// that has lost a multiple of `2^128` no longer agrees with the squares, which are checked to fit, and the diagonal
    /// bounds all other entries.
    pub(super) fn finish(&mut self) -> Result<()> {
        if self.deltas.is_empty() {
            return Ok(());
        }
        gram::add_product(self.gram, &self.moved, &self.deltas, self.dim, Par::Pool)?;
        gram::add_product(self.gram, &self.deltas, &self.sums, self.dim, Par::Pool)?;
        self.moved.clear();
        self.sums.clear();
        self.deltas.clear();
        Ok(())
    }
}

impl Moves for GramMoves<'_> {
    fn moved<T: Copy + Into<i128>>(&mut self, sign: Sign, n: u64, s: &[T], delta: &[T]) -> Result<()> {
        let signed = |x: i128| if sign == Sign::Plus { x } else { -x };
        for (&s, &d) in s.iter().zip(delta) {
            let (s, d) = (s.into(), d.into());
            let moved = i128::from(n).checked_mul(d).and_then(|nd| nd.checked_add(s)).ok_or_else(out_of_range)?;
            self.moved.push(signed(moved));
            self.sums.push(signed(s));
            self.deltas.push(d);
        }
        if self.deltas.len() == gram::BLOCK_ROWS * self.dim { self.finish() } else { Ok(()) }
    }
}

impl Merge for Scatter {
    fn identity() -> Self {
        Self::default()
    }

    fn merge(&mut self, other: &Self) -> Result<()> {
        self.combine(&other.sums, &other.gram, Sign::Plus)
    }

    fn subtract(&mut self, other: &Self) -> Result<()> {
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
        let mut gram = std::mem::take(&mut workspace.gram);
        gram.clear(chunk.batch.dim());
        let mut observer = WithGram { state: self, gram };
        let outcome = observe(chunk, rows, shifts, workspace, &mut observer);
        workspace.gram = observer.gram;
        outcome
    }
}

/// A state, and the `Q` of the chunk that is added to it.
struct WithGram<'a> {
    state: &'a mut Scatter,
    gram: GramSum,
}

impl Observer for WithGram<'_> {
    fn gram(&mut self) -> Option<&mut GramSum> {
        Some(&mut self.gram)
    }

    fn summed(&mut self, sums: &ClassSums) -> Result<()> {
        self.state.combine(sums, &self.gram, Sign::Plus)
    }
}
