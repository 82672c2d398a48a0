//! The plain twin of the decoder of tokens (tag 8), one token and one bit at a time, as the format page has it.

#![expect(
    clippy::cast_possible_truncation,
    reason = "single bytes, and lengths that were checked against the content's"
)]

use super::reference::Input;
use super::reference_transforms::Payload;
use crate::error::SigmaError;

/// Content of a payload of tokens.
pub(super) fn tokens(
    payload: &mut Payload<'_>,
    content_bytes: usize,
) -> Result<Vec<u8>, SigmaError> {
    let width = payload.input.number(1)?;
    let bits = payload.input.number(1)?;
    let legal_width = width == 2 || width == 4 || width == 8;
    if !legal_width || bits == 0 || bits > 32 || bits > 8 * width {
        return Err(payload.input.corrupt("width or bits of tokens"));
    }
    let tokens = content_bytes / width as usize;
    let planes = bits.div_ceil(8);
    let mut literals: Vec<u64> = Vec::new();
    for index in 0..planes {
        let plane = payload.stream()?;
        if index == 0 {
            literals.resize(plane.len(), 0);
        }
        if plane.len() != literals.len() || plane.len() > tokens {
            return Err(payload.input.corrupt("length of a plane"));
        }
        for (literal, byte) in literals.iter_mut().zip(plane) {
            *literal += u64::from(byte) << (8 * index);
        }
    }
    for literal in &mut literals {
        *literal >>= 8 * planes - bits;
    }
    let heads = payload.stream()?;
    let codes = payload.stream()?;
    let more = payload.stream()?;
    let raw = payload.stream()?;
    let corrupt = payload.input.corrupt("sequences");
    if codes.len() != heads.len() {
        return Err(corrupt);
    }
    let mut stores = Stores {
        more: Input {
            bytes: &more,
            position: 0,
        },
        raw: raw
            .iter()
            .flat_map(|byte| (0..8).map(move |place| byte >> place & 1))
            .collect(),
        taken: 0,
    };
    let made = put_together(&literals, &heads, &codes, &mut stores, tokens);
    let left = stores.raw.get(stores.taken..).unwrap_or_default();
    let all = stores.more.position == more.len() && left.len() < 8 && left.iter().all(|&b| b == 0);
    let Some(made) = made.filter(|made| all && made.len() == tokens) else {
        return Err(corrupt);
    };
    let bytes = |token: u64| token.to_le_bytes().into_iter().take(width as usize);
    let mut content: Vec<u8> = made.into_iter().flat_map(bytes).collect();
    content.extend_from_slice(payload.input.take(content_bytes % width as usize)?);
    Ok(content)
}

/// What does not fit into heads and codes.
struct Stores<'p> {
    more: Input<'p>,
    raw: Vec<u8>,
    taken: usize,
}

impl Stores<'_> {
    fn length(&mut self, short: u8) -> Option<usize> {
        if short < 15 {
            return Some(usize::from(short));
        }
        let more = self.more.varint().ok()?;
        usize::try_from(more).ok()?.checked_add(15)
    }

    fn offset(&mut self, code: u8) -> Option<usize> {
        let bits = usize::from(code) / 2;
        if bits > 31 {
            return None;
        }
        let mut offset = u64::from(2 + code % 2) << bits;
        for place in 0..bits {
            offset += u64::from(*self.raw.get(self.taken)?) << place;
            self.taken += 1;
        }
        usize::try_from(offset - 3).ok()
    }
}

/// The tokens, or nothing if literals and sequences do not fit.
fn put_together(
    literals: &[u64],
    heads: &[u8],
    codes: &[u8],
    stores: &mut Stores<'_>,
    tokens: usize,
) -> Option<Vec<u64>> {
    let mut literals = literals.iter().copied();
    let mut made: Vec<u64> = Vec::new();
    let (mut last, mut before) = (1, 2);
    for (head, code) in heads.iter().zip(codes) {
        let count = stores.length(head >> 4)?;
        let length = stores.length(head & 15)?;
        for _ in 0..count {
            made.push(literals.next()?);
        }
        match code {
            0 => {}
            1 => (last, before) = (before, last),
            _ => (last, before) = (stores.offset(*code)?, last),
        }
        let length = length.checked_add(2)?;
        let start = made.len().checked_sub(last)?;
        if length > tokens.checked_sub(made.len())? {
            return None;
        }
        for index in start..start + length {
            made.push(*made.get(index)?);
        }
    }
    made.extend(literals);
    Some(made)
}
