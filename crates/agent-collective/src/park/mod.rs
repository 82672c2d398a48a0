//! Sleeping and waking: the protocol is in `README.md` beside this file.

mod patience;
mod sleepers;
mod thread;

pub(crate) use patience::Patience;
pub use sleepers::Sleepers;
pub(crate) use sleepers::WORKERS_MAX;
pub use thread::park_until;
pub(crate) use thread::{park_until_timeout, spin_until};
