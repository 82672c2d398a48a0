//! The bytes of a quantised tensor.

use super::convert::{bf16_to_f32, f16_to_f32, f32_to_bf16, f32_to_f16};
use super::quantise::{dequantise, quantise_group};
use crate::config::Config;
use crate::decode::decompress;
use crate::encode::Compressor;
use crate::error::SigmaError;
use crate::frame::{Cursor, check32, write_varint};
use crate::level::Level;
use crate::limits::Limits;

pub(super) const MAGIC: [u8; 4] = *b"SGT8";
pub(super) const VERSION: u8 = 1;
const WHAT: &str = "quantised tensor";

/// Type of the elements of a tensor; bytes are little-endian.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FloatType {
    /// IEEE 754 binary32.
    F32,
    /// The upper half of an f32.
    Bf16,
    /// IEEE 754 binary16.
    F16,
}

impl FloatType {
    /// Width of an element in bytes.
    pub fn width(self) -> usize {
        match self {
            FloatType::F32 => 4,
            FloatType::Bf16 | FloatType::F16 => 2,
        }
    }

    pub(super) fn tag(self) -> u8 {
        match self {
            FloatType::F32 => 0,
            FloatType::Bf16 => 1,
            FloatType::F16 => 2,
        }
    }

    pub(super) fn from_tag(tag: u8, offset: u64) -> Result<FloatType, SigmaError> {
        match tag {
            0 => Ok(FloatType::F32),
            1 => Ok(FloatType::Bf16),
            2 => Ok(FloatType::F16),
            tag => Err(SigmaError::UnknownTag {
                what: WHAT,
                offset,
                tag,
            }),
        }
    }

    fn read(self, element: &[u8]) -> f32 {
        match (self, element) {
            (FloatType::F32, [a, b, c, d]) => f32::from_le_bytes([*a, *b, *c, *d]),
            (FloatType::Bf16, [a, b]) => bf16_to_f32(u16::from_le_bytes([*a, *b])),
            (FloatType::F16, [a, b]) => f16_to_f32(u16::from_le_bytes([*a, *b])),
            _ => 0.0,
        }
    }

    /// Appends all elements.
    pub(super) fn read_all(self, elements: &[u8], into: &mut Vec<f32>) {
        match self {
            FloatType::F32 => {
                let elements = elements.as_chunks::<4>().0.iter();
                into.extend(elements.map(|element| f32::from_le_bytes(*element)));
            }
            FloatType::Bf16 => {
                let elements = elements.as_chunks::<2>().0.iter();
                into.extend(elements.map(|element| bf16_to_f32(u16::from_le_bytes(*element))));
            }
            FloatType::F16 => {
                let elements = elements.as_chunks::<2>().0.iter();
                into.extend(elements.map(|element| f16_to_f32(u16::from_le_bytes(*element))));
            }
        }
    }

    fn write(self, value: f32, out: &mut Vec<u8>) {
        match self {
            FloatType::F32 => out.extend_from_slice(&value.to_le_bytes()),
            FloatType::Bf16 => out.extend_from_slice(&f32_to_bf16(value).to_le_bytes()),
            FloatType::F16 => out.extend_from_slice(&f32_to_f16(value).to_le_bytes()),
        }
    }
}

/// How to quantise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Int8Config {
    /// Values that share a scale. Default 64; legal 32, 64, 128. A scale costs 4 bytes before
    /// compression; smaller groups follow the magnitudes more closely.
    pub group_values: usize,
    /// Level of the compression of codes and scales. Default [`Level::Fast`]: codes are nearly noise.
    pub level: Level,
}

impl Default for Int8Config {
    fn default() -> Self {
        Int8Config {
            group_values: 64,
            level: Level::Fast,
        }
    }
}

impl Int8Config {
    /// The defaults.
    pub fn new() -> Self {
        Int8Config::default()
    }

    /// Sets [`Int8Config::group_values`].
    pub fn group_values(mut self, values: usize) -> Self {
        self.group_values = values;
        self
    }

    /// Sets [`Int8Config::level`].
    pub fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    fn validate(&self) -> Result<(), SigmaError> {
        self.level.validate()?;
        match self.group_values {
            32 | 64 | 128 => Ok(()),
            values => Err(SigmaError::InvalidConfig {
                name: "group_values",
                value: i64::try_from(values).unwrap_or(i64::MAX),
                allowed: "32, 64 or 128 values",
            }),
        }
    }
}

/// Quantises a tensor of little-endian elements and compresses what is left. **Lossy**: see the
/// [module](crate::tensor) for the bound on the error.
///
/// ```
/// use sigma_lang::Limits;
/// use sigma_lang::tensor::{FloatType, Int8Config, compress_int8, decompress_int8};
/// let values: Vec<f32> = (0..4096).map(|n| (n as f32 * 0.37).sin()).collect();
/// let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
/// let packed = compress_int8(&bytes, FloatType::F32, &Int8Config::new())?;
/// assert!(packed.len() * 3 < bytes.len());
/// let (float, back) = decompress_int8(&packed, &Limits::default())?;
/// assert_eq!((float, back.len()), (FloatType::F32, bytes.len()));
/// for (value, bytes) in values.iter().zip(back.chunks_exact(4)) {
///     let back = f32::from_le_bytes(bytes.try_into().unwrap());
///     assert!((value - back).abs() <= 1.0 / 253.0);
/// }
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
///
/// # Errors
/// [`SigmaError::InvalidConfig`]; [`SigmaError::TensorLength`] for a part of an element;
/// [`SigmaError::TensorNotFinite`] for NaN and infinity.
pub fn compress_int8(
    bytes: &[u8],
    float: FloatType,
    config: &Int8Config,
) -> Result<Vec<u8>, SigmaError> {
    let width = float.width();
    if !bytes.len().is_multiple_of(width) {
        return Err(SigmaError::TensorLength {
            bytes: bytes.len(),
            width,
        });
    }
    let groups = bytes
        .chunks(width * config.group_values.max(1))
        .map(|group| group.chunks_exact(width).map(|element| float.read(element)));
    pack(groups, bytes.len() / width, float, config)
}

/// As [`compress_int8`] for a slice of f32.
///
/// # Errors
/// As [`compress_int8`].
pub fn compress_int8_f32(values: &[f32], config: &Int8Config) -> Result<Vec<u8>, SigmaError> {
    let groups = values
        .chunks(config.group_values.max(1))
        .map(|group| group.iter().copied());
    pack(groups, values.len(), FloatType::F32, config)
}

fn pack<G: Iterator<Item = f32>>(
    groups: impl Iterator<Item = G>,
    values: usize,
    float: FloatType,
    config: &Int8Config,
) -> Result<Vec<u8>, SigmaError> {
    config.validate()?;
    let mut scales = Vec::with_capacity(4 * values.div_ceil(config.group_values));
    let mut codes = Vec::with_capacity(values);
    let mut group = Vec::with_capacity(config.group_values);
    for values in groups {
        group.clear();
        group.extend(values);
        let scale = quantise_group(&group, codes.len(), &mut codes)?;
        scales.extend_from_slice(&scale.to_le_bytes());
    }
    let mut out = MAGIC.to_vec();
    let group_log = u8::try_from(config.group_values.trailing_zeros()).unwrap_or_default();
    out.extend_from_slice(&[VERSION, float.tag(), group_log]);
    write_varint(values as u64, &mut out);
    let check = check32(&out);
    out.extend_from_slice(&check.to_le_bytes());
    scales.append(&mut codes);
    let config = Config::new().level(config.level).transforms(false);
    Compressor::new(&config)?.compress_into(&scales, &mut out)?;
    Ok(out)
}

/// A tensor taken apart.
struct Unpacked {
    float: FloatType,
    group_values: usize,
    values: usize,
    /// Scales, then codes.
    content: Vec<u8>,
}

impl Unpacked {
    /// Reads a tensor whose elements will take `width` bytes each (`None`: as stated).
    fn parse(packed: &[u8], width: Option<usize>, limits: &Limits) -> Result<Self, SigmaError> {
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
        let group_log = cursor.u8(WHAT)?;
        if !(5..=7).contains(&group_log) {
            return Err(corrupt(6, "group is not 32, 64 or 128 values"));
        }
        let values = cursor.varint(WHAT)?;
        let covered = packed.len() - cursor.rest().len();
        let stored = cursor.u32(WHAT)?;
        let computed = check32(packed.get(..covered).unwrap_or_default());
        if stored != computed {
            return Err(SigmaError::ChecksumMismatch {
                what: WHAT,
                offset: 0,
                stored: u64::from(stored),
                computed: u64::from(computed),
            });
        }
        let width = width.unwrap_or(float.width()) as u64;
        limits.check_output(values.saturating_mul(width))?;
        // Codes and scales are no longer than the f32 that were checked, or 2.125 times the halves.
        let content_bytes = values + 4 * values.div_ceil(1 << group_log);
        let inner = limits.output_bytes_max(content_bytes);
        let content = decompress(cursor.rest(), &inner)?;
        if content.len() as u64 != content_bytes {
            return Err(corrupt(7, "number of values is not that of the codes"));
        }
        let Ok(values) = usize::try_from(values) else {
            return Err(corrupt(7, "number of values is over the address space"));
        };
        Ok(Unpacked {
            float,
            group_values: 1 << group_log,
            values,
            content,
        })
    }

    /// Gives each value in order.
    fn for_each(&self, mut take: impl FnMut(f32)) -> Result<(), SigmaError> {
        let groups = self.values.div_ceil(self.group_values);
        let (scales, codes) = self
            .content
            .split_at_checked(4 * groups)
            .unwrap_or_default();
        let pairs = scales.chunks_exact(4).zip(codes.chunks(self.group_values));
        for (scale, codes) in pairs {
            let scale = FloatType::F32.read(scale);
            if !scale.is_finite() || scale.is_sign_negative() {
                return Err(corrupt(7, "scale is negative or not finite"));
            }
            for code in codes {
                take(dequantise(*code, scale));
            }
        }
        Ok(())
    }
}

/// Decompresses a quantised tensor to little-endian elements of the type that it was made of.
///
/// # Errors
/// [`SigmaError::NotSigma`], [`SigmaError::UnsupportedVersion`], [`SigmaError::UnknownTag`];
/// [`SigmaError::LimitExceeded`] before anything is allocated; as [`decompress`](crate::decompress) for
/// damage.
pub fn decompress_int8(packed: &[u8], limits: &Limits) -> Result<(FloatType, Vec<u8>), SigmaError> {
    let unpacked = Unpacked::parse(packed, None, limits)?;
    let float = unpacked.float;
    let mut out = room(unpacked.values, float.width())?;
    unpacked.for_each(|value| float.write(value, &mut out))?;
    Ok((float, out))
}

/// Decompresses a quantised tensor to f32, whatever it was made of: without the rounding to bf16 or
/// f16. The limit on the output counts 4 bytes per value.
///
/// # Errors
/// As [`decompress_int8`].
pub fn decompress_int8_f32(packed: &[u8], limits: &Limits) -> Result<Vec<f32>, SigmaError> {
    let unpacked = Unpacked::parse(packed, Some(4), limits)?;
    let mut out = Vec::new();
    out.try_reserve_exact(unpacked.values)
        .map_err(|_| refused(unpacked.values.saturating_mul(4)))?;
    unpacked.for_each(|value| out.push(value))?;
    Ok(out)
}

fn room(values: usize, width: usize) -> Result<Vec<u8>, SigmaError> {
    let bytes = values.saturating_mul(width);
    let mut out = Vec::new();
    out.try_reserve_exact(bytes).map_err(|_| refused(bytes))?;
    Ok(out)
}

fn refused(bytes: usize) -> SigmaError {
    SigmaError::AllocationFailed {
        what: "a tensor",
        bytes: bytes as u64,
    }
}

pub(super) fn corrupt(offset: u64, detail: &'static str) -> SigmaError {
    SigmaError::Corrupt {
        what: WHAT,
        offset,
        detail,
    }
}
