use super::*;

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
        add_block(&mut acc, &block, dim).unwrap();
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
