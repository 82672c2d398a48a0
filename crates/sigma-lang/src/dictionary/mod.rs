//! Shared context for small data: a dictionary holds what many records have in common.
//!
//! The life of a dictionary: a [`DictionarySampler`] keeps a fair sample of the records that pass;
//! [`DictionarySampler::train`] makes a dictionary of it; [`DictionaryRegistry::publish`] gives it the
//! next version and makes it the current one, which compressors that follow the registry use from
//! their next record on. Earlier versions are retired: nothing is made with them any more, and what
//! was made with them still decodes, until [`DictionaryRegistry::forget`].

mod prepared;
mod registry;
mod sampler;

pub use prepared::Dictionary;
pub use registry::{DictionaryRegistry, DictionaryVersion};
pub use sampler::DictionarySampler;

pub(crate) use registry::Follower;
