//! Which vector instructions the kernels of this crate use.
//!
//! The level is found once, when the first kernel runs, and never exceeds what the CPU has. Every
//! kernel has a plain twin that gives the same result bit for bit, so the level changes speed only.
//!
//! With the feature `std`, the environment variable `NEURECTOMY_SIMD` (`scalar`, `avx2`, `avx512`,
//! `neon`) lowers the level; a name that is unknown, or a level that the CPU lacks, changes nothing.
//! Without `std` there is no detection: the level is what the build was compiled for.
//!
//! | level | instructions |
//! |---|---|
//! | [`Level::Scalar`] | those of the target the build was compiled for |
//! | [`Level::Avx2`] | AVX2, BMI1, BMI2, LZCNT, POPCNT |
//! | [`Level::Avx512`] | those, and AVX-512 F, BW, CD, DQ, VL |
//! | [`Level::Neon`] | NEON, which every 64-bit ARM CPU has |

pub(crate) mod bins;
pub(crate) mod kernel;
mod level;
pub(crate) mod prefetch;
pub(crate) mod ranks;
pub(crate) mod split_block;

pub use level::{Level, available_levels, level};
