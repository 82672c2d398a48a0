//! Bytes of a [`KvState`]; the specification is `docs/formats/kv-state.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use xxhash_rust::xxh3::xxh3_64;

use super::{KvElement, KvState, KvValues};
use crate::error::{InferError, Result};

const FORMAT: &str = "kv state";
const MAGIC: [u8; 4] = *b"RYKV";
const VERSION: u16 = 1;
/// Magic, version, element type, fingerprint, start, tokens, layers, kv heads, head size.
const HEADER_BYTES: usize = 4 + 2 + 2 + 16 + 8 + 4 + 4 + 4 + 4;
const CHECKSUM_BYTES: usize = 8;

impl KvState {
    /// Encodes to portable bytes: 48 bytes, 4 per token, 4 or 2 per number, 8 of checksum.
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.bytes();
        let mut out = Vec::with_capacity(HEADER_BYTES + body + CHECKSUM_BYTES);
        out.extend(MAGIC);
        out.extend(VERSION.to_le_bytes());
        out.extend(element_code(self.values.element()).to_le_bytes());
        out.extend(self.fingerprint.to_le_bytes());
        out.extend((self.start as u64).to_le_bytes());
        for count in [self.tokens.len(), self.layers, self.kv_heads, self.head_dim] {
            // each is bounded by the context or the model dimensions, both far below 2^32
            out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        for token in &self.tokens {
            out.extend(token.to_le_bytes());
        }
        out.extend(self.values.to_le_bytes());
        out.extend(xxh3_64(&out).to_le_bytes());
        out
    }

    /// Decodes what [`KvState::to_bytes`] made.
    ///
    /// Allocates no more than the input's own size: every count is checked against it first.
    ///
    /// # Errors
    /// [`InferError::BadMagic`], [`InferError::UnsupportedVersion`], [`InferError::Truncated`],
    /// [`InferError::Checksum`], [`InferError::BadField`] for counts that do not fit the length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut input = Input {
            rest: bytes,
            offset: 0,
        };
        let magic: [u8; 4] = input.take("magic")?;
        if magic != MAGIC {
            return Err(InferError::BadMagic {
                format: FORMAT,
                found: magic,
                expected: MAGIC,
            });
        }
        let version = u16::from_le_bytes(input.take("version")?);
        if version != VERSION {
            let found = u32::from(version);
            return Err(InferError::UnsupportedVersion {
                format: FORMAT,
                found,
                allowed: "1",
            });
        }
        let element = u16::from_le_bytes(input.take("element type")?);
        let known = [KvElement::F32, KvElement::Bf16];
        let Some(element) = known.into_iter().find(|e| element_code(*e) == element) else {
            return Err(bad("element type", element, "0 (f32) or 1 (bf16)"));
        };
        let fingerprint = u128::from_le_bytes(input.take("fingerprint")?);
        let start = u64::from_le_bytes(input.take("start")?);
        let start = usize::try_from(start).map_err(|_| bad("start", start, "below 2^32"))?;
        let tokens = input.count("token count")?;
        let layers = input.count("layer count")?;
        let kv_heads = input.count("kv head count")?;
        let head_dim = input.count("head size")?;
        let values = [2, layers, kv_heads, head_dim]
            .iter()
            .try_fold(tokens, |product: u64, n| product.checked_mul(*n))
            .ok_or_else(|| bad("size", "more than 2^64 numbers", "what the bytes hold"))?;
        let body = values
            .checked_mul(element.bytes() as u64)
            .and_then(|bytes| bytes.checked_add(4 * tokens));
        let expected = body.and_then(|b| b.checked_add(CHECKSUM_BYTES as u64));
        let held = input.rest.len() as u64;
        match expected {
            Some(expected) if expected == held => {}
            Some(needed) if needed > held => {
                let offset = input.offset;
                let what = "tokens and values";
                return Err(InferError::Truncated {
                    format: FORMAT,
                    what,
                    offset,
                    needed,
                    available: held,
                });
            }
            _ => return Err(bad("size", format!("{held} bytes"), "what the counts say")),
        }
        verify(bytes)?;
        let token_bytes = usize::try_from(tokens)
            .unwrap_or(usize::MAX)
            .saturating_mul(4);
        let body = input
            .rest
            .get(..input.rest.len() - CHECKSUM_BYTES)
            .unwrap_or_default();
        let (token_part, value_part) = body.split_at_checked(token_bytes).unwrap_or((body, &[]));
        let word = |c: &[u8; 4]| *c;
        let to_usize = |n: u64| usize::try_from(n).unwrap_or(usize::MAX);
        Ok(Self {
            fingerprint,
            start,
            tokens: token_part
                .as_chunks()
                .0
                .iter()
                .map(|c| u32::from_le_bytes(word(c)))
                .collect(),
            layers: to_usize(layers),
            kv_heads: to_usize(kv_heads),
            head_dim: to_usize(head_dim),
            values: KvValues::from_le_bytes(element, value_part),
        })
    }
}

fn element_code(element: KvElement) -> u16 {
    match element {
        KvElement::F32 => 0,
        KvElement::Bf16 => 1,
    }
}

/// Checks the trailing checksum over everything before it.
fn verify(bytes: &[u8]) -> Result<()> {
    let Some((content, stored)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
        return Ok(()); // lengths were checked before
    };
    let (stored, computed) = (u64::from_le_bytes(*stored), xxh3_64(content));
    if stored == computed {
        return Ok(());
    }
    Err(InferError::Checksum {
        format: FORMAT,
        stored,
        computed,
    })
}

fn bad(field: &str, value: impl ToString, allowed: &str) -> InferError {
    InferError::BadField {
        format: FORMAT,
        field: field.to_owned(),
        value: value.to_string(),
        allowed: allowed.to_owned(),
    }
}

struct Input<'a> {
    rest: &'a [u8],
    offset: u64,
}

impl Input<'_> {
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N]> {
        let Some((head, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(InferError::Truncated {
                format: FORMAT,
                what,
                offset: self.offset,
                needed: N as u64,
                available: self.rest.len() as u64,
            });
        };
        self.rest = rest;
        self.offset += N as u64;
        Ok(*head)
    }

    /// A u32 count that is at least 1.
    fn count(&mut self, what: &'static str) -> Result<u64> {
        match u32::from_le_bytes(self.take(what)?) {
            0 => Err(bad(what, 0, "at least 1")),
            n => Ok(u64::from(n)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> KvState {
        KvState {
            fingerprint: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
            start: 3,
            tokens: vec![7, 8],
            layers: 1,
            kv_heads: 1,
            head_dim: 2,
            values: KvValues::F32((0u8..8).map(f32::from).collect()),
        }
    }

    fn rounded() -> KvState {
        let values = sample().values.to_f32();
        KvState {
            values: KvValues::from_f32(KvElement::Bf16, values),
            ..sample()
        }
    }

    #[test]
    fn layout_is_as_specified() {
        let bytes = sample().to_bytes();
        assert_eq!(bytes.len(), 48 + 2 * 4 + 8 * 4 + 8);
        assert_eq!(&bytes[..8], b"RYKV\x01\x00\x00\x00");
        assert_eq!(&bytes[8..12], [0x77, 0x66, 0x55, 0x44]);
        assert_eq!(&bytes[24..32], [3, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&bytes[32..36], [2, 0, 0, 0]);
        assert_eq!(&bytes[48..56], [7, 0, 0, 0, 8, 0, 0, 0]);
        assert_eq!(KvState::from_bytes(&bytes).unwrap(), sample());
        let bytes = rounded().to_bytes();
        assert_eq!(bytes.len(), 48 + 2 * 4 + 8 * 2 + 8);
        assert_eq!(&bytes[..8], b"RYKV\x01\x00\x01\x00");
        assert_eq!(KvState::from_bytes(&bytes).unwrap(), rounded());
        // whole numbers below 256 are bfloat16 as they are
        assert_eq!(rounded().values.to_f32(), sample().values.to_f32());
    }

    #[test]
    fn every_cut_and_every_flipped_bit_is_an_error() {
        for bytes in [sample().to_bytes(), rounded().to_bytes()] {
            for len in 0..bytes.len() {
                assert!(KvState::from_bytes(&bytes[..len]).is_err(), "cut at {len}");
            }
            for bit in 0..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert!(KvState::from_bytes(&bad).is_err(), "bit {bit}");
            }
            let mut long = bytes;
            long.push(0);
            assert!(KvState::from_bytes(&long).is_err());
        }
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let bytes = sample().to_bytes();
        let with = |at: usize, byte: u8| {
            let mut b = bytes.clone();
            b[at] = byte;
            KvState::from_bytes(&b).unwrap_err().to_string()
        };
        assert!(with(0, b'X').contains("magic"));
        assert!(with(4, 9).contains("version 9 is not supported, allowed: 1"));
        assert!(with(6, 2).contains("element type is 2"));
        assert!(with(32, 0).contains("token count is 0"));
        assert!(with(33, 1).contains("tokens and values at byte 48 needs"));
        assert!(with(60, 99).contains("checksum"));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = KvState::from_bytes(&bytes);
            let mut headed = b"RYKV\x01\x00\x00\x00".to_vec();
            headed.extend(bytes);
            let _ = KvState::from_bytes(&headed);
        }
    }
}
