//! Candidates that the device leaves of rows. Choices among them are those of the CPU, and of exact arithmetic alone.

use nckit::error::{ErrorKind, Result};
use nckit::kernels::cuda::open;
use nckit::kernels::nearest::{Candidates, Choice, Contenders, Offsets};
use nckit::kernels::{Cpu, Device, Workspace};
use nckit::pipeline::Job;

use super::emulator::{Machine, device};
use crate::goldens;
use crate::plain_kernels::{plain, run};
use crate::rows::Random;

/// How centres lie, and rows among them.
#[derive(Clone, Copy, Debug)]
enum Shape {
    /// Rows near centres that are far apart.
    Separated,
    /// As far from their centre as centres from each other.
    Mixed,
    /// Half of the centres lie almost on each other.
    HalfCollapsed,
    /// Rows almost in the middle between two centres, a hair towards one of them.
    NearTies,
    /// The same, where the last centre of a tile is far larger than the others.
    Uneven,
    /// Small integers, so that many scores are equal, and many centres too.
    Ties,
    /// Rows far from all centres.
    Far,
    /// Integers that two digits hold, with nothing left to bound; only the lower digits differ.
    LowDigits,
}

const SHAPES: [Shape; 8] = [
    Shape::Separated,
    Shape::Mixed,
    Shape::HalfCollapsed,
    Shape::NearTies,
    Shape::Uneven,
    Shape::Ties,
    Shape::Far,
    Shape::LowDigits,
];

/// Centres about an origin, and rows.
struct Drawn {
    dim: usize,
    centres: Vec<f64>,
    origin: Vec<f64>,
    rows: Vec<f64>,
}

fn draw(shape: Shape, dim: usize, count: usize, rows: usize, random: &mut Random) -> Drawn {
    let mut normals = |count: usize, scale: f64| -> Vec<f64> { (0..count).map(|_| scale * random.normal()).collect() };
    let mut centres = normals(count * dim, 1.0);
    let mut noise = normals(rows * dim, 1.0);
    let hair = normals(rows, 1.0);
    let is_whole = matches!(shape, Shape::Ties | Shape::LowDigits);
    let origin = if is_whole { vec![0.0; dim] } else { normals(dim, 1.0) };
    if let Shape::HalfCollapsed = shape {
        (0..count / 2 * dim).for_each(|at| centres[at] = centres[at % dim] + 1e-6 * centres[at]);
    }
    if let Shape::Uneven = shape {
        centres.chunks_exact_mut(dim).skip(63).step_by(64).flatten().for_each(|x| *x *= 100.0);
    }
    if is_whole {
        let scale = if let Shape::Ties = shape { 1.0 } else { 30.0 };
        centres.iter_mut().chain(&mut noise).for_each(|x| *x = (scale * *x).round());
    }
    if let Shape::LowDigits = shape {
        centres.iter_mut().chain(&mut noise).step_by(dim).for_each(|x| *x = 32_512.0);
    }
    let centre = |k: usize| &centres[k % count * dim..][..dim];
    for (i, row) in noise.chunks_exact_mut(dim).enumerate() {
        let k = if let Shape::Uneven = shape { 63 } else { random.below(count) };
        let (own, other) = (centre(k), centre(k + 1 + random.below(count)));
        for (j, x) in row.iter_mut().enumerate() {
            *x = match shape {
                Shape::Separated => own[j] + 0.02 * *x,
                Shape::Mixed | Shape::Ties | Shape::LowDigits => *x,
                Shape::Far => 100.0 * *x,
                Shape::HalfCollapsed => own[j] + 1e-6 * *x,
                Shape::NearTies | Shape::Uneven => {
                    let towards = 0.5 + hair[i] * 10_f64.powi(-((i % 16) as i32));
                    own[j] + towards * (other[j] - own[j])
                }
            };
        }
        if i % 23 == 7 {
            row.fill(0.0);
        }
    }
    let rows = noise.iter().enumerate().map(|(at, x)| x + origin[at % dim]).collect();
    Drawn { dim, centres, origin, rows }
}

/// Centres, and candidates of all kinds that can be made of them.
struct Sets {
    dim: usize,
    centres: Vec<f64>,
    origin: Vec<f64>,
    rows: Vec<f64>,
    bias: Vec<f64>,
    errors: [Vec<f64>; 2],
}

impl Sets {
    fn new(drawn: &Drawn, scale: f64, random: &mut Random) -> Self {
        let scaled = |values: &[f64]| -> Vec<f64> { values.iter().map(|x| x * scale).collect() };
        let count = drawn.centres.len() / drawn.dim;
        let mut uniform = |scale: f64| -> Vec<f64> { (0..count).map(|_| scale * random.uniform()).collect() };
        Self {
            dim: drawn.dim,
            centres: scaled(&drawn.centres),
            origin: scaled(&drawn.origin),
            rows: scaled(&drawn.rows),
            bias: uniform(scale * scale.min(1.0)),
            errors: [uniform(1e-5 * scale), uniform(0.02 * scale)],
        }
    }

    fn candidates(&self) -> Vec<Candidates<'_>> {
        let nearest = || Candidates::new(self.dim, &self.centres, Some(&self.origin), &[Offsets::HalfSquares]);
        let rules = [Offsets::Given(&self.bias), Offsets::None];
        let largest = Candidates::new(self.dim, &self.centres, None, &rules);
        let blurred = self.errors.iter().map(|errors| nearest().off_by(errors.clone()));
        [nearest(), largest].into_iter().chain(blurred).collect()
    }

    /// Compares what the device chooses with what the CPU chooses for one place, and with what plain loops choose for two.
    fn compare(&self, device: &mut Workspace) {
        for candidates in self.candidates() {
            for second in [false, true] {
                let mut other = if second { plain().workspace() } else { cpu() };
                let expected = candidates.choose(&self.rows, second, &mut other).unwrap();
                let found = candidates.choose(&self.rows, second, device).unwrap();
                assert!(found == expected, "D = {}, K = {}", self.dim, candidates.len());
            }
        }
    }
}

fn cpu() -> Workspace {
    Workspace::new(Box::<Cpu>::default())
}

#[test]
fn choices_are_those_of_the_cpu_and_of_plain_loops() {
    let Some(machine) = Machine::real_or_emulated() else { return };
    let mut random = Random::new(7);
    let mut device = Workspace::new(device().session());
    let shapes =
        [(1, 1, 3), (1, 70, 64), (2, 2, 65), (3, 63, 30), (31, 64, 70), (64, 65, 10), (65, 130, 20), (200, 65, 5)];
    for (at, (dim, count, rows)) in shapes.into_iter().enumerate() {
        for (kind, shape) in SHAPES.into_iter().enumerate() {
            machine.set("order", ((at + kind) % 3) as i64);
            let drawn = draw(shape, dim, count, rows, &mut random);
            Sets::new(&drawn, 1.0, &mut random).compare(&mut device);
        }
    }
}

#[test]
fn numbers_of_any_size_are_compared() {
    let Some(machine) = Machine::real_or_emulated() else { return };
    let mut random = Random::new(8);
    let mut device = Workspace::new(device().session());
    let scales = [1e-300, 1e-98, 1e-90, 1e-40, 1e40, 1e99, 1e150, 1e300].map(|scale| (scale, 1.0));
    let far = [(1.0, 1e120), (1.0, 1e-120), (1e-90, 1e300), (1e90, 1e90), (1e150, 1e-150)];
    for (at, (scale, far)) in scales.into_iter().chain(far).enumerate() {
        machine.set("order", (at % 3) as i64);
        for shape in [Shape::Mixed, Shape::HalfCollapsed, Shape::Ties] {
            let mut drawn = draw(shape, 5, 67, 12, &mut random);
            drawn.rows.iter_mut().for_each(|x| *x *= far);
            Sets::new(&drawn, scale, &mut random).compare(&mut device);
        }
    }
}

/// Rows as near to one candidate as to all the others.
#[test]
fn long_lists_are_made_by_the_cpu() {
    let Some(_machine) = Machine::real_or_emulated() else { return };
    let mut random = Random::new(10);
    let mut device = Workspace::new(device().session());
    for count in [15, 16, 17, 63, 64, 65, 66, 130] {
        let mut centres = vec![0.0; count * count];
        (0..count).for_each(|k| centres[k * count + k] = 1.0);
        let mut rows = vec![0.0; 6 * count];
        (3..6).for_each(|i| rows[i * count + random.below(count)] = 1e-9);
        let drawn = Drawn { dim: count, centres, origin: vec![0.0; count], rows };
        Sets::new(&drawn, 1.0, &mut random).compare(&mut device);
    }
}

/// Bounds are so close that one candidate is left of most rows, or two for two places.
#[test]
fn few_candidates_are_left() {
    let Some(_machine) = Machine::real_or_emulated() else { return };
    let mut device = device().session();
    let mut random = Random::new(9);
    for (shape, most) in [(Shape::Separated, 0), (Shape::Mixed, 3)] {
        let drawn = draw(shape, 64, 300, 200, &mut random);
        let candidates = Candidates::new(64, &drawn.centres, Some(&drawn.origin), &[Offsets::HalfSquares]);
        for places in [1, 2] {
            let mut lists = Contenders::default();
            device.contenders(&candidates, &drawn.rows, places, &mut lists).unwrap();
            let more = (0..200).filter(|&row| lists.list(row).len() > places).count();
            assert!(lists.lists() == 200 && more <= most, "{shape:?}: {more} of 200 rows");
        }
    }
}

/// Rows of two sets in turn, as in a second read.
#[test]
fn two_sets_of_candidates_stay_on_the_device() {
    let Some(machine) = Machine::begin() else { return };
    let mut device = Workspace::new(device().session());
    let mut random = Random::new(11);
    let sets = Sets::new(&draw(Shape::Mixed, 9, 20, 30, &mut random), 1.0, &mut random);
    let candidates = sets.candidates();
    let mut copies = |which: usize| {
        machine.set("order", 0);
        assert_eq!(
            candidates[which].choose(&sets.rows, false, &mut device).unwrap(),
            candidates[which].choose(&sets.rows, false, &mut cpu()).unwrap()
        );
        machine.count("copies")
    };
    // The vectors, their bounds, the errors of rounding, bounds of tiles; then rows and lists.
    assert_eq!([0, 1, 0, 1, 2, 2, 1, 0].map(&mut copies), [6, 6, 2, 2, 6, 2, 2, 6]);
}

/// Both sets, three times, on a device of which the user did or did not insist.
fn choose_in_turn(sets: &Sets, device: &mut Workspace) -> Result<Vec<Vec<Vec<Choice>>>> {
    let candidates = &sets.candidates()[..2];
    (0..6).map(|at| candidates[at % 2].choose(&sets.rows, false, device)).collect()
}

#[test]
fn the_cpu_takes_what_finds_no_memory() {
    let Some(machine) = Machine::begin() else { return };
    let mut random = Random::new(12);
    let sets = Sets::new(&draw(Shape::Mixed, 9, 20, 30, &mut random), 1.0, &mut random);
    let expected = choose_in_turn(&sets, &mut cpu()).unwrap();
    let (lent, insisted) = (device(), open(None, true).unwrap().remove(0));
    for number in 1.. {
        machine.set("fail_alloc", number);
        let found = choose_in_turn(&sets, &mut Workspace::new(lent.session())).unwrap();
        assert!(found == expected, "{number}");
        if machine.count("allocations") < number {
            assert!(number > 15);
            break;
        }
        machine.set("fail_alloc", number);
        let outcome = choose_in_turn(&sets, &mut Workspace::new(insisted.session()));
        assert_eq!(outcome.map(drop).unwrap_err().kind(), ErrorKind::Resource, "{number}");
    }
    assert_eq!(machine.count("used"), 0);
}

#[test]
fn a_device_that_fails_says_so() {
    for (kind, count) in [("fail_launch", "launches"), ("fail_copy", "copies")] {
        for number in 1.. {
            let Some(machine) = Machine::begin() else { return };
            machine.set("order", number % 3);
            let mut random = Random::new(13);
            let sets = Sets::new(&draw(Shape::Mixed, 9, 20, 30, &mut random), 1.0, &mut random);
            let mut device = Workspace::new(device().session());
            machine.set(kind, number);
            let Err(error) = choose_in_turn(&sets, &mut device) else {
                assert!(machine.count(count) < number && number > 12);
                break;
            };
            assert_eq!((error.kind(), error.message()), (ErrorKind::Io, "the device failed"));
        }
    }
}

#[test]
fn reports_of_the_digits_are_those_of_the_cpu() {
    let Some(_machine) = Machine::real_or_emulated() else { return };
    let emulated = device();
    let judged = |device: Device| {
        let head = Some("classifier/epoch={epoch}/classifier.parquet");
        run(Job { device, scores: true, ..goldens::job("h3", head) })
    };
    let (report, rows) = judged(Device::new("emulated", true, move || emulated.session()));
    let (expected, expected_rows) = judged(Device::new("cpu", true, || Box::<Cpu>::default()));
    assert!(report == expected && rows == expected_rows && !rows.is_empty());
}
