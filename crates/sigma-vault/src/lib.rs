//! Embedded, log-structured store of compressed, checksummed values and reusable semantic units.
//!
//! [`Vault`] is the store; [`Durability`] says, per call, when a write counts as done; [`Batch`]
//! makes several writes one; [`Rsu`] is a context that agents share, found again by its id or by
//! [similarity](Vault::find_similar). What is stored is either returned as it was written or
//! reported as [damaged](VaultError::Corrupt): never another value, never silently absent.
//!
//! The files are described in `docs/formats/sigma-vault.md`.
//!
//! | module | concern |
//! |---|---|
//! | `vault`, `batch`, `iter`, `read` | the public handle |
//! | `log` | records, segments, manifest, group commit, recovery |
//! | `index` | where the newest record of a key lies |
//! | `compaction` | space of replaced and removed records |
//! | `losses`, `verify`, `stats` | what is damaged, what is counted |
//! | `rsu` | reusable semantic units and their similarity index |
//! | [`io`] | the only way to a disk, real or simulated |

#![deny(unsafe_code)]

mod batch;
mod codec;
mod compaction;
mod compress;
mod error;
mod index;
pub mod io;
mod iter;
mod log;
mod losses;
mod medium;
mod open;
mod open_fast;
mod options;
mod read;
mod rsu;
mod snapshot;
mod stats;
mod vault;
mod verify;

pub use batch::Batch;
pub use compaction::{CompactionReport, RepairReport};
pub use error::VaultError;
pub use iter::Iter;
pub use losses::{Damage, DamageKind};
pub use options::{
    BATCH_BYTES_MAX, Compression, Durability, KEY_BYTES_MAX, Options, UncertainReads,
    VALUE_BYTES_MAX,
};
pub use rsu::{Rsu, Signature};
pub use stats::{RecoveryReport, Stats};
pub use vault::Vault;
pub use verify::VerifyReport;

/// Runs the example of the README.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeDoctest;
