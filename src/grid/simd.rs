//! Loops compiled for the registers of the machine.

use pulp::{Arch, Simd, WithSimd};

/// Runs a loop in the widest instructions that the machine has.
///
/// The closure must be marked `#[inline(always)]`, and so must be what it calls: what is not inlined is compiled for the
/// registers that every machine has. Loops of one lane per dimension, without fused operations, have the same bits in
/// any registers.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnMut() -> R) -> R {
    Arch::new().dispatch(Work(work))
}

struct Work<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Work<F> {
    type Output = R;

    // A call by value would go through a function of its own, which no attribute of the closure reaches.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}
