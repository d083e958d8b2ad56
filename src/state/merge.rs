//! How class sums are added and taken apart.

use std::sync::OnceLock;

use arrow::datatypes::i256;

use super::ClassSums;
use super::class::{Class, Moves, Sign, fits_shift, out_of_range};
use super::class_sums::MAX_ROWS;
use super::direct::UNBOUNDED;
use super::low::refine_narrow;
use super::narrow::{Narrow, largest};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::grid::{Grid, History, narrow, shift_left, vectorised};

/// Sums of this many bits, and those of moved classes, can be added in 64.
const ROOM_BITS: u32 = 61;

impl ClassSums {
    /// A grid on which both this state and one on another grid are exact.
    pub(super) fn common_grid(&self, other: &Grid) -> Result<Grid> {
        match (self.dim, other.dim()) {
            (_, 0) => Ok(self.grid.clone()),
            (0, _) => Ok(other.clone()),
            (mine, theirs) if mine == theirs => Ok(self.grid.common(other)),
            (mine, theirs) => {
                Err(Error::data("states of different dimension").with("detail", format!("D = {mine} and D = {theirs}")))
            }
        }
    }

    /// Class `k`, its integers moved left by these bits.
    pub(super) fn class(&self, k: usize, left: &[u32], squares_left: u32) -> Result<Class> {
        let row = k * self.dim..(k + 1) * self.dim;
        let widened = |values: &[i64]| -> Result<Vec<i128>> {
            let moved = |(&value, &bits): (&i64, &u32)| narrow(value.into(), bits).ok_or_else(out_of_range);
            values.iter().zip(left).map(moved).collect()
        };
        Ok(Class {
            n: self.counts[k],
            c: widened(&self.shifts[row.clone()])?,
            s: widened(&self.sums[row])?,
            t: shift_left(self.squares[k], squares_left).ok_or_else(out_of_range)?,
        })
    }

    fn put(&mut self, k: usize, class: &Class) -> Result<()> {
        let row = k * self.dim..(k + 1) * self.dim;
        for (to, &c) in self.shifts[row.clone()].iter_mut().zip(&class.c) {
            *to = if fits_shift(c) { c as i64 } else { return Err(out_of_range()) };
        }
        for (to, &s) in self.sums[row].iter_mut().zip(&class.s) {
            *to = i64::try_from(s).map_err(|_| out_of_range())?;
        }
        self.counts[k] = class.n;
        self.squares[k] = shift_left(class.t, 0).ok_or_else(out_of_range)?;
        Ok(())
    }

    /// Adds the rows of `other` or takes them away. The caller has already moved second moments to `grid`.
    pub(super) fn absorb(&mut self, other: &Self, grid: &Grid, sign: Sign, moves: &mut impl Moves) -> Result<()> {
        if other.dim == 0 {
            return Ok(());
        }
        if self.dim == 0 {
            self.dim = other.dim;
            self.grid = grid.clone();
            self.history = History::of(&Grid::new(vec![None; grid.dim()]), 0, &vec![0; grid.dim()]);
        }
        if sign == Sign::Plus && self.rows().checked_add(other.rows()).is_none_or(|rows| rows > MAX_ROWS) {
            return Err(Error::data("more rows than can be counted"));
        }
        self.refine(grid, moves)?;
        let left = other.grid.shifts_to(grid);
        let squares_left = 2 * finest_shift(&other.grid, grid);
        let near = left.iter().all(|&bits| bits < 63);
        let weights = grid.weights();
        let mut narrow = Narrow::new(self.dim);
        for k in 0..other.classes() {
            let known = self.position(&other.labels[k]);
            let mine = known.unwrap_or(self.classes());
            match known {
                Some(mine) if near && self.combine_aligned(mine, other, k, (&left, squares_left), sign) => {}
                Some(mine)
                    if narrow.take(other, k, &left)
                        && self.combine_narrow(mine, &mut narrow, (other.squares[k], squares_left), &weights, sign) =>
                {
                    narrow.tell(sign, moves)?;
                    self.raise_bound(mine);
                }
                Some(mine) => {
                    let theirs = other.class(k, &left, squares_left)?;
                    self.combine(mine, theirs, &weights, sign, moves)?;
                    self.raise_bound(mine);
                }
                None if sign == Sign::Minus => return Err(not_contained(&other.labels[k])),
                None => {
                    self.append(other, k, (&left, squares_left), &weights, moves)?;
                    self.raise_bound(mine);
                }
            }
            self.low.add(mine * self.dim, &other.low, k * self.dim, &left, sign)?;
        }
        self.bound = moved_bound(other.bound, &left).saturating_add(self.bound);
        match sign {
            Sign::Plus => {
                self.rows += other.rows;
                self.history.add(&other.history);
            }
            Sign::Minus => {
                self.rows -= other.rows;
                self.history.subtract(&other.history)?;
                self.drop_empty()?;
            }
        }
        Ok(())
    }

    /// Adds class `k` of `other`, moved left by fewer than 63 bits, to a class with the same shift, or takes it away. Returns
    /// `false` and does nothing if the shifts differ, a sum would overflow, or fewer rows than one would be left.
    fn combine_aligned(
        &mut self,
        mine: usize,
        other: &Self,
        k: usize,
        (left, squares_left): (&[u32], u32),
        sign: Sign,
    ) -> bool {
        let (dim, to, from) = (self.dim, mine * self.dim, k * self.dim);
        let square = |theirs: i256| match sign {
            Sign::Plus => self.squares[mine].checked_add(theirs),
            Sign::Minus => self.squares[mine].checked_sub(theirs).filter(|square| !square.is_negative()),
        };
        let square =
            shift_left(other.squares[k], squares_left).and_then(square).and_then(|square| shift_left(square, 0));
        let count = match sign {
            Sign::Plus => self.counts[mine].checked_add(other.counts[k]),
            Sign::Minus => self.counts[mine].checked_sub(other.counts[k]).filter(|&count| count > 0),
        };
        let (Some(square), Some(count)) = (square, count) else { return false };
        // `(x ^ -1) - -1` is `-x`.
        let negated = if sign == Sign::Minus { -1_i64 } else { 0 };
        let (shifts, sums) = (&self.shifts[to..][..dim], &mut self.sums[to..][..dim]);
        let (their_shifts, their_sums, left) = (&other.shifts[from..][..dim], &other.sums[from..][..dim], &left[..dim]);
        let aligned = vectorised(
            #[inline(always)]
            || {
                // Bits that differ between the shifts, or that moving left loses.
                let (mut wrong, mut overflow) = (0, 0);
                for j in 0..dim {
                    let (shift, sum) = (their_shifts[j] << left[j], their_sums[j] << left[j]);
                    wrong |= (shift ^ shifts[j]) | ((shift >> left[j]) ^ their_shifts[j]);
                    wrong |= (sum >> left[j]) ^ their_sums[j];
                    let change = (sum ^ negated).wrapping_sub(negated);
                    // The least integer has no negative.
                    overflow |= change & sum & negated;
                    let total = sums[j].wrapping_add(change);
                    overflow |= (sums[j] ^ total) & (change ^ total);
                }
                if wrong != 0 || overflow < 0 {
                    return false;
                }
                for j in 0..dim {
                    let sum = their_sums[j] << left[j];
                    sums[j] += (sum ^ negated) - negated;
                }
                true
            },
        );
        if aligned {
            self.squares[mine] = square;
            self.counts[mine] = count;
        }
        aligned
    }

    /// The same for rows about another shift, whose `t` is to be moved left by these bits; they are moved to this one. Returns
    /// `false` and does nothing if something might not fit 64 bits, or fewer rows than one would be left.
    fn combine_narrow(
        &mut self,
        mine: usize,
        theirs: &mut Narrow,
        (square, squares_left): (i256, u32),
        weights: &[u32],
        sign: Sign,
    ) -> bool {
        let row = mine * self.dim..(mine + 1) * self.dim;
        if largest(&self.sums[row.clone()]) > ROOM_BITS {
            return false;
        }
        let Some(change) = theirs.move_to(&self.shifts[row.clone()], weights) else { return false };
        let moved = shift_left(square, squares_left).and_then(|square| square.checked_add(i256::from_i128(change)));
        let total = match sign {
            Sign::Plus => moved.and_then(|moved| self.squares[mine].checked_add(moved)),
            Sign::Minus => {
                moved.and_then(|moved| self.squares[mine].checked_sub(moved)).filter(|total| !total.is_negative())
            }
        };
        let count = match sign {
            Sign::Plus => self.counts[mine].checked_add(theirs.rows()),
            Sign::Minus => self.counts[mine].checked_sub(theirs.rows()).filter(|&count| count > 0),
        };
        let (Some(square), Some(count)) = (total.and_then(|total| shift_left(total, 0)), count) else { return false };
        (self.squares[mine], self.counts[mine]) = (square, count);
        for (sum, &change) in self.sums[row].iter_mut().zip(&theirs.sums) {
            *sum = if sign == Sign::Plus { *sum + change } else { *sum - change };
        }
        true
    }

    /// The same for any shifts; what would not fit is first taken about the mean of both.
    fn combine(
        &mut self,
        mine: usize,
        mut theirs: Class,
        weights: &[u32],
        sign: Sign,
        moves: &mut impl Moves,
    ) -> Result<()> {
        let mut ours = self.class(mine, &vec![0; self.dim], 0)?;
        theirs.move_to(&ours.c.clone(), weights, sign, moves)?;
        let add = |(&a, &b): (&i128, &i128)| match sign {
            Sign::Plus => a.checked_add(b).ok_or_else(out_of_range),
            Sign::Minus => a.checked_sub(b).ok_or_else(out_of_range),
        };
        let n = match sign {
            Sign::Plus => ours.n.checked_add(theirs.n),
            Sign::Minus => ours.n.checked_sub(theirs.n),
        };
        let n = n.ok_or_else(|| not_contained(&self.labels[mine]))?;
        let mut together = Class {
            n,
            c: ours.c.clone(),
            s: ours.s.iter().zip(&theirs.s).map(add).collect::<Result<_>>()?,
            t: i256::ZERO,
        };
        if n > 0 && !together.fits() {
            let centre = together.centre(&vec![0; self.dim])?;
            ours.move_to(&centre, weights, Sign::Plus, moves)?;
            theirs.move_to(&centre, weights, sign, moves)?;
            together.s = ours.s.iter().zip(&theirs.s).map(add).collect::<Result<_>>()?;
            together.c = centre;
        }
        let t = match sign {
            Sign::Plus => ours.t.checked_add(theirs.t),
            Sign::Minus => ours.t.checked_sub(theirs.t),
        };
        together.t = t.ok_or_else(out_of_range)?;
        if together.t.is_negative() || (n == 0 && (together.t != i256::ZERO || together.s.iter().any(|&s| s != 0))) {
            return Err(not_contained(&self.labels[mine]));
        }
        self.put(mine, &together)
    }

    /// Adds a class that is not there yet, its integers moved left by these bits.
    fn append(
        &mut self,
        other: &Self,
        k: usize,
        (left, squares_left): (&[u32], u32),
        weights: &[u32],
        moves: &mut impl Moves,
    ) -> Result<()> {
        let (mine, theirs) = (self.classes(), k * self.dim..(k + 1) * self.dim);
        self.counts.push(other.counts[k]);
        self.squares.push(other.squares[k]);
        self.shifts.extend_from_slice(&other.shifts[theirs.clone()]);
        self.sums.extend_from_slice(&other.sums[theirs]);
        let as_it_is = squares_left == 0 && left.iter().all(|&bits| bits == 0);
        if !as_it_is && !self.refine_aligned(mine, left, squares_left) {
            let mut class = other.class(k, left, squares_left)?;
            class.centre_if_large(weights, moves)?;
            self.put(mine, &class)?;
        }
        self.low.resize((mine + 1) * self.dim);
        if let Some(index) = self.index.get_mut() {
            index.insert(other.labels[k].clone(), mine);
        }
        self.labels.push(other.labels[k].clone());
        Ok(())
    }

    /// Moves all integers to a finer grid.
    pub(super) fn refine(&mut self, grid: &Grid, moves: &mut impl Moves) -> Result<()> {
        let left = self.grid.shifts_to(grid);
        let squares_left = 2 * finest_shift(&self.grid, grid);
        self.grid = grid.clone();
        if left.iter().all(|&bits| bits == 0) && squares_left == 0 {
            return Ok(());
        }
        self.bound = moved_bound(self.bound, &left);
        let weights = grid.weights();
        for k in 0..self.classes() {
            if self.refine_aligned(k, &left, squares_left) {
                continue;
            }
            let mut class = self.class(k, &left, squares_left)?;
            class.centre_if_large(&weights, moves)?;
            self.put(k, &class)?;
        }
        self.low.refine(&left)
    }

    /// Moves a class to a finer grid in 64 bits. Returns `false` and does nothing if something might not fit.
    fn refine_aligned(&mut self, k: usize, left: &[u32], squares_left: u32) -> bool {
        let row = k * self.dim..(k + 1) * self.dim;
        let Some(square) = shift_left(self.squares[k], squares_left) else { return false };
        if !refine_narrow(&mut self.shifts[row.clone()], left) {
            return false;
        }
        if !refine_narrow(&mut self.sums[row.clone()], left) {
            self.shifts[row].iter_mut().zip(left).for_each(|(shift, bits)| *shift >>= bits);
            return false;
        }
        self.squares[k] = square;
        true
    }

    fn drop_empty(&mut self) -> Result<()> {
        let (empty, kept): (Vec<usize>, Vec<usize>) = (0..self.classes()).partition(|&k| self.counts[k] == 0);
        let left_over = |&&k: &&usize| (k * self.dim..(k + 1) * self.dim).any(|at| self.low.get(at) != 0);
        if let Some(&k) = empty.iter().find(left_over) {
            return Err(not_contained(&self.labels[k]));
        }
        if !empty.is_empty() {
            self.select(&kept);
        }
        if !self.history.covers_at_most(self.rows()) {
            return Err(Error::data("the rows to be subtracted are not in the state"));
        }
        if kept.is_empty() {
            *self = Self::default();
        }
        Ok(())
    }

    /// Keeps the classes at these positions, in this order.
    fn select(&mut self, order: &[usize]) {
        let dim = self.dim;
        let rows = |values: &[i64]| order.iter().flat_map(|&k| &values[k * dim..][..dim]).copied().collect();
        self.shifts = rows(&self.shifts);
        self.sums = rows(&self.sums);
        self.low.select(order, dim);
        self.labels = order.iter().map(|&k| self.labels[k].clone()).collect();
        self.counts = order.iter().map(|&k| self.counts[k]).collect();
        self.squares = order.iter().map(|&k| self.squares[k]).collect();
        self.index = OnceLock::new();
    }
}

/// A bound on sums that move left by these bits, which is no more than 2^100.
fn moved_bound(bound: u128, left: &[u32]) -> u128 {
    let most = left.iter().copied().max().unwrap_or(0);
    if most > 40 { UNBOUNDED } else { UNBOUNDED.min(bound << most) }
}

/// By how many bits the finest step of `from` lies above that of `to`.
pub(super) fn finest_shift(from: &Grid, to: &Grid) -> u32 {
    match (from.finest(), to.finest()) {
        (Some(from), Some(to)) => (i32::from(from) - i32::from(to)) as u32,
        _ => 0,
    }
}

fn not_contained(label: &Label) -> Error {
    Error::data("the rows to be subtracted are not in the state").with("class", label)
}
