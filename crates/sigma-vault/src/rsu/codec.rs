//! Bytes of an RSU without its KV state; `docs/formats/sigma-vault.md` has the field table.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::BTreeMap;

use super::{Rsu, Signature};
use crate::codec::Fields;

const RSU_VERSION: u8 = 1;

/// Appends a 32-bit length and the bytes. Values beyond 1 GiB are refused when they are stored,
/// so a length that does not fit never reaches the disk.
fn push_sized(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Everything but `kv`; whether there is one is told by the record beside this one.
pub(crate) fn encode(rsu: &Rsu, signature: &Signature) -> Vec<u8> {
    let mut out = Vec::with_capacity(rsu.tokens.len() * 4 + 1024);
    out.push(RSU_VERSION);
    out.push(u8::from(rsu.kv.is_some()));
    push_sized(&mut out, &signature.to_bytes());
    push_sized(&mut out, rsu.conversation.as_bytes());
    out.extend_from_slice(
        &u32::try_from(rsu.metadata.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    for (key, value) in &rsu.metadata {
        push_sized(&mut out, key.as_bytes());
        push_sized(&mut out, value.as_bytes());
    }
    out.extend_from_slice(
        &u32::try_from(rsu.tokens.len())
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    out.extend(rsu.tokens.iter().flat_map(|token| token.to_le_bytes()));
    out
}

/// The unit without its KV state, and whether it has one; `None` when the bytes are not one.
pub(crate) fn decode(bytes: &[u8]) -> Option<(Rsu, bool)> {
    let mut fields = Fields::new(bytes);
    if fields.u8()? != RSU_VERSION {
        return None;
    }
    let has_kv = match fields.u8()? {
        0 => false,
        1 => true,
        _ => return None,
    };
    let signature = Signature::from_bytes(fields.sized()?).ok()?;
    let conversation = text(fields.sized()?)?;
    let mut metadata = BTreeMap::new();
    for _ in 0..fields.u32()? {
        let key = text(fields.sized()?)?;
        metadata.insert(key, text(fields.sized()?)?);
    }
    let count = usize::try_from(fields.u32()?).ok()?;
    if fields.remaining() != count.checked_mul(4)? {
        return None;
    }
    let mut tokens = Vec::with_capacity(count);
    for _ in 0..count {
        tokens.push(fields.u32()?);
    }
    let rsu = Rsu {
        tokens,
        signature: Some(signature),
        kv: None,
        conversation,
        metadata,
    };
    Some((rsu, has_kv))
}

/// Whether these bytes are of a unit with a KV state.
pub(crate) fn wants_kv(bytes: &[u8]) -> bool {
    decode(bytes).is_some_and(|(_, has_kv)| has_kv)
}

fn text(bytes: &[u8]) -> Option<String> {
    String::from_utf8(bytes.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Rsu {
        let tokens: Vec<u32> = (7..99).collect();
        let signature = Signature::of_tokens(&tokens).unwrap();
        Rsu::new(tokens)
            .signature(signature)
            .conversation("talk")
            .metadata("model", "m")
            .metadata("", "")
    }

    #[test]
    fn round_trip() {
        let rsu = sample();
        let bytes = encode(&rsu, rsu.signature.as_ref().unwrap());
        assert_eq!(decode(&bytes), Some((rsu.clone(), false)));
        let with_kv = rsu.clone().kv(vec![1]);
        let bytes = encode(&with_kv, rsu.signature.as_ref().unwrap());
        assert_eq!(decode(&bytes), Some((rsu, true)));
    }

    #[test]
    fn cut_or_extended_bytes_are_refused() {
        let rsu = sample();
        let mut bytes = encode(&rsu, rsu.signature.as_ref().unwrap());
        for length in 0..bytes.len() {
            assert_eq!(decode(&bytes[..length]), None, "{length}");
        }
        bytes.push(0);
        assert_eq!(decode(&bytes), None);
    }
}
