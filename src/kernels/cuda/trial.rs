//! Sums whose values are known, which a device has to find before it is used.

use crate::batch::{Batch, ByClass, Features, Label};
use crate::error::Result;
use crate::kernels::gram::packed_len;
use crate::kernels::{Cpu, DeviceSums, MAX_LEFT, Profile, SlotRows, Workspace};

const ROWS: usize = 96;
/// More than one tile of the Gram matrix, and no whole number of them.
const DIM: usize = 66;
const LARGEST: i64 = (1 << 21) - 1;

/// The integer that a row is rounded to: the largest magnitude in half of the rows, and digits of all kinds in the others.
fn integer(row: usize, j: usize) -> i64 {
    let drawn = (row * DIM + j) as u64;
    let mixed = drawn.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    match row % 4 {
        0 => LARGEST,
        1 => [LARGEST, -LARGEST][(mixed & 1) as usize],
        _ => mixed as i64 % (LARGEST + 1) - (LARGEST + 1) / 2,
    }
}

/// What rounding takes off, in `2^-20` steps.
fn residual(row: usize, j: usize) -> i64 {
    (row * 7919 + j * 104_729) as i64 % (1 << 19) - (1 << 18)
}

/// Whether the device finds the sums of a small block of rows of two classes.
pub(super) fn is_right(sums: &mut dyn DeviceSums) -> Result<bool> {
    let value = |at: usize| integer(at / DIM, at % DIM) as f64 + residual(at / DIM, at % DIM) as f64 / 1_048_576.0;
    let values: Vec<f64> = (0..ROWS * DIM).map(value).collect();
    let codes: Vec<u32> = (0..ROWS as u32).map(|row| row / 3 % 2).collect();
    let classes = [Label::Int(0), Label::Int(1)];
    let batch = Batch::new(DIM, Features::F64(&values), &codes, &classes)?;
    let profile = Profile::with_exponent(&batch, 0, &mut Workspace::new(Box::<Cpu>::default()))?;
    let order = ByClass::of(&batch, None);
    let left: Vec<u32> = (0..DIM as u32).map(|j| j * 5 % (MAX_LEFT + 1)).collect();
    let exponents: Vec<i16> = left.iter().map(|&left| -(left as i16)).collect();

    let id = sums.open(&exponents, true)?;
    sums.extend(id, &[0.0; 2 * DIM])?;
    let rows = SlotRows { batch: &batch, profile: &profile, order: &order, slots: &[0, 1], left: &left };
    let mut long = Vec::new();
    sums.add(id, &rows, &mut long)?;
    let found = sums.take(id)?;

    let mut sums = vec![0; 2 * DIM];
    let mut low = vec![0; 2 * DIM];
    let mut gram = Vec::with_capacity(packed_len(DIM));
    for j in 0..DIM {
        for row in 0..ROWS {
            let at = codes[row] as usize * DIM + j;
            sums[at] += integer(row, j) << left[j];
            low[at] += residual(row, j) << left[j];
        }
        for i in j..DIM {
            let entry: i64 = (0..ROWS).map(|row| integer(row, i) * integer(row, j)).sum();
            gram.push(i128::from(entry) << (left[i] + left[j]));
        }
    }
    Ok(long.is_empty() && found.sums == sums && found.low == low && found.gram == Some(gram))
}
