//! Structure in front of zstd: each transform turns content into streams that suit zstd better, and
//! back. One file (or folder) per transform, encoding and decoding side by side.

pub(crate) mod grown;
pub(crate) mod halves;
mod numbers;
mod planes;
mod streams;
mod templates;
mod tokens;

pub(crate) use numbers::{Numbers, find_decimal, widened};
pub(crate) use planes::{Coding, Planes, Step};
pub(crate) use streams::{Effort, FAST_LEVEL_MAX, PayloadReader, StreamDecoder, StreamEncoder};
pub(crate) use templates::{Cut, json_text_share};
pub(crate) use tokens::Tokens;

use crate::error::SigmaError;
use crate::frame::{
    TAG_CHECKED_PLANES, TAG_NUMBERS, TAG_PLANES, TAG_TEMPLATES, TAG_TOKENS, check_tag,
};

/// A transform with its parameters, as the encoder chooses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Transform {
    Planes(Planes),
    Templates(Cut),
    Numbers(Numbers),
    Tokens(Tokens),
}

impl Transform {
    pub(crate) fn tag(self) -> u8 {
        match self {
            Transform::Planes(_) => TAG_CHECKED_PLANES,
            Transform::Templates(_) => TAG_TEMPLATES,
            Transform::Numbers(_) => TAG_NUMBERS,
            Transform::Tokens(_) => TAG_TOKENS,
        }
    }

    /// Appends the payload of `content`. False, and nothing of use appended, if the content does not
    /// suit the transform.
    pub(crate) fn encode(
        self,
        content: &[u8],
        streams: &mut StreamEncoder,
        out: &mut Vec<u8>,
    ) -> Result<bool, SigmaError> {
        match self {
            Transform::Planes(planes) => {
                planes::encode(planes, content, streams, crate::detect::coding, out)?;
                Ok(true)
            }
            Transform::Templates(cut) => templates::encode(cut, content, streams, out),
            Transform::Numbers(shape) => numbers::encode(shape, content, streams, out),
            Transform::Tokens(shape) => tokens::encode(shape, content, streams, out),
        }
    }
}

/// Appends the content of the payload of a transformed frame. The payload begins at `offset`; `out`
/// has room for `content_bytes`. On an error `out` may hold part of it.
pub(crate) fn decode(
    tag: u8,
    payload: &[u8],
    offset: u64,
    content_bytes: usize,
    streams: &mut StreamDecoder,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let start = out.len();
    let mut reader = PayloadReader::new(payload, offset, content_bytes, streams);
    match tag {
        TAG_PLANES | TAG_CHECKED_PLANES => planes::decode(&mut reader, content_bytes, out)?,
        TAG_TEMPLATES => templates::decode(&mut reader, content_bytes, out)?,
        TAG_NUMBERS => numbers::decode(&mut reader, content_bytes, out)?,
        TAG_TOKENS => tokens::decode(&mut reader, content_bytes, out)?,
        _ => check_tag(0, offset)?,
    }
    if out.len() - start != content_bytes {
        return Err(SigmaError::Corrupt {
            what: "payload of a frame",
            offset,
            detail: "content is not as long as the frame states",
        });
    }
    Ok(())
}
