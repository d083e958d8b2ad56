//! The laws of merging, bitwise: `encode` writes the canonical form, so equal states are equal bytes.
//!
//! Laws make the merge right; that the number is right is the oracle's to say.

use nckit::grid::Profile;
use nckit::state::{Accumulate, Chunk, ClassSums, Merge, Scatter, Shifts};
use proptest::prelude::*;

use crate::rows::{Random, Rows, Stored, chunks};

/// All chunks, one after the other, about one table of shifts.
fn whole<S: Accumulate>(chunks: &[Rows]) -> S {
    let shifts = Shifts::default();
    chunks.iter().fold(S::identity(), |mut state, rows| {
        let profile = rows.profile();
        state.update(&Chunk { batch: rows.batch(), profile: &profile }, None, &shifts).unwrap();
        state
    })
}

fn merged<S: Merge>(a: &S, b: &S) -> S {
    let mut state = a.clone();
    state.merge(b).unwrap();
    state
}

fn identity<S: Accumulate>(chunks: &[Rows]) {
    let state: S = whole(chunks);
    let bytes = state.encode().unwrap();
    assert_eq!(merged(&state, &S::identity()).encode().unwrap(), bytes);
    assert_eq!(merged(&S::identity(), &state).encode().unwrap(), bytes);
    assert_eq!(S::identity().encode().unwrap(), S::identity().canonical().unwrap().encode().unwrap());
}

fn associativity_and_commutativity<S: Accumulate>(chunks: &[Rows], random: &mut Random) {
    let shifts = Shifts::default();
    let parts: Vec<S> = chunks.iter().map(|rows| rows.state(&shifts)).collect();
    let bytes = whole::<S>(chunks).encode().unwrap();
    // Any tree over any order: two parts at a time become one.
    for _ in 0..3 {
        let mut forest = parts.clone();
        random.shuffle(&mut forest);
        while forest.len() > 1 {
            let a = forest.swap_remove(random.below(forest.len()));
            let at = random.below(forest.len());
            forest[at] = merged(&a, &forest[at]);
        }
        assert_eq!(forest[0].encode().unwrap(), bytes);
    }
}

fn any_split_into_batches<S: Accumulate>(chunks: &[Rows], random: &mut Random) {
    let bytes = whole::<S>(chunks).encode().unwrap();
    for size in [1, 7, 2048, 2049] {
        let shifts = Shifts::default();
        let mut state = S::identity();
        for rows in chunks {
            let profile = rows.profile();
            let chunk = Chunk { batch: rows.batch(), profile: &profile };
            let mut order: Vec<u32> = (0..rows.len() as u32).collect();
            random.shuffle(&mut order);
            for batch in order.chunks(size) {
                state.update(&chunk, Some(batch), &shifts).unwrap();
            }
        }
        assert_eq!(state.encode().unwrap(), bytes, "batches of {size}");
    }
}

fn inverse<S: Accumulate>(chunks: &[Rows], random: &mut Random) {
    let (left, right) = chunks.split_at(random.below(chunks.len() + 1));
    let (a, b): (S, S) = (whole(left), whole(right));
    let mut state = merged(&a, &b);
    state.subtract(&b).unwrap();
    assert_eq!(state.encode().unwrap(), a.encode().unwrap());
    state.subtract(&a).unwrap();
    assert_eq!(state.encode().unwrap(), S::identity().encode().unwrap());
    if b.encode().unwrap() != S::identity().encode().unwrap() {
        assert!(a.clone().subtract(&merged(&a, &b)).is_err(), "more cannot be taken out than is there");
    }
}

/// Shifts change nothing: each chunk about a table of its own, or about one that other rows had filled.
fn reshift<S: Accumulate>(chunks: &[Rows]) {
    let bytes = whole::<S>(chunks).encode().unwrap();
    let apart = chunks.iter().map(|rows| rows.state::<S>(&Shifts::default()));
    assert_eq!(apart.fold(S::identity(), |a, b| merged(&a, &b)).encode().unwrap(), bytes);
    let shifts = Shifts::default();
    let backwards = chunks.iter().rev().map(|rows| rows.state::<S>(&shifts));
    assert_eq!(backwards.fold(S::identity(), |a, b| merged(&a, &b)).encode().unwrap(), bytes);
}

/// Grids change nothing but the rounding: rows on a far finer grid come, and when they go all is coarse again.
fn refine<S: Accumulate>(chunks: &[Rows]) {
    let bytes = whole::<S>(chunks).encode().unwrap();
    for scale in [0.3, 1e-2] {
        let fine: S = chunks[0].scaled(scale).state(&Shifts::default());
        let mut state = merged(&fine, &whole(chunks));
        assert_eq!(state.encode().unwrap(), merged(&whole(chunks), &fine).encode().unwrap());
        state.subtract(&fine).unwrap();
        assert_eq!(state.encode().unwrap(), bytes);
    }
}

fn decoding<S: Accumulate>(chunks: &[Rows]) {
    let state: S = whole(chunks);
    let bytes = state.encode().unwrap();
    let decoded = S::decode(&bytes).unwrap();
    assert_eq!(decoded.encode().unwrap(), bytes);
    assert_eq!(merged(&decoded, &state).encode().unwrap(), merged(&state, &state).encode().unwrap());
}

fn threads<S: Accumulate + Send>(chunks: &[Rows]) {
    let bytes = whole::<S>(chunks).encode().unwrap();
    let shifts = Shifts::default();
    let parts: Vec<S> = std::thread::scope(|scope| {
        let workers: Vec<_> = chunks.iter().map(|rows| scope.spawn(|| rows.state::<S>(&shifts))).collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).collect()
    });
    assert_eq!(parts.iter().fold(S::identity(), |a, b| merged(&a, b)).encode().unwrap(), bytes);
}

/// All laws for a state.
macro_rules! laws {
    ($name:ident, $state:ty) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]
                #[test]
                fn identity(seed: u64) { super::identity::<$state>(&chunks(seed)); }
                #[test]
                fn associativity_and_commutativity(seed: u64) {
                    super::associativity_and_commutativity::<$state>(&chunks(seed), &mut Random::new(seed));
                }
                #[test]
                fn any_split_into_batches(seed: u64) {
                    super::any_split_into_batches::<$state>(&chunks(seed), &mut Random::new(seed));
                }
                #[test]
                fn inverse(seed: u64) { super::inverse::<$state>(&chunks(seed), &mut Random::new(seed)); }
                #[test]
                fn reshift(seed: u64) { super::reshift::<$state>(&chunks(seed)); }
                #[test]
                fn refine(seed: u64) { super::refine::<$state>(&chunks(seed)); }
                #[test]
                fn decoding(seed: u64) { super::decoding::<$state>(&chunks(seed)); }
                #[test]
                fn threads(seed: u64) { super::threads::<$state>(&chunks(seed)); }
            }
        }
    };
}

laws!(class_sums, ClassSums);
laws!(scatter, Scatter);

/// Rows of the largest short integers, one more than a block holds: in one product, an odd sum would pass `2^53`.
#[test]
fn one_row_more_than_a_block_of_the_largest_integers() {
    let largest = (1_u32 << 21) - 1;
    let values = (0..2 * 2049).map(|i| if i % 4 < 2 { f64::from(largest) } else { -f64::from(largest) }).collect();
    let rows = Rows::new(2, Stored::F64(values), &[0; 2049]);
    let profile = Profile::with_exponent(&rows.batch(), 0).unwrap();
    let chunk = Chunk { batch: rows.batch(), profile: &profile };
    let mut together = Scatter::identity();
    together.update(&chunk, None, &Shifts::default()).unwrap();
    let mut apart = Scatter::identity();
    let shifts = Shifts::default();
    for row in 0..2049_u32 {
        apart.update(&chunk, Some(&[row]), &shifts).unwrap();
    }
    assert_eq!(together.encode().unwrap(), apart.encode().unwrap());
    // The mean is largest / 2049, so S_W = 2049 · largest² − largest² / 2049.
    let exact = 2049.0 * f64::from(largest).powi(2) - f64::from(largest).powi(2) / 2049.0;
    let scatter = together.statistics().unwrap().scatter.unwrap();
    assert!(scatter.iter().all(|entry| (entry / exact - 1.0).abs() < 1e-15), "{scatter:?} {exact}");
}
