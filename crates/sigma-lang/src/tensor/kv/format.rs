//! The bytes of quantised keys and values.

use super::quantise::{self, Parts, Scratch};
use super::restore::{self, Channels, Sides};
use super::shape::{BLOCK_TOKENS_MAX, CHANNELS_MAX, KvShape, Layout};
use crate::error::SigmaError;
use crate::frame::{Cursor, check32, noise_check32, write_varint};
use crate::limits::Limits;
use crate::tensor::convert::{f32_to_bf16, f32_to_f16};
use crate::tensor::format::FloatType;
use crate::transform::{Effort, PayloadReader, StreamDecoder, StreamEncoder};

pub(super) const MAGIC: [u8; 4] = *b"SGTK";
pub(super) const VERSION: u8 = 1;
const WHAT: &str = "quantised keys and values";
const CHECK_BYTES: usize = 4;
/// zstd level of the streams: only symbols are coded, so it does not matter.
const STREAM_LEVEL: i32 = 1;

/// How to quantise keys and values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KvConfig {
    /// A step in hundredths of the standard deviation of its channel over a block. Default 30, legal 1..=200.
    /// Doubling it takes a bit less for each value and doubles the error.
    pub step_percent: u32,
    /// Tokens that share steps. Default 64, legal 1..=256. A channel of a block costs one to two bytes; shorter
    /// blocks follow changes of the magnitudes more closely.
    pub block_tokens: usize,
}

impl Default for KvConfig {
    fn default() -> Self {
        KvConfig {
            step_percent: 30,
            block_tokens: 64,
        }
    }
}

impl KvConfig {
    /// The defaults.
    pub fn new() -> Self {
        KvConfig::default()
    }

    /// Sets [`KvConfig::step_percent`].
    pub fn step_percent(mut self, percent: u32) -> Self {
        self.step_percent = percent;
        self
    }

    /// Sets [`KvConfig::block_tokens`].
    pub fn block_tokens(mut self, tokens: usize) -> Self {
        self.block_tokens = tokens;
        self
    }

    fn validate(&self) -> Result<(), SigmaError> {
        if !(1..=200).contains(&self.step_percent) {
            return Err(SigmaError::InvalidConfig {
                name: "step_percent",
                value: i64::from(self.step_percent),
                allowed: "1..=200 hundredths of the standard deviation",
            });
        }
        if !(1..=BLOCK_TOKENS_MAX).contains(&self.block_tokens) {
            return Err(SigmaError::InvalidConfig {
                name: "block_tokens",
                value: i64::try_from(self.block_tokens).unwrap_or(i64::MAX),
                allowed: "1..=256 tokens",
            });
        }
        Ok(())
    }
}

/// Quantises keys and values of little-endian elements to about 4 bits each. **Lossy**: see the
/// [module](crate::tensor) for the bound on the error.
///
/// ```
/// use sigma_lang::Limits;
/// use sigma_lang::tensor::{FloatType, KvConfig, KvShape, compress_kv, decompress_kv};
/// // Keys and values of 2 layers, 100 tokens, 4 heads of 16 numbers.
/// let shape = KvShape::new(100, 64);
/// let values = (0..4 * 100 * 64).map(|n| (n as f32 * 1.7).sin() + (n % 64) as f32);
/// let bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
/// let packed = compress_kv(&bytes, FloatType::F32, shape, &KvConfig::new())?;
/// assert!(packed.len() * 6 < bytes.len());
/// let (float, back) = decompress_kv(&packed, &Limits::default())?;
/// assert_eq!((float, back.len()), (FloatType::F32, bytes.len()));
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
///
/// # Errors
/// [`SigmaError::InvalidConfig`]; [`SigmaError::TensorLength`] for a part of an element;
/// [`SigmaError::TensorShape`] where the values are not whole tensors of the shape, or the shape is none;
/// [`SigmaError::TensorNotFinite`] for NaN and infinity.
pub fn compress_kv(
    bytes: &[u8],
    float: FloatType,
    shape: KvShape,
    config: &KvConfig,
) -> Result<Vec<u8>, SigmaError> {
    let width = float.width();
    if !bytes.len().is_multiple_of(width) {
        return Err(SigmaError::TensorLength {
            bytes: bytes.len(),
            width,
        });
    }
    let mut rest = bytes;
    let read = |values: usize, into: &mut Vec<f32>| {
        let (own, behind) = rest.split_at_checked(values * width).unwrap_or((rest, &[]));
        rest = behind;
        float.read_all(own, into);
    };
    pack(bytes.len() / width, float, shape, config, read)
}

/// As [`compress_kv`] for a slice of f32.
///
/// # Errors
/// As [`compress_kv`].
pub fn compress_kv_f32(
    values: &[f32],
    shape: KvShape,
    config: &KvConfig,
) -> Result<Vec<u8>, SigmaError> {
    let mut rest = values;
    let read = |values: usize, into: &mut Vec<f32>| {
        let (own, behind) = rest.split_at_checked(values).unwrap_or((rest, &[]));
        rest = behind;
        into.extend_from_slice(own);
    };
    pack(values.len(), FloatType::F32, shape, config, read)
}

/// Packs so many values; `read` appends the next of them.
fn pack(
    values: usize,
    float: FloatType,
    shape: KvShape,
    config: &KvConfig,
    mut read: impl FnMut(usize, &mut Vec<f32>),
) -> Result<Vec<u8>, SigmaError> {
    config.validate()?;
    let layout = Layout::new(values, shape, config.block_tokens)?;
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&[VERSION, float.tag()]);
    for field in [
        layout.tensors,
        layout.tokens,
        layout.channels,
        layout.block_tokens,
    ] {
        write_varint(field as u64, &mut out);
    }
    let check = check32(&out);
    out.extend_from_slice(&check.to_le_bytes());
    let payload_start = out.len();
    let mut streams = StreamEncoder::new(STREAM_LEVEL)?;
    let (mut chunks, mut blocks) = (layout.chunks(), Vec::new());
    let (mut scratch, mut parts) = (Scratch::default(), Parts::default());
    let (mut block, mut done) = (Vec::new(), 0);
    while chunks.next(&mut blocks) {
        parts.clear();
        for tokens in &blocks {
            block.clear();
            read(tokens * layout.channels, &mut block);
            check_finite(&block, done)?;
            done += block.len();
            quantise::block(
                &block,
                layout.channels,
                config.step_percent,
                &mut scratch,
                &mut parts,
            );
        }
        write_chunk(&parts, &mut streams, &mut out)?;
    }
    let check = noise_check32(out.get(payload_start..).unwrap_or_default());
    out.extend_from_slice(&check.to_le_bytes());
    Ok(out)
}

fn check_finite(values: &[f32], before: usize) -> Result<(), SigmaError> {
    // Without a way out of the loop, so that it is done in wide registers.
    let largest = values
        .iter()
        .fold(0, |max: u32, value| max.max(value.to_bits() & 0x7FFF_FFFF));
    if f32::from_bits(largest).is_finite() {
        return Ok(());
    }
    let index = values.iter().position(|value| !value.is_finite());
    Err(SigmaError::TensorNotFinite {
        index: before + index.unwrap_or(0),
    })
}

fn write_chunk(
    parts: &Parts,
    streams: &mut StreamEncoder,
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let mut bytes = Vec::with_capacity(parts.steps.len());
    for halves in [&parts.steps, &parts.zeros] {
        for place in 0..2 {
            bytes.clear();
            bytes.extend(
                halves
                    .iter()
                    .filter_map(|half| half.to_le_bytes().get(place).copied()),
            );
            streams.write(&bytes, Effort::Symbols, out)?;
        }
    }
    streams.write(&parts.predictors, Effort::Symbols, out)?;
    streams.write(&parts.codes, Effort::Symbols, out)
}

/// Header and payload of a state.
struct Packed<'p> {
    float: FloatType,
    layout: Layout,
    values: usize,
    payload: &'p [u8],
    payload_offset: u64,
}

impl<'p> Packed<'p> {
    /// Reads a state whose elements will take `width` bytes each (`None`: as stated).
    fn parse(packed: &'p [u8], width: Option<usize>, limits: &Limits) -> Result<Self, SigmaError> {
        let mut cursor = Cursor::new(packed, 0);
        if cursor.take(MAGIC.len(), WHAT)? != MAGIC {
            return Err(SigmaError::NotSigma { offset: 0 });
        }
        let version = cursor.u8(WHAT)?;
        if version != VERSION {
            return Err(SigmaError::UnsupportedVersion {
                version,
                supported: VERSION,
            });
        }
        let float = FloatType::from_tag(cursor.u8(WHAT)?, 5)?;
        let mut fields = [0; 4];
        for field in &mut fields {
            let offset = cursor.offset();
            let value = cursor.varint(WHAT)?;
            *field = usize::try_from(value)
                .map_err(|_| corrupt(offset, "number is over the address space"))?;
        }
        let covered = packed.len() - cursor.rest().len();
        let stored = cursor.u32(WHAT)?;
        let header = packed.get(..covered).unwrap_or_default();
        expect_check(0, stored, check32(header))?;
        let layout = layout_of(fields)?;
        let Some(values) = layout.values() else {
            return Err(corrupt(6, "number of values is over the address space"));
        };
        let width = width.unwrap_or(float.width());
        limits.check_output((values as u64).saturating_mul(width as u64))?;
        let payload_offset = cursor.offset();
        let payload_bytes = cursor.rest().len().saturating_sub(CHECK_BYTES);
        let payload = cursor.take(payload_bytes, WHAT)?;
        expect_check(payload_offset, cursor.u32(WHAT)?, noise_check32(payload))?;
        Ok(Packed {
            float,
            layout,
            values,
            payload,
            payload_offset,
        })
    }

    /// Appends the values to `out`, with the bytes that `write` makes of each.
    fn restore<const W: usize>(
        &self,
        write: impl Fn(f32) -> [u8; W] + Copy,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let mut decoder = StreamDecoder::new()?;
        let (mut chunks, mut blocks) = (self.layout.chunks(), Vec::new());
        let mut channels = Channels::default();
        let mut buffers: [Vec<u8>; 5] = Default::default();
        let mut codes = Vec::new();
        let content_bytes = self.values.saturating_mul(4);
        let (payload, offset) = (self.payload, self.payload_offset);
        let mut reader = PayloadReader::new(payload, offset, content_bytes, &mut decoder);
        let count = self.layout.channels;
        while chunks.next(&mut blocks) {
            let [a, b, c, d, e] = &mut buffers;
            let side_bytes = blocks.len() * count;
            let at = reader.cursor.offset();
            let mut side = |buffer| reader.stream_of(side_bytes, buffer);
            let (steps, zeros) = ([side(a)?, side(b)?], [side(c)?, side(d)?]);
            let predictors = side(e)?;
            reader.stream_into(blocks.iter().sum::<usize>() * count, &mut codes)?;
            let mut rest = codes.as_mut_slice();
            for (start, tokens) in (0..).step_by(count).zip(&blocks) {
                let sides = Sides {
                    steps: steps.map(|bytes| part(bytes, start, count)),
                    zeros: zeros.map(|bytes| part(bytes, start, count)),
                    predictors: part(predictors, start, count),
                };
                channels.read(sides).map_err(|detail| corrupt(at, detail))?;
                let (own, behind) = rest
                    .split_at_mut_checked(tokens * count)
                    .unwrap_or_default();
                restore::block(&channels, own, write, out);
                rest = behind;
            }
        }
        reader.end()
    }
}

fn part(bytes: &[u8], start: usize, count: usize) -> &[u8] {
    bytes.get(start..start + count).unwrap_or_default()
}

/// The shape that a header states.
fn layout_of([tensors, tokens, channels, block_tokens]: [usize; 4]) -> Result<Layout, SigmaError> {
    if tokens == 0 {
        return Err(corrupt(6, "no tokens"));
    }
    if !(1..=CHANNELS_MAX).contains(&channels) {
        return Err(corrupt(6, "channels are not 1..=65536"));
    }
    if !(1..=BLOCK_TOKENS_MAX).contains(&block_tokens) {
        return Err(corrupt(6, "tokens of a block are not 1..=256"));
    }
    Ok(Layout {
        tensors,
        tokens,
        channels,
        block_tokens,
    })
}

fn expect_check(offset: u64, stored: u32, computed: u32) -> Result<(), SigmaError> {
    if stored == computed {
        return Ok(());
    }
    Err(SigmaError::ChecksumMismatch {
        what: WHAT,
        offset,
        stored: u64::from(stored),
        computed: u64::from(computed),
    })
}

/// Decompresses keys and values to little-endian elements of the type that they were made of.
///
/// # Errors
/// [`SigmaError::NotSigma`], [`SigmaError::UnsupportedVersion`], [`SigmaError::UnknownTag`];
/// [`SigmaError::LimitExceeded`] before anything is allocated; [`SigmaError::ChecksumMismatch`],
/// [`SigmaError::Corrupt`] and [`SigmaError::Truncated`] for damage.
pub fn decompress_kv(packed: &[u8], limits: &Limits) -> Result<(FloatType, Vec<u8>), SigmaError> {
    let state = Packed::parse(packed, None, limits)?;
    let mut out = room(state.values.saturating_mul(state.float.width()))?;
    match state.float {
        FloatType::F32 => state.restore(|value| within(value, f32::MAX).to_le_bytes(), &mut out),
        FloatType::Bf16 => {
            let write = |value| f32_to_bf16(within(value, BF16_MAX)).to_le_bytes();
            state.restore(write, &mut out)
        }
        FloatType::F16 => {
            let write = |value| f32_to_f16(within(value, F16_MAX)).to_le_bytes();
            state.restore(write, &mut out)
        }
    }?;
    Ok((state.float, out))
}

/// Decompresses keys and values to f32, whatever they were made of: without the rounding to bf16 or f16. The
/// limit on the output counts 4 bytes per value.
///
/// # Errors
/// As [`decompress_kv`].
pub fn decompress_kv_f32(packed: &[u8], limits: &Limits) -> Result<Vec<f32>, SigmaError> {
    let state = Packed::parse(packed, Some(4), limits)?;
    let mut bytes = room(state.values.saturating_mul(4))?;
    state.restore(|value| within(value, f32::MAX).to_le_bytes(), &mut bytes)?;
    let (elements, _) = bytes.as_chunks::<4>();
    Ok(elements
        .iter()
        .map(|element| f32::from_le_bytes(*element))
        .collect())
}

/// Largest finite values of the types.
const BF16_MAX: f32 = f32::from_bits(0x7F7F_0000);
const F16_MAX: f32 = 65_504.0;

#[inline(always)]
fn within(value: f32, max: f32) -> f32 {
    value.clamp(-max, max)
}

fn room(bytes: usize) -> Result<Vec<u8>, SigmaError> {
    let mut out = Vec::new();
    out.try_reserve_exact(bytes)
        .map_err(|_| SigmaError::AllocationFailed {
            what: "keys and values",
            bytes: bytes as u64,
        })?;
    Ok(out)
}

pub(super) fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: WHAT,
        offset,
        detail,
    }
}
