//! Loops compiled for the registers of the machine.

use pulp::{Arch, Simd, WithSimd};

/// Runs a loop in the widest instructions that the machine has.
///
/// The closure and all that it calls must be marked `#[inline(always)]`: a function that is not inlined is compiled for
/// the registers that every machine has. Loops with one lane per dimension and no fused operations give the same bits in
/// any registers.
#[inline(always)]
pub(crate) fn vectorised<R>(mut work: impl FnMut() -> R) -> R {
    let most = Registers::most();
    #[cfg(target_arch = "x86_64")]
    if most == Registers::Widest && widest::are_there() {
        #[expect(unsafe_code, reason = "the compiler cannot know that the test above has found these instructions")]
        // SAFETY: `widest::run` is compiled for the features that `are_there` has found, and no others.
        return unsafe { widest::run(work) };
    }
    if most == Registers::Common { work() } else { Arch::new().dispatch(Work(work)) }
}

/// The widest registers that loops may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "tests compare them all"))]
pub(crate) enum Registers {
    /// Those that every machine of the architecture has.
    Common,
    /// Those that most machines have, up to 256 bits.
    Wide,
    /// All that the machine has.
    Widest,
}

impl Registers {
    #[cfg(not(test))]
    #[inline(always)]
    fn most() -> Self {
        Self::Widest
    }
}

// A setting of tests and not scratch memory: `vectorised` is called below every kernel, and tests run side by side.
#[cfg(test)]
thread_local! {
    static MOST: std::cell::Cell<Registers> = const { std::cell::Cell::new(Registers::Widest) };
}

#[cfg(test)]
impl Registers {
    fn most() -> Self {
        MOST.get()
    }

    /// Runs `work` with each of them as the widest, on this thread.
    pub(crate) fn each<R>(work: impl Fn() -> R) -> [R; 3] {
        let made = [Self::Common, Self::Wide, Self::Widest].map(|most| {
            MOST.set(most);
            work()
        });
        MOST.set(Self::Widest);
        made
    }
}

/// Registers of 512 bits. `pulp` has them too, but turns them on for all of its users at once: then the last digits of
/// floating-point products would depend on the machine.
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

    // `FnOnce` would be called through a function of its own, to which the attribute of the closure does not extend.
    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}
