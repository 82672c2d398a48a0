//! The vault's operations as futures, for any runtime or none.
//!
//! `pool` has a few threads that do what is asked in the order in which it comes, and one that
//! syncs: durable writes are appended by the former and answered by the latter, so that thousands
//! of them share a sync without a thread each. `reply` is the future: plain `Waker`s, nothing of a
//! runtime. `vault` is the public handle.

mod pool;
mod reply;
mod vault;

pub use pool::AsyncOptions;
pub use reply::Reply;
pub use vault::AsyncVault;
