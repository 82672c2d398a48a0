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
//! | `vault`, `batch`, `iter`, `read`, `read_many` | the public handle |
//! | `expiry`, `clock` | values that end by themselves |
//! | `checkpoint` | a consistent copy in another directory |
//! | `seal` | encryption at rest |
//! | `cache` | decoded values in memory |
//! | `log` | records, segments, manifest, group commit, recovery |
//! | `index` | where the newest record of a key lies |
//! | `compaction` | space of replaced and removed records |
//! | `losses`, `verify`, `stats` | what is damaged, what is counted |
//! | `rsu` | reusable semantic units and their similarity index |
//! | `asynchronous` | the same operations as futures |
//! | [`io`] | the only way to a disk, real or simulated |
//!
//! | feature | what it adds |
//! |---|---|
//! | `encryption` | `Options::encryption`: values encrypted at rest, under a raw key or a passphrase |
//! | `async` | `AsyncVault`: futures for any runtime |
//!
//! Neither is on by default.

#![deny(unsafe_code)]

#[cfg(feature = "async")]
mod asynchronous;
mod batch;
mod cache;
mod checkpoint;
mod clock;
mod codec;
mod compaction;
mod compress;
mod encode;
mod error;
mod expiry;
mod index;
pub mod io;
mod iter;
mod log;
mod losses;
mod lz4;
mod lz4_encode;
mod medium;
mod open;
mod open_fast;
mod open_replay;
mod open_sealed;
mod options;
mod read;
mod read_many;
mod read_quick;
mod rsu;
mod seal;
mod snapshot;
mod spread;
mod stats;
mod vault;
mod verify;

#[cfg(feature = "async")]
pub use asynchronous::{AsyncOptions, AsyncVault, Reply};
pub use batch::Batch;
pub use checkpoint::CheckpointReport;
pub use clock::{Clock, ManualClock, SystemClock};
pub use compaction::{CompactionReport, RepairReport};
pub use error::VaultError;
pub use iter::Iter;
pub use losses::{Damage, DamageKind};
pub use options::{
    BATCH_BYTES_MAX, Compression, Durability, KEY_BYTES_MAX, Options, UncertainReads,
    VALUE_BYTES_MAX,
};
pub use rsu::{HotUnit, Rsu, Signature};
#[cfg(feature = "encryption")]
pub use seal::{EncryptionKey, PassphraseCost};
pub use stats::{RecoveryReport, Stats};
pub use vault::Vault;
pub use verify::VerifyReport;

/// Runs the example of the README.
#[doc = include_str!("../README.md")]
#[cfg(doctest)]
pub struct ReadmeDoctest;
