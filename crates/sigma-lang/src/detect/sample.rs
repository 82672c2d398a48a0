//! Cheap looks at a few bytes.

use crate::error::SigmaError;
use crate::transform::{Effort, StreamEncoder};

/// Bits per byte above which symbols alone are not worth coding: the gain would be under 1.5 %.
const NOISE_BITS: f64 = 7.88;

/// Bytes of one look, from several places.
const LOOK_BYTES: usize = 16 << 10;
const LOOK_PLACES: usize = 4;

/// `places` pieces of `content`, about `bytes` in all, each at a multiple of 8 from the start.
pub(super) fn spread(content: &[u8], bytes: usize, places: usize) -> Vec<u8> {
    if content.len() <= bytes {
        return content.to_vec();
    }
    let piece = (bytes / places) & !7;
    let gap = (content.len() - piece) / places.saturating_sub(1).max(1);
    let mut out = Vec::with_capacity(bytes);
    for place in 0..places {
        let start = (place * gap) & !7;
        out.extend_from_slice(content.get(start..start + piece).unwrap_or_default());
    }
    out
}

/// Bits per byte of an ideal coder of single bytes, with the cost of its table.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) fn symbol_bits(bytes: &[u8]) -> f64 {
    let mut counts = [0u32; 256];
    for &byte in bytes {
        if let Some(count) = counts.get_mut(usize::from(byte)) {
            *count += 1;
        }
    }
    let total = bytes.len().max(1) as f64;
    let bits = |&count: &u32| match count {
        0 => 0.0,
        count => f64::from(count) * (total / f64::from(count)).log2(),
    };
    counts.iter().map(bits).sum::<f64>() / total
}

/// How much to look for in a plane, judged by a sample of it.
pub(crate) fn effort(plane: &[u8], streams: &mut StreamEncoder) -> Result<Effort, SigmaError> {
    let look = spread(plane, LOOK_BYTES, LOOK_PLACES);
    let bits = symbol_bits(&look);
    if bits < 0.5 {
        return Ok(Effort::Matches);
    }
    let symbols = streams.measure(&look, Effort::Symbols)?;
    let matches = streams.measure(&look, Effort::Matches)?;
    if matches + matches / 32 < symbols {
        return Ok(Effort::Matches);
    }
    // A short sample of noise shows fewer bits than a long one: the bias of 256 counts.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let bias = 255.0 / (2.0 * std::f64::consts::LN_2 * look.len().max(1) as f64);
    if bits + bias > NOISE_BITS {
        return Ok(Effort::Store);
    }
    Ok(Effort::Symbols)
}
