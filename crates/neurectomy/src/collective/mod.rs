//! Five teams of agents over one engine and one vault.
//!
//! | file | holds |
//! |---|---|
//! | `handle.rs` | [`Collective`]: opening, one method per team's job, closing |
//! | `config.rs` | settings with their defaults and ranges |
//! | `team.rs` | the five teams |
//! | `pending.rs` | a job under way |
//! | `desk.rs` | what all teams share: vault, engine, settings, byte counters |
//! | `packing.rs` `storing.rs` `continuing.rs` `synthesis.rs` | one team's work each |

mod config;
mod continuing;
mod desk;
mod handle;
mod packing;
mod pending;
mod storing;
mod synthesis;
mod team;

pub use config::{CollectiveConfig, ModelSource};
pub use continuing::{Continuation, SimilarContext};
pub use handle::Collective;
pub use packing::Packed;
pub use pending::Pending;
pub use storing::StoredDocument;
pub use synthesis::{NearDuplicates, Synthesis};
pub use team::Team;

pub(crate) use desk::{Desk, Traffic};
pub(crate) use synthesis::Digest;
