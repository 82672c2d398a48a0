//! Sleeping and waking: the protocol is in `README.md` beside this file.

mod parker;
mod patience;
mod punctuality;
mod sleepers;
mod thread;

pub use parker::Parker;
pub(crate) use parker::Unparker;
pub(crate) use patience::Patience;
pub(crate) use punctuality::Punctuality;
pub(crate) use sleepers::WORKERS_MAX;
pub use sleepers::{Choice, Sleepers};
pub use thread::park_until;
pub(crate) use thread::{park_until_timeout, spin_until};
