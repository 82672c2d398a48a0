//! Keys and values of attention below a byte each: **lossy**, with a known bound on the error.
//!
//! The design follows two published ones: a scale for each channel over a block of tokens, because channels
//! differ far more than tokens do (KIVI, 2024), and differences along tokens before entropy coding (CacheGen,
//! 2024). Here the integers are differenced, not the floats, so errors do not add up along the tokens.
//!
//! | file | what |
//! |---|---|
//! | `shape` | tensors, tokens, channels; blocks and chunks |
//! | `quantise` | a block of floats to codes |
//! | `restore` | codes to floats |
//! | `format` | settings, header, payload |
//! | `reference` | the plain twin of the decoder |

mod format;
mod quantise;
mod reference;
mod restore;
mod shape;

pub use format::{KvConfig, compress_kv, compress_kv_f32, decompress_kv, decompress_kv_f32};
pub use reference::decompress_kv_reference;
pub use shape::KvShape;
