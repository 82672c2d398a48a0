//! Reusable semantic units: what an agent has read, kept so that it need not be computed again.
//!
//! An RSU is stored as two records in one batch: everything but the KV state, and the KV state.
//! So the similarity index is rebuilt at opening without reading KV states, and a lost KV state
//! does not take the tokens with it. RSU identifiers and the keys of
//! [`Vault::put`](crate::Vault::put) are separate: neither sees the other.

mod codec;
mod hot;
mod signature;
mod similar;
mod store;
mod unit;

pub(crate) use codec::wants_kv;
pub(crate) use hot::HotCounts;
pub use hot::HotUnit;
pub use signature::Signature;
pub(crate) use similar::RsuIndex;
pub use unit::Rsu;
