//! Container to content: whole buffers, streams, ranges, records.

mod decompressor;
mod frame;
mod inspect;
mod range;
mod record;
pub mod reference;
mod reference_numbers;
mod reference_record;
mod reference_tokens;
mod reference_transforms;
mod room;
mod stream;

pub use decompressor::{Decompressor, decompress};
pub use inspect::{FrameInspection, FrameTag, Inspection, inspect};
pub use range::Reader;
pub use stream::Decoder;

pub(crate) use decompressor::{Context, decompress_layout};
pub(crate) use reference_transforms::Payload;
