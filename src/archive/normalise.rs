//! Rows at length 1, for `--normalize`.

use super::row_policy::RowDefect;
use super::rows::Values;
use super::vectors::Vectors;
use crate::batch::Features;
use crate::grid::Value;

/// Sums that are taken side by side: their number decides the last bits, so it is the same everywhere.
const LANES: usize = 8;

/// Squares of numbers up to this, and down to its inverse, stay in range.
const SAFE: f64 = 1e140;

/// The vectors divided by their lengths, in `f64` whatever their type; a row of zeros has no direction, which is a defect.
pub(super) fn normalised(vectors: Vectors, dim: usize) -> Vectors {
    let (values, zeros) = at_unit_length(vectors.values.features(), dim);
    let mut defects = vectors.defects;
    let known: std::collections::BTreeSet<u32> = defects.iter().map(|(row, _)| *row).collect();
    defects.extend(zeros.into_iter().filter(|row| !known.contains(row)).map(|row| (row, RowDefect::Zero)));
    defects.sort_by_key(|(row, _)| *row);
    Vectors { values: Values::F64(values), defects }
}

/// Each row of `dim` numbers divided by its length, and the rows of zeros, which are left as they are.
pub(crate) fn at_unit_length(features: Features<'_>, dim: usize) -> (Vec<f64>, Vec<u32>) {
    match features {
        Features::F16(values) => all_unit(values, dim),
        Features::F32(values) => all_unit(values, dim),
        Features::F64(values) => all_unit(values, dim),
    }
}

/// The first row of zeros.
pub(crate) fn first_of_zeros(features: Features<'_>, dim: usize) -> Option<usize> {
    fn first<T: Value>(values: &[T], dim: usize) -> Option<usize> {
        values.chunks_exact(dim.max(1)).position(|row| row.iter().all(|x| x.widen() == 0.0))
    }
    match features {
        Features::F16(values) => first(values, dim),
        Features::F32(values) => first(values, dim),
        Features::F64(values) => first(values, dim),
    }
}

fn all_unit<T: Value>(values: &[T], dim: usize) -> (Vec<f64>, Vec<u32>) {
    let mut unit: Vec<f64> = values.iter().map(|x| x.widen()).collect();
    let mut zeros = Vec::new();
    for (row, x) in unit.chunks_exact_mut(dim.max(1)).enumerate() {
        if !to_unit_length(x) {
            zeros.push(row as u32);
        }
    }
    (unit, zeros)
}

/// Divides a row by its length: each number is rounded once more than its length is, and the same on every machine.
/// `false` for a row of zeros, which has none.
pub(crate) fn to_unit_length(row: &mut [f64]) -> bool {
    let largest = row.iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
    if largest == 0.0 {
        return false;
    }
    if !(1.0 / SAFE..=SAFE).contains(&largest) {
        for x in row.iter_mut() {
            *x /= largest;
        }
    }
    let mut sums = [0.0; LANES];
    for part in row.chunks(LANES) {
        sums.iter_mut().zip(part).for_each(|(sum, x)| *sum += x * x);
    }
    let length = sums.iter().sum::<f64>().sqrt();
    for x in row.iter_mut() {
        *x /= length;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(row: &[f64]) -> Option<Vec<f64>> {
        let mut row = row.to_vec();
        to_unit_length(&mut row).then_some(row)
    }

    #[test]
    fn rows_have_length_one_whatever_their_scale() {
        for scale in [1.0, 1e-300, 1e300, f64::from_bits(1)] {
            let row = unit(&[3.0 * scale, 0.0, -4.0 * scale]).unwrap();
            let expected = [0.6, 0.0, -0.8];
            row.iter().zip(expected).for_each(|(x, e)| assert!((x - e).abs() < 1e-15, "{scale}: {row:?}"));
        }
        assert_eq!(unit(&[0.0, -0.0]), None);
        assert_eq!(unit(&[]), None);
        let long: Vec<f64> = (1..=1000).map(f64::from).collect();
        let squares: f64 = unit(&long).unwrap().iter().map(|x| x * x).sum();
        assert!((squares - 1.0).abs() < 1e-14);
    }

    #[test]
    fn rows_of_zeros_are_defects_unless_they_have_another() {
        let values = Values::F32(vec![3.0, 4.0, 0.0, 0.0, 0.0, 0.0, f32::NAN, 1.0]);
        let not_finite = RowDefect::NonFinite { dimension: 0, value: f64::INFINITY };
        let vectors = Vectors { values, defects: vec![(1, RowDefect::Null), (3, not_finite)] };
        let made = normalised(vectors, 2);
        assert_eq!(made.defects, [(1, RowDefect::Null), (2, RowDefect::Zero), (3, not_finite)]);
        let Values::F64(values) = made.values else { panic!("rows at length 1 are f64") };
        assert_eq!(values[..2], [3.0 / 5.0, 4.0 / 5.0]);
    }
}
