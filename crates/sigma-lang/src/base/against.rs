//! A container against a base: the base is a raw-content prefix of each frame.

use std::borrow::Cow;

use crate::config::Config;
use crate::decode::{Context, decompress_layout};
use crate::dictionary::DictionaryRegistry;
use crate::encode::compress_frames;
use crate::error::SigmaError;
use crate::frame::{Header, Layout, hash128};
use crate::limits::Limits;

/// Compresses `data` against `base`, which the decoder must be given too. Worth it where `data`
/// repeats much of `base`, such as a context that has grown by a turn.
///
/// A dictionary in `config` is not used. Cost: each frame indexes the base anew.
///
/// ```
/// use sigma_lang::{Config, Limits};
/// let base: Vec<u8> = (0..20_000u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes()).collect();
/// let mut grown = base.clone();
/// grown.extend_from_slice(b"one more turn");
/// let packed = sigma_lang::compress_with_base(&base, &grown, &Config::new())?;
/// assert!(packed.len() < 200);
/// assert_eq!(sigma_lang::decompress_with_base(&base, &packed, &Limits::default())?, grown);
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
///
/// # Errors
/// As [`compress`](crate::compress).
pub fn compress_with_base(
    base: &[u8],
    data: &[u8],
    config: &Config,
) -> Result<Vec<u8>, SigmaError> {
    config.validate()?;
    let header = Header {
        base: Some(hash128(base)),
        ..Header::default()
    };
    // zstd takes content that lies in the base's own memory for an overwritten base and ignores the
    // base, so a grown buffer against its own beginning needs a base of its own.
    let apart = if overlap(base, data) {
        Cow::Owned(base.to_vec())
    } else {
        Cow::Borrowed(base)
    };
    let mut out = Vec::new();
    compress_frames(
        config,
        &mut Vec::new(),
        Some(&apart),
        header,
        data,
        &mut out,
    )?;
    Ok(out)
}

fn overlap(a: &[u8], b: &[u8]) -> bool {
    let (a, b) = (a.as_ptr_range(), b.as_ptr_range());
    a.start < b.end && b.start < a.end
}

/// Decompresses a container that was made against `base`. A container that needs no base is
/// decompressed too.
///
/// # Errors
/// [`SigmaError::BaseMismatch`] if it was made against another base; else as
/// [`decompress`](crate::decompress).
pub fn decompress_with_base(
    base: &[u8],
    bytes: &[u8],
    limits: &Limits,
) -> Result<Vec<u8>, SigmaError> {
    let layout = Layout::parse(bytes, limits)?;
    let context = Context {
        limits: *limits,
        dictionaries: DictionaryRegistry::new(),
        dictionary: None,
        threads: 1,
    };
    let mut out = Vec::new();
    decompress_layout(
        &context,
        &mut Vec::new(),
        Some(base),
        &layout,
        bytes,
        &mut out,
    )?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grown_buffer_is_packed_against_its_own_beginning() {
        // Bytes of a multiplicative generator: nothing in them repeats, so only the base helps.
        let mut state = 1_u64;
        let buffer: Vec<u8> = std::iter::repeat_with(|| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            state.to_le_bytes()[7]
        })
        .take(40_000)
        .collect();
        let (base, config) = (&buffer[..39_000], Config::new());
        let packed = compress_with_base(base, &buffer, &config).unwrap();
        let copy = base.to_vec();
        let apart = compress_with_base(&copy, &buffer, &config).unwrap();
        assert_eq!(packed, apart);
        assert!(
            packed.len() < 2_000,
            "{} bytes: the base was not used",
            packed.len()
        );
        let back = decompress_with_base(base, &packed, &Limits::default()).unwrap();
        assert_eq!(back, buffer);
    }
}
