//! Devices that are not there, have too little memory, or fail.

use nckit::batch::ByClass;
use nckit::error::{Error, ErrorKind, Result};
use nckit::kernels::cuda::{Absent, CudaDevice, open, session_bytes, sums_bytes};
use nckit::kernels::{Cpu, DeviceSums, Kernels, SlotRows, SumsId};

use super::emulator::{Machine, device};
use super::spread::drawn;
use super::sums::{Both, Part, grid, parts};

#[test]
fn why_there_is_no_device() {
    let reason = |settings: &[(&str, i64)], which: Option<usize>| {
        let machine = Machine::begin()?;
        for (name, value) in settings {
            machine.set(name, *value);
        }
        Some(open(which, true).unwrap_err())
    };
    let Some(none) = reason(&[("devices", 0)], None) else { return };
    assert_eq!(none, Absent::NoDevice);
    assert_eq!(reason(&[("driver", 11_080)], None), Some(Absent::OldDriver { major: 11, minor: 8 }));
    assert_eq!(reason(&[("devices", 2)], Some(2)), Some(Absent::NoSuchDevice { ordinal: 2, count: 2 }));
    let name = || "emulated device 0".to_owned();
    let old = Absent::OldDevice { name: name(), capability: (7, 5) };
    assert_eq!(reason(&[("capability", 75)], None), Some(old));
    assert_eq!(reason(&[("wrong_mma", 1)], None), Some(Absent::Wrong { name: name() }));
    let failed = Absent::Failed { detail: "unspecified launch failure".to_owned() };
    assert_eq!(reason(&[("fail_launch", 2)], Some(0)), Some(failed));
    let full = Absent::NoMemory { name: name() };
    assert_eq!(reason(&[("memory", 1000)], Some(0)), Some(full));
}

#[test]
fn reasons_are_sentences() {
    let reasons = [
        (Absent::NotBuilt, "this program was built without the feature cuda"),
        (Absent::OldDriver { major: 11, minor: 4 }, "the NVIDIA driver supports CUDA 11.4, and 12.0 is needed"),
        (Absent::NoSuchDevice { ordinal: 1, count: 1 }, "there is one device, cuda:0, and no cuda:1"),
        (Absent::NoSuchDevice { ordinal: 5, count: 3 }, "there are 3 devices, cuda:0 to cuda:2, and no cuda:5"),
    ];
    for (absent, text) in reasons {
        assert_eq!(absent.to_string(), text);
    }
}

#[test]
fn one_of_several_devices() {
    let Some(machine) = Machine::begin() else { return };
    machine.set("devices", 3);
    let all = open(None, false).unwrap();
    assert_eq!(all.iter().map(CudaDevice::ordinal).collect::<Vec<_>>(), [0, 1, 2]);
    let second = open(Some(1), true).unwrap();
    assert_eq!((second.len(), second[0].ordinal(), second[0].name()), (1, 1, "emulated device 1"));
    let (free, total) = second[0].memory().unwrap();
    assert!(free <= total && total == 1 << 30);
    assert!(second[0].session().device_sums().unwrap().is_required());
    assert!(!all[0].session().device_sums().unwrap().is_required());
}

/// A run with growing sums: what allocates, copies and launches.
fn run(device: &mut dyn Kernels, parts: &mut [Part]) {
    let (exponents, coarse) = grid(parts);
    let mut both = Both::open(device, &exponents, true);
    for part in parts.iter() {
        both.add(part, &coarse);
    }
    both.compare();
}

#[test]
fn every_allocation_may_find_no_memory() {
    let Some(machine) = Machine::begin() else { return };
    machine.set("order", 2);
    let opened = device();
    let mut parts = parts(40, 5, 30, 3, 3);
    let expected = |rows: &crate::rows::Rows| {
        let batch = rows.batch();
        Cpu::default().spread(&batch, &ByClass::of(&batch, None), &mut Vec::new()).unwrap()
    };
    for failing in 1..100 {
        let mut device = opened.session();
        machine.set("fail_alloc", failing);
        // Where the CPU may take the device's place, it does.
        let batch = parts[1][0].rows.batch();
        let found = device.spread(&batch, &ByClass::of(&batch, None), &mut Vec::new()).unwrap();
        assert_eq!(found, expected(&parts[1][0].rows));
        run(&mut *device, &mut parts[1]);
        if machine.count("allocations") < failing {
            assert!(failing > 12, "{failing} allocations");
            return;
        }
    }
    panic!("a run allocates without end");
}

#[test]
fn a_device_that_was_asked_for_says_that_it_has_no_memory() {
    let Some(machine) = Machine::begin() else { return };
    let mut device = open(None, true).unwrap().remove(0).session();
    machine.set("memory", 1000);
    let [_, rows, _] = drawn(100, 9, 3, 1);
    let (batch, mut means) = (rows.batch(), Vec::new());
    let error = device.spread(&batch, &ByClass::of(&batch, None), &mut means).unwrap_err();
    assert_eq!((error.kind(), error.fact("device")), (ErrorKind::Resource, Some("emulated device 0")));
    assert_eq!(device.outline(&batch, &ByClass::of(&batch, None), &mut means).unwrap_err().kind(), ErrorKind::Resource);
    assert_eq!(device.device_sums().unwrap().open(&[0; 9], true).unwrap_err().kind(), ErrorKind::Resource);
}

/// The bytes that a plan is made with are enough.
#[test]
fn a_device_with_the_bytes_of_the_plan_has_enough() {
    let Some(machine) = Machine::begin() else { return };
    for (rows, dim, classes) in [(40, 5, 30), (300, 70, 4), (5, 200, 5), (700, 1, 1)] {
        for (parts, bytes) in parts(rows, dim, classes, 3, 3).iter_mut().zip([4, 4, 8]) {
            machine.set("memory", 1 << 30);
            let mut device = device().session();
            let slots = classes;
            let needed = session_bytes(rows, dim, bytes, true) + sums_bytes(slots, dim, true);
            // Allocations are rounded up.
            machine.set("memory", needed as i64 + 20 * 16);
            let batch = parts[0].rows.batch();
            device.spread(&batch, &ByClass::of(&batch, None), &mut Vec::new()).unwrap();
            run(&mut *device, parts);
        }
    }
}

/// What happens to sums on a device that fails at some point of a run.
fn failing(kind: &str, count: &str) {
    let [_, rows, _] = drawn(40, 5, 3, 1);
    let batch = rows.batch();
    let order = ByClass::of(&batch, None);
    for number in 1..200 {
        let Some(machine) = Machine::begin() else { return };
        machine.set("order", number % 3);
        let mut device = device().session();
        machine.set(kind, number);
        let outcome = (|| -> Result<()> {
            device.spread(&batch, &order, &mut Vec::new())?;
            device.outline(&batch, &order, &mut Vec::new())?;
            let mut parts = parts(40, 5, 3, 3, 3);
            let (exponents, _) = grid(&mut parts[1]);
            let sums = device.device_sums().unwrap();
            let id = sums.open(&exponents, true)?;
            sums.extend(id, &[0.0; 3 * 5])?;
            parts[1].iter().try_for_each(|part| add(sums, id, part, &exponents))?;
            sums.take(id).map(drop)
        })();
        let Err(error) = outcome else {
            assert!(machine.count(count) < number && number > 12, "{number} {count}");
            return;
        };
        let device_fact = error.fact("device");
        assert_eq!(
            (error.kind(), error.message(), device_fact),
            (ErrorKind::Io, "the device failed", Some("emulated device 0"))
        );
        assert_eq!(error.fact("detail"), Some("unspecified launch failure"));
        // It stays with that, and its sums are lost.
        let sums = device.device_sums().unwrap();
        assert_eq!(sums.take(SumsId(0)).map(drop).unwrap_err().kind(), ErrorKind::Io);
    }
    panic!("a run fails for ever");
}

fn add(sums: &mut dyn DeviceSums, id: SumsId, part: &Part, exponents: &[i16]) -> Result<()> {
    part.with_rows(exponents, |rows| sums.add(id, rows, &mut Vec::new()))
}

#[test]
fn every_launch_may_fail() {
    failing("fail_launch", "launches");
}

#[test]
fn every_copy_may_fail() {
    failing("fail_copy", "copies");
}

#[test]
fn a_wrong_product_is_seen() {
    let Some(machine) = Machine::begin() else { return };
    let mut device = device().session();
    // The first products of three warps that make entries of the lower triangle.
    for number in [1, 3, 8] {
        machine.set("wrong_mma", number);
        let mut parts = parts(64, 40, 3, 3, 3);
        let (exponents, coarse) = grid(&mut parts[1]);
        let mut both = Both::open(&mut *device, &exponents, true);
        for part in &parts[1] {
            both.add(part, &coarse);
        }
        let id = both.id;
        let error: Error = both.sums().take(id).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Internal, "{error}");
        assert_eq!(error.message(), "a matrix product of integers is not exact");
    }
}

/// Rows that a spread has sent are not sent again.
#[test]
fn a_chunk_is_sent_once() {
    let Some(machine) = Machine::begin() else { return };
    let mut device = device().session();
    let mut parts = parts(64, 4, 3, 3, 3);
    let (exponents, coarse) = grid(&mut parts[1]);
    let part = &parts[1][0];
    let mut both = Both::open(&mut *device, &exponents, false);
    both.add(part, &coarse);
    let mut copies = |act: &mut dyn FnMut(&mut Both<'_>)| {
        machine.set("order", 0);
        act(&mut both);
        machine.count("copies")
    };
    // The features, other arrays, and the marks of long rows. A new batch is another one, though its values are the same.
    assert_eq!(copies(&mut |both| assert_eq!(both.add(part, &coarse), 0)), 3);
    let batch = part.rows.batch();
    let order = ByClass::of(&batch, None);
    let slots = vec![0; order.counts().len()];
    let left = part.left(&exponents);
    let rows = SlotRows { batch: &batch, profile: &part.profile, order: &order, slots: &slots, left: &left };
    let add = |both: &mut Both<'_>| {
        let id = both.id;
        both.sums().add(id, &rows, &mut Vec::new()).unwrap();
    };
    assert_eq!(copies(&mut |both| drop(both.device.spread(&batch, &order, &mut Vec::new()).unwrap())), 3);
    assert_eq!(copies(&mut |both| add(both)), 2);
    assert_eq!(copies(&mut |both| add(both)), 2);
}

/// Rounding and products go on while the caller does something else.
#[test]
fn adding_waits_for_the_marks_of_long_rows_alone() {
    let Some(machine) = Machine::begin() else { return };
    machine.set("order", 1);
    let mut device = device().session();
    let mut parts = parts(64, 4, 3, 3, 3);
    let (exponents, coarse) = grid(&mut parts[1]);
    let mut both = Both::open(&mut *device, &exponents, true);
    machine.set("order", 1);
    both.add(&parts[1][0], &coarse);
    assert_eq!(machine.count("products"), 0);
    both.compare();
    assert!(machine.count("products") > 0);
}
