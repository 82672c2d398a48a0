//! Detection of the level, once.

use core::sync::atomic::{AtomicU8, Ordering};

/// A set of vector instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Level {
    /// No vector kernels.
    Scalar = 1,
    /// 128-bit vectors of 64-bit ARM.
    Neon = 2,
    /// 256-bit vectors of x86-64.
    Avx2 = 3,
    /// 512-bit vectors of x86-64.
    Avx512 = 4,
}

const ALL: [Level; 4] = [Level::Scalar, Level::Neon, Level::Avx2, Level::Avx512];

/// The level in use as its number, 0 before it was looked for.
static LEVEL: AtomicU8 = AtomicU8::new(0);

impl Level {
    /// The name that `NEURECTOMY_SIMD` knows the level by.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Scalar => "scalar",
            Self::Neon => "neon",
            Self::Avx2 => "avx2",
            Self::Avx512 => "avx512",
        }
    }

    /// Whether this CPU has the instructions (without `std`: whether the build was compiled for
    /// them).
    #[must_use]
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            Self::Neon => cfg!(all(target_arch = "aarch64", target_feature = "neon")),
            Self::Avx2 => has_avx2(),
            Self::Avx512 => has_avx512(),
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Scalar),
            2 => Some(Self::Neon),
            3 => Some(Self::Avx2),
            4 => Some(Self::Avx512),
            _ => None,
        }
    }
}

/// The level that the kernels use. Costs one relaxed load after the first call.
///
/// ```
/// use sketches::simd::{available_levels, level};
/// assert!(available_levels().any(|available| available == level()));
/// ```
#[inline]
#[must_use]
pub fn level() -> Level {
    match Level::from_number(LEVEL.load(Ordering::Relaxed)) {
        Some(level) => level,
        None => find(),
    }
}

/// Every level that this CPU has, ascending, whatever `NEURECTOMY_SIMD` says. Tests hold the kernel
/// of each to the plain one.
pub fn available_levels() -> impl Iterator<Item = Level> {
    ALL.into_iter().filter(|level| level.is_available())
}

#[cold]
fn find() -> Level {
    let best = available_levels().last().unwrap_or(Level::Scalar);
    let level = asked_for().map_or(best, |name| lowered(best, &name));
    LEVEL.store(level as u8, Ordering::Relaxed);
    level
}

/// The level of a name where it is available and not above `best`, else `best`.
fn lowered(best: Level, name: &str) -> Level {
    available_levels()
        .find(|level| level.name() == name && *level <= best)
        .unwrap_or(best)
}

#[cfg(feature = "std")]
fn asked_for() -> Option<std::string::String> {
    std::env::var("NEURECTOMY_SIMD").ok()
}

#[cfg(not(feature = "std"))]
fn asked_for() -> Option<alloc::string::String> {
    None
}

/// Whether the CPU has all the named features; without `std`, whether the build was compiled for
/// them.
#[cfg(target_arch = "x86_64")]
macro_rules! has_all {
    ($($feature:tt),+) => {{
        #[cfg(feature = "std")]
        let found = $(std::arch::is_x86_feature_detected!($feature))&&+;
        #[cfg(not(feature = "std"))]
        let found = $(cfg!(target_feature = $feature))&&+;
        found
    }};
}

#[cfg(target_arch = "x86_64")]
fn has_avx2() -> bool {
    has_all!("avx2", "bmi1", "bmi2", "lzcnt", "popcnt")
}

#[cfg(target_arch = "x86_64")]
fn has_avx512() -> bool {
    has_avx2() && has_all!("avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx2() -> bool {
    false
}

#[cfg(not(target_arch = "x86_64"))]
fn has_avx512() -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_distinct_and_come_back() {
        for level in ALL {
            assert_eq!(Level::from_number(level as u8), Some(level));
            assert_eq!(ALL.iter().filter(|l| l.name() == level.name()).count(), 1);
        }
        assert_eq!(Level::from_number(0), None);
        assert_eq!(Level::from_number(5), None);
    }

    #[test]
    fn a_name_lowers_and_never_raises() {
        for best in available_levels() {
            assert_eq!(lowered(best, "scalar"), Level::Scalar);
            assert_eq!(lowered(best, ""), best);
            assert_eq!(lowered(best, "AVX2"), best);
            for level in ALL {
                let found = lowered(best, level.name());
                assert!(found <= best && found.is_available());
                assert_eq!(found == level, level <= best && level.is_available());
            }
        }
    }

    #[test]
    fn the_level_in_use_is_available_and_stays() {
        let first = level();
        assert!(first.is_available());
        assert_eq!(level(), first);
        assert_eq!(available_levels().next(), Some(Level::Scalar));
    }
}
