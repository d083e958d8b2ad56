//! Candidates that count as one.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use super::{BLUR, relative_error};
use crate::kernels::dot::{dot, norm, squared_distance};
use crate::kernels::pairs::UNRESOLVED;

/// For each candidate the first one with the same bits.
pub(super) fn alike(dim: usize, vectors: &[f64], offsets: &[f64]) -> Vec<u32> {
    let hasher = RandomState::new();
    let vector = |k: usize| &vectors[k * dim..][..dim];
    let mut firsts: HashMap<u64, Vec<u32>> = HashMap::new();
    let first_alike = |(k, offset): (usize, &f64)| {
        let bits = || vector(k).iter().map(|x| x.to_bits());
        let hash = bits().fold(hasher.hash_one(offset.to_bits()), |hash, bits| {
            (hash.rotate_left(5) ^ bits).wrapping_mul(0x9e37_79b9_7f4a_7c15)
        });
        let same = |&other: &u32| {
            let other = other as usize;
            offsets[other].to_bits() == offset.to_bits() && vector(other).iter().map(|x| x.to_bits()).eq(bits())
        };
        let known = firsts.entry(hash).or_default();
        known.iter().copied().find(same).unwrap_or_else(|| {
            known.push(k as u32);
            k as u32
        })
    };
    offsets.iter().enumerate().map(first_alike).collect()
}

/// Joins candidates that lie within their errors of each other: the first of them represents all.
pub(super) fn join(dim: usize, vectors: &[f64], errors: &[f64], alike: &mut [u32]) {
    let vector = |k: usize| &vectors[k * dim..][..dim];
    // Vectors that are near to each other have near projections on any line.
    let line: Vec<f64> = (1..=dim).map(|j| (j as f64 * 0.618_033_988_749_895).fract() - 0.5).collect();
    let length = norm(&line);
    let mut places: Vec<(f64, usize)> =
        (0..alike.len()).filter(|&k| alike[k] as usize == k).map(|k| (dot(vector(k), &line) / length, k)).collect();
    places.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let largest = errors.iter().copied().fold(0.0, f64::max);
    for (at, &(place, k)) in places.iter().enumerate() {
        let slack = 2.0 * relative_error(dim) * norm(vector(k));
        for &(_, other) in places[at + 1..].iter().take_while(|next| next.0 - place <= 2.0 * BLUR * largest + slack) {
            let both = errors[k] * errors[k] + errors[other] * errors[other];
            if squared_distance(vector(k), vector(other)) <= UNRESOLVED * both {
                let (first, second) = (root(alike, k), root(alike, other));
                alike[first.max(second)] = first.min(second) as u32;
            }
        }
    }
    (0..alike.len()).for_each(|k| alike[k] = root(alike, k) as u32);
}

/// For each candidate that represents others the first of these.
pub(super) fn seconds(alike: &[u32]) -> HashMap<u32, u32> {
    let mut seconds = HashMap::new();
    for (k, &first) in (0..).zip(alike).filter(|&(k, &first)| k != first) {
        seconds.entry(first).or_insert(k);
    }
    seconds
}

/// The candidate that represents `k`.
fn root(alike: &[u32], mut k: usize) -> usize {
    while alike[k] as usize != k {
        k = alike[k] as usize;
    }
    k
}
