//! Sums that a device keeps over many chunks, beside plain loops over 128 bits.

use std::collections::HashMap;

use nckit::batch::{ByClass, Label};
use nckit::error::{ErrorKind, Result};
use nckit::grid::Grid;
use nckit::kernels::{Cpu, DeviceSums, Kernels, MAX_LEFT, Profile, SlotRows, SumsId, Workspace};

use super::emulator::{Machine, device};
use super::spread::drawn;
use crate::device_sums::PlainSums;
use crate::rows::{Random, Rows, Stored};

/// A chunk, its grid, and which of its rows are added.
pub(super) struct Part {
    pub(super) rows: Rows,
    pub(super) profile: Profile,
    selected: Option<Vec<u32>>,
}

impl Part {
    fn new(rows: Rows, selected: Option<Vec<u32>>) -> Self {
        let profile = rows.profile(&mut cpu());
        Self { rows, profile, selected }
    }

    /// By how many bits the steps are coarser than those of sums.
    pub(super) fn left(&self, exponents: &[i16]) -> Vec<u32> {
        let own = self.profile.grid().exponents();
        own.iter().zip(exponents).map(|(own, sums)| own.map_or(0, |own| (own - sums) as u32)).collect()
    }

    /// All of the rows, whose classes are the first slots of sums.
    pub(super) fn with_rows<R>(&self, exponents: &[i16], act: impl FnOnce(&SlotRows<'_>) -> R) -> R {
        let batch = self.rows.batch();
        let (order, left) = (ByClass::of(&batch, None), self.left(exponents));
        let slots: Vec<u32> = (0..order.counts().len() as u32).collect();
        act(&SlotRows { batch: &batch, profile: &self.profile, order: &order, slots: &slots, left: &left })
    }
}

/// The grid of sums that serves all of these chunks, some of which it makes finer, and a step that lies on the grids of
/// all; 0 where only 0 does.
pub(super) fn grid(parts: &mut [Part]) -> (Vec<i16>, Vec<f64>) {
    let of = |parts: &[Part], j: usize| parts.iter().map(|part| part.profile.grid().exponents()[j]).collect::<Vec<_>>();
    let dims = 0..parts[0].rows.dim;
    let finest = |j: usize| of(parts, j).into_iter().flatten().min().unwrap_or(0) - (j % 3) as i16;
    let exponents: Vec<i16> = dims.clone().map(finest).collect();
    for Part { rows, profile, .. } in parts.iter_mut() {
        let limited = |(own, sums): (&Option<i16>, &i16)| own.map(|own| own.min(sums + MAX_LEFT as i16));
        let own = profile.grid().exponents().iter().zip(&exponents).map(limited).collect();
        *profile = Profile::on(&rows.batch(), Grid::new(own), &mut cpu()).unwrap();
    }
    let coarse = |j: usize| of(parts, j).into_iter().collect::<Option<Vec<i16>>>();
    let coarse = |j: usize| coarse(j).map_or(0.0, |all| 2_f64.powi((*all.iter().max().unwrap()).into()));
    (exponents, dims.map(coarse).collect())
}

fn cpu() -> Workspace {
    Workspace::new(Box::<Cpu>::default())
}

/// Does something again if the device had too little memory for it. Then nothing may have changed.
fn insist<R>(mut act: impl FnMut() -> Result<R>) -> R {
    act().unwrap_or_else(|error| {
        assert_eq!((error.kind(), error.fact("device")), (ErrorKind::Resource, Some("emulated device 0")), "{error}");
        act().unwrap()
    })
}

/// Sums on the device, and the same in plain loops.
pub(super) struct Both<'a> {
    pub(super) device: &'a mut dyn Kernels,
    pub(super) id: SumsId,
    plain: PlainSums,
    slots: HashMap<Label, u32>,
}

impl<'a> Both<'a> {
    pub(super) fn open(device: &'a mut dyn Kernels, exponents: &[i16], gram: bool) -> Self {
        let id = insist(|| device.device_sums().unwrap().open(exponents, gram));
        Self { device, id, plain: PlainSums::open(exponents, gram), slots: HashMap::new() }
    }

    pub(super) fn sums(&mut self) -> &mut dyn DeviceSums {
        self.device.device_sums().unwrap()
    }

    /// Adds a chunk, after slots for its new classes. Returns how many rows were long.
    pub(super) fn add(&mut self, part: &Part, coarse: &[f64]) -> usize {
        let batch = part.rows.batch();
        let order = ByClass::of(&batch, part.selected.as_deref());
        let mut shifts = Vec::new();
        let mut slots = Vec::new();
        for (&code, rows) in order.codes().iter().zip(order.each()) {
            let next = self.slots.len() as u32;
            let slot = *self.slots.entry(batch.classes()[code as usize].clone()).or_insert(next);
            slots.push(slot);
            if slot == next {
                // Some classes lie so far from their shifts that all of their rows are long, or some.
                let off = [0.0, 0.0, 0.0, 2_097_152.0, 1_900_000.0][slot as usize % 5];
                let near = |(&x, &step): (&f64, &f64)| if step > 0.0 { ((x / step).round() + off) * step } else { 0.0 };
                shifts.extend(part.rows.row(rows[0] as usize).iter().zip(coarse).map(near));
            }
        }
        if !shifts.is_empty() {
            let id = self.id;
            insist(|| self.sums().extend(id, &shifts));
            self.plain.extend(&shifts);
        }
        let left = part.left(&self.plain.exponents);
        let rows = SlotRows { batch: &batch, profile: &part.profile, order: &order, slots: &slots, left: &left };
        let (mut found, mut expected) = (vec![7], vec![7]);
        let id = self.id;
        insist(|| self.sums().add(id, &rows, &mut found));
        self.plain.add(&rows, &mut expected);
        assert_eq!(found, expected, "long rows");
        found.len() - 1
    }

    pub(super) fn compare(mut self) {
        let id = self.id;
        let found = insist(|| self.sums().take(id));
        let expected = self.plain.taken;
        assert_eq!(found.sums, expected.sums);
        assert_eq!(found.low, expected.low);
        assert_eq!(found.squares, expected.squares);
        assert_eq!(found.changed, expected.changed);
        assert_eq!(found.gram, expected.gram);
    }
}

/// Chunks whose steps differ by up to so many bits.
pub(super) fn parts(rows: usize, dim: usize, classes: usize, seed: u64, bits: i32) -> [Vec<Part>; 3] {
    let mut random = Random::new(seed);
    let mut parts = [const { Vec::new() }; 3];
    for (number, bits) in (0..).zip([0, bits, bits / 2]) {
        for (parts, chunk) in parts.iter_mut().zip(drawn(rows, dim, classes, seed + number)) {
            let selected = (number == 1).then(|| (0..rows as u32).filter(|_| !random.chance(3)).collect());
            // f16 holds no large numbers.
            let is_half = matches!(chunk.values, Stored::F16(_));
            parts.push(Part::new(if is_half { chunk } else { chunk.scaled(2_f64.powi(bits)) }, selected));
        }
    }
    parts
}

#[test]
fn chunks_of_all_shapes_and_types() {
    let Some(machine) = Machine::real_or_emulated() else { return };
    let mut long = 0;
    for order in [0, 1, 2] {
        machine.set("order", order);
        let mut device = device().session();
        let shapes = [(1, 1, 1), (7, 5, 3), (64, 64, 4), (65, 63, 1), (130, 96, 90), (300, 130, 10), (140, 200, 7)];
        for (rows, dim, classes) in shapes {
            for mut parts in parts(rows, dim, classes, (rows * dim) as u64 + order as u64, 20) {
                let (exponents, coarse) = grid(&mut parts);
                for gram in [true, false] {
                    let mut both = Both::open(&mut *device, &exponents, gram);
                    long += parts.iter().map(|part| both.add(part, &coarse)).sum::<usize>();
                    both.compare();
                }
            }
        }
    }
    assert!(long > 100, "{long} long rows");
}

/// Rows of one class, all of whose values are integers, and shifts of 0.
fn integers(rows: usize, values: &[f64]) -> Rows {
    let dim = values.len();
    let values = (0..rows).flat_map(|_| values.iter().map(|&x| x as f32)).collect();
    Rows::new(dim, Stored::F32(values), &vec![0; rows])
}

/// Rows that fill the accumulators of a block: digits of −128 and the largest magnitudes, moved left as far as they may be.
#[test]
fn the_largest_values_fill_the_accumulators() {
    let Some(machine) = Machine::real_or_emulated() else { return };
    machine.set("multiprocessors", 1);
    let mut device = device().session();
    let row = [2_097_151.0, -2_097_151.0, -32_896.0, -98_432.0, 128.0, -128.0, 32_639.0];
    // One tile, which two blocks share; and three tiles, each with one block for as many rows as it may have.
    for (rows, dim) in [((1 << 15) + 1, 7), (1 << 15, 65)] {
        let values: Vec<f64> = row.iter().copied().cycle().take(dim).collect();
        let rows = integers(rows, &values);
        let profile = Profile::with_exponent(&rows.batch(), 0, &mut cpu()).unwrap();
        let part = Part { rows, profile, selected: None };
        // Squares carry where they move left by 10 bits within their band.
        let finest = if dim == 7 { -(MAX_LEFT as i16) } else { -23 };
        let exponents: Vec<i16> = (0..dim).map(|j| if j % 2 == 0 { finest } else { -3 }).collect();
        let mut both = Both::open(&mut *device, &exponents, true);
        assert_eq!(both.add(&part, &vec![0.0; dim]), 0);
        both.compare();
    }
}

/// A device with so little memory that a chunk goes through the Gram matrix in parts.
#[test]
fn chunks_in_parts() {
    let Some(machine) = Machine::real_or_emulated() else { return };
    machine.set("memory", 64 << 20);
    let mut device = device().session();
    // A part has 5,376 rows.
    let mut parts = parts(11_000, 3, 20, 5, 2);
    let (exponents, coarse) = grid(&mut parts[1]);
    let mut both = Both::open(&mut *device, &exponents, true);
    both.add(&parts[1][0], &coarse);
    both.compare();
}

/// Sums of several groups take turns, and one's end is another's beginning.
#[test]
fn several_sums_at_once() {
    let Some(machine) = Machine::real_or_emulated() else { return };
    machine.set("order", 2);
    let mut device = device().session();
    let mut parts = parts(50, 9, 6, 11, 3);
    let (exponents, coarse) = grid(&mut parts[2]);
    let mut plain = Vec::new();
    for (number, gram) in [(0, true), (1, false), (2, true)] {
        let both = Both::open(&mut *device, &exponents, gram);
        assert_eq!(both.id.0, number);
        plain.push((both.plain, both.slots));
    }
    for (number, part) in [(2, 0), (0, 1), (2, 1), (1, 2), (0, 0)] {
        let (kept, slots) = std::mem::replace(&mut plain[number], (PlainSums::open(&exponents, false), HashMap::new()));
        let mut both = Both { device: &mut *device, id: SumsId(number), plain: kept, slots };
        both.add(&parts[2][part], &coarse);
        plain[number] = (both.plain, both.slots);
    }
    for (number, (plain, slots)) in plain.into_iter().enumerate() {
        Both { device: &mut *device, id: SumsId(number), plain, slots }.compare();
        assert_eq!(device.device_sums().unwrap().open(&exponents, false).unwrap(), SumsId(number));
    }
}

#[test]
fn sums_of_no_rows_and_of_no_slots() {
    let Some(_machine) = Machine::begin() else { return };
    let mut device = device().session();
    let sums = device.device_sums().unwrap();
    for slots in [0, 2] {
        let id = sums.open(&[3, -4], true).unwrap();
        sums.extend(id, &vec![1.0; slots * 2]).unwrap();
        let rows = integers(4, &[1.0, 2.0]);
        let profile = Profile::with_exponent(&rows.batch(), 3, &mut cpu()).unwrap();
        let (batch, mut long) = (rows.batch(), Vec::new());
        let order = ByClass::of(&batch, Some(&[]));
        let none = SlotRows { batch: &batch, profile: &profile, order: &order, slots: &[], left: &[0, 7] };
        sums.add(id, &none, &mut long).unwrap();
        let mut expected = PlainSums::open(&[3, -4], true);
        expected.extend(&vec![1.0; slots * 2]);
        assert_eq!(sums.take(id).unwrap(), expected.taken);
    }
}

/// What no caller may ask for is refused, before a kernel reads or writes where it must not.
#[test]
fn rows_that_do_not_fit_are_refused() {
    let Some(_machine) = Machine::begin() else { return };
    let rows = integers(4, &[1.0, 2.0]);
    let profile = Profile::with_exponent(&rows.batch(), 0, &mut cpu()).unwrap();
    let batch = rows.batch();
    let order = ByClass::of(&batch, None);
    let fine = SlotRows { batch: &batch, profile: &profile, order: &order, slots: &[1], left: &[0, 24] };
    let outcome = |rows: &SlotRows<'_>| {
        let mut device = device().session();
        let sums = device.device_sums().unwrap();
        let id = sums.open(&[0, -24], true).unwrap();
        sums.extend(id, &[0.0; 4]).unwrap();
        sums.add(id, rows, &mut Vec::new()).map_err(|error| error.kind())
    };
    assert_eq!(outcome(&fine), Ok(()));
    for (slots, left) in [(&[2][..], &[0, 24][..]), (&[], &[0, 24]), (&[1], &[0, 25]), (&[1], &[0])] {
        assert_eq!(outcome(&SlotRows { slots, left, ..fine }), Err(ErrorKind::Internal), "{slots:?} {left:?}");
    }
    let other = integers(2, &[1.0, 2.0]);
    assert_eq!(outcome(&SlotRows { batch: &other.batch(), ..fine }), Err(ErrorKind::Internal));
    let other = integers(4, &[1.0, 2.0, 3.0]);
    assert_eq!(outcome(&SlotRows { batch: &other.batch(), ..fine }), Err(ErrorKind::Internal));
}

/// Memory is replaced by more while the device has still to read it.
#[test]
fn memory_grows_while_work_waits() {
    let Some(machine) = Machine::begin() else { return };
    machine.set("order", 1);
    let mut device = device().session();
    let mut all: Vec<Part> = Vec::new();
    for (rows, classes) in [(10, 2), (90, 30), (400, 120)] {
        let [_, chunk, _] = drawn(rows, 6, classes, rows as u64);
        all.push(Part::new(chunk, None));
    }
    let (exponents, coarse) = grid(&mut all);
    let mut both = Both::open(&mut *device, &exponents, true);
    for part in &all {
        both.add(part, &coarse);
    }
    both.compare();
}
