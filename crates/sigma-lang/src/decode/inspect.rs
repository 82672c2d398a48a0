//! What a container holds, without decoding it.

use crate::error::SigmaError;
use crate::frame::{
    FORMAT_VERSION, Layout, TAG_CHECKED_PLANES, TAG_GROWN, TAG_NUMBERS, TAG_PLANES, TAG_TEMPLATES,
    TAG_TOKENS, is_stored,
};
use crate::limits::Limits;

/// How a frame holds its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FrameTag {
    /// A zstd frame that stock zstd reads.
    Plain,
    /// The content as it is.
    Stored,
    /// Elements of equal width as byte planes: numbers and tensors.
    Planes,
    /// Lines or values as templates and columns: logs, tables, JSON.
    Templates,
    /// A part of the base, then what came after it.
    Grown,
    /// Rows of numbers as columns: decimal floats, tables, smooth series.
    Numbers,
    /// Whole tokens, what comes again as references: ids of a tokenizer.
    Tokens,
}

impl FrameTag {
    fn of(tag: u8) -> FrameTag {
        match tag {
            tag if is_stored(tag) => FrameTag::Stored,
            TAG_PLANES | TAG_CHECKED_PLANES => FrameTag::Planes,
            TAG_TEMPLATES => FrameTag::Templates,
            TAG_GROWN => FrameTag::Grown,
            TAG_NUMBERS => FrameTag::Numbers,
            TAG_TOKENS => FrameTag::Tokens,
            _ => FrameTag::Plain,
        }
    }
}

/// One frame of an [`Inspection`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FrameInspection {
    /// Where the frame begins in the container.
    pub offset: u64,
    /// Length of the frame in bytes.
    pub frame_bytes: u64,
    /// Length of its content in bytes.
    pub content_bytes: u64,
    /// How it holds its content.
    pub tag: FrameTag,
}

/// What [`inspect`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Inspection {
    /// Version of the format.
    pub version: u8,
    /// Length of the container in bytes.
    pub container_bytes: u64,
    /// Length of the content in bytes.
    pub content_bytes: u64,
    /// The frames in order.
    pub frames: Vec<FrameInspection>,
    /// Id of the dictionary, if one is needed.
    pub dictionary_id: Option<u64>,
    /// Hash of the base, if one is needed.
    pub base_hash: Option<u128>,
    /// Whether trailer and seek table are there.
    pub seek_table: bool,
}

impl Inspection {
    /// Content bytes per container byte.
    #[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
    pub fn ratio(&self) -> f64 {
        self.content_bytes as f64 / self.container_bytes as f64
    }

    /// Whether stock zstd reads it (with the dictionary or base, where one is needed).
    pub fn stock_zstd_readable(&self) -> bool {
        self.frames.iter().all(|frame| frame.tag == FrameTag::Plain)
    }
}

/// Reads the structure of a container and checks it; contents are neither decoded nor checked. At
/// most 1,048,576 frames.
///
/// ```
/// use sigma_lang::{Config, FrameTag};
/// let packed = sigma_lang::compress(&[b'a'; 10_000], &Config::new().frame_bytes(4096))?;
/// let inspection = sigma_lang::inspect(&packed)?;
/// assert_eq!(inspection.content_bytes, 10_000);
/// assert_eq!(inspection.frames.len(), 3);
/// assert_eq!(inspection.frames[0].tag, FrameTag::Plain);
/// assert!(inspection.ratio() > 30.0);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
///
/// # Errors
/// As [`decompress`](crate::decompress), less what needs the contents.
pub fn inspect(bytes: &[u8]) -> Result<Inspection, SigmaError> {
    let layout = Layout::parse(bytes, &Limits::default())?;
    let frames = layout.frames.iter().map(|placed| FrameInspection {
        offset: placed.offset as u64,
        frame_bytes: placed.info.frame_bytes as u64,
        content_bytes: u64::from(placed.info.content_bytes),
        tag: FrameTag::of(placed.info.tag),
    });
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the id is the low half of the hash"
    )]
    let dictionary_id = layout.header.dictionary.map(|hash| hash as u64);
    Ok(Inspection {
        version: FORMAT_VERSION,
        container_bytes: bytes.len() as u64,
        content_bytes: layout.content_bytes,
        frames: frames.collect(),
        dictionary_id,
        base_hash: layout.header.base,
        seek_table: layout.header.seek_table,
    })
}
