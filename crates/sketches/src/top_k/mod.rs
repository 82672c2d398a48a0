//! Top-k: which keys occurred most often, and how often?
//!
//! | structure | error bound | bytes | cost |
//! |---|---|---|---|
//! | [`SpaceSaving`] | every key above `total / capacity` is kept; each count carries its own error | one entry per key kept | O(1) amortised |
//! | [`FrequentItems`] | every key above `2 total / capacity` is kept; one error for all counts | one entry per key kept | O(1) amortised, a third of the time |
//!
//! [`FrequentItems`] is the counter of Misra and Gries, with counts of any size and merges; it takes
//! slices faster than keys one by one.
//!
//! A counter keeps owned keys; their bytes are written through [`ItemBytes`].

mod cells;
mod frequent_items;

mod item_bytes;
mod space_saving;

pub use frequent_items::FrequentItems;
pub use item_bytes::ItemBytes;
pub use space_saving::{Heavy, SpaceSaving};
