//! Contexts that were read once: prefix blocks of an engine, kept in memory and in a vault.
//!
//! | file | holds |
//! |---|---|
//! | `store` | [`VaultPrefixStore`]: looking up, keeping, counting |
//! | `config` | its settings |
//! | `record` | a block as bytes, lossless or as int8 |
//! | `writer` | the thread that compresses and writes, and its bounded queue |
//! | `held` | what the vault holds, and which block goes first |
//! | `stats` | what it did |

mod config;
mod held;
mod record;
mod stats;
mod store;
mod writer;

pub use config::{PrefixConfig, PrefixForm};
pub use stats::PrefixStats;
pub use store::VaultPrefixStore;
