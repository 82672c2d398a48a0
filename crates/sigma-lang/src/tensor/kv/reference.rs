//! The plain twin of the decoder of keys and values: `docs/formats/sigma-tensor.md` value by value, in f64.

use super::format::corrupt;
use crate::decode::Payload;
use crate::decode::reference::Input;
use crate::error::SigmaError;
use crate::frame::{check32, noise_check32};
use crate::limits::Limits;
use crate::tensor::format::FloatType;

/// Decodes quantised keys and values, slowly: their type, and the values before they are held within it and
/// rounded to it.
///
/// # Errors
/// As [`decompress_kv`](crate::tensor::decompress_kv).
pub fn decompress_kv_reference(
    packed: &[u8],
    limits: &Limits,
) -> Result<(FloatType, Vec<f64>), SigmaError> {
    let head = read_head(packed, limits)?;
    let Head {
        tensors,
        tokens,
        channels,
        block_tokens,
        ..
    } = head;
    let streams_max = head.values.saturating_mul(16).saturating_add(1024);
    let mut payload = Payload::new(head.payload, streams_max);
    let mut out = Vec::new();
    let of_tensor = move |_| {
        let starts = (0..tokens.div_ceil(block_tokens)).map(move |block| block * block_tokens);
        starts.map(move |start| block_tokens.min(tokens - start))
    };
    let mut blocks = (0..tensors).flat_map(of_tensor).peekable();
    while blocks.peek().is_some() {
        let (mut chunk, mut held) = (Vec::new(), 0);
        while let Some(block) =
            blocks.next_if(|block| held == 0 || (held + block) * channels <= 1 << 18)
        {
            held += block;
            chunk.push(block);
        }
        read_chunk(&mut payload, &chunk, channels, &mut out)?;
    }
    if payload.input.position != payload.input.bytes.len() {
        return Err(corrupt(6, "bytes follow the last stream"));
    }
    Ok((head.float, out))
}

struct Head<'p> {
    float: FloatType,
    tensors: u64,
    tokens: u64,
    channels: u64,
    block_tokens: u64,
    values: usize,
    payload: &'p [u8],
}

fn read_head<'p>(packed: &'p [u8], limits: &Limits) -> Result<Head<'p>, SigmaError> {
    if packed.get(..5) != Some(b"SGTK\x01") {
        return Err(SigmaError::NotSigma { offset: 0 });
    }
    let float = match packed.get(5) {
        Some(0) => FloatType::F32,
        Some(1) => FloatType::Bf16,
        Some(2) => FloatType::F16,
        _ => return Err(corrupt(5, "type")),
    };
    let mut input = Input {
        bytes: packed,
        position: 6,
    };
    let (tensors, tokens) = (input.varint()?, input.varint()?);
    let (channels, block_tokens) = (input.varint()?, input.varint()?);
    let (header, rest) = packed.split_at_checked(input.position).unwrap_or_default();
    let shape = "shape or checksum of the header";
    let (check, rest) = rest.split_first_chunk::<4>().ok_or(corrupt(6, shape))?;
    let is_legal = tokens > 0
        && (1..=65_536).contains(&channels)
        && (1..=256).contains(&block_tokens)
        && u32::from_le_bytes(*check) == check32(header);
    let values = (u128::from(tensors) * u128::from(tokens)).saturating_mul(u128::from(channels));
    let bytes = values.saturating_mul(float.width() as u128);
    let fits = bytes <= u128::from(limits.output_bytes_max);
    let values = usize::try_from(values).ok().filter(|_| is_legal && fits);
    let (payload, check) = rest
        .split_last_chunk::<4>()
        .ok_or(corrupt(6, "payload is cut"))?;
    if u32::from_le_bytes(*check) != noise_check32(payload) {
        return Err(corrupt(6, "checksum of the payload"));
    }
    Ok(Head {
        float,
        tensors,
        tokens,
        channels,
        block_tokens,
        values: values.ok_or(corrupt(6, shape))?,
        payload,
    })
}

/// Step, zero and predictor of a channel of a block.
struct Channel {
    step: f64,
    zero: i64,
    predictor: u8,
}

/// Appends the values of a chunk of blocks of so many tokens.
fn read_chunk(
    payload: &mut Payload<'_>,
    chunk: &[u64],
    channels: u64,
    out: &mut Vec<f64>,
) -> Result<(), SigmaError> {
    let mut stream = |values: u64| {
        let stream = payload.stream()?;
        if stream.len() as u64 != values * channels {
            return Err(corrupt(6, "length of a stream"));
        }
        Ok(stream)
    };
    let blocks = chunk.len() as u64;
    let steps = [stream(blocks)?, stream(blocks)?];
    let zeros = [stream(blocks)?, stream(blocks)?];
    let predictors = stream(blocks)?;
    let mut codes = stream(chunk.iter().sum())?.into_iter();
    let pair = |[low, high]: &[Vec<u8>; 2], at: usize| {
        let byte = |bytes: &[u8]| u32::from(bytes.get(at).copied().unwrap_or_default());
        byte(low) + 256 * byte(high)
    };
    let mut sides = Vec::new();
    for (at, predictor) in predictors.iter().enumerate() {
        let step = f64::from(f32::from_bits(pair(&steps, at) << 16));
        let folded = i64::from(pair(&zeros, at));
        let zero = if folded % 2 == 0 {
            folded / 2
        } else {
            -(folded + 1) / 2
        };
        if !step.is_finite() || step.is_sign_negative() || zero.abs() > 16_256 || *predictor > 2 {
            return Err(corrupt(6, "step, zero or predictor"));
        }
        sides.push(Channel {
            step,
            zero,
            predictor: *predictor,
        });
    }
    let channels = usize::try_from(channels).unwrap_or(usize::MAX);
    for (sides, block_tokens) in sides.chunks(channels).zip(chunk) {
        let mut before = vec![0i64; channels];
        for _ in 0..*block_tokens {
            for (side, before) in sides.iter().zip(&mut before) {
                let prediction = match side.predictor {
                    0 => 0,
                    1 => before.div_euclid(2),
                    _ => *before,
                };
                let code = i64::from(codes.next().unwrap_or_default());
                // Sums are of bytes: -128..=127.
                *before = (code + prediction + 128).rem_euclid(256) - 128;
                #[expect(clippy::cast_precision_loss, reason = "15 bits")]
                out.push((side.zero + *before) as f64 * side.step);
            }
        }
    }
    Ok(())
}
