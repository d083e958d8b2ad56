//! How a chunk spreads, found by the device and by the CPU.

use half::f16;
use nckit::batch::ByClass;
use nckit::grid::Spread;
use nckit::kernels::{Cpu, Kernels};

use super::emulator::Machine;
use crate::rows::{Random, Rows, Stored};

/// Rows whose dimensions differ in scale, some constant and some all zeros, in each type of features.
pub(super) fn drawn(rows: usize, dim: usize, classes: usize, seed: u64) -> [Rows; 3] {
    let mut random = Random::new(seed);
    let labels: Vec<i64> = (0..rows).map(|_| (random.uniform().powi(2) * classes as f64) as i64).collect();
    let value = |at: usize, random: &mut Random| match at % dim % 7 {
        1 => 1e-3 * (labels[at / dim] as f64 + random.normal()),
        2 => 40.0 * random.normal() * if random.chance(50) { 30.0 } else { 1.0 },
        3 => 0.0,
        4 => 0.75,
        5 => f64::from(random.chance(9)) * -1e-5,
        _ => labels[at / dim] as f64 + random.normal(),
    };
    let values: Vec<f64> = (0..rows * dim).map(|at| value(at, &mut random)).collect();
    let halves = values.iter().map(|&x| f16::from_f64(x)).collect();
    let singles = values.iter().map(|&x| x as f32).collect();
    let stored = [Stored::F16(halves), Stored::F32(singles), Stored::F64(values)];
    stored.map(|values| Rows::new(dim, values, &labels))
}

/// The device's spread and outline of a chunk are the CPU's.
fn compare(device: &mut dyn Kernels, rows: &Rows) {
    let (batch, mut means, mut no_means) = (rows.batch(), Vec::new(), vec![1.0]);
    let order = ByClass::of(&batch, None);
    let expected = Cpu::default().spread(&batch, &order, &mut means).unwrap();
    let found = device.spread(&batch, &order, &mut no_means).unwrap();
    let shape = (batch.rows(), batch.dim(), order.counts().len());
    assert_eq!(bits(&found), bits(&expected), "{shape:?}");
    assert_eq!(found, expected, "{shape:?}");
    // Too few degrees of freedom are left to the CPU.
    assert_eq!(no_means.is_empty(), expected.about_first.is_none());
    let expected = Cpu::default().outline(&batch, &order, &mut means).unwrap();
    assert_eq!(device.outline(&batch, &order, &mut no_means).unwrap(), expected, "{shape:?}");
    assert!(no_means.is_empty());
}

/// Numbers that differ in their sign alone are not the same.
fn bits(spread: &Spread) -> Vec<u64> {
    let vectors = [&spread.largest, &spread.deviation, &spread.sigma, &spread.hits];
    vectors.into_iter().flatten().map(|x| x.to_bits()).collect()
}

#[test]
fn chunks_of_all_shapes_and_types() {
    let Some(machine) = Machine::begin() else { return };
    for order in [0, 1, 2] {
        machine.set("order", order);
        let mut device = machine.device().session();
        for (rows, dim, classes) in
            [(1, 1, 1), (9, 1, 1), (40, 5, 3), (64, 64, 4), (65, 63, 1), (130, 96, 90), (600, 33, 10), (1030, 3, 7)]
        {
            let seed = (rows * dim) as u64 + order as u64;
            drawn(rows, dim, classes, seed).iter().for_each(|rows| compare(&mut *device, rows));
        }
    }
}

#[test]
fn doubles_of_any_size() {
    let Some(machine) = Machine::begin() else { return };
    let mut device = machine.device().session();
    let mut random = Random::new(1);
    for size in [1.7e308, 1e280, 1.0, 1e-280, 2.3e-308, 5e-310, 5e-324] {
        let mut value = |at: usize| match at % 4 {
            0 => size * (random.uniform() - 0.5),
            1 => size * (1.0 + 3e-11 * random.normal()).min(1.0),
            2 => -0.75 * size,
            _ => -0.0,
        };
        let values = (0..4 * 50).map(&mut value).collect();
        compare(&mut *device, &Rows::new(4, Stored::F64(values), &(0..50).map(|row| row % 3).collect::<Vec<_>>()));
    }
}
