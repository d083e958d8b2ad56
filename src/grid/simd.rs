//! Loops compiled for the registers of the machine.

use pulp::{Arch, Simd, WithSimd};

/// Runs a loop in the widest instructions that the machine has.
///
/// The closure must be marked `#[inline(always)]`, and so must be what it calls: what is not inlined is compiled for the
/// registers that every machine has. Loops of one lane per dimension, without fused operations, have the same bits in
/// any registers.
#[inline(always)]
pub(crate) fn vectorised<R>(work: impl FnMut() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    if widest::are_there() {
        #[expect(unsafe_code, reason = "its instructions are there, which only the test above can know")]
        // SAFETY: `widest::run` is compiled for just the features that were found.
        return unsafe { widest::run(work) };
    }
    Arch::new().dispatch(Work(work))
}

/// Registers of 512 bits. `pulp` has them too, but only for all of its users at once, and the last digits of floating
/// products would depend on the machine.
#[cfg(target_arch = "x86_64")]
mod widest {
    pub(super) fn are_there() -> bool {
        is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl")]
    pub(super) fn run<R>(mut work: impl FnMut() -> R) -> R {
        work()
    }
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
