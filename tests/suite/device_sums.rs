//! Sums that stay on a device over many chunks make the states that the CPU makes, byte for byte.
//!
//! The device here is one of plain loops, with little memory. It shows that what surrounds a device is right, whatever the
//! device.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::datatypes::i256;
use nckit::batch::{Batch, ByClass, Features};
use nckit::error::{Error, Result};
use nckit::grid::{Grid, RESIDUAL_BITS, Spread, wide};
use nckit::kernels::gram::{GramTarget, packed_len};
use nckit::kernels::nearest::{Candidates, Contenders};
use nckit::kernels::{
    Cpu, Device, DeviceSums, Kernels, MAX_LEFT, Profile, ShiftedRows, SlotRows, SumsId, TakenSums, TooFar, Totals,
    Workspace, is_device_failure,
};
use nckit::pipeline::Job;
use nckit::state::{Chunk, DeviceParts, Merge, Shifts, State, StatesByKey};

use crate::goldens;
use crate::plain_kernels::{state_file, values};
use crate::rows::{Random, Rows, Stored, chunks};

/// Adds rows up in plain loops, and measures chunks on the CPU without telling their means.
pub(crate) struct PlainDevice {
    cpu: Cpu,
    sums: Vec<Option<PlainSums>>,
    /// How many slots it has memory for, over all sums.
    memory: usize,
    is_required: bool,
    /// Rows that were added here, and not by the CPU.
    pub(crate) added: Arc<AtomicUsize>,
    /// The call of `add`, of all workers together, that fails.
    fails_at: usize,
    calls: Arc<AtomicUsize>,
    /// The call of `take` that lacks memory, counted down.
    lacks_at: usize,
}

/// Sums as they are defined, one value after the other.
pub(crate) struct PlainSums {
    pub(crate) exponents: Vec<i16>,
    shifts: Vec<f64>,
    pub(crate) taken: TakenSums,
}

impl PlainSums {
    pub(crate) fn open(exponents: &[i16], gram: bool) -> Self {
        let dim = exponents.len();
        let gram = gram.then(|| vec![0; packed_len(dim)]);
        let taken = TakenSums { changed: vec![0; dim * LEFTS], gram, ..TakenSums::default() };
        Self { exponents: exponents.to_vec(), shifts: Vec::new(), taken }
    }

    pub(crate) fn extend(&mut self, shifts: &[f64]) {
        self.shifts.extend(shifts);
        let (len, slots) = (self.shifts.len(), self.shifts.len() / self.exponents.len());
        self.taken.sums.resize(len, 0);
        self.taken.low.resize(len, 0);
        self.taken.squares.resize(slots, i256::ZERO);
    }

    pub(crate) fn add(&mut self, rows: &SlotRows<'_>, long: &mut Vec<u32>) {
        let SlotRows { batch, profile, order, slots, left } = *rows;
        let (dim, steps) = (batch.dim(), profile.grid().steps());
        let values = values(batch.features());
        let weights = Grid::new(self.exponents.iter().copied().map(Some).collect()).weights();
        let taken = &mut self.taken;
        for (&row, &class) in order.rows().iter().zip(order.classes()) {
            let slot = slots[class as usize] as usize;
            let row_values = &values[row as usize * dim..][..dim];
            let in_steps: Vec<f64> = row_values.iter().zip(&steps).map(|(x, step)| x / step).collect();
            let shift = self.shifts[slot * dim..][..dim].iter().zip(&steps).map(|(shift, step)| shift / step);
            let delta: Vec<i128> = in_steps
                .iter()
                .zip(shift)
                .map(|(x, shift)| {
                    assert_eq!(shift, shift.round(), "a shift that does not lie on the grid of a chunk");
                    x.round_ties_even() as i128 - shift as i128
                })
                .collect();
            if delta.iter().any(|delta| delta.abs() >= 1 << 21) {
                long.push(row);
                continue;
            }
            let moved: Vec<i128> = delta.iter().zip(left).map(|(delta, left)| delta << left).collect();
            for j in 0..dim {
                let rest = in_steps[j] - in_steps[j].round_ties_even();
                let low = (rest * 2_f64.powi(RESIDUAL_BITS as i32)).round_ties_even() as i64;
                taken.changed[j * LEFTS + left[j] as usize] += u64::from(rest != 0.0);
                taken.sums[slot * dim + j] += moved[j] as i64;
                taken.low[slot * dim + j] += low << left[j];
                let square = wide(delta[j] * delta[j], 2 * (weights[j] + left[j])).unwrap();
                taken.squares[slot] = taken.squares[slot].wrapping_add(square);
            }
            if let Some(gram) = &mut taken.gram {
                let mut entries = gram.iter_mut();
                for j in 0..dim {
                    entries.by_ref().zip(&moved[j..]).for_each(|(entry, other)| *entry += moved[j] * other);
                }
            }
        }
    }
}

/// How many values `left` may have.
const LEFTS: usize = MAX_LEFT as usize + 1;

impl PlainDevice {
    pub(crate) fn new(memory: usize) -> Self {
        let (added, calls) = (Arc::default(), Arc::default());
        Self {
            cpu: Cpu::default(),
            sums: Vec::new(),
            memory,
            is_required: false,
            added,
            fails_at: usize::MAX,
            calls,
            lacks_at: 0,
        }
    }

    fn used(&self) -> usize {
        self.sums.iter().flatten().map(|sums| 1 + sums.taken.squares.len()).sum()
    }

    fn check_memory(&self, more: usize) -> Result<()> {
        if self.used() + more <= self.memory {
            return Ok(());
        }
        Err(Error::resource("too little memory").with("device", "plain loops"))
    }

    fn of(&mut self, sums: SumsId) -> &mut PlainSums {
        self.sums[sums.0].as_mut().expect("sums that are open")
    }
}

impl DeviceSums for PlainDevice {
    fn is_required(&self) -> bool {
        self.is_required
    }

    fn open(&mut self, exponents: &[i16], gram: bool) -> Result<SumsId> {
        self.check_memory(1)?;
        self.sums.push(Some(PlainSums::open(exponents, gram)));
        Ok(SumsId(self.sums.len() - 1))
    }

    fn extend(&mut self, sums: SumsId, shifts: &[f64]) -> Result<()> {
        assert!(shifts.iter().all(|shift| shift.is_finite()), "a shift that is not finite");
        let new = shifts.len() / self.of(sums).exponents.len();
        self.check_memory(new)?;
        self.of(sums).extend(shifts);
        Ok(())
    }

    fn add(&mut self, sums: SumsId, rows: &SlotRows<'_>, long: &mut Vec<u32>) -> Result<()> {
        if self.calls.fetch_add(1, Ordering::Relaxed) + 1 == self.fails_at {
            return Err(Error::io("the device failed").with("device", "plain loops"));
        }
        let before = long.len();
        self.of(sums).add(rows, long);
        self.added.fetch_add(rows.order.rows().len() - (long.len() - before), Ordering::Relaxed);
        Ok(())
    }

    fn take(&mut self, sums: SumsId) -> Result<TakenSums> {
        self.lacks_at = self.lacks_at.wrapping_sub(1);
        if self.lacks_at == 0 {
            return Err(Error::resource("too little memory").with("device", "plain loops"));
        }
        Ok(self.sums[sums.0].take().expect("sums that are open").taken)
    }
}

impl Kernels for PlainDevice {
    fn spread(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Spread> {
        let spread = self.cpu.spread(chunk, order, means);
        means.clear();
        spread
    }

    fn outline(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Vec<f64>> {
        let largest = self.cpu.outline(chunk, order, means);
        means.clear();
        largest
    }

    fn round(
        &mut self,
        features: Features<'_>,
        rows: &ShiftedRows<'_>,
        profile: &Profile,
        totals: &mut Totals<'_>,
        gram: Option<GramTarget<'_>>,
    ) -> Result<Option<TooFar>> {
        self.cpu.round(features, rows, profile, totals, gram)
    }

    fn contenders(
        &mut self,
        candidates: &Candidates<'_>,
        rows: &[f64],
        places: usize,
        lists: &mut Contenders,
    ) -> Result<()> {
        self.cpu.contenders(candidates, rows, places, lists)
    }

    fn device_sums(&mut self) -> Option<&mut dyn DeviceSums> {
        Some(self)
    }
}

struct Groups(Vec<State>);

impl StatesByKey<usize> for Groups {
    fn state(&mut self, key: &usize) -> Option<&mut State> {
        self.0.get_mut(*key)
    }
}

/// The bytes of the states of so many groups, whose rows take turns, and how many rows the device added.
fn grouped(chunks: &[Rows], groups: usize, scatter: bool, device: Option<PlainDevice>) -> (Vec<Vec<u8>>, usize) {
    let added = device.as_ref().map(|device| device.added.clone()).unwrap_or_default();
    let mut workspace = device.map_or_else(Workspace::default, |device| Workspace::new(Box::new(device)));
    let mut states = Groups(vec![State::new(scatter); groups]);
    let (mut parts, shifts) = (DeviceParts::default(), (0..groups).map(|_| Shifts::default()).collect::<Vec<_>>());
    for rows in chunks {
        let profile = rows.profile(&mut workspace);
        let chunk = Chunk { batch: rows.batch(), profile: &profile };
        for (group, shifts) in shifts.iter().enumerate() {
            let members: Vec<u32> = (0..rows.len() as u32).filter(|row| *row as usize % groups == group).collect();
            let members = (groups > 1).then_some(members.as_slice());
            parts.update(&group, &mut states, &chunk, members, shifts, &mut workspace).unwrap();
        }
        workspace.recycle(profile);
    }
    parts.settle(&mut states, &mut workspace).unwrap();
    let states = states.0.iter().map(|state| state.encode().unwrap()).collect();
    (states, added.load(Ordering::Relaxed))
}

#[test]
fn states_of_drawn_chunks_are_those_of_the_cpu() {
    let (mut rows, mut added) = (0, 0);
    for seed in 0..200 {
        let chunks = chunks(seed);
        for (groups, memory) in [(1, 10_000), (3, 10_000), (3, 40), (2, 3), (1, 0)] {
            let expected = grouped(&chunks, groups, seed % 2 == 0, None).0;
            let (found, on_device) = grouped(&chunks, groups, seed % 2 == 0, Some(PlainDevice::new(memory)));
            assert_eq!(found, expected, "{seed}, {groups} groups, {memory} slots");
            if memory == 10_000 && groups == 1 {
                rows += chunks.iter().map(Rows::len).sum::<usize>();
                added += on_device;
            }
        }
    }
    assert!(added * 2 > rows, "the CPU did the work: {added} of {rows}");
}

/// Scales drift, up and down, in steps and by much; dimensions are zero for a while; a class moves away.
#[test]
fn chunks_that_do_not_fit_begin_new_sums_or_go_to_the_cpu() {
    let mut random = Random::new(5);
    let scales = [0, 1, 2, 5, 9, 10, 14, 11, -3, -3, -9, -9, -13, -10, -10, 13, 14, 14, 16, 16, 0];
    let mut chunks = Vec::new();
    for (at, scale) in scales.into_iter().enumerate() {
        let labels: Vec<i64> = (0..120).map(|row| row % 4).collect();
        let values = (0..120 * 5).map(|place| {
            let (row, j) = (place / 5, place % 5);
            let moved = if row % 4 == 2 && at > 6 { 50.0 } else { 0.0 };
            let zero = j == 3 && at % 3 != 1;
            if zero { 0.0 } else { 2_f64.powi(scale) * (moved + f64::from(row % 4) + random.normal()) }
        });
        chunks.push(Rows::new(5, Stored::F64(values.collect()), &labels));
    }
    for scatter in [false, true] {
        let expected = grouped(&chunks, 1, scatter, None).0;
        let (found, added) = grouped(&chunks, 1, scatter, Some(PlainDevice::new(100)));
        assert_eq!(found, expected);
        assert!(added > 120 * 10, "{added} rows were added on the device");
    }
}

/// A class that comes with a finer chunk has a shift that does not lie on the grids of much coarser ones; and where a chunk
/// is all zeros, no shift but 0 lies on its grid.
#[test]
fn shifts_lie_on_the_grid_of_every_chunk() {
    let mut random = Random::new(8);
    let mut chunk = |noise: f64, classes: i64, zero: usize| {
        let labels: Vec<i64> = (0..90).map(|row| row % classes).collect();
        let value = |at: usize| if at % 4 == zero { 0.0 } else { 5.0 + (at / 4 % 3) as f64 + noise * random.normal() };
        Rows::new(4, Stored::F64((0..90 * 4).map(value).collect()), &labels)
    };
    let chunks = [(1.0, 2, 9), (2_f64.powi(-6), 3, 9), (2_f64.powi(12), 3, 9), (1.0, 3, 2), (1.0, 3, 9)];
    let chunks = chunks.map(|(noise, classes, zero)| chunk(noise, classes, zero));
    for scatter in [false, true] {
        let expected = grouped(&chunks, 1, scatter, None).0;
        let (found, added) = grouped(&chunks, 1, scatter, Some(PlainDevice::new(100)));
        assert_eq!(found, expected);
        assert!(added >= 180, "{added} rows were added on the device");
    }
}

/// Sums that a device has no memory to hand over stay there, and come back later.
#[test]
fn sums_that_cannot_be_handed_over_are_not_lost() {
    let mut random = Random::new(6);
    let labels: Vec<i64> = (0..60).map(|row| row % 3).collect();
    let mut chunk = |scale: i32| {
        let values = (0..60 * 4).map(|_| 2_f64.powi(scale) * random.normal()).collect();
        Rows::new(4, Stored::F64(values), &labels)
    };
    // The second group's sums are there to make room when those of the first do not fit the grid any longer.
    let chunks = [0, 0, -30, -30, -30].map(&mut chunk);
    let expected = grouped(&chunks, 2, true, None).0;
    let (found, _) = grouped(&chunks, 2, true, Some(PlainDevice { lacks_at: 1, ..PlainDevice::new(1000) }));
    assert_eq!(found, expected);
}

/// Means that would be rounded beyond the largest number.
#[test]
fn shifts_are_finite() {
    let labels: Vec<i64> = (0..60).map(|row| row % 2).collect();
    let mut random = Random::new(7);
    let value = |at: usize| if (at / 2).is_multiple_of(2) { f64::MAX } else { 1e308 * random.uniform() };
    let chunks = [Rows::new(2, Stored::F64((0..60 * 2).map(value).collect()), &labels)];
    let expected = grouped(&chunks, 1, false, None).0;
    assert_eq!(grouped(&chunks, 1, false, Some(PlainDevice::new(1000))).0, expected);
}

/// A device that fails when rows are added for the n-th time, and how many rows it has added.
fn failing(at: usize, is_required: bool) -> (Device, Arc<AtomicUsize>) {
    let (added, calls) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let counter = added.clone();
    let open = move || -> Box<dyn Kernels> {
        let (added, calls) = (counter.clone(), calls.clone());
        Box::new(PlainDevice { fails_at: at, is_required, added, calls, ..PlainDevice::new(10_000) })
    };
    (Device::new("plain loops", is_required, open), added)
}

#[test]
fn a_device_that_fails_loses_no_row_and_counts_none_twice() {
    for scatter in [false, true] {
        let expected = state_file(Device::cpu(), scatter, None).unwrap();
        let (sound, added) = failing(usize::MAX, true);
        assert!(state_file(sound.clone(), scatter, None).unwrap() == expected);
        assert!(added.load(Ordering::Relaxed) > 0 && sound.failure().is_none());
        for at in 1..5 {
            let (replaced, _) = failing(at, false);
            assert!(state_file(replaced.clone(), scatter, None).unwrap() == expected, "{at}");
            assert!(replaced.failure().is_some(), "{at}");
            let error = state_file(failing(at, true).0, scatter, None).unwrap_err();
            assert!(is_device_failure(&error), "{error}");
        }
    }
}

#[test]
fn a_report_is_the_same_on_a_device_that_fails() {
    let job =
        |device: Device| Job { device, ..goldens::job("h3", Some("classifier/epoch={epoch}/classifier.parquet")) };
    let expected = job(Device::cpu()).run().unwrap();
    for at in [1, 2, usize::MAX] {
        assert!(job(failing(at, false).0).run().unwrap() == expected, "{at}");
    }
}

#[test]
fn a_device_that_is_required_says_that_its_memory_does_not_suffice() {
    let rows = &chunks(3)[0];
    let device = PlainDevice { is_required: true, ..PlainDevice::new(1) };
    let mut workspace = Workspace::new(Box::new(device));
    let profile = rows.profile(&mut workspace);
    let chunk = Chunk { batch: rows.batch(), profile: &profile };
    let mut states = Groups(vec![State::new(false)]);
    let error = DeviceParts::default().update(&0, &mut states, &chunk, None, &Shifts::default(), &mut workspace);
    assert!(nckit::kernels::lacks_device_memory(&error.unwrap_err()));
}
