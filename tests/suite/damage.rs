//! States as bytes that are no states: refused, never a panic, never memory for a length that lies.

use nckit::state::{Accumulate, ClassSums, Merge, Scatter, Shifts};

use crate::rows::{Random, Rows, Stored};

/// Two classes in five dimensions, one of them zero, on two grids.
fn state<S: Accumulate>() -> S {
    let mut random = Random::new(2);
    let mut rows = |scale: f64| {
        let values = (0..12 * 5).map(|at| if at % 5 == 2 { 0.0 } else { (random.normal() * scale) as f32 });
        Rows::new(5, Stored::F32(values.collect()), &[3, -4, 3, 3, -4, 3, -4, 3, 3, -4, 3, 3])
    };
    let shifts = Shifts::default();
    let mut state: S = rows(1.0).state(&shifts);
    state.merge(&rows(16.0).state(&shifts)).unwrap();
    state
}

/// What is not refused must be a state like any other: canonical, mergeable, and with numbers that make sense.
fn refused_or_sound<S: Accumulate>(bytes: &[u8], numbers: impl Fn(&S) -> Option<Vec<f64>>) -> bool {
    let Ok(decoded) = S::decode(bytes) else { return true };
    assert_eq!(decoded.encode().unwrap(), bytes);
    let mut twice = decoded.clone();
    if twice.merge(&decoded).is_ok() {
        twice.subtract(&decoded).unwrap();
        assert_eq!(twice.encode().unwrap(), bytes);
    }
    // Whether these can be is one thing; that they do not panic is another.
    drop(decoded.clone().merge(&state()));
    drop(decoded.clone().subtract(&state()));
    if let Some(variances) = numbers(&decoded) {
        assert!(variances.iter().all(|v| *v >= 0.0), "{variances:?}");
    }
    false
}

fn damage<S: Accumulate>(numbers: impl Fn(&S) -> Option<Vec<f64>> + Copy) {
    let bytes = state::<S>().encode().unwrap();
    assert!(!refused_or_sound(&bytes, numbers));
    let mut refused = 0;
    for at in 0..bytes.len() {
        for mask in [1, 2, 0x10, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= mask;
            refused += usize::from(refused_or_sound(&damaged, numbers));
        }
    }
    // The rest are other states, for the checksum of the file to tell.
    assert!(refused * 10 > bytes.len() * 5 * 4, "{refused} of {}", bytes.len() * 5);
    for length in 0..bytes.len() {
        assert!(S::decode(&bytes[..length]).is_err(), "cut at {length}");
    }
    assert!(S::decode(&[bytes.as_slice(), &[0]].concat()).is_err(), "a byte too many");

    let mut random = Random::new(9);
    for _ in 0..20_000 {
        let mut noise = bytes[..random.below(24)].to_vec();
        noise.extend((0..random.below(80)).map(|_| if random.chance(2) { random.bits() as u8 } else { 0 }));
        refused_or_sound(&noise, numbers);
        let mut damaged = bytes.clone();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            damaged[at] = random.bits() as u8;
        }
        refused_or_sound(&damaged, numbers);
    }
}

#[test]
fn of_class_sums() {
    damage(|state: &ClassSums| state.statistics().ok().map(|statistics| statistics.variances));
}

#[test]
fn of_scatter() {
    damage(|state: &Scatter| {
        let statistics = state.statistics().ok()?;
        let diagonal = (0..statistics.dim).map(|j| statistics.scatter.as_ref().unwrap()[j * statistics.dim + j]);
        Some(diagonal.chain(statistics.variances.iter().copied()).collect())
    });
}

#[test]
fn lengths_that_lie_take_no_memory() {
    let bytes = state::<Scatter>().encode().unwrap();
    // D, K, and the number of exponents of the first dimension.
    for (at, width) in [(7, 4), (11, 8), (19, 4)] {
        let mut damaged = bytes.clone();
        damaged[at..at + width].fill(0xff);
        assert!(Scatter::decode(&damaged).is_err());
    }
    assert!(ClassSums::decode(&bytes).is_err() && Scatter::decode(&state::<ClassSums>().encode().unwrap()).is_err());
}
