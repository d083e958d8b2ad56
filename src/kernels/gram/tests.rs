use super::*;
use crate::kernels::quantise::Rounded;

fn integers(count: usize, bound: i64) -> Vec<i64> {
    let mut state = 7_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 1) as i64 % (2 * bound + 1) - bound
    };
    (0..count).map(|_| next()).collect()
}

fn naive(a: &[i128], b: &[i128], dim: usize) -> Vec<i128> {
    let mut acc = vec![0; packed_len(dim)];
    for (a, b) in a.chunks(dim).zip(b.chunks(dim)) {
        for j in 0..dim {
            for i in j..dim {
                acc[packed_column(dim, j) + i - j] += a[i] * b[j];
            }
        }
    }
    acc
}

#[test]
fn blocks_are_exact_at_the_limit() {
    let largest = ((1_i64 << 21) - 1) as f64;
    for dim in [1, 3, 64, 300] {
        let mut acc = vec![0_i64; packed_len(dim)];
        add_block(&mut acc, &vec![largest; BLOCK_ROWS * dim], dim).unwrap();
        assert!(acc.iter().all(|&entry| entry == (largest as i64).pow(2) * BLOCK_ROWS as i64));
    }
}

#[test]
fn integers_come_out_of_doubles() {
    let largest = 1_i64 << 53;
    for value in [0, 1, -1, 1 << 21, (1 << 21) + 1, -(1 << 21) - 1, largest - 1, 1 - largest, largest, -largest] {
        assert_eq!(integer(value as f64), value);
    }
    for value in integers(1000, largest) {
        assert_eq!(integer(value as f64), value);
    }
}

#[test]
fn products_equal_the_naive_ones() {
    for (dim, rows) in [(1, 5), (7, 100), (300, 9)] {
        let values = integers(dim * rows, (1 << 21) - 1);
        let exact: Vec<i128> = values.iter().map(|&x| x.into()).collect();
        let block: Vec<f64> = values.iter().map(|&x| x as f64).collect();
        let mut acc = vec![0_i128; packed_len(dim)];
        block_product(&mut acc, &block, dim).unwrap();
        assert_eq!(acc, naive(&exact, &exact, dim));
    }
}

#[test]
fn long_integers_are_sliced() {
    let (dim, rows) = (5, 3000);
    let a: Vec<i128> = integers(dim * rows, 1 << 60).iter().map(|&x| i128::from(x) << 10).collect();
    let b: Vec<i128> = integers(dim * rows, 1 << 20).iter().map(|&x| x.into()).collect();
    let mut acc = vec![0_i128; packed_len(dim)];
    add_sliced(&mut acc, &a, &b, dim, Par::Seq).unwrap();
    assert_eq!(acc, naive(&a, &b, dim));
}

#[test]
fn products_of_narrow_integers_are_exact_whatever_their_size() {
    let (dim, rows) = (5, 3000);
    // One product for all rows, some for a few hundred each, and slices.
    for (a, b) in [(20, 20), (24, 20), (23, 23), (26, 26), (50, 50)] {
        let integers = |bits: u32| {
            let mut values = integers(dim * rows, (1 << bits) - 1);
            // As unfavourable as can be.
            values[..dim * rows / 2].fill((1 << bits) - 1);
            values
        };
        let (a, b) = (integers(a), integers(b));
        let doubles = |values: &[i64]| values.iter().map(|&x| x as f64).collect::<Vec<_>>();
        let wide = |values: &[i64]| values.iter().map(|&x| x.into()).collect::<Vec<i128>>();
        let mut acc = vec![0_i128; packed_len(dim)];
        narrow_product(&mut acc, &doubles(&a), &doubles(&b), dim, Par::Seq).unwrap();
        assert_eq!(acc, naive(&wide(&a), &wide(&b), dim));
    }
}

/// A sum beside the same in 128 bits.
struct Both {
    sum: GramSum,
    expected: Vec<i128>,
}

impl Both {
    fn check(&self) {
        let found: Vec<i128> = (0..self.expected.len()).map(|at| self.sum.entry(at)).collect();
        assert_eq!(found, self.expected);
        assert_eq!(self.sum.clone().into_entries(), self.expected);
    }
}

fn rounded(short: &[i64], long: &[i128]) -> Rounded {
    let mut rounded = Rounded::default();
    rounded.short = short.iter().map(|&x| x as f64).collect();
    rounded.long = long.to_vec();
    rounded
}

#[test]
fn sums_hold_as_many_bits_as_they_need() {
    let (dim, none) = (3, [0; 3]);
    let mut both = Both { sum: GramSum::zeros(dim), expected: vec![0; packed_len(dim)] };
    let mut wide = GramSum::zeros(dim);
    for step in 0..400 {
        let largest = (1 << 21) - 1;
        let short: Vec<i64> = if step % 2 == 0 { vec![largest; 2048 * dim] } else { integers(7 * dim, largest) };
        let long: Vec<i128> =
            if step > 200 { integers(dim, 1 << 41).iter().map(|&x| x.into()).collect() } else { vec![] };
        both.sum.add_rows(&mut rounded(&short, &long), &none).unwrap();
        for rows in [short.iter().map(|&x| x.into()).collect(), long] {
            both.expected.iter_mut().zip(naive(&rows, &rows, dim)).for_each(|(sum, x)| *sum += x);
        }
        if step % 50 == 0 {
            both.check();
            wide.add(&both.sum, &none, false);
        }
    }
    both.check();
    // In 64 bits, and in 128 after that.
    assert!(both.expected[0] > 1 << 84);
    let doubled: Vec<i128> = both.expected.iter().map(|x| 2 * x).collect();
    both.sum.add(&both.sum.clone(), &none, false);
    assert_eq!(both.sum.clone().into_entries(), doubled);
    both.sum.add(&GramSum::of(dim, both.expected.clone()), &none, true);
    both.check();
    assert!(!both.sum.is_zero());
    both.sum.add(&both.sum.clone(), &none, true);
    assert!(both.sum.is_zero());
}

#[test]
fn many_sums_of_64_bits_make_one_of_128() {
    let (dim, none) = (2, [0; 2]);
    let square: i128 = (1 << 61) - 1;
    let part = GramSum::of(dim, vec![square, -square, square]);
    let mut sum = GramSum::zeros(dim);
    for count in 1..=9 {
        sum.add(&part, &none, false);
        assert_eq!(sum.clone().into_entries(), [count * square, -count * square, count * square]);
    }
    let mut product = GramSum::of(dim, vec![square, 0, square]);
    product.add_narrow_product(&[1e9, 1e9], &[1e9, -1e9], Par::Seq).unwrap();
    let tera = 10_i128.pow(18);
    assert_eq!(product.clone().into_entries(), [square + tera, tera, square - tera]);
    for _ in 0..8 {
        product.add_narrow_product(&[2e9, 0.0], &[1e9, 0.0], Par::Seq).unwrap();
    }
    assert_eq!(product.into_entries()[0], square + 17 * tera);
}

#[test]
fn rows_on_a_coarser_grid_are_added_exactly() {
    let dim = 4;
    let left = [0, 2, 1, 0];
    let rows = rows_with_room(2);
    assert_eq!((rows, rows_with_room(0), rows_with_room(5), rows_with_room(6)), (128, usize::MAX, 2, 0));
    let largest = (1 << 21) - 1;
    for (short, long) in [(vec![largest; rows * dim], vec![]), (integers(rows * dim, largest), vec![1 << 41, -3, 0, 7])]
    {
        let moved =
            |values: &[i128]| -> Vec<i128> { values.iter().enumerate().map(|(at, x)| x << left[at % dim]).collect() };
        let mut both = Both { sum: GramSum::zeros(dim), expected: vec![0; packed_len(dim)] };
        both.sum.add_rows(&mut rounded(&short, &long), &left).unwrap();
        for rows in [moved(&short.iter().map(|&x| x.into()).collect::<Vec<_>>()), moved(&long)] {
            both.expected.iter_mut().zip(naive(&rows, &rows, dim)).for_each(|(sum, x)| *sum += x);
        }
        both.check();
    }
}

#[test]
fn grids_become_finer_and_coarser_again() {
    let (dim, bits) = (2, [3, 30]);
    for entries in [vec![5, -7, 11], vec![5, -7 << 60, 11 << 60]] {
        let mut sum = GramSum::of(dim, entries.clone());
        sum.refine(&bits);
        assert_eq!(sum.clone().into_entries(), [entries[0] << 6, entries[1] << 33, entries[2] << 60].to_vec());
        let mut added = GramSum::zeros(dim);
        added.add(&GramSum::of(dim, entries.clone()), &bits, false);
        assert_eq!(added.into_entries(), sum.clone().into_entries());
        assert!(sum.coarsen(&bits));
        assert_eq!(sum.clone().into_entries(), entries);
        assert!(!sum.coarsen(&[0, 70]));
    }
}
