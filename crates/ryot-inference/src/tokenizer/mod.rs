//! Text to tokens and back.

mod byte_chars;
mod byte_pair;
mod from_gguf;
mod from_json;
mod handle;
mod sentencepiece;
mod special;
mod stream;
mod table;

pub use handle::{EncodeOptions, Tokenizer};
pub use stream::StreamDecoder;
