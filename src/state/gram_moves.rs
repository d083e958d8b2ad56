//! How `Q` follows when the shifts of classes move.

use super::class::{Moves, Sign, out_of_range};
use crate::error::Result;
use crate::grid::vectorised;
use crate::kernels::gram::{GramSum, Par, rows_at_a_time};

/// Classes whose shift moved, gathered until they make a block.
pub(super) struct GramMoves<'a> {
    gram: &'a mut GramSum,
    dim: usize,
    narrow: Moved<f64>,
    wide: Moved<i128>,
}

/// The same number of classes in each field, rows × D.
#[derive(Default)]
struct Moved<T> {
    /// `s + nΔ`, the sums about the new shift.
    about: Vec<T>,
    /// `s`.
    sums: Vec<T>,
    /// `Δ`.
    deltas: Vec<T>,
}

impl<T> Moved<T> {
    fn clear(&mut self) {
        self.about.clear();
        self.sums.clear();
        self.deltas.clear();
    }
}

/// Integers below this are exact in `f64`, and their product with a vector of ones can be checked.
const EXACT: i64 = 1 << 51;

impl<'a> GramMoves<'a> {
    pub(super) fn new(gram: &'a mut GramSum, dim: usize) -> Self {
        Self { gram, dim, narrow: Moved::default(), wide: Moved::default() }
    }

    /// `Q += (s + nΔ) Δᵀ + Δ sᵀ`, whose lower triangle is that of `s Δᵀ + Δ sᵀ + n Δ Δᵀ`.
    ///
    /// Terms may overflow 128 bits as long as their sum does not. The trace shows that the sum does not: a diagonal entry
    /// that has lost a multiple of `2^128` no longer agrees with the squares, which are checked to fit, and the diagonal
    /// bounds all other entries.
    pub(super) fn finish(&mut self) -> Result<()> {
        let Self { gram, narrow, wide, .. } = self;
        if !narrow.deltas.is_empty() {
            gram.add_narrow_product(&narrow.about, &narrow.deltas, Par::Pool)?;
            gram.add_narrow_product(&narrow.deltas, &narrow.sums, Par::Pool)?;
            narrow.clear();
        }
        if !wide.deltas.is_empty() {
            gram.add_product(&wide.about, &wide.deltas, Par::Pool)?;
            gram.add_product(&wide.deltas, &wide.sums, Par::Pool)?;
            wide.clear();
        }
        Ok(())
    }

    fn finish_if_full(&mut self) -> Result<()> {
        let full = rows_at_a_time(self.dim) * self.dim;
        if self.narrow.deltas.len() == full || self.wide.deltas.len() == full { self.finish() } else { Ok(()) }
    }
}

impl Moves for GramMoves<'_> {
    fn moved(&mut self, sign: Sign, n: u64, s: &[i128], delta: &[i128]) -> Result<()> {
        let signed = |x: i128| if sign == Sign::Plus { x } else { -x };
        for (&s, &d) in s.iter().zip(delta) {
            let moved = i128::from(n).checked_mul(d).and_then(|nd| nd.checked_add(s)).ok_or_else(out_of_range)?;
            self.wide.about.push(signed(moved));
            self.wide.sums.push(signed(s));
            self.wide.deltas.push(d);
        }
        self.finish_if_full()
    }

    fn moved_narrow(&mut self, sign: Sign, n: u64, s: &[i64], delta: &[i64]) -> Result<()> {
        let (dim, signed, n) = (self.dim, if sign == Sign::Plus { 1 } else { -1 }, n as i64);
        let Moved { about, sums, deltas } = &mut self.narrow;
        let first = deltas.len();
        for rows in [&mut *about, &mut *sums, &mut *deltas] {
            rows.resize(first + dim, 0.0);
        }
        let (about, sums, deltas) =
            (&mut about[first..][..dim], &mut sums[first..][..dim], &mut deltas[first..][..dim]);
        let (s, delta) = (&s[..dim], &delta[..dim]);
        let fits = vectorised(
            #[inline(always)]
            || {
                let mut bits = 0;
                for j in 0..dim {
                    let to = s[j] + n * delta[j];
                    bits |= (to ^ (to >> 63)) | (s[j] ^ (s[j] >> 63)) | (delta[j] ^ (delta[j] >> 63));
                    (about[j], sums[j], deltas[j]) = ((signed * to) as f64, (signed * s[j]) as f64, delta[j] as f64);
                }
                bits < EXACT
            },
        );
        if !fits {
            let Moved { about, sums, deltas } = &mut self.narrow;
            for rows in [about, sums, deltas] {
                rows.truncate(first);
            }
            let wide = |values: &[i64]| values.iter().map(|&x| x.into()).collect::<Vec<i128>>();
            return self.moved(sign, n as u64, &wide(s), &wide(delta));
        }
        self.finish_if_full()
    }
}
