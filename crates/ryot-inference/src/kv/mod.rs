//! Keys and values outside a running state: portable bytes, and prefixes kept for reuse.

mod codec;
mod element;
mod memory;
mod portable;
mod prefix;
mod window;

pub use element::{KvElement, KvValues};
pub use memory::MemoryPrefixStore;
pub use portable::{KvShape, KvState};
pub(crate) use prefix::block_keys;
pub use prefix::{BlockKey, KvBlock, PrefixStore};
pub use window::KvWindow;
pub(crate) use window::WINDOW_MIN;
