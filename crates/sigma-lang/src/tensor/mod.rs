//! Floats as small integers with a scale per group: **lossy**, with a known bound on the error.
//!
//! Nothing else in this crate loses a bit, and nothing chooses these forms by itself: they have their own
//! calls and their own magics, and the other decoders refuse them.
//!
//! | form | for | bytes of bf16 | error of a value, at most |
//! |---|---|---|---|
//! | [`compress_int8`] | any floats: embeddings, states | about a half | 1/254 of the largest magnitude in its group |
//! | [`compress_kv`] | keys and values of attention, of which the shape is known | below a quarter | half a step of its channel |
//!
//! To the error of [`compress_int8`] the arithmetic adds a 2^-14th of itself, and 2^-142 (matters for groups of
//! denormal numbers only). A step of [`compress_kv`] is by default 0.30 standard deviations of the channel over a
//! block of 64 tokens; it is more where the largest distance from the mean is over 126 of them, or the mean over
//! 16256; and at least 2^-126 unless all is 0. It is rounded up to four significant bits, and the arithmetic adds
//! a 2^-7th to the error. To both, output as bf16 or f16 adds half a unit in the last place.
//!
//! Format: `docs/formats/sigma-tensor.md`.

mod convert;
mod format;
mod kv;
mod quantise;
pub(crate) mod reference;

pub use format::{
    FloatType, Int8Config, compress_int8, compress_int8_f32, decompress_int8, decompress_int8_f32,
};
pub use kv::{
    KvConfig, KvShape, compress_kv, compress_kv_f32, decompress_kv, decompress_kv_f32,
    decompress_kv_reference,
};
pub use reference::decompress_int8_reference;
