//! Floats as 8-bit integers with a scale per group: **lossy**, with a known bound on the error.
//!
//! Nothing else in this crate loses a bit, and nothing chooses this form by itself: it has its own
//! calls and its own magic, and the other decoders refuse it. For key-value state and embeddings,
//! where a relative error of 0.4 % of the group's largest value does no harm, it takes about half the
//! bytes of what lossless compression leaves of bf16.
//!
//! The error of each value is at most
//! - 1/254 of the largest magnitude in its group, times 1 + 2^-14 for the rounding of the arithmetic,
//! - plus half a unit in the last place of the output, if that is bf16 or f16,
//! - plus 2^-142 (matters for groups of denormal numbers only).
//!
//! Format: `docs/formats/sigma-tensor.md`.

mod convert;
mod format;
mod quantise;
pub(crate) mod reference;

pub use format::{
    FloatType, Int8Config, compress_int8, compress_int8_f32, decompress_int8, decompress_int8_f32,
};
pub use reference::decompress_int8_reference;
