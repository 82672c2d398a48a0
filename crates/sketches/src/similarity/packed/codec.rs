//! Bytes of a [`PackedSignature`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, string::String, vec::Vec};

use super::signature::{PackedSignature, is_width, words_for};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
    similarity::{MinHash, Scheme},
};

impl PackedSignature {
    /// Encodes the signature: 30 bytes and the packed bits, rounded up to a byte.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let packed = packed_bytes(self.permutations, self.bits);
        let mut writer = Writer::new(Family::PackedSignature, self.seed, 6 + packed);
        writer.u8(self.scheme.code());
        writer.u8(u8::try_from(self.bits).unwrap_or(u8::MAX));
        writer.u32(u32::try_from(self.permutations).unwrap_or(u32::MAX));
        let bytes: Vec<u8> = self
            .words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
        writer.raw(bytes.get(..packed).unwrap_or_default());
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::PackedSignature)?;
        let at = reader.offset();
        let code = reader.u8("scheme")?;
        let Some(scheme) = Scheme::from_code(code) else {
            return Err(reader.bad_field("scheme", at, format!("{code}"), "0 or 1"));
        };
        let at = reader.offset();
        let bits = u32::from(reader.u8("bits")?);
        if !is_width(bits) {
            return Err(reader.bad_field("bits", at, format!("{bits}"), "1, 2, 4, 8 or 16"));
        }
        let range = 1..=MinHash::PERMUTATIONS_MAX;
        let permutations = reader.count("permutations", range, 0, "1 to 4096")?;
        let at = reader.offset();
        let packed = reader.raw("minima", packed_bytes(permutations, bits))?;
        let mut words = Vec::with_capacity(words_for(permutations, bits));
        for chunk in packed.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut()
                .zip(chunk)
                .for_each(|(to, from)| *to = *from);
            words.push(u64::from_le_bytes(word));
        }
        let used = permutations * bits as usize % 64;
        if used > 0 && words.last().is_some_and(|word| word >> used != 0) {
            let (value, allowed) = (String::from("not zero behind the last"), "zero there");
            return Err(reader.bad_field("minima", at, value, allowed));
        }
        reader.finish()?;
        Ok(Self {
            scheme,
            seed,
            bits,
            permutations,
            words: words.into_boxed_slice(),
        })
    }
}

const fn packed_bytes(permutations: usize, bits: u32) -> usize {
    (permutations * bits as usize).div_ceil(8)
}

serde_through_bytes!(PackedSignature);
