//! Bounded little-endian reader and writer with the preamble and checksum that all formats share.
//!
//! ```text
//! offset  size  field
//!      0     4  magic "SKCH"
//!      4     1  format version, 1
//!      5     1  family code
//!      6     2  hash rule: 0 the stable hash, 1 SipHash under a secret key
//!      8     8  hash seed, or identity of the key; zero where the family does not hash
//!     16     n  body of the family
//!   16+n     8  XXH3-64 with seed 0 of all bytes before
//! ```
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, string::String, vec::Vec};

use crate::{error::SketchError, hash::hash_bytes};

const MAGIC: [u8; 4] = *b"SKCH";
const VERSION: u8 = 1;
const PREAMBLE_BYTES: usize = 16;
const CHECKSUM_BYTES: usize = 8;
const RULE_AT: usize = 6;
const SEED_AT: usize = 8;
/// Keys are hashed by the stable hash.
const STABLE: u16 = 0;
/// Keys are hashed under a secret key.
const KEYED: u16 = 1;

/// Kinds of encoded structures; the numbers are part of the format and never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Family {
    HyperLogLog = 1,
    UltraLogLog = 2,
    ExaLogLog = 3,
    Bloom = 16,
    SplitBlockBloom = 17,
    BinaryFuse8 = 18,
    AtomicBloom = 19,
    CountMin = 32,
    SpaceSaving = 48,
    MinHash = 64,
    OnePermutation = 65,
    PackedSignature = 66,
    DdSketch = 80,
    TDigest = 81,
    Kll = 82,
    CountSketch = 96,
    FrequentItems = 97,
}

impl Family {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::HyperLogLog => "hyperloglog",
            Self::UltraLogLog => "ultraloglog",
            Self::ExaLogLog => "exaloglog",
            Self::Bloom => "bloom filter",
            Self::SplitBlockBloom => "split-block bloom filter",
            Self::BinaryFuse8 => "binary fuse filter",
            Self::AtomicBloom => "atomic bloom filter",
            Self::CountMin => "count-min",
            Self::SpaceSaving => "space-saving",
            Self::MinHash => "minhash",
            Self::DdSketch => "ddsketch",
            Self::OnePermutation => "one-permutation minhash",
            Self::PackedSignature => "packed signature",
            Self::TDigest => "t-digest",
            Self::Kll => "kll",
            Self::CountSketch => "count-sketch",
            Self::FrequentItems => "frequent-items",
        }
    }
}

/// Collects the encoding of one structure.
pub(crate) struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(family: Family, seed: u64, body_bytes: usize) -> Self {
        let mut bytes = Vec::with_capacity(PREAMBLE_BYTES + body_bytes + CHECKSUM_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&[VERSION, family as u8, 0, 0]);
        bytes.extend_from_slice(&seed.to_le_bytes());
        Self { bytes }
    }

    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn i32(&mut self, value: i32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }

    /// LEB128: seven bits a byte, least significant first, high bit set on all but the last.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.bytes.push(value.to_le_bytes()[0]);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let checksum = hash_bytes(&self.bytes, 0);
        self.bytes.extend_from_slice(&checksum.to_le_bytes());
        self.bytes
    }
}

/// Reads the body of one structure after its preamble and checksum were verified.
#[derive(Debug)]
pub(crate) struct Reader<'a> {
    sketch: &'static str,
    /// Preamble and body, without the checksum.
    bytes: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Verifies length, magic, version, family and checksum; returns the reader and the seed.
    pub(crate) fn open(bytes: &'a [u8], family: Family) -> Result<(Self, u64), SketchError> {
        let sketch = family.name();
        let Some(body_end) = bytes
            .len()
            .checked_sub(CHECKSUM_BYTES)
            .filter(|end| *end >= PREAMBLE_BYTES)
        else {
            return Err(SketchError::Truncated {
                sketch,
                field: "preamble and checksum",
                offset: 0,
                needed: PREAMBLE_BYTES + CHECKSUM_BYTES,
                available: bytes.len(),
            });
        };
        let (covered, stored) = bytes.split_at(body_end);
        let mut reader = Self::plain(sketch, covered);
        let found: [u8; 4] = reader.array("magic")?;
        if found != MAGIC {
            return Err(SketchError::Magic { sketch, found });
        }
        let found = reader.u8("version")?;
        if found != VERSION {
            return Err(SketchError::Version {
                sketch,
                found,
                supported: VERSION,
            });
        }
        let found = reader.u8("family")?;
        if found != family as u8 {
            return Err(SketchError::Family {
                sketch,
                found,
                expected: family as u8,
            });
        }
        let mut tail = Reader::plain(sketch, stored);
        let stored = tail.u64("checksum")?;
        let computed = hash_bytes(covered, 0);
        // A fuzzer cannot guess checksums; the fields behind must stand on their own.
        if stored != computed && !cfg!(fuzzing) {
            return Err(SketchError::Checksum {
                sketch,
                stored,
                computed,
            });
        }
        let offset = reader.offset;
        let found = u16::from_le_bytes(reader.array("hash rule")?);
        if found == KEYED {
            return Err(hash_rule(sketch, found, STABLE));
        }
        if found != STABLE {
            return Err(reader.bad_field("hash rule", offset, format!("{found}"), "0 or 1"));
        }
        let seed = reader.u64("seed")?;
        Ok((reader, seed))
    }

    /// A reader of bytes in another project's format, without our preamble and checksum.
    pub(crate) const fn plain(sketch: &'static str, bytes: &'a [u8]) -> Self {
        Self {
            sketch,
            bytes,
            offset: 0,
        }
    }

    pub(crate) fn offset(&self) -> usize {
        self.offset
    }

    pub(crate) fn remaining(&self) -> usize {
        self.bytes.len() - self.offset
    }

    pub(crate) fn raw(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], SketchError> {
        let taken = self
            .offset
            .checked_add(len)
            .and_then(|end| self.bytes.get(self.offset..end))
            .ok_or(SketchError::Truncated {
                sketch: self.sketch,
                field,
                offset: self.offset,
                needed: len,
                available: self.remaining(),
            })?;
        self.offset += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], SketchError> {
        let mut out = [0; N];
        out.copy_from_slice(self.raw(field, N)?);
        Ok(out)
    }

    pub(crate) fn u8(&mut self, field: &'static str) -> Result<u8, SketchError> {
        Ok(u8::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u32(&mut self, field: &'static str) -> Result<u32, SketchError> {
        Ok(u32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn i32(&mut self, field: &'static str) -> Result<i32, SketchError> {
        Ok(i32::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn u64(&mut self, field: &'static str) -> Result<u64, SketchError> {
        Ok(u64::from_le_bytes(self.array(field)?))
    }

    pub(crate) fn f64(&mut self, field: &'static str) -> Result<f64, SketchError> {
        Ok(f64::from_bits(self.u64(field)?))
    }

    /// Reads a LEB128 number; only the shortest form is accepted.
    pub(crate) fn varint(&mut self, field: &'static str) -> Result<u64, SketchError> {
        let start = self.offset;
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8(field)?;
            let bits = u64::from(byte & 0x7f);
            if (shift == 63 && bits > 1) || (byte == 0 && shift > 0) {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        let allowed = "a number below 2^64 in its shortest form";
        Err(self.bad_field(field, start, String::from("not a varint"), allowed))
    }

    /// Reads a 32-bit element count and refuses it unless it is in `1..=max` (0 too where
    /// `max_allowed` says so) and the rest of the bytes can hold that many elements.
    pub(crate) fn count(
        &mut self,
        field: &'static str,
        range: core::ops::RangeInclusive<usize>,
        element_bytes_min: usize,
        allowed: &'static str,
    ) -> Result<usize, SketchError> {
        let start = self.offset;
        let stored = self.u32(field)?;
        let count = usize::try_from(stored).unwrap_or(usize::MAX);
        if !range.contains(&count) {
            return Err(self.bad_field(field, start, format!("{stored}"), allowed));
        }
        let needed = count.saturating_mul(element_bytes_min);
        if needed > self.remaining() {
            return Err(SketchError::Truncated {
                sketch: self.sketch,
                field,
                offset: self.offset,
                needed,
                available: self.remaining(),
            });
        }
        Ok(count)
    }

    pub(crate) fn bad_field(
        &self,
        field: &'static str,
        offset: usize,
        value: String,
        allowed: &'static str,
    ) -> SketchError {
        SketchError::Field {
            sketch: self.sketch,
            field,
            offset,
            value,
            allowed,
        }
    }

    /// Refuses bytes behind the body.
    pub(crate) fn finish(self) -> Result<(), SketchError> {
        if self.remaining() == 0 {
            return Ok(());
        }
        let value = format!("{} extra bytes", self.remaining());
        Err(self.bad_field(
            "end of body",
            self.offset,
            value,
            "no bytes behind the body",
        ))
    }
}

const fn hash_rule(sketch: &'static str, found: u16, expected: u16) -> SketchError {
    SketchError::HashRule {
        sketch,
        found,
        expected,
    }
}

/// Marks an encoding as one whose keys are hashed under a secret key.
pub(crate) fn keyed_bytes(bytes: Vec<u8>) -> Vec<u8> {
    with_rule(bytes, KEYED)
}

/// The encoding without that mark, after the rule, the identity of the key and the checksum were
/// found right; everything else is left to the reader of the family.
pub(crate) fn unkeyed_bytes(
    sketch: &'static str,
    bytes: &[u8],
    id: u64,
) -> Result<Vec<u8>, SketchError> {
    let mut reader = Reader::plain(sketch, bytes);
    reader.raw("preamble", RULE_AT)?;
    let found = u16::from_le_bytes(reader.array("hash rule")?);
    if found == STABLE {
        return Err(hash_rule(sketch, found, KEYED));
    }
    if found != KEYED {
        return Err(reader.bad_field("hash rule", RULE_AT, format!("{found}"), "0 or 1"));
    }
    let right = reader.u64("key identity")?;
    let body = reader.remaining().saturating_sub(CHECKSUM_BYTES);
    reader.raw("body", body)?;
    let (covered, _) = bytes.split_at(reader.offset());
    let stored = reader.u64("checksum")?;
    let computed = hash_bytes(covered, 0);
    if stored != computed && !cfg!(fuzzing) {
        return Err(SketchError::Checksum {
            sketch,
            stored,
            computed,
        });
    }
    if id != right {
        return Err(SketchError::KeyMismatch {
            sketch,
            left: id,
            right,
        });
    }
    Ok(with_rule(bytes.to_vec(), STABLE))
}

fn with_rule(mut bytes: Vec<u8>, rule: u16) -> Vec<u8> {
    if let Some(place) = bytes.get_mut(RULE_AT..SEED_AT) {
        place.copy_from_slice(&rule.to_le_bytes());
    }
    bytes.truncate(bytes.len().saturating_sub(CHECKSUM_BYTES));
    Writer { bytes }.finish()
}

/// Gives a type `Serialize` and `Deserialize` as the bytes of its own codec.
macro_rules! serde_through_bytes {
    ($type:ty $(, $param:ident : $($bound:tt)+)?) => {
        #[cfg(feature = "serde")]
        impl $(<$param: $($bound)+>)? serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.to_bytes())
            }
        }

        #[cfg(feature = "serde")]
        impl<'de $(, $param: $($bound)+)?> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = deserializer.deserialize_byte_buf($crate::serde_bytes::ByteBufVisitor)?;
                Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use serde_through_bytes;
