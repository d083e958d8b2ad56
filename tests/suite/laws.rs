//! The laws of merging, bitwise: `encode` writes the canonical form, so equal states are equal bytes.
//!
//! Laws make the merge right; that the number is right is the oracle's to say.

use nckit::grid::ExponentRows;
use nckit::kernels::{Profile, Workspace};
use nckit::state::{Accumulate, Chunk, ClassSums, Low, Merge, RawState, Scatter, Shifts, State, Whole};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;

use crate::rows::{Random, Rows, Stored, chunks};

/// All chunks, one after the other, about one table of shifts.
fn whole<S: Accumulate>(chunks: &[Rows]) -> S {
    let (mut state, shifts, mut workspace) = (S::identity(), Shifts::default(), Workspace::default());
    for rows in chunks {
        rows.add_to(&mut state, &shifts, &mut workspace);
    }
    state
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
    any_tree(&parts, &whole::<S>(chunks).encode().unwrap(), random);
}

/// Any tree over any order: two parts at a time become one.
fn any_tree<S: Merge>(parts: &[S], bytes: &[u8], random: &mut Random) {
    for _ in 0..3 {
        let mut forest = parts.to_vec();
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
        let (mut state, mut workspace) = (S::identity(), Workspace::default());
        for rows in chunks {
            let profile = rows.profile(&mut workspace);
            let chunk = Chunk { batch: rows.batch(), profile: &profile };
            let mut order: Vec<u32> = (0..rows.len() as u32).collect();
            random.shuffle(&mut order);
            for (at, batch) in order.chunks(size).enumerate() {
                if at % 2 == 0 {
                    state.update(&chunk, Some(batch), &shifts, &mut workspace).unwrap();
                } else {
                    // As an engine hands them on: rows by themselves, and the grid of their chunk.
                    let part = rows.part(batch);
                    let profile = Profile::on(&part.batch(), profile.grid().clone(), &mut workspace).unwrap();
                    let part = Chunk { batch: part.batch(), profile: &profile };
                    state.update(&part, None, &shifts, &mut workspace).unwrap();
                }
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

/// Grids change nothing but the rounding: rows on a finer grid come, and when they go all is coarse again.
fn refine<S: Accumulate>(chunks: &[Rows]) {
    let bytes = whole::<S>(chunks).encode().unwrap();
    for (scale, extra_bits) in [(0.7, 1), (1.0, 4)] {
        let fine = chunks[0].scaled(scale);
        let fine = Rows { extra_bits: fine.extra_bits + extra_bits, ..fine };
        let fine: S = fine.state(&Shifts::default());
        let mut state = merged(&fine, &whole(chunks));
        assert_eq!(state.encode().unwrap(), merged(&whole(chunks), &fine).encode().unwrap());
        state.subtract(&fine).unwrap();
        assert_eq!(state.encode().unwrap(), bytes);
    }
}

fn decoding<S: Accumulate>(chunks: &[Rows]) {
    let empty = S::identity().encode().unwrap();
    assert_eq!(S::decode(&empty).unwrap().encode().unwrap(), empty);
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

/// A state as one of version 1 is read: nothing is known of what rounding took off.
trait Old: Accumulate {
    fn old(&self) -> Self;
}

fn without_residuals(parts: RawState) -> RawState {
    let old = |tally: ExponentRows| ExponentRows { unresolved: tally.changed, ..tally };
    let history = parts.history.into_iter().map(|tallies| tallies.into_iter().map(old).collect()).collect();
    RawState { history, low: Low::zeros(parts.shifts.len()), ..parts }
}

impl Old for ClassSums {
    fn old(&self) -> Self {
        without_residuals(self.to_raw().unwrap()).into_class_sums().unwrap()
    }
}

impl Old for Scatter {
    fn old(&self) -> Self {
        without_residuals(self.to_raw().unwrap()).into_scatter().unwrap()
    }
}

/// Parts of both versions add up and come apart as parts of one do, and each row is taken out as it came in.
fn old_and_new<S: Old>(chunks: &[Rows], random: &mut Random) {
    let shifts = Shifts::default();
    let parts: Vec<S> = chunks.iter().map(|rows| rows.state(&shifts)).collect();
    let parts: Vec<S> = parts.iter().map(|part| if random.chance(2) { part.old() } else { part.clone() }).collect();
    let all = parts.iter().fold(S::identity(), |a, b| merged(&a, b));
    let bytes = all.encode().unwrap();
    any_tree(&parts, &bytes, random);
    assert_eq!(S::decode(&bytes).unwrap().encode().unwrap(), bytes);
    let (left, right) = parts.split_at(random.below(parts.len() + 1));
    let [left, right] = [left, right].map(|parts| parts.iter().fold(S::identity(), |a, b| merged(&a, b)));
    let mut state = all.clone();
    state.subtract(&right).unwrap();
    assert_eq!(state.encode().unwrap(), left.encode().unwrap());
    for (part, rows) in parts.iter().zip(chunks) {
        let new: S = rows.state(&shifts);
        // Where rounding changed nothing both are the same.
        let other = if new.encode().unwrap() == part.encode().unwrap() { new.old() } else { new };
        let same = other.encode().unwrap() == part.encode().unwrap();
        assert_eq!(part.clone().subtract(&other).is_ok(), same);
    }
}

/// The same cases every time, so that what passes here passes everywhere.
fn config() -> ProptestConfig {
    ProptestConfig { cases: 100, failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

/// What statistics say without a part is what the rest says by itself, and depends on nothing but the rows.
fn without<S: Accumulate + Into<State>>(chunks: &[Rows], random: &mut Random) {
    let all: State = whole::<S>(chunks).into();
    let shifts = Shifts::default();
    let parts: Vec<State> = chunks.iter().map(|rows| rows.state::<S>(&shifts).into()).collect();
    let backwards = parts.iter().rev().fold(State::identity(), |a, b| merged(&a, b));
    let at = random.below(parts.len());
    let part = &parts[at];
    let about_its_own: State = chunks[at].state::<S>(&Shifts::default()).into();
    let found = Whole::of(&all).unwrap().without(part).unwrap();
    for other in [&about_its_own, &part.canonical().unwrap()] {
        assert_eq!(Whole::of(&backwards).unwrap().without(other).unwrap(), found);
    }
    let mut rest = all.clone();
    rest.subtract(part).unwrap();
    let expected = rest.statistics().unwrap();
    assert_eq!((&found.labels, &found.counts), (&expected.labels, &expected.counts));
    let squares = |k: usize| expected.variances[k] * expected.counts[k] as f64;
    let total: f64 = (0..expected.classes()).map(squares).sum();
    for k in 0..expected.classes() {
        assert!((found.variances[k] - expected.variances[k]).abs() <= 1e-12 * expected.variances[k]);
        // Another class may come first, and with it another origin.
        let size = found.mean(k).iter().fold(0.0, |size: f64, x| size.max(x.abs()));
        assert!(found.mean(k).iter().zip(expected.mean(k)).all(|(a, b)| (a - b).abs() <= 1e-14 * size));
    }
    let scatters = found.scatter.iter().flatten().zip(expected.scatter.iter().flatten());
    assert!(scatters.into_iter().all(|(a, b)| (a - b).abs() <= 1e-12 * total));
    assert_eq!(found.scatter.is_some(), expected.scatter.is_some());
    // More than there is cannot be left out.
    assert!(part.rows() == 0 || Whole::of(part).unwrap().without(&merged(part, part)).is_err());
}

/// All laws for a state.
macro_rules! laws {
    ($name:ident, $state:ty) => {
        mod $name {
            use super::*;

            proptest! {
                #![proptest_config(config())]
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
                fn old_and_new(seed: u64) { super::old_and_new::<$state>(&chunks(seed), &mut Random::new(seed)); }
                #[test]
                fn without(seed: u64) { super::without::<$state>(&chunks(seed), &mut Random::new(seed)); }
                #[test]
                fn threads(seed: u64) { super::threads::<$state>(&chunks(seed)); }
            }
        }
    };
}

laws!(class_sums, ClassSums);
laws!(scatter, Scatter);

/// A state of either kind obeys the laws of the sums that it holds, and is theirs, byte for byte.
fn states_of_one_kind<S: Accumulate + Into<State>>(scatter: bool, chunks: &[Rows], random: &mut Random) {
    let shifts = Shifts::default();
    let parts: Vec<State> = chunks.iter().map(|rows| rows.state::<S>(&shifts).into()).collect();
    let all: State = whole::<S>(chunks).into();
    let bytes = all.encode().unwrap();
    any_tree(&parts, &bytes, random);
    let mut updated = State::new(scatter);
    for rows in chunks {
        rows.add_to(&mut updated, &shifts, &mut Workspace::default());
    }
    assert_eq!(updated.encode().unwrap(), bytes);
    let decoded = State::decode(&bytes).unwrap();
    assert_eq!(decoded.encode().unwrap(), bytes);
    assert_eq!(decoded.canonical().unwrap().encode().unwrap(), bytes);
    let nothing = State::identity().encode().unwrap();
    assert_eq!(State::decode(&nothing).unwrap().encode().unwrap(), nothing);
    for empty in [State::new(false), State::new(true)] {
        assert_eq!(empty.encode().unwrap(), nothing);
        assert_eq!(merged(&all, &empty).encode().unwrap(), bytes);
        assert_eq!(merged(&empty, &all).encode().unwrap(), bytes);
        let mut state = all.clone();
        state.subtract(&empty).unwrap();
        assert_eq!(state.encode().unwrap(), bytes);
    }
    let (left, right) = parts.split_at(random.below(parts.len() + 1));
    let [left, right] = [left, right].map(|parts| parts.iter().fold(State::identity(), |a, b| merged(&a, b)));
    let mut state = all.clone();
    state.subtract(&right).unwrap();
    assert_eq!(state.encode().unwrap(), left.encode().unwrap());
    state.subtract(&left).unwrap();
    assert_eq!(state.encode().unwrap(), nothing);
    if all.rows() > 0 {
        assert!(State::new(scatter).subtract(&all).is_err());
        assert!(State::decode_as(scatter, &bytes).is_ok() && State::decode_as(!scatter, &bytes).is_err());
        assert_eq!(S::decode(&bytes).unwrap().encode().unwrap(), bytes);
    }
}

proptest! {
    #![proptest_config(config())]
    #[test]
    fn a_state_obeys_the_laws_of_what_it_holds(seed: u64) {
        let (chunks, mut random) = (chunks(seed), Random::new(seed));
        states_of_one_kind::<ClassSums>(false, &chunks, &mut random);
        states_of_one_kind::<Scatter>(true, &chunks, &mut random);
    }
}

/// Rows with and without a scatter matrix neither come together nor apart, and the error says why.
#[test]
fn states_of_two_kinds_do_not_merge() {
    let chunks = chunks(3);
    let (sums, scatter): (State, State) = (whole::<ClassSums>(&chunks).into(), whole::<Scatter>(&chunks).into());
    for (mine, theirs) in [(&sums, &scatter), (&scatter, &sums)] {
        for change in [State::merge, State::subtract] {
            let error = change(&mut mine.clone(), theirs).unwrap_err();
            assert_eq!(error.kind(), nckit::error::ErrorKind::Data);
            assert!(error.message().contains("scatter matrix"), "{error}");
        }
    }
    assert!(State::new(true).subtract(&sums).is_err() && State::new(false).subtract(&scatter).is_err());
}

/// A class of as many rows about the same shift is not taken out unless they are its rows.
#[test]
fn as_many_other_rows_are_not_those_that_are_there() {
    let (shifts, mut workspace) = (Shifts::default(), Workspace::default());
    let mut state = |last: f64| {
        let rows = Rows::new(2, Stored::F64(vec![5.0, 1.0, -5.0, -1.0, 3.0, 2.0, -3.0, last]), &[0; 4]);
        let profile = Profile::with_exponent(&rows.batch(), -20, &mut workspace).unwrap();
        let mut state = ClassSums::identity();
        state.update(&Chunk { batch: rows.batch(), profile: &profile }, None, &shifts, &mut workspace).unwrap();
        state
    };
    let (rows, others) = (state(-2.0), state(1.0));
    assert!(rows.clone().subtract(&others).is_err());
    let mut rest = merged(&rows, &others);
    rest.subtract(&others).unwrap();
    assert!(rest == rows);
    rest.subtract(&rows).unwrap();
    assert!(rest == ClassSums::identity());
}

/// Rows of the largest short integers, one more than a block holds: in one product, an odd sum would pass `2^53`.
#[test]
fn one_row_more_than_a_block_of_the_largest_integers() {
    let largest = (1_u32 << 21) - 1;
    let values = (0..2 * 2049).map(|i| if i % 4 < 2 { f64::from(largest) } else { -f64::from(largest) }).collect();
    let rows = Rows::new(2, Stored::F64(values), &vec![0; 2049]);
    let mut workspace = Workspace::default();
    let profile = Profile::with_exponent(&rows.batch(), 0, &mut workspace).unwrap();
    let chunk = Chunk { batch: rows.batch(), profile: &profile };
    let mut together = Scatter::identity();
    together.update(&chunk, None, &Shifts::default(), &mut workspace).unwrap();
    let mut apart = Scatter::identity();
    let shifts = Shifts::default();
    for row in 0..2049_u32 {
        apart.update(&chunk, Some(&[row]), &shifts, &mut workspace).unwrap();
    }
    assert_eq!(together.encode().unwrap(), apart.encode().unwrap());
    // The mean is largest / 2049, so S_W = 2049 · largest² − largest² / 2049.
    let exact = 2049.0 * f64::from(largest).powi(2) - f64::from(largest).powi(2) / 2049.0;
    let scatter = together.statistics().unwrap().scatter.unwrap();
    assert!(scatter.iter().all(|entry| (entry / exact - 1.0).abs() < 1e-15), "{scatter:?} {exact}");
}

/// More dimensions than a panel of the product has, more rows than a block, long rows among them.
#[test]
fn several_panels_and_blocks() {
    let mut random = Random::new(3);
    let dim = 270;
    let chunks: Vec<Rows> = [2050, 40]
        .map(|count| {
            let labels: Vec<i64> = (0..count).map(|_| random.below(3) as i64).collect();
            let values = (0..count * dim).map(|_| random.normal() as f32).collect();
            Rows { extra_bits: 2, ..Rows::new(dim, Stored::F32(values), &labels) }
        })
        .into();
    reshift::<Scatter>(&chunks);
    refine::<Scatter>(&chunks);
    inverse::<Scatter>(&chunks, &mut random);
}

/// A class whose mean is 8 in a dimension that another chunk has only zeros in: there is no step to hold a shift.
#[test]
fn a_shift_of_whole_steps_where_a_chunk_is_zero() {
    let rows = |values: &[f64]| Rows::new(2, Stored::F64(values.to_vec()), &vec![0; values.len() / 2]);
    let ones: Vec<f64> = (0..20).flat_map(|i| [8.0 + f64::from(i % 2 * 2 - 1), f64::from(i)]).collect();
    let zeros: Vec<f64> = (0..20).flat_map(|i| [0.0, f64::from(i)]).collect();
    let chunks = [rows(&ones), rows(&zeros), rows(&[0.25, 0.0])];
    reshift::<ClassSums>(&chunks);
    reshift::<Scatter>(&chunks);
    associativity_and_commutativity::<Scatter>(&chunks, &mut Random::new(1));
}

/// The last chunk of an archive of doubles often has a single row; tens of millions of rows must bear it.
#[test]
fn a_single_row_merges_with_many() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let dim = 64;
        let mut rows = |count: usize| {
            let values = (0..count * dim).map(|_| random.normal() * if random.chance(9) { 1e-9 } else { 1.0 });
            Rows::new(dim, Stored::F64(values.collect()), &vec![0; count])
        };
        let (many, one) = (rows(1024), rows(1));
        let shifts = Shifts::default();
        let mut state: Scatter = many.state(&shifts);
        for _ in 0..15 {
            state = merged(&state, &state);
        }
        assert_eq!(merged(&state, &one.state(&shifts)).sums().rows(), (1 << 25) + 1);
    }
}

/// A dimension whose values are tiny in one chunk and a trillion times tinier in another, where all else is zero: the sums
/// of what rounding took off pass 64 bits, and no other sum does.
#[test]
fn what_rounding_took_off_may_need_more_than_64_bits() {
    let mut random = Random::new(2);
    let mut rows = |size: f64, tiny: f64| {
        let values = (0..600).map(|at| random.normal() * if at % 2 == 0 { size } else { tiny }).collect();
        Rows::new(2, Stored::F64(values), &(0..300).map(|row| row % 3).collect::<Vec<_>>())
    };
    let (coarse, fine) = (rows(1.0, 2_f64.powi(-40)), rows(0.0, 2_f64.powi(-76)));
    let chunks = [coarse, fine, rows(1.0, 2_f64.powi(-40))];
    let is_wide = |chunks: &[Rows]| matches!(whole::<Scatter>(chunks).sums().to_raw().unwrap().low, Low::Wide(_));
    assert!(is_wide(&chunks) && !is_wide(&chunks[..1]) && !is_wide(&chunks[1..2]));
    // Three classes of two dimensions, and 8 bytes more for each of what does not fit.
    let wide_bytes = |chunks: &[Rows]| whole::<Scatter>(chunks).sums().wide_bytes();
    assert_eq!((wide_bytes(&chunks), wide_bytes(&chunks[..1])), (3 * 2 * 8, 0));
    let random = &mut Random::new(4);
    identity::<Scatter>(&chunks);
    associativity_and_commutativity::<Scatter>(&chunks, random);
    any_split_into_batches::<Scatter>(&chunks, random);
    old_and_new::<Scatter>(&chunks, random);
    reshift::<Scatter>(&chunks);
    decoding::<Scatter>(&chunks);
    // The fine rows go, and what is left fits again.
    let mut state: Scatter = whole(&chunks);
    state.subtract(&whole(&chunks[1..2])).unwrap();
    assert!(state == whole(&[chunks[0].clone(), chunks[2].clone()]));
}

/// A state merged with itself again and again says the same, until it says that no more can be counted.
#[test]
fn sums_say_so_when_they_are_full() {
    let chunk = &chunks(5)[0];
    let mut state: Scatter = chunk.state(&Shifts::default());
    let first = state.statistics().unwrap();
    let mut doublings = 0;
    let error = loop {
        let mut twice = state.clone();
        if let Err(error) = twice.merge(&state) {
            break error;
        }
        state = twice;
        doublings += 1;
        let now = state.statistics().unwrap();
        assert_eq!((&now.offsets, &now.variances), (&first.offsets, &first.variances), "{doublings} doublings");
    };
    assert_eq!(error.kind(), nckit::error::ErrorKind::Data);
    assert!(doublings > 30, "{doublings}");
}

/// Chunks that no grid can hold together are refused, whichever comes first.
#[test]
fn scales_too_far_apart_are_refused() {
    let rows = |scale: f64| {
        let values = (0..40).map(|i| scale * f64::from(i * i % 17)).collect();
        Rows::new(2, Stored::F64(values), &[0; 20])
    };
    for scale in [1e-30, 1e-100, 1e-300] {
        let shifts = Shifts::default();
        let (a, b): (Scatter, Scatter) = (rows(1.0).state(&shifts), rows(scale).state(&shifts));
        assert!(a.clone().merge(&b).is_err());
        let error = b.clone().merge(&a).unwrap_err();
        assert!(error.advice().is_some() && error.fact("steps").is_some() && error.fact("dimension").is_some());
        let (a, b): (ClassSums, ClassSums) = (rows(1.0).state(&shifts), rows(scale).state(&shifts));
        assert!(a.clone().merge(&b).is_err() && b.clone().merge(&a).is_err());
        assert_eq!(rows(scale).state::<Scatter>(&shifts).statistics().is_ok(), scale > 1e-200, "{scale}");
    }
    assert!(rows(1e200).state::<Scatter>(&Shifts::default()).statistics().is_err(), "no room for squares");
}

/// Chunks of scales so different that some shifts only just fit: they add up in every order, or in none.
#[test]
fn no_order_of_scales_is_refused_alone() {
    let (mut added, mut refused) = (0, 0);
    for seed in 0..400 {
        let mut random = Random::new(seed);
        let states: Vec<Scatter> = (0..3)
            .map(|_| {
                let scale = 10_f64.powf(random.below(830) as f64 / 100.0 - 6.0);
                let count = [4, 40, 300][random.below(3)];
                let centres: Vec<f64> = (0..6).map(|_| 3.0 * random.normal()).collect();
                let is_constant = random.chance(3);
                let codes: Vec<i64> = (0..count).map(|_| random.below(3) as i64).collect();
                let value = |(at, &code): (usize, &i64)| {
                    let noise = random.normal();
                    let constant = is_constant && at == 0;
                    if constant { scale } else { scale * (centres[2 * code as usize + at] + noise) }
                };
                let places = codes.iter().flat_map(|code| [(0, code), (1, code)]);
                let values = places.map(value).collect();
                Rows::new(2, Stored::F64(values), &codes).state(&Shifts::default())
            })
            .collect();
        let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        let add = |order: [usize; 3]| {
            let mut sum = Scatter::identity();
            order.into_iter().try_for_each(|at| sum.merge(&states[at])).ok()?;
            Some(sum.encode().unwrap())
        };
        let sums = orders.map(add);
        assert!(sums.iter().all(|sum| *sum == sums[0]), "seed {seed}: {:?}", sums.map(|sum| sum.is_some()));
        *if sums[0].is_some() { &mut added } else { &mut refused } += 1;
    }
    assert!(added > 200 && refused > 0, "{added} added, {refused} refused");
}

/// States compare by what they mean, not by their shifts.
#[test]
fn equality_is_of_canonical_forms() {
    let chunk = &chunks(7)[0];
    let shifts = Shifts::default();
    chunk.scaled(1.5).state::<Scatter>(&shifts);
    let (a, b): (Scatter, Scatter) = (chunk.state(&Shifts::default()), chunk.state(&shifts));
    assert!(a == b && a.sums() == b.sums());
    assert!(a != merged(&a, &b) && a != Scatter::identity());
}
