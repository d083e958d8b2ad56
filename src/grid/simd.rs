//! Loops compiled for the registers of the machine.

use pulp::{Arch, Simd, WithSimd};

/// Runs a loop in the widest instructions that the machine has.
///
/// The closure must be marked `#[inline(always)]`, and so must be what it calls: what is not inlined is compiled for the
/// registers that every machine has. Loops of one lane per dimension, without fused operations, have the same bits in
/// any registers.
#[inline(always)]
pub(crate) fn vectorised<R>(mut work: impl FnMut() -> R) -> R {
    let most = Registers::most();
    #[cfg(target_arch = "x86_64")]
    if most == Registers::Widest && widest::are_there() {
        #[expect(unsafe_code, reason = "its instructions are there, which only the test above can know")]
        // SAFETY: `widest::run` is compiled for just the features that were found.
        return unsafe { widest::run(work) };
    }
    if most == Registers::Common { work() } else { Arch::new().dispatch(Work(work)) }
}

/// What loops may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "tests compare them all"))]
pub(crate) enum Registers {
    /// What every machine of the architecture has.
    Common,
    /// What most have, up to 256 bits.
    Wide,
    Widest,
}

impl Registers {
    #[cfg(not(test))]
    #[inline(always)]
    fn most() -> Self {
        Self::Widest
    }
}

#[cfg(test)]
thread_local! {
    static MOST: std::cell::Cell<Registers> = const { std::cell::Cell::new(Registers::Widest) };
}

#[cfg(test)]
impl Registers {
    fn most() -> Self {
        MOST.get()
    }

    /// What `work` makes in each of them, on this thread.
    pub(crate) fn each<R>(work: impl Fn() -> R) -> [R; 3] {
        let made = [Self::Common, Self::Wide, Self::Widest].map(|most| {
            MOST.set(most);
            work()
        });
        MOST.set(Self::Widest);
        made
    }
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
