//! The decoder on the processor: weights packed at the bits of the file, byte kernels for
//! generated tokens, matrix tiles for prompts, one team of threads.

mod ahead;
mod attention;
mod bf16_rows;
mod buffer;
mod build;
mod decoder;
mod dense;
mod elementwise;
mod forget;
mod format;
#[cfg(target_arch = "x86_64")]
mod gated;
mod half;
mod isa;
mod kernel;
mod kv;
mod lanes;
mod matrix;
mod pack;
mod pool;
#[cfg(target_arch = "x86_64")]
mod prompt_attention;
mod rope;
mod rows;
mod shared;
#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test numbers are small")]
mod tests;
mod token_attention;
mod weights;

pub(crate) use build::build;
pub(crate) use decoder::{CpuDecoder, Part, Phase};
pub(crate) use elementwise::{Highest, highest};
pub(crate) use half::{bf16_to_f32, f32_to_bf16};
pub(crate) use isa::Isa;
pub(crate) use kv::{CpuKv, KvLayout};
pub(crate) use pool::Pool;
pub(crate) use rope::RopeTable;
