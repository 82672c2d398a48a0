//! Kernels of the split-block Bloom filter.
//!
//! | file | concern |
//! |---|---|
//! | `dispatch.rs` | picks the kernel of the level |
//! | `scalar.rs` | the plain twin, which follows the Parquet specification word by word |
//! | `x86_64.rs` | one key is one 256-bit vector |
//! | `aarch64.rs` | one key is two 128-bit vectors |

#[cfg(target_arch = "aarch64")]
mod aarch64;
mod block;
mod dispatch;
mod scalar;
#[cfg(target_arch = "x86_64")]
mod x86_64;

pub(crate) use block::{BLOCK_BYTES, Block};
pub(crate) use dispatch::{contains, contains_all, insert, insert_all};
