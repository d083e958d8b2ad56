//! The kernels a second time, as their definitions say: one value after the other, in plain loops.
//!
//! Whatever implements [`Kernels`] has to give the bits of these. They also show that a second implementation fits.

use arrow::datatypes::i256;
use half::f16;
use nckit::batch::{Batch, ByClass, Features};
use nckit::error::Result;
use nckit::grid::{DELTA_LIMIT, RESIDUAL_BITS, Spread, wide};
use nckit::kernels::gram::{GramSum, GramTarget, packed_column, packed_len};
use nckit::kernels::nearest::{Candidates, Contenders, Offsets};
use nckit::kernels::{Cpu, Device, Kernels, Profile, ShiftedRows, TooFar, Totals, Workspace};
use nckit::metrics::Extras;
use nckit::pipeline::{CheckpointedPass, Job, Plan, Rounding, Saving, Task, Watch};
use nckit::report::Report;
use nckit::state::{Accumulate, Chunk, ClassSums, Merge, Scatter, Shifts, Verdict};

use crate::goldens;
use crate::rows::{Random, Rows, Stored, chunks};

struct Plain;

/// The device of plain loops.
pub(crate) fn plain() -> Device {
    Device::new("plain loops", true, || Box::new(Plain))
}

/// All values in `f64`, row by row.
pub(crate) fn values(features: Features<'_>) -> Vec<f64> {
    match features {
        Features::F16(values) => values.iter().map(|x: &f16| x.to_f64()).collect(),
        Features::F32(values) => values.iter().map(|&x| x.into()).collect(),
        Features::F64(values) => values.to_vec(),
    }
}

/// The least `p` between −1022 and 1022 with `x ≤ 2^p`, or 1022.
fn ceil_log2(x: f64) -> i32 {
    (-1022..=1022).find(|&p| x <= 2_f64.powi(p)).unwrap_or(1022)
}

/// The first row of each class stands for its mean: near enough for a shift.
fn first_rows(x: &[f64], dim: usize, order: &ByClass) -> Vec<f64> {
    order.each().flat_map(|rows| x[rows[0] as usize * dim..][..dim].to_vec()).collect()
}

impl Kernels for Plain {
    fn spread(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Spread> {
        let (x, dim) = (values(chunk.features()), chunk.dim());
        let largest = self.outline(chunk, order, means)?;
        let is_wide = matches!(chunk.features(), Features::F64(_));
        let scale = |&x: &f64| if is_wide && x > 0.0 { ceil_log2(x) } else { 0 };
        let scale: Vec<i32> = largest.iter().map(scale).collect();
        let scaled = |row: u32, j: usize| x[row as usize * dim + j] * 2_f64.powi(-scale[j]);

        let (mut deviation, mut squares, mut hits) = (vec![0.0_f64; dim], vec![0.0; dim], vec![0.0; dim]);
        let mut about_first = vec![0.0_f64; dim];
        for j in 0..dim {
            for rows in order.each() {
                for &row in rows {
                    let delta = scaled(row, j) - scaled(rows[0], j);
                    deviation[j] = deviation[j].max(delta.abs());
                    squares[j] += delta * delta;
                    hits[j] += if delta == 0.0 { 0.0 } else { 1.0 };
                    about_first[j] = about_first[j].max((scaled(row, j) - scaled(0, j)).abs());
                }
            }
            for rows in order.each() {
                let sum: f64 = rows.iter().fold(0.0, |sum, &row| sum + (scaled(row, j) - scaled(rows[0], j)));
                squares[j] -= sum * (sum * (1.0 / rows.len() as f64));
            }
        }
        let (rows, classes) = (order.rows().len(), order.counts().len());
        let freedom = rows - classes;
        let sigma = squares.iter().map(|&square| if square > 0.0 { (square / freedom as f64).sqrt() } else { 0.0 });
        let sigma = sigma.collect();
        let about_first = (freedom < Spread::MIN_FREEDOM).then_some(about_first);
        Ok(Spread { largest, scale, deviation, sigma, hits, rows, freedom, about_first })
    }

    fn outline(&mut self, chunk: &Batch<'_>, order: &ByClass, means: &mut Vec<f64>) -> Result<Vec<f64>> {
        let (x, dim) = (values(chunk.features()), chunk.dim());
        *means = first_rows(&x, dim, order);
        Ok((0..dim).map(|j| x.iter().skip(j).step_by(dim).fold(0.0, |most: f64, x| most.max(x.abs()))).collect())
    }

    fn round(
        &mut self,
        features: Features<'_>,
        rows: &ShiftedRows<'_>,
        profile: &Profile,
        totals: &mut Totals<'_>,
        gram: Option<GramTarget<'_>>,
    ) -> Result<Option<TooFar>> {
        let (x, grid) = (values(features), profile.grid());
        let (dim, weights) = (grid.dim(), grid.weights());
        let mut products = vec![0_i128; packed_len(dim)];
        let mut too_far: Option<TooFar> = None;
        for (&row, &class) in rows.rows.iter().zip(rows.classes) {
            let (row, class) = (row as usize, (class - rows.first_class) as usize);
            let mut delta = vec![0_i128; dim];
            for j in 0..dim {
                let exponent = grid.exponents()[j].unwrap_or(0);
                let steps = x[row * dim + j] * 2_f64.powi((-exponent).into());
                let q = steps.round_ties_even();
                delta[j] = q as i128 - i128::from(rows.shifts[class * dim + j]);
                totals.changed[j] += u64::from(q != steps);
                totals.low[class * dim + j] +=
                    ((steps - q) * 2_f64.powi(RESIDUAL_BITS as i32)).round_ties_even() as i64;
            }
            if let Some(dimension) = delta.iter().position(|delta| delta.abs() >= DELTA_LIMIT.into()) {
                too_far = too_far.into_iter().chain([TooFar { row, dimension }]).min_by_key(|far| far.row);
                continue;
            }
            for j in 0..dim {
                totals.sums[class * dim + j] += delta[j] as i64;
                let square: i256 = wide(delta[j] * delta[j], 2 * weights[j]).unwrap();
                totals.squares[class] = totals.squares[class].checked_add(square).unwrap();
                for i in j..dim {
                    products[packed_column(dim, j) + i - j] += delta[i] * delta[j];
                }
            }
        }
        if let Some(GramTarget { sum, left }) = gram {
            sum.add(&GramSum::of(dim, products), left, false);
        }
        Ok(too_far)
    }

    /// Every candidate is one: decisions are made by exact arithmetic alone.
    fn contenders(
        &mut self,
        candidates: &Candidates<'_>,
        rows: &[f64],
        _places: usize,
        lists: &mut Contenders,
    ) -> Result<()> {
        for _ in 0..rows.len() / candidates.dim() * candidates.rules() {
            lists.push(0..candidates.len() as u32);
        }
        Ok(())
    }
}

/// The spread of a chunk, to the last bit, is that of plain loops.
fn compare_spreads(rows: &Rows) {
    let (rows, mut means) = (rows.batch(), Vec::new());
    let order = ByClass::of(&rows, None);
    let found = Cpu::default().spread(&rows, &order, &mut means).unwrap();
    assert_eq!(found, Plain.spread(&rows, &order, &mut means).unwrap());
}

/// The bytes of the state of all chunks, added by one worker in batches of so many rows.
fn state<S: Accumulate>(chunks: &[Rows], workspace: &mut Workspace, size: usize) -> Vec<u8> {
    let (mut state, shifts) = (S::identity(), Shifts::default());
    for rows in chunks {
        let profile = rows.profile(workspace);
        let chunk = Chunk { batch: rows.batch(), profile: &profile };
        let every: Vec<u32> = (0..rows.len() as u32).collect();
        for batch in every.chunks(size) {
            state.update(&chunk, Some(batch), &shifts, workspace).unwrap();
        }
        workspace.recycle(profile);
    }
    state.encode().unwrap()
}

/// Workspaces are used for all sets, one after the other: nothing of one set may be left in the next.
#[test]
fn states_of_drawn_chunks_are_those_of_plain_loops() {
    let (mut cpu, mut loops) = (Device::detect().workspace(), plain().workspace());
    for seed in 0..150 {
        let chunks = chunks(seed);
        for rows in &chunks {
            compare_spreads(rows);
            let (mine, theirs) = (rows.profile(&mut cpu), rows.profile(&mut loops));
            assert_eq!((mine.grid(), mine.largest()), (theirs.grid(), theirs.largest()), "{seed}");
            let (rows, grid) = (rows.batch(), mine.grid().clone());
            let theirs = Profile::on(&rows, grid.clone(), &mut loops).unwrap();
            assert_eq!(Profile::on(&rows, grid, &mut cpu).unwrap().largest(), theirs.largest(), "{seed}");
        }
        for size in [100, usize::MAX] {
            assert_eq!(
                state::<ClassSums>(&chunks, &mut cpu, size),
                state::<ClassSums>(&chunks, &mut loops, size),
                "{seed}"
            );
            assert_eq!(
                state::<Scatter>(&chunks, &mut cpu, size),
                state::<Scatter>(&chunks, &mut loops, size),
                "{seed}"
            );
        }
    }
}

/// Values of any size, where scales, wide rounding and constant dimensions count.
#[test]
fn doubles_of_any_size_are_rounded_as_in_plain_loops() {
    let (mut cpu, mut loops) = (Device::detect().workspace(), plain().workspace());
    let mut random = Random::new(1);
    let shapes = [(40, 1e280), (40, 1e-280), (40, 5e-310), (5, 1e300), (1, 1e-3), (200, 1.0), (2050, 1e9)];
    for ((count, size), noise) in shapes.into_iter().flat_map(|shape| [1.0, 3e-11, 1e-12].map(|noise| (shape, noise))) {
        let mut value = |at: usize| match at % 4 {
            0 => size * (0.5 + 4.0 * noise * random.normal()),
            1 => size * (1.0 + noise * random.normal()),
            2 => 0.75 * size,
            _ => 0.0,
        };
        let values = (0..4 * count).map(&mut value).collect();
        let chunk = [Rows::new(4, Stored::F64(values), &(0..count as i64).map(|row| row % 3).collect::<Vec<_>>())];
        compare_spreads(&chunk[0]);
        assert_eq!(
            state::<ClassSums>(&chunk, &mut cpu, usize::MAX),
            state::<ClassSums>(&chunk, &mut loops, usize::MAX),
            "{count} of {size}"
        );
    }
}

/// The row that lies too far is the same: it goes into an error.
#[test]
fn the_same_row_is_too_far() {
    let values = (0..600).map(|at| if at % 97 == 5 { 3e13 } else { f64::from(at % 7) }).collect();
    let rows = Rows::new(2, Stored::F64(values), &(0..300).map(|row| row % 2).collect::<Vec<_>>());
    let error = |device: Device| {
        let mut workspace = device.workspace();
        let profile = Profile::with_exponent(&rows.batch(), 0, &mut workspace).unwrap();
        let chunk = Chunk { batch: rows.batch(), profile: &profile };
        let shifts = Shifts::default();
        let some: Vec<u32> = (0..300).rev().collect();
        Scatter::identity().update(&chunk, Some(&some), &shifts, &mut workspace).unwrap_err().to_string()
    };
    assert_eq!(error(Device::detect()), error(plain()));
}

/// Candidates so near to each other that bounds on scores leave several, and more rows than are taken at a time.
#[test]
fn choices_are_those_among_all_candidates() {
    let (mut cpu, mut loops) = (Device::detect().workspace(), plain().workspace());
    let mut random = Random::new(2);
    for case in 0..90 {
        let (dim, count) = (1 + random.below(9), [1, 5, 70][case % 3]);
        let step = 2_f64.powi(-(random.below(54) as i32));
        let centre: Vec<f64> = (0..dim).map(|_| random.normal()).collect();
        let mut near = |count: usize, in_steps: fn(f64) -> f64| -> Vec<f64> {
            (0..count * dim).map(|at| centre[at % dim] + step * in_steps(3.0 * random.normal())).collect()
        };
        let (vectors, rows) = (near(count, f64::round), near(if count > 5 { 30 } else { 300 }, |x| x));
        let bias: Vec<f64> = vectors.iter().step_by(dim).map(|x| -x).collect();
        let offsets: Vec<f64> = vectors.iter().enumerate().map(|(at, x)| x - centre[at % dim]).collect();
        let exact = Candidates::new(dim, &offsets, Some(&centre), &[Offsets::HalfSquares]);
        let noisy = Candidates::new(dim, &offsets, Some(&centre), &[Offsets::HalfSquares]);
        let noisy = noisy.off_by(vec![step / 1000.0; count]);
        let logits = Candidates::new(dim, &vectors, None, &[Offsets::Given(&bias), Offsets::None]);
        for (candidates, second) in [&exact, &noisy, &logits].into_iter().flat_map(|one| [(one, false), (one, true)]) {
            let found = candidates.choose(&rows, second, &mut cpu).unwrap();
            assert_eq!(found, candidates.choose(&rows, second, &mut loops).unwrap(), "{case}");
        }
    }
}

/// Centres that count as one with their neighbours, in chains far longer than their errors reach: which of them bounds on
/// scores leave must not matter.
#[test]
fn chains_of_centres_are_chosen_as_among_all_candidates() {
    let (mut cpu, mut loops) = (Device::detect().workspace(), plain().workspace());
    let mut random = Random::new(3);
    for case in 0..120 {
        let dim = 1 + random.below(5);
        let (scale, far) =
            [(1.0, 1.0), (1e-3, 1.0), (1e160, 1.0), (1e-170, 1.0), (1.0, 1e160), (1e-150, 1e40)][case % 6];
        let error = 0.02 * scale;
        let mut vectors = Vec::new();
        for _ in 0..=random.below(4) {
            let begin: Vec<f64> = (0..dim).map(|_| scale * random.normal()).collect();
            let along: Vec<f64> = (0..dim).map(|_| random.normal()).collect();
            let length = along.iter().map(|x| x * x).sum::<f64>().sqrt();
            // Steps of a few errors: some chains are whole, some are broken.
            let step = error * (1.0 + 8.0 * random.uniform()) / length;
            for link in 0..=random.below(30) {
                vectors.extend((0..dim).map(|j| begin[j] + f64::from(link as u32) * step * along[j]));
            }
        }
        let count = vectors.len() / dim;
        let mut order: Vec<usize> = (0..count).collect();
        random.shuffle(&mut order);
        let vectors: Vec<f64> = order.iter().flat_map(|&k| vectors[k * dim..][..dim].to_vec()).collect();
        let rows: Vec<f64> = (0..50 * dim).map(|_| 1.5 * scale * far * random.normal()).collect();
        let origin = vec![0.0; dim];
        let candidates = Candidates::new(dim, &vectors, Some(&origin), &[Offsets::HalfSquares]);
        let candidates = candidates.off_by((0..count).map(|_| error * random.uniform()).collect());
        for second in [false, true] {
            let found = candidates.choose(&rows, second, &mut cpu).unwrap();
            assert_eq!(found, candidates.choose(&rows, second, &mut loops).unwrap(), "{case}");
        }
    }
}

/// Rows of a file and what was decided of them.
pub(crate) type Judged = (Vec<u64>, Vec<Verdict>);

/// A report, and every row of its decisions and out-of-distribution rows.
pub(crate) fn run(job: Job) -> (Report, Vec<Judged>) {
    let mut judged = Vec::new();
    let report = Plan::new(job)
        .unwrap()
        .run_scored(&Watch::default(), &mut |scored| {
            judged.push((scored.file_rows.to_vec(), scored.verdicts.to_vec()));
            Ok(())
        })
        .unwrap();
    (report, judged)
}

#[test]
fn reports_of_the_digits_are_those_of_plain_loops() {
    for scores in [false, true] {
        let job = |device: Device| Job {
            device,
            scores,
            extras: Extras { per_class: true, worst_pairs: 3, ..Extras::default() },
            ..goldens::job("h3", Some("classifier/epoch={epoch}/classifier.parquet"))
        };
        let (report, judged) = run(job(Device::detect()));
        let (plain_report, plain_judged) = run(job(plain()));
        assert!(report == plain_report && judged == plain_judged);
        assert_eq!(judged.is_empty(), !scores);
    }
}

/// The state file of the digits.
pub(crate) fn state_file(device: Device, scatter: bool, exponent: Option<i16>) -> Result<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("digits.ncst");
    let job = goldens::job("h3", None);
    let task = Task {
        inputs: job.inputs,
        request: job.request,
        rounding: Rounding { exponent, extra_bits: 0 },
        scatter,
        error_bars: None,
        shard: None,
        device,
        threads: 2,
        memory: 1 << 30,
    };
    CheckpointedPass::begin(&task, None)?.run(&Watch::default(), &Saving::new(&path))?;
    Ok(std::fs::read(path).unwrap())
}

#[test]
fn states_of_the_digits_are_those_of_plain_loops() {
    for (scatter, exponent) in [(true, None), (false, None), (true, Some(-20))] {
        let found = state_file(Device::detect(), scatter, exponent).unwrap();
        assert!(found == state_file(plain(), scatter, exponent).unwrap());
    }
}
