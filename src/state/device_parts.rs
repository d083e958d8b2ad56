//! The parts of states that lie on a device while rows are added to them.
//!
//! A device keeps sums on one grid, a few bits finer than that of their first chunk, and one shift for each class. What does
//! not fit there goes the CPU's way, to the state itself: any split of a chunk's rows adds up to the same state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::observe::foreign_class;
use super::shifts::Steps;
use super::{Accumulate, Chunk, ClassSums, Low, Merge, Scatter, Shifts, State};
use crate::batch::{Batch, ByClass, Label};
use crate::error::{Error, Result};
use crate::grid::{EXPONENTS, ExponentRows, Grid, History, divide, power_of_two, shift_right};
use crate::kernels::gram::packed_column;
use crate::kernels::{MAX_LEFT, SlotRows, SumsId, TakenSums, Workspace, lacks_device_memory};

/// Sums on a device are this many bits finer than their first chunk, so that chunks with a somewhat finer grid fit them.
const FINER: i16 = 8;

/// After so many chunks in a row that do not fit the sums, new sums begin on the grid of the last of them.
const MISFITS: u32 = 2;

/// `|x|` in steps of the sums stays below this, so that shifts fit an `i64`.
const STEPS_LIMIT: f64 = (1_u64 << 60) as f64;

/// The states that one worker adds rows to, by key.
pub trait StatesByKey<K> {
    /// The state of this key; `None` is a bug.
    fn state(&mut self, key: &K) -> Option<&mut State>;
}

fn state_of<'a, K>(states: &'a mut impl StatesByKey<K>, key: &K) -> Result<&'a mut State> {
    states.state(key).ok_or_else(|| Error::internal("a state of which the device holds a part is not there"))
}

/// What a worker's device holds of its states. [`settle`](Self::settle) completes them.
#[derive(Debug)]
pub struct DeviceParts<K> {
    parts: BTreeMap<K, Part>,
    /// Counts the chunks.
    clock: u64,
}

impl<K> Default for DeviceParts<K> {
    fn default() -> Self {
        Self { parts: BTreeMap::new(), clock: 0 }
    }
}

/// The part of one state.
#[derive(Debug, Default)]
struct Part {
    sums: Option<Sums>,
    misfits: u32,
    /// When rows were last added.
    used: u64,
    /// Whether the device has too little memory for these sums alone.
    too_large: bool,
}

/// Sums on the device, and what the CPU knows of them.
#[derive(Debug)]
struct Sums {
    id: SumsId,
    exponents: Vec<i16>,
    inverse: Vec<f64>,
    slot_of: HashMap<Label, u32>,
    labels: Vec<Label>,
    /// The shift of each slot, D.
    shifts: Vec<Arc<[f64]>>,
    /// Rows of each slot.
    counts: Vec<u64>,
    /// The exponent of the lowest bit that is set in some shift, D.
    lowest: Vec<i32>,
    /// Rows by dimension and `left`, D × (`MAX_LEFT` + 1).
    rows: Vec<u64>,
    /// Bounds on what a class sum, and a sum of squares, may hold.
    sum_bound: f64,
    square_bound: f64,
}

impl<K: Clone + Ord> DeviceParts<K> {
    /// Adds rows of a chunk to a state, all or the ones listed: on the device as far as it takes them.
    ///
    /// # Errors
    ///
    /// Those of [`Accumulate::update`]; those of the device, after which the states are unspecified.
    pub fn update(
        &mut self,
        key: &K,
        states: &mut impl StatesByKey<K>,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        if workspace.kernels.device_sums().is_none() {
            self.check_none_is_lost()?;
            return state_of(states, key)?.update(chunk, rows, shifts, workspace);
        }
        if !self.parts.contains_key(key) {
            self.parts.insert(key.clone(), Part::default());
        }
        self.clock += 1;
        let mut emptied = false;
        loop {
            let Some(part) = self.parts.get_mut(key) else { return Err(Error::internal("a part has vanished")) };
            part.used = self.clock;
            let error = match part.update(state_of(states, key)?, chunk, rows, shifts, workspace) {
                Err(error) if lacks_device_memory(&error) => error,
                outcome => return outcome,
            };
            if self.make_room(Some(key), states, workspace)? {
                continue;
            }
            // Nothing else is left on the device.
            let Some(part) = self.parts.get_mut(key) else { return Err(error) };
            part.settle(state_of(states, key)?, workspace)?;
            if emptied {
                if workspace.kernels.device_sums().is_some_and(|device| device.is_required()) {
                    return Err(error);
                }
                part.too_large = true;
            }
            emptied = true;
        }
    }

    /// Completes the state whose sums were not used for the longest time, other than that of `key`, so that the device has
    /// memory for something else. Returns whether there was one.
    ///
    /// # Errors
    ///
    /// Those of [`settle`](Self::settle).
    pub fn make_room(
        &mut self,
        key: Option<&K>,
        states: &mut impl StatesByKey<K>,
        workspace: &mut Workspace,
    ) -> Result<bool> {
        let others = self.parts.iter_mut().filter(|(other, part)| Some(*other) != key && part.sums.is_some());
        let Some((oldest, part)) = others.min_by_key(|(_, part)| part.used) else { return Ok(false) };
        part.settle(state_of(states, oldest)?, workspace)?;
        Ok(true)
    }

    /// Whether the device holds rows of that class for a state.
    pub fn contains(&self, key: &K, label: &Label) -> bool {
        self.sums(key).is_some_and(|sums| sums.slot_of.contains_key(label))
    }

    /// `D` of the rows that the device holds for a state, if it holds some.
    pub fn dim(&self, key: &K) -> Option<usize> {
        self.sums(key).map(|sums| sums.exponents.len())
    }

    /// The labels of the classes that the device holds for a state.
    pub fn labels(&self, key: &K) -> &[Label] {
        self.sums(key).map_or(&[], |sums| &sums.labels)
    }

    /// A device that is gone has taken its sums along.
    fn check_none_is_lost(&self) -> Result<()> {
        if self.parts.values().any(|part| part.sums.is_some()) { Err(lost()) } else { Ok(()) }
    }

    fn sums(&self, key: &K) -> Option<&Sums> {
        self.parts.get(key)?.sums.as_ref()
    }

    /// Brings everything that the device holds to the states.
    ///
    /// # Errors
    ///
    /// Those of the device, and of [`Merge::merge`].
    pub fn settle(&mut self, states: &mut impl StatesByKey<K>, workspace: &mut Workspace) -> Result<()> {
        for (key, part) in &mut self.parts {
            if part.sums.is_some() {
                part.settle(state_of(states, key)?, workspace)?;
            }
        }
        self.parts.clear();
        Ok(())
    }
}

impl Part {
    fn update(
        &mut self,
        state: &mut State,
        chunk: &Chunk<'_>,
        rows: Option<&[u32]>,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<()> {
        let Chunk { batch, profile } = chunk;
        let grid = profile.grid();
        let none = rows.map_or(batch.rows(), <[u32]>::len) == 0;
        if none || self.too_large || !profile.is_narrow() || grid.dim() != batch.dim() || grid.finest().is_none() {
            return state.update(chunk, rows, shifts, workspace);
        }
        let order = ByClass::of(batch, rows);
        let mut left = self.sums.as_ref().and_then(|sums| sums.fit(grid, profile.largest(), order.rows().len()));
        if left.is_none() {
            self.misfits += 1;
            if self.sums.is_some() && self.misfits < MISFITS {
                return state.update(chunk, rows, shifts, workspace);
            }
            self.settle(state, workspace)?;
            self.sums = Some(Sums::open(grid, state.has_scatter(), workspace)?);
            left = self.sums.as_ref().and_then(|sums| sums.fit(grid, profile.largest(), order.rows().len()));
        }
        let (Some(sums), Some(left)) = (&mut self.sums, left) else {
            return state.update(chunk, rows, shifts, workspace);
        };
        self.misfits = 0;
        let slots = sums.slots(chunk, &order, shifts, workspace)?;
        let mut long = Vec::new();
        let device = workspace.kernels.device_sums().ok_or_else(lost)?;
        let rows = SlotRows { batch, profile, order: &order, slots: &slots, left: &left };
        device.add(sums.id, &rows, &mut long)?;
        sums.count(batch, grid, &rows, &long);
        if long.is_empty() {
            return Ok(());
        }
        long.sort_unstable();
        state.update(chunk, Some(&long), shifts, workspace)
    }

    /// Brings the sums to the state.
    fn settle(&mut self, state: &mut State, workspace: &mut Workspace) -> Result<()> {
        let Some(id) = self.sums.as_ref().map(|sums| sums.id) else { return Ok(()) };
        // A device that lacks memory to hand sums over keeps them.
        let taken = workspace.kernels.device_sums().ok_or_else(lost)?.take(id)?;
        match self.sums.take().map(|sums| sums.into_state(taken)).transpose()?.flatten() {
            Some(part) => state.merge(&part),
            None => Ok(()),
        }
    }
}

impl Sums {
    /// Sums over no rows, on a grid somewhat finer than this one.
    fn open(grid: &Grid, gram: bool, workspace: &mut Workspace) -> Result<Self> {
        let finest = grid.finest().unwrap_or_default();
        // A dimension of zeros may have any step. That of the finest serves most chunks in which it is not all zeros.
        let finer = |e: &Option<i16>| (e.unwrap_or(finest) - FINER).max(*EXPONENTS.start());
        let exponents: Vec<i16> = grid.exponents().iter().map(finer).collect();
        let device = workspace.kernels.device_sums().ok_or_else(lost)?;
        let dim = exponents.len();
        Ok(Self {
            id: device.open(&exponents, gram)?,
            inverse: exponents.iter().map(|&e| power_of_two(-e)).collect(),
            exponents,
            slot_of: HashMap::new(),
            labels: Vec::new(),
            shifts: Vec::new(),
            counts: Vec::new(),
            lowest: vec![i32::MAX; dim],
            rows: vec![0; dim * LEFTS],
            sum_bound: 0.0,
            square_bound: 0.0,
        })
    }

    /// By how many bits a chunk's steps lie left of those of the sums, D; `None` if its rows cannot be added.
    fn fit(&self, grid: &Grid, largest: &[f64], rows: usize) -> Option<Vec<u32>> {
        if grid.dim() != self.exponents.len() {
            return None;
        }
        let mut left = Vec::with_capacity(grid.dim());
        for (j, exponent) in grid.exponents().iter().enumerate() {
            let Some(exponent) = *exponent else {
                // Zeros lie on any grid, but a class whose shift is not zero does not lie at them.
                if self.lowest[j] != i32::MAX {
                    return None;
                }
                left.push(0);
                continue;
            };
            let bits = u32::try_from(i32::from(exponent) - i32::from(self.exponents[j])).ok()?;
            if bits > MAX_LEFT || self.lowest[j] < exponent.into() || largest[j] * self.inverse[j] >= STEPS_LIMIT {
                return None;
            }
            left.push(bits);
        }
        let (sum, square) = bounds(&left, rows);
        (self.sum_bound + sum < 2_f64.powi(62) && self.square_bound + square < 2_f64.powi(126)).then_some(left)
    }

    /// The slot of each class of `order`; classes that come for the first time get one.
    fn slots(
        &mut self,
        chunk: &Chunk<'_>,
        order: &ByClass,
        shifts: &Shifts,
        workspace: &mut Workspace,
    ) -> Result<Vec<u32>> {
        let Chunk { batch, profile } = chunk;
        let steps = Steps::of(profile.grid());
        let label = |code: u32| &batch.classes()[code as usize];
        let (mut new, mut new_labels) = (Vec::new(), Vec::new());
        for (&code, rows) in order.codes().iter().zip(order.each()) {
            if !self.slot_of.contains_key(label(code)) {
                let mean = profile.mean(code, batch, rows).ok_or_else(foreign_class)?;
                new.push(shifts.on_device(label(code), &steps, &mean));
                new_labels.push(label(code).clone());
            }
        }
        if !new.is_empty() {
            let device = workspace.kernels.device_sums().ok_or_else(lost)?;
            let values: Vec<f64> = new.iter().flat_map(|shift| shift.iter().copied()).collect();
            device.extend(self.id, &values)?;
            for (shift, label) in new.into_iter().zip(new_labels) {
                for (lowest, &x) in self.lowest.iter_mut().zip(shift.iter()).filter(|(_, x)| **x != 0.0) {
                    *lowest = (*lowest).min(lowest_bit(x));
                }
                self.slot_of.insert(label.clone(), self.labels.len() as u32);
                self.labels.push(label);
                self.shifts.push(shift);
                self.counts.push(0);
            }
        }
        Ok(order.codes().iter().map(|&code| self.slot_of[label(code)]).collect())
    }

    /// Counts the rows that the device has added: all but the long ones.
    fn count(&mut self, batch: &Batch<'_>, grid: &Grid, rows: &SlotRows<'_>, long: &[u32]) {
        let SlotRows { order, slots, left, .. } = *rows;
        for (&slot, &count) in slots.iter().zip(order.counts()) {
            self.counts[slot as usize] += count;
        }
        for &row in long {
            let label = &batch.classes()[batch.codes()[row as usize] as usize];
            self.counts[self.slot_of[label] as usize] -= 1;
        }
        let added = (order.rows().len() - long.len()) as u64;
        for (j, (&left, exponent)) in left.iter().zip(grid.exponents()).enumerate() {
            if exponent.is_some() {
                self.rows[j * LEFTS + left as usize] += added;
            }
        }
        let (sum, square) = bounds(left, order.rows().len());
        self.sum_bound += sum;
        self.square_bound += square;
    }

    /// The state of the rows that were added, on the coarsest grid on which they lie; `None` if there are none.
    fn into_state(self, taken: TakenSums) -> Result<Option<State>> {
        let (dim, slots) = (self.exponents.len(), self.labels.len());
        if taken.sums.len() != slots * dim || taken.squares.len() != slots || taken.changed.len() != dim * LEFTS {
            return Err(Error::internal("a device has handed over sums of another shape"));
        }
        let kept: Vec<usize> = (0..slots).filter(|&slot| self.counts[slot] > 0).collect();
        if kept.is_empty() {
            return Ok(None);
        }
        let history = self.history(&taken.changed)?;
        let grid = history.grid();
        // By how many bits that grid is coarser than the one on the device.
        let right: Vec<u32> = grid
            .exponents()
            .iter()
            .zip(&self.exponents)
            .map(|(e, &fine)| e.map_or(0, |e| (i32::from(e) - i32::from(fine)) as u32))
            .collect();
        let inexact = || Error::internal("the sums of a device do not lie on the grid of its chunks");
        let coarsened = |values: &[i64]| -> Result<Vec<i64>> {
            let moved = |(j, &value): (usize, &i64)| divide(value.into(), right[j]).map(|value| value as i64);
            kept.iter()
                .flat_map(|&slot| values[slot * dim..][..dim].iter().enumerate())
                .map(|entry| moved(entry).ok_or_else(inexact))
                .collect()
        };
        let steps: Vec<f64> = grid.exponents().iter().map(|e| power_of_two(-e.unwrap_or(0))).collect();
        let shifts = kept.iter().flat_map(|&slot| self.shifts[slot].iter().zip(&steps));
        let shifts = shifts.map(|(shift, inverse)| (shift * inverse) as i64).collect();
        let fine = self.exponents.iter().min().map_or(0, |&e| i32::from(e));
        let squares_right = 2 * (i32::from(grid.finest().unwrap_or_default()) - fine) as u32;
        let square = |&slot: &usize| shift_right(taken.squares[slot], squares_right).ok_or_else(inexact);
        let sums = ClassSums::from_parts(
            grid.clone(),
            history,
            kept.iter().map(|&slot| self.labels[slot].clone()).collect(),
            kept.iter().map(|&slot| self.counts[slot]).collect(),
            shifts,
            coarsened(&taken.sums)?,
            Low::Narrow(coarsened(&taken.low)?),
            kept.iter().map(square).collect::<Result<_>>()?,
        );
        let Some(mut gram) = taken.gram else { return Ok(Some(sums.into())) };
        for j in 0..dim {
            for (entry, &bits) in gram[packed_column(dim, j)..][..dim - j].iter_mut().zip(&right[j..]) {
                *entry = divide(*entry, right[j] + bits).ok_or_else(inexact)?;
            }
        }
        // This checks that the trace of the matrix is the sum of the classes' squares.
        Ok(Some(Scatter::from_parts(sums, gram)?.into()))
    }

    fn history(&self, changed: &[u64]) -> Result<History> {
        let tallies = |(j, &fine): (usize, &i16)| {
            let of_left = |left: usize| {
                let (rows, changed) = (self.rows[j * LEFTS + left], changed[j * LEFTS + left]);
                (rows > 0).then(|| ExponentRows { exponent: fine + left as i16, rows, changed, unresolved: 0 })
            };
            (0..LEFTS).filter_map(of_left).collect()
        };
        History::from_exponents(self.exponents.iter().enumerate().map(tallies).collect())
            .ok_or_else(|| Error::internal("a device has counted more changed rows than rows"))
    }
}

/// The device has failed since rows were added to sums on it.
fn lost() -> Error {
    Error::io("the device failed").with("device", "gone").help("--device cpu does without it")
}

/// How many values `left` may have.
const LEFTS: usize = MAX_LEFT as usize + 1;

/// What rows of a chunk may add at most to a class sum, and to a sum of squares.
fn bounds(left: &[u32], rows: usize) -> (f64, f64) {
    let most = left.iter().copied().max().unwrap_or(0) as i32;
    (rows as f64 * 2_f64.powi(21 + most), rows as f64 * left.len() as f64 * 2_f64.powi(52 + 2 * most))
}

/// The exponent of the lowest bit of a number other than 0.
fn lowest_bit(x: f64) -> i32 {
    let bits = x.to_bits();
    let (exponent, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    match exponent {
        0 => fraction.trailing_zeros() as i32 - 1074,
        _ => (fraction | 1 << 52).trailing_zeros() as i32 + exponent - 1075,
    }
}
