//! A block as bytes; the specification is `docs/formats/prefix-block.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use super::config::PrefixForm;
use ryot_inference::{BlockKey, InferError, KvBlock, KvElement, KvShape, KvState, KvValues};
use sigma_lang::tensor::{
    self, FloatType, Int8Config, KvConfig, compress_int8, compress_kv, decompress_int8,
    decompress_kv,
};
use sigma_lang::{Compressor, Decompressor, Limits, SigmaError};

const MAGIC: [u8; 4] = *b"NKVB";
const VERSION: u16 = 1;
const FLAG_PREVIOUS: u16 = 1;
const FLAG_INT8: u16 = 2;
const FLAG_BF16: u16 = 4;
const FLAG_STEPS: u16 = 8;
const FLAGS: u16 = FLAG_PREVIOUS | FLAG_INT8 | FLAG_BF16 | FLAG_STEPS;
/// Most numbers of one block: 256 MiB of f32.
const VALUES_MAX: u64 = 64 << 20;

/// Why bytes are not the block that was asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    #[error("prefix block: {what} is {found} at byte {offset}; allowed: {allowed}")]
    Field {
        what: &'static str,
        found: String,
        offset: usize,
        allowed: &'static str,
    },
    #[error("prefix block: keys and values: {0}")]
    Values(#[from] SigmaError),
    #[error("prefix block: {0}")]
    State(#[from] InferError),
}

/// What the first bytes of a record say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) key: BlockKey,
    pub(super) previous: Option<BlockKey>,
}

/// Packs a block.
pub(super) fn pack(
    block: &KvBlock,
    form: PrefixForm,
    compressor: &mut Compressor,
) -> Result<Vec<u8>, SigmaError> {
    let (state, shape) = (&block.state, block.state.shape());
    let mut flags = 0;
    if block.previous.is_some() {
        flags |= FLAG_PREVIOUS;
    }
    flags |= match form {
        PrefixForm::Lossless => 0,
        PrefixForm::Int8 => FLAG_INT8,
        PrefixForm::Steps => FLAG_STEPS,
    };
    let float = match state.values().element() {
        KvElement::Bf16 => {
            flags |= FLAG_BF16;
            FloatType::Bf16
        }
        _ => FloatType::F32,
    };
    let mut out = Vec::new();
    out.extend(MAGIC);
    out.extend(VERSION.to_le_bytes());
    out.extend(flags.to_le_bytes());
    let previous = block.previous.map_or(0, |previous| previous.0);
    for wide in [block.key.0, previous, state.fingerprint()] {
        out.extend(wide.to_le_bytes());
    }
    out.extend((state.start() as u64).to_le_bytes());
    let counts = [
        state.tokens().len(),
        shape.layers,
        shape.kv_heads,
        shape.head_dim,
    ];
    for count in counts {
        // Bounded by the context and by the model, both far below 2^32.
        out.extend(u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
    }
    for token in state.tokens() {
        out.extend(token.to_le_bytes());
    }
    let bytes = state.values().to_le_bytes();
    match form {
        PrefixForm::Lossless => compressor.compress_into(&bytes, &mut out)?,
        PrefixForm::Int8 => out.extend(compress_int8(&bytes, float, &Int8Config::new())?),
        PrefixForm::Steps => {
            let channels = shape.kv_heads * shape.head_dim;
            let shape = tensor::KvShape::new(state.tokens().len(), channels);
            out.extend(compress_kv(&bytes, float, shape, &KvConfig::new())?);
        }
    }
    Ok(out)
}

/// The key of a record, and that of the block before it.
pub(super) fn head(bytes: &[u8]) -> Result<Head, RecordError> {
    let mut input = Input { bytes, offset: 0 };
    Ok(read_head(&mut input)?.0)
}

fn read_head(input: &mut Input<'_>) -> Result<(Head, u16), RecordError> {
    let magic: [u8; 4] = input.take("magic")?;
    if magic != MAGIC {
        return Err(input.wrong("magic", format!("{magic:02x?}"), "NKVB"));
    }
    let version = u16::from_le_bytes(input.take("version")?);
    if version != VERSION {
        return Err(input.wrong("version", version, "1"));
    }
    let flags = u16::from_le_bytes(input.take("flags")?);
    let forms = flags & (FLAG_INT8 | FLAG_STEPS);
    if flags & !FLAGS != 0 || forms == FLAG_INT8 | FLAG_STEPS {
        return Err(input.wrong("flags", flags, "0 to 13, 2 and 8 not together"));
    }
    let key = BlockKey(u128::from_le_bytes(input.take("key")?));
    let previous = BlockKey(u128::from_le_bytes(input.take("previous key")?));
    let previous = (flags & FLAG_PREVIOUS != 0).then_some(previous);
    Ok((Head { key, previous }, flags))
}

/// Unpacks the block of a key.
pub(super) fn unpack(
    bytes: &[u8],
    key: BlockKey,
    decompressor: &mut Decompressor,
) -> Result<(Head, KvState), RecordError> {
    let mut input = Input { bytes, offset: 0 };
    let (head, flags) = read_head(&mut input)?;
    if head.key != key {
        let found = format!("{:032x}", head.key.0);
        return Err(input.wrong("key", found, "that of the record"));
    }
    let fingerprint = u128::from_le_bytes(input.take("fingerprint")?);
    let start = u64::from_le_bytes(input.take("start")?);
    let Ok(start) = usize::try_from(start) else {
        return Err(input.wrong("start", start, "a position"));
    };
    let tokens = input.count("token count")?;
    let shape = [
        input.count("layer count")?,
        input.count("kv head count")?,
        input.count("head size")?,
    ];
    let values = shape
        .iter()
        .try_fold(2 * u64::from(tokens), |product, count| {
            product.checked_mul(u64::from(*count))
        });
    let values = values.filter(|values| *values <= VALUES_MAX);
    let Some(values) = values else {
        return Err(input.wrong("number of values", "more", "up to 2^26"));
    };
    // The bytes are there before anything of their size is allocated.
    let tokens = input.words(tokens)?;
    let packed = input.bytes.get(input.offset..).unwrap_or_default();
    let (element, float) = if flags & FLAG_BF16 == 0 {
        (KvElement::F32, FloatType::F32)
    } else {
        (KvElement::Bf16, FloatType::Bf16)
    };
    let (found, raw) = match flags & (FLAG_INT8 | FLAG_STEPS) {
        FLAG_INT8 => decompress_int8(packed, &limits(values))?,
        FLAG_STEPS => decompress_kv(packed, &limits(values))?,
        _ => {
            let mut raw = Vec::new();
            decompressor.decompress_into(packed, &mut raw)?;
            (float, raw)
        }
    };
    if found != float {
        return Err(input.wrong("type of the tensor", format!("{found:?}"), "as flagged"));
    }
    if raw.len() as u64 != values * element.bytes() as u64 {
        return Err(input.wrong("bytes of values", raw.len(), "what the counts say"));
    }
    let values = KvValues::from_le_bytes(element, &raw);
    let [layers, kv_heads, head_dim] = shape.map(|count| count as usize);
    let shape = KvShape {
        layers,
        kv_heads,
        head_dim,
    };
    let state = KvState::from_parts(fingerprint, start, tokens, shape, values)?;
    Ok((head, state))
}

/// A decompressor that no block makes allocate more than a block may have.
pub(super) fn decompressor() -> Decompressor {
    Decompressor::new(limits(VALUES_MAX))
}

fn limits(values: u64) -> Limits {
    Limits::new().output_bytes_max(4 * values)
}

struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
}

impl Input<'_> {
    fn take<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], RecordError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let Some(found) = rest.first_chunk::<N>() else {
            return Err(self.wrong(what, format!("cut after {} bytes", rest.len()), "whole"));
        };
        self.offset += N;
        Ok(*found)
    }

    fn count(&mut self, what: &'static str) -> Result<u32, RecordError> {
        match u32::from_le_bytes(self.take(what)?) {
            0 => Err(self.wrong(what, 0, "at least 1")),
            count => Ok(count),
        }
    }

    fn words(&mut self, count: u32) -> Result<Vec<u32>, RecordError> {
        let rest = self.bytes.get(self.offset..).unwrap_or_default();
        let len = (count as usize).saturating_mul(4);
        let Some(bytes) = rest.get(..len) else {
            return Err(self.wrong("tokens", format!("cut after {} bytes", rest.len()), "whole"));
        };
        self.offset += len;
        Ok(bytes
            .as_chunks()
            .0
            .iter()
            .map(|word| u32::from_le_bytes(*word))
            .collect())
    }

    fn wrong(
        &self,
        what: &'static str,
        found: impl ToString,
        allowed: &'static str,
    ) -> RecordError {
        RecordError::Field {
            what,
            found: found.to_string(),
            offset: self.offset,
            allowed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sigma_lang::Config;
    use std::sync::Arc;

    const ELEMENTS: [KvElement; 2] = [KvElement::F32, KvElement::Bf16];

    fn block(element: KvElement) -> KvBlock {
        let shape = KvShape {
            layers: 2,
            kv_heads: 1,
            head_dim: 4,
        };
        let values = (0_u8..48).map(|n| f32::from(n) / 7.0 - 3.0).collect();
        let values = KvValues::from_f32(element, values);
        let state = KvState::from_parts(77, 3, vec![5, 6, 7], shape, values).unwrap();
        KvBlock::new(BlockKey(9), Arc::new(state)).after(BlockKey(8))
    }

    fn packed(element: KvElement, form: PrefixForm) -> Vec<u8> {
        pack(
            &block(element),
            form,
            &mut Compressor::new(&Config::new()).unwrap(),
        )
        .unwrap()
    }

    #[test]
    fn blocks_come_back() {
        let expected = Head {
            key: BlockKey(9),
            previous: Some(BlockKey(8)),
        };
        for (element, flags) in ELEMENTS.into_iter().zip([1, 5]) {
            let original = block(element);
            let bytes = packed(element, PrefixForm::Lossless);
            assert_eq!(&bytes[..8], [b'N', b'K', b'V', b'B', 1, 0, flags, 0]);
            assert_eq!(head(&bytes).unwrap(), expected);
            let (found, state) = unpack(&bytes, BlockKey(9), &mut decompressor()).unwrap();
            assert_eq!((found, &state), (expected, &*original.state));
            let bytes = packed(element, PrefixForm::Int8);
            assert_eq!(bytes[6], flags + 2);
            let (found, state) = unpack(&bytes, BlockKey(9), &mut decompressor()).unwrap();
            assert_eq!(found, expected);
            assert_eq!(state.tokens(), original.state.tokens());
            let (ours, theirs) = (state.values().to_f32(), original.state.values().to_f32());
            // Half a step of the largest of its group, 3.72, over 127; bf16 rounds once more.
            let step = if element == KvElement::F32 {
                253.0
            } else {
                160.0
            };
            let mut pairs = ours.iter().zip(&theirs);
            assert!(pairs.all(|(a, b)| (a - b).abs() <= 3.72 / step), "{ours:?}");
            let bytes = packed(element, PrefixForm::Steps);
            assert_eq!(bytes[6], flags + 8);
            let (found, state) = unpack(&bytes, BlockKey(9), &mut decompressor()).unwrap();
            assert_eq!(found, expected);
            assert_eq!(state.tokens(), original.state.tokens());
            // A channel's three values are 4/7 apart, so its deviation is 0.47 and half a step 0.07.
            let ours = state.values().to_f32();
            let mut pairs = ours.iter().zip(&theirs);
            assert!(
                pairs.all(|(a, b)| (a - b).abs() <= 0.085),
                "{ours:?} {theirs:?}"
            );
        }
    }

    #[test]
    fn cuts_changes_and_foreign_blocks_are_errors_or_the_same_block() {
        let forms = [PrefixForm::Lossless, PrefixForm::Int8, PrefixForm::Steps];
        let kinds = ELEMENTS
            .into_iter()
            .flat_map(|e| forms.map(|form| (e, form)));
        for (element, form) in kinds {
            let bytes = packed(element, form);
            let whole = unpack(&bytes, BlockKey(9), &mut decompressor()).unwrap();
            for len in 0..bytes.len() {
                unpack(&bytes[..len], BlockKey(9), &mut decompressor()).unwrap_err();
            }
            for bit in 0..8 * bytes.len() {
                let mut changed = bytes.clone();
                changed[bit / 8] ^= 1 << (bit % 8);
                // The vault's checksum covers the record; here the values have their own.
                if let Ok((_, state)) = unpack(&changed, BlockKey(9), &mut decompressor()) {
                    assert_eq!(state.values(), whole.1.values(), "bit {bit}");
                }
            }
        }
        let error = unpack(
            &packed(KvElement::F32, PrefixForm::Lossless),
            BlockKey(1),
            &mut decompressor(),
        );
        let message = error.unwrap_err().to_string();
        assert!(
            message.contains("key is 0000") && message.contains("at byte"),
            "{message}"
        );
        let mut large = packed(KvElement::F32, PrefixForm::Lossless);
        large[68..72].copy_from_slice(&u32::MAX.to_le_bytes());
        let message = unpack(&large, BlockKey(9), &mut decompressor())
            .unwrap_err()
            .to_string();
        assert!(message.contains("number of values is more"), "{message}");
    }
}
