//! Content to container: whole buffers, streams, records.

mod compressor;
mod frame;
mod pieces;
mod record;
mod stream;

pub use compressor::{Compressor, compress};
pub use stream::Encoder;
