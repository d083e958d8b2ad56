//! Class means against two passes in twice the precision of `f64`.

use nckit::kernels::Workspace;
use nckit::state::{ClassSums, Merge, Shifts, Statistics};

use crate::definition::Truth;
use crate::rows::{Random, Rows, Stored, chunks};

fn statistics(chunks: &[Rows]) -> Statistics {
    let (mut state, shifts, mut workspace) = (ClassSums::identity(), Shifts::default(), Workspace::default());
    for rows in chunks {
        rows.add_to(&mut state, &shifts, &mut workspace);
    }
    state.statistics().unwrap()
}

/// By how much each mean is off, `K × D`, beside how far it lies from the origin.
fn errors(found: &Statistics, truth: &Truth) -> Vec<(f64, f64)> {
    let error = |(at, &mean): (usize, &crate::exact::Double)| {
        let from_origin = (mean - found.origin[at % found.dim].into()).value();
        let error = (mean - found.origin[at % found.dim].into() - found.offsets[at].into()).value();
        (error.abs(), from_origin.abs())
    };
    truth.means.iter().enumerate().map(error).collect()
}

/// What `f64` itself loses of a number.
const EPSILON: f64 = f64::EPSILON;

#[test]
fn means_are_exact_to_a_trillionth_of_the_spread() {
    for (seed, offset) in [0.0, 1.0, 1000.0].into_iter().enumerate() {
        for stored in 0..2 {
            let mut random = Random::new(seed as u64);
            let dim = 6;
            let mut rows = |count: usize, scale: f64| {
                let labels: Vec<i64> = (0..count).map(|_| random.below(5) as i64).collect();
                let row = |&label: &i64| [offset + 1e-3 * label as f64; 6];
                let values: Vec<f64> =
                    labels.iter().flat_map(row).map(|mean| mean + 1e-3 * scale * random.normal()).collect();
                let values = match stored {
                    0 => Stored::F64(values),
                    _ => Stored::F32(values.iter().map(|&x| x as f32).collect()),
                };
                Rows::new(dim, values, &labels)
            };
            // Chunks of other scales lie on grids of their own.
            let chunks = [rows(3000, 1.0), rows(700, 0.01), rows(500, 8.0)];
            let (truth, found) = (Truth::of(&chunks), statistics(&chunks));
            let spread = truth.deviations.iter().fold(0.0_f64, |spread, x| spread.max(x.abs()));
            for (error, from_origin) in errors(&found, &truth) {
                let allowed = 2_f64.powi(-38) * spread + EPSILON * from_origin;
                assert!(error <= allowed, "offset {offset}: {error} of {allowed}");
                assert!(from_origin < 20.0 * spread, "an offset common to all means costs no digits");
            }
        }
    }
}

/// Rows that hurt, on any grid: no mean is further off than what is said of it.
#[test]
fn means_are_as_good_as_is_said() {
    let mut worst = 0.0_f64;
    for seed in 0..300 {
        let chunks = chunks(seed);
        let (truth, found) = (Truth::of(&chunks), statistics(&chunks));
        for (at, (error, from_origin)) in errors(&found, &truth).into_iter().enumerate() {
            let (k, j) = (at / found.dim, at % found.dim);
            let said = (found.mean_rounding[j] / found.counts[k] as f64).sqrt();
            let allowed = 6.0 * said + EPSILON * from_origin;
            assert!(error <= allowed, "seed {seed}, class {k}, dimension {j}: {error} of {allowed}");
            worst = worst.max(if said > 0.0 { error / said } else { 0.0 });
            // Far below what rounding does to rows.
            assert!(found.mean_rounding[j] <= found.rounding_changed[j] * 1e-3, "seed {seed}");
        }
    }
    println!("at worst {worst} times what is said");
    assert!(worst > 0.5, "what is said is not far too much either");
}
