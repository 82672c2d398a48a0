//! Plain loops, compiled once for each level.
#![allow(unsafe_code)] // calls of functions that need the CPU features of their level

use super::Level;

/// A loop in plain Rust that is worth compiling for every level: what it calls must be inlined into
/// [`run`](Self::run), and that into the function with the CPU features of the level. The result
/// cannot depend on the level, since the source is the same.
pub(crate) trait Kernel {
    type Output;

    /// The loop; implement it with `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// Runs a kernel as compiled for a level that [`Level::is_available`].
#[inline]
pub(crate) fn run_at<K: Kernel>(level: Level, kernel: K) -> K::Output {
    match level {
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level `Avx512` is only made where the CPU has these features.
        Level::Avx512 => unsafe { run_avx512(kernel) },
        #[cfg(target_arch = "x86_64")]
        // SAFETY: the level `Avx2` is only made where the CPU has these features.
        Level::Avx2 => unsafe { run_avx2(kernel) },
        // NEON is in the baseline of its target.
        _ => kernel.run(),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
fn run_avx2<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
#[target_feature(enable = "avx512f,avx512bw,avx512cd,avx512dq,avx512vl")]
fn run_avx512<K: Kernel>(kernel: K) -> K::Output {
    kernel.run()
}
