//! One frame from one piece of content.

use std::fmt;
use std::io::Cursor;

use zstd_safe::{CCtx, CParameter};

use crate::config::Config;
use crate::detect::{DIGITS_LEVEL, Plan, Trial};
use crate::error::SigmaError;
use crate::frame::{
    TAG_GROWN, check_for, check32, open_transformed_frame, stored_frame_bytes, write_stored_frame,
};
use crate::limits::FORMAT_RATIO_MAX;
use crate::transform::Transform;
use crate::transform::grown::{self, GrownEncoder};

/// Longest content of one stored frame that [`compress`](crate::compress) makes of neighbours. A
/// range read must read a stored frame whole to verify it, so its length is bounded.
pub(crate) const STORED_FRAME_BYTES_MAX: usize = 16 << 20;

/// A transformed frame is taken without comparison below this share of what plain zstd made of the
/// sample.
const KEPT_MAX: f64 = 0.98;
/// And above this share of what the transform made of the sample.
const KEPT_MIN: f64 = 0.6;
/// The same of tokens, which find repetition over any distance, but take more for each than plain zstd does.
const TOKENS_KEPT_MIN: f64 = 0.28;
/// No comparison if the transform made less than this share of plain zstd's bytes of the sample, up to
/// the level that follows: the slow levels search far enough to make up for it.
const CLEAR_WIN_MAX: f64 = 0.7;
const CLEAR_WIN_LEVEL_MAX: i32 = 12;

/// Content up to this length is searched more: it takes no time to speak of, and pays for the header.
const SMALL_BYTES_MAX: usize = 8 << 10;
/// Levels that this applies to, and how many levels more.
const SMALL_LEVELS: std::ops::RangeInclusive<i32> = 1..=6;
const SMALL_LEVELS_MORE: i32 = 3;

/// What a transformed frame may have beyond the bound of zstd, while it is written.
const TRANSFORM_BYTES: usize = 64;

/// What became of a piece of content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoded {
    /// A plain or transformed frame was appended; the check of its content.
    Written { check: u32 },
    /// Nothing was appended: storing the content is shorter.
    Stored,
}

/// A zstd context with the settings of plain frames; `'b` is the life of the base.
pub(crate) struct FrameEncoder<'b> {
    context: CCtx<'b>,
    base: Option<&'b [u8]>,
    /// Whether a part of the base may be copied.
    may_copy: bool,
    /// For content that begins with a part of the base, made when the first comes.
    grown: Option<GrownEncoder<'b>>,
    plain_only: bool,
    zstd_level: i32,
    /// Whether small content is searched more than the level says.
    search_more: bool,
    /// Whether a clear win on a sample is enough.
    trusts_sample: bool,
    /// Chooses transforms, where they are allowed.
    trial: Option<Trial>,
    /// Room for a frame before its length is known, to be used again.
    room: Vec<u8>,
}

impl fmt::Debug for FrameEncoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameEncoder")
            .field("plain_only", &self.plain_only)
            .field("base_bytes", &self.base.map(<[u8]>::len))
            .finish_non_exhaustive()
    }
}

impl<'b> FrameEncoder<'b> {
    /// With a base, the dictionary of `config` is left out: the two exclude each other.
    pub(crate) fn new(config: &Config, base: Option<&'b [u8]>) -> Result<Self, SigmaError> {
        match CCtx::try_create() {
            Some(context) => FrameEncoder::with_context(context, config, base),
            None => Err(SigmaError::AllocationFailed {
                what: "a zstd context",
                bytes: 0,
            }),
        }
    }

    /// With a context that has nothing set.
    pub(crate) fn with_context(
        mut context: CCtx<'b>,
        config: &Config,
        base: Option<&'b [u8]>,
    ) -> Result<Self, SigmaError> {
        const SET_UP: &str = "set up a compressor";
        let mut set = |parameter| {
            context
                .set_parameter(parameter)
                .map_err(|code| SigmaError::codec(SET_UP, code))
        };
        set(CParameter::CompressionLevel(config.level.zstd_level()))?;
        set(CParameter::ChecksumFlag(true))?;
        set(CParameter::ContentSizeFlag(true))?;
        set(CParameter::DictIdFlag(true))?;
        if let Some(base) = base {
            // Matches may reach from the end of a frame to the start of the base.
            let reach = base
                .len()
                .saturating_add(config.frame_bytes)
                .next_power_of_two();
            set(CParameter::WindowLog(reach.ilog2().clamp(10, 27)))?;
            set(CParameter::DeterministicRefPrefix(true))?;
        } else if let Some(dictionary) = &config.dictionary {
            context
                .load_dictionary(dictionary.as_bytes())
                .map_err(|code| SigmaError::codec(SET_UP, code))?;
        }
        let transforms = config.transforms
            && !config.plain_frames_only
            && base.is_none()
            && config.dictionary.is_none();
        let trial = if transforms {
            Some(Trial::new(config.level.zstd_level())?)
        } else {
            None
        };
        Ok(FrameEncoder {
            context,
            base,
            may_copy: base.is_some() && config.transforms && !config.plain_frames_only,
            grown: None,
            plain_only: config.plain_frames_only,
            zstd_level: config.level.zstd_level(),
            search_more: base.is_none()
                && config.dictionary.is_none()
                && SMALL_LEVELS.contains(&config.level.zstd_level()),
            trusts_sample: config.level.zstd_level() <= CLEAR_WIN_LEVEL_MAX,
            trial,
            room: Vec::new(),
        })
    }

    /// What `encode` appends to nothing, in memory of its own that is as long as that: frames of many
    /// contents are held together.
    pub(crate) fn encode_apart<R>(
        &mut self,
        encode: impl FnOnce(&mut Self, &mut Vec<u8>) -> Result<R, SigmaError>,
    ) -> Result<(R, Vec<u8>), SigmaError> {
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        let result = encode(self, &mut room);
        let mut frame = Vec::new();
        let reserved = reserve(&mut frame, room.len());
        let result = result.and_then(|result| reserved.map(|()| result));
        if result.is_ok() {
            frame.extend_from_slice(&room);
        }
        self.room = room;
        result.map(|result| (result, frame))
    }

    /// The context, with nothing set, to be used again for another base.
    pub(crate) fn into_context(self) -> Result<CCtx<'static>, SigmaError> {
        grown::free_context(self.context)
    }

    /// Appends the frame of `content` (not empty), or says that it is better stored. `position` is where
    /// the content stands in the whole, which is where it is looked for in the base.
    pub(crate) fn encode(
        &mut self,
        content: &[u8],
        position: usize,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, SigmaError> {
        self.encode_with(content, position, false, out)
    }

    /// The same; what is better stored is stored at once if `stores`, mostly.
    fn encode_with(
        &mut self,
        content: &[u8],
        position: usize,
        stores: bool,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, SigmaError> {
        if let Some(check) = self.encode_grown(content, position, out)? {
            return Ok(Encoded::Written { check });
        }
        let plan = match &mut self.trial {
            Some(trial) if stores => {
                reserve(out, stored_frame_bytes(content.len()))?;
                trial.plan(content, Some(&mut *out))?
            }
            Some(trial) => trial.plan(content, None)?,
            None => Plan::Plain,
        };
        match plan {
            Plan::Plain => self.encode_plain(content, self.zstd_level, out),
            Plan::PlainDigits => self.encode_plain(content, DIGITS_LEVEL, out),
            Plan::Store => Ok(Encoded::Stored),
            Plan::Stored { check } => Ok(Encoded::Written { check }),
            Plan::Transform {
                transform,
                plain_share,
                own_share,
                sure,
            } => self.encode_transformed(transform, [plain_share, own_share], sure, content, out),
        }
    }

    /// Appends the frame of content that begins with a part of the base, and gives its check.
    fn encode_grown(
        &mut self,
        content: &[u8],
        position: usize,
        out: &mut Vec<u8>,
    ) -> Result<Option<u32>, SigmaError> {
        let Some(base) = self.base.filter(|_| self.may_copy) else {
            return Ok(None);
        };
        let Some(copied) = grown::copied_bytes(base, position, content) else {
            return Ok(None);
        };
        let encoder = match &mut self.grown {
            Some(encoder) => encoder,
            none => none.insert(GrownEncoder::new(self.zstd_level)?),
        };
        append_grown(encoder, base, position, copied, content, out)
    }

    /// Sets how much is searched in content of this length: each frame anew, because the bytes must not
    /// depend on the frames before.
    fn set_level(&mut self, content_bytes: usize, zstd_level: i32) -> Result<(), SigmaError> {
        if !self.search_more {
            return Ok(());
        }
        let more = if content_bytes <= SMALL_BYTES_MAX {
            SMALL_LEVELS_MORE
        } else {
            0
        };
        self.context
            .set_parameter(CParameter::CompressionLevel(zstd_level + more))
            .map(|_| ())
            .map_err(|code| SigmaError::codec("set up a compressor", code))
    }

    fn encode_plain(
        &mut self,
        content: &[u8],
        zstd_level: i32,
        out: &mut Vec<u8>,
    ) -> Result<Encoded, SigmaError> {
        const COMPRESS: &str = "compress a frame";
        let start = out.len();
        let bound = zstd_safe::compress_bound(content.len());
        reserve(out, bound)?;
        self.set_level(content.len(), zstd_level)?;
        if let Some(base) = self.base {
            self.context
                .ref_prefix(base)
                .map_err(|code| SigmaError::codec(COMPRESS, code))?;
        }
        let mut tail = Cursor::new(&mut *out);
        tail.set_position(start as u64);
        let written = self
            .context
            .compress2(&mut tail, content)
            .map_err(|code| SigmaError::codec(COMPRESS, code))?;
        if !self.plain_only && written >= stored_frame_bytes(content.len()) {
            out.truncate(start);
            return Ok(Encoded::Stored);
        }
        let check = match out.last_chunk::<4>() {
            Some(check) => u32::from_le_bytes(*check),
            None => 0,
        };
        Ok(Encoded::Written { check })
    }

    /// Appends the plain frame if it is at most `bytes_max` long; gives the check of the content.
    /// Stops as soon as that is exceeded.
    fn encode_below(
        &mut self,
        bytes_max: usize,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<u32>, SigmaError> {
        let start = out.len();
        self.set_level(content.len(), self.zstd_level)?;
        reserve(out, bytes_max)?;
        out.resize(start + bytes_max, 0);
        let room = out.get_mut(start..).unwrap_or_default();
        let written = self.context.compress2(room, content);
        out.truncate(start + written.unwrap_or(0));
        // The only failure is that the room does not suffice.
        Ok(match written {
            Ok(_) => out
                .last_chunk::<4>()
                .map(|check| u32::from_le_bytes(*check)),
            Err(_) => None,
        })
    }

    /// Appends the transformed frame, unless the whole content does not keep what its sample
    /// promised; then both forms are made and the shorter one is kept, unless that is `sure`. The shares
    /// are those of the sample: bytes made per byte, plain and transformed.
    #[expect(clippy::cast_precision_loss, reason = "lengths below 2^52")]
    fn encode_transformed(
        &mut self,
        transform: Transform,
        [plain_share, own_share]: [f64; 2],
        sure: bool,
        content: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<Encoded, SigmaError> {
        let Some(trial) = &mut self.trial else {
            return self.encode_plain(content, self.zstd_level, out);
        };
        let start = out.len();
        reserve(
            out,
            zstd_safe::compress_bound(content.len()) + TRANSFORM_BYTES,
        )?;
        let gap = open_transformed_frame(transform.tag(), content.len(), out);
        let suits = transform.encode(content, &mut trial.streams, out)?;
        let payload_bytes = gap.close(out);
        let legal = payload_bytes <= content.len() && within_ratio(content.len(), payload_bytes);
        if !suits || !legal {
            out.truncate(start);
            return self.encode_plain(content, self.zstd_level, out);
        }
        let share = payload_bytes as f64 / content.len() as f64;
        // Far less than the sample promised means repetition over a distance that the sample does
        // not show; plain zstd may find more of it than templates. Planes keep all repetition.
        let payload = out.get(out.len() - payload_bytes..).unwrap_or_default();
        let keeps_repetition = match transform {
            Transform::Planes(_) => true,
            Transform::Tokens(tokens) => {
                !tokens.is_strange(payload) && share > TOKENS_KEPT_MIN * own_share
            }
            _ => {
                let is_clear = self.trusts_sample && own_share < CLEAR_WIN_MAX * plain_share;
                sure || share > KEPT_MIN * own_share || is_clear
            }
        };
        let kept = share < KEPT_MAX * plain_share && keeps_repetition;
        let end = out.len();
        if !kept && let Some(check) = self.encode_below(end + 4 - start, content, out)? {
            out.drain(start..end);
            return Ok(Encoded::Written { check });
        }
        let check = check_for(transform.tag(), content);
        out.extend_from_slice(&check.to_le_bytes());
        Ok(Encoded::Written { check })
    }

    /// Appends the frame of `content`, stored if that is shortest; gives its check.
    pub(crate) fn encode_any(
        &mut self,
        content: &[u8],
        position: usize,
        out: &mut Vec<u8>,
    ) -> Result<u32, SigmaError> {
        match self.encode_with(content, position, true, out)? {
            Encoded::Written { check } => Ok(check),
            Encoded::Stored => {
                reserve(out, stored_frame_bytes(content.len()))?;
                Ok(write_stored_frame(content, out))
            }
        }
    }
}

/// Appends the frame of content that begins with the `copied` bytes of the base from `position` on, and
/// gives its check; nothing if the format has no such frame.
pub(super) fn append_grown<'b>(
    encoder: &mut GrownEncoder<'b>,
    base: &'b [u8],
    position: usize,
    copied: usize,
    content: &[u8],
    out: &mut Vec<u8>,
) -> Result<Option<u32>, SigmaError> {
    let start = out.len();
    let gap = open_transformed_frame(TAG_GROWN, content.len(), out);
    encoder.encode(base, position, copied, content, out)?;
    let payload_bytes = gap.close(out);
    if payload_bytes > content.len() || !within_ratio(content.len(), payload_bytes) {
        out.truncate(start);
        return Ok(None);
    }
    let check = check32(content);
    out.extend_from_slice(&check.to_le_bytes());
    Ok(Some(check))
}

/// Whether a payload this short may stand for the content.
fn within_ratio(content_bytes: usize, payload_bytes: usize) -> bool {
    content_bytes as u64 / FORMAT_RATIO_MAX <= payload_bytes as u64
}

/// Reserves room behind what is there.
pub(crate) fn reserve(out: &mut Vec<u8>, bytes: usize) -> Result<(), SigmaError> {
    out.try_reserve(bytes)
        .map_err(|_| SigmaError::AllocationFailed {
            what: "output",
            bytes: bytes as u64,
        })
}
