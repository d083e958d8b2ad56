use super::*;

/// Rounds rows of one class about `shift` and returns the totals with the rounded rows.
fn round(exponents: Vec<Option<i16>>, values: &[f64], shift: &[i64]) -> (Vec<i64>, i256, Vec<u64>, Rounded) {
    let (sums, _, squares, changed, out) = round_with_low(exponents, values, shift);
    (sums, squares, changed, out)
}

/// The same with what rounding took off.
fn round_with_low(
    exponents: Vec<Option<i16>>,
    values: &[f64],
    shift: &[i64],
) -> (Vec<i64>, Vec<i64>, i256, Vec<u64>, Rounded) {
    let dim = shift.len();
    let grid = Grid::new(exponents);
    let largest = values.iter().fold(0.0_f64, |a, x| a.max(x.abs()));
    let quantiser = Quantiser::new(grid, &vec![largest; dim]);
    let count = values.len() / dim;
    let rows: Vec<u32> = (0..count as u32).collect();
    let (mut sums, mut low, mut squares, mut changed) = (vec![0; dim], vec![0; dim], [i256::ZERO], vec![0; dim]);
    let mut out = Rounded::default();
    let mut totals = Totals {
        sums: &mut sums,
        low: &mut low,
        squares: &mut squares,
        changed: &mut changed,
        left: &vec![0; dim],
        squares_left: 0,
    };
    let rows = ShiftedRows { rows: &rows, classes: &vec![0; count], first_class: 0, shifts: shift };
    quantiser.round(values, &rows, &mut totals, true, &mut out).unwrap();
    (sums, low, squares[0], changed, out)
}

#[test]
fn what_rounding_takes_off_is_added_up_to_the_last_unit() {
    let unit = power_of_two(-20);
    // A quarter; halves both ways; half a unit to even, both ways; next to nothing.
    let values = [0.25, 0.5, 1.5, 7.0 + 0.5 * unit, 7.0 + 1.5 * unit, -3.0 - 1.5 * unit, 1e-30];
    let expected = [1 << 18, 1 << 19, -(1 << 19), 0, 2, -2, 0];
    for (x, expected) in values.iter().zip(expected) {
        for (exponent, offset) in [(0, 0.0), (-9, 0.0), (0, power_of_two(40)), (700, 0.0)] {
            let step = power_of_two(exponent);
            let (_, low, ..) = round_with_low(vec![Some(exponent)], &[(x + offset) * step], &[offset as i64]);
            // Beside so large a number, smaller ones are lost before they are rounded.
            let lost = offset > 0.0 && x.fract() != 0.0 && (x * 2048.0).fract() != 0.0;
            assert!(lost || low == [expected], "{x} · 2^{exponent} + {offset}: {low:?}");
        }
    }
    // Groups of rows, long ones among them, and a wide grid, where every sum is an integer.
    let (_, low, ..) = round_with_low(vec![Some(0)], &[values, [3e6; 7]].concat(), &[0]);
    assert_eq!(low, [expected.iter().sum::<i64>()]);
    let values = [power_of_two(52), 0.375, power_of_two(52) + 1.0, -0.25];
    let (_, low, ..) = round_with_low(vec![Some(0); 2], &values, &[1 << 52, 0]);
    assert_eq!(low, [0, 1 << 17]);
}

#[test]
fn halves_go_to_even_and_changes_are_counted() {
    let (sums, square, changed, out) = round(vec![Some(0)], &[0.5, 1.5, 2.5, -0.5, 3.0], &[1]);
    assert_eq!(out.short, [-1.0, 1.0, 1.0, -1.0, 2.0]);
    assert_eq!((sums, square, changed), (vec![2], i256::from_i128(8), vec![4]));
}

#[test]
fn squares_are_weighed_by_their_steps_over_any_spread() {
    for spread in [0, 3, 5, 6, 25, 63] {
        let coarse = 3.0 * power_of_two(spread);
        let (_, square, _, _) = round(vec![Some(0), Some(spread)], &[2.0, coarse], &[0, 0]);
        let expected = i256::from_i128(4).wrapping_add(wide(9, 2 * spread as u32).unwrap());
        assert_eq!(square, expected, "{spread}");
    }
}

#[test]
fn squares_fill_a_lane_to_the_last_bit() {
    let dim = LANE_DIMS + 3;
    let largest = f64::from((1 << 21) - 1);
    let exponents = (0..dim).map(|j| Some(if j == 0 { 0 } else { 5 })).collect();
    let row = (0..dim).map(|j| if j == 0 { largest } else { 32.0 * largest });
    let values: Vec<f64> = std::iter::repeat_n(row, GROUP).flatten().collect();
    let (_, square, _, _) = round(exponents, &values, &vec![0; dim]);
    let each = i256::from_i128(GROUP as i128 * (largest * largest) as i128);
    assert_eq!(square, each.wrapping_mul(i256::from_i128(1 + (1024 * (dim as i128 - 1)))));
}

#[test]
fn the_first_row_too_far_is_named_whatever_the_order() {
    let grid = Grid::new(vec![Some(0)]);
    let values = [1.0, 1e14, 2.0, 2e14];
    let quantiser = Quantiser::new(grid, &[2e14]);
    let (mut sums, mut low, mut squares, mut changed) = ([0; 2], [0; 2], [i256::ZERO; 2], [0]);
    let mut totals = Totals {
        sums: &mut sums,
        low: &mut low,
        squares: &mut squares,
        changed: &mut changed,
        left: &[0],
        squares_left: 0,
    };
    let rows = ShiftedRows { rows: &[3, 2, 1, 0], classes: &[0, 0, 1, 1], first_class: 0, shifts: &[0; 2] };
    let outcome = quantiser.round(&values, &rows, &mut totals, false, &mut Rounded::default());
    assert_eq!(outcome, Err(TooFar { row: 1, dimension: 0 }));
}

#[test]
fn wide_and_narrow_rows_agree() {
    let offset = power_of_two(55);
    let (sums, square, changed, out) = round(vec![Some(0)], &[offset + 8.0, offset - 16.0], &[1 << 55]);
    let (small_sums, small_square, small_changed, small) = round(vec![Some(0)], &[8.0, -16.0], &[0]);
    assert_eq!((sums, square, changed, out.short), (small_sums, small_square, small_changed, small.short));
}

#[test]
fn any_row_of_a_group_may_be_long() {
    let long = 2_097_152.0;
    for at in 0..9 {
        let mut values = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0];
        values[at] = long;
        let mut short = values.to_vec();
        short.remove(at);
        let (sums, square, _, out) = round(vec![Some(0)], &values, &[0]);
        assert_eq!((out.short, out.long), (short, vec![long as i128]), "{at}");
        assert_eq!(sums, [values.iter().sum::<f64>() as i64]);
        assert_eq!(square, i256::from_i128(values.iter().map(|x| x * x).sum::<f64>() as i128));
    }
    let (_, _, _, out) = round(vec![Some(0)], &[long, 1.0, long, 2.0, 3.0, long], &[0]);
    assert_eq!((out.short, out.long.len()), (vec![1.0, 2.0, 3.0], 3));
}

#[test]
fn long_rows_go_aside() {
    let (sums, square, _, out) = round(vec![Some(0)], &[2_097_152.0, 2_097_151.0], &[0]);
    assert_eq!((out.short.as_slice(), out.long.as_slice()), ([2_097_151.0].as_slice(), [2_097_152].as_slice()));
    assert_eq!(sums, [4_194_303]);
    assert_eq!(square, i256::from_i128(2_097_152 * 2_097_152 + 2_097_151 * 2_097_151));
}
