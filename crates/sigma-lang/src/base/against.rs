//! A container against a base: a part of the base is copied, or the base is a raw-content prefix of each
//! frame.

use crate::config::Config;
use crate::decode::{Context, decompress_layout};
use crate::dictionary::DictionaryRegistry;
use crate::encode::Compressor;
use crate::error::SigmaError;
use crate::frame::Layout;
use crate::limits::Limits;

/// Compresses `data` against `base`, which the decoder must be given too. Worth it where `data`
/// repeats much of `base`, such as a context that has grown by a turn.
///
/// A dictionary in `config` is not used. For many calls keep a [`Compressor`], whose
/// [`compress_with_base_into`](Compressor::compress_with_base_into) does not make a zstd context each time; the
/// cost is stated there.
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
    let mut out = Vec::new();
    Compressor::new(config)?.compress_with_base_into(base, data, &mut out)?;
    Ok(out)
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
