//! Shared context for small data: a dictionary holds what many records have in common.

mod prepared;
mod registry;

pub use prepared::Dictionary;
pub use registry::DictionaryRegistry;
