//! A dictionary with what zstd prepares from it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use zstd_safe::{CDict, DDict};

use crate::error::SigmaError;
use crate::frame::hash128;

/// Shortest dictionary that zstd takes notice of.
const DICTIONARY_BYTES_MIN: usize = 8;
/// Longest dictionary: beyond it a base ([`compress_with_base`](crate::compress_with_base)) serves
/// better.
const DICTIONARY_BYTES_MAX: usize = 16 << 20;
/// Shortest dictionary that the trainer makes.
const TRAINED_BYTES_MIN: usize = 256;

/// A dictionary, prepared once and shared by any number of compressors and decompressors.
///
/// Prepared tables are made on first use per level and kept; they take a few times the dictionary's
/// length.
///
/// ```
/// use std::sync::Arc;
/// use sigma_lang::{Config, Dictionary, DictionaryRegistry, Decompressor, Limits};
/// let samples: Vec<String> =
///     (0..2000).map(|n| format!("{{\"user\":{n},\"role\":\"assistant\",\"text\":\"item {}\"}}", n * 7)).collect();
/// let dictionary = Arc::new(Dictionary::train(&samples, 4096)?);
/// let packed = sigma_lang::compress(samples[5].as_bytes(), &Config::new().dictionary(dictionary.clone()))?;
///
/// let registry = DictionaryRegistry::new();
/// registry.insert(dictionary);
/// let mut out = Vec::new();
/// Decompressor::new(Limits::default()).with_dictionaries(registry).decompress_into(&packed, &mut out)?;
/// assert_eq!(out, samples[5].as_bytes());
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
pub struct Dictionary {
    bytes: Vec<u8>,
    hash: u128,
    decoder: DDict<'static>,
    encoders: Mutex<Vec<(i32, Arc<CDict<'static>>)>>,
}

impl fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dictionary")
            .field("id", &format_args!("{:#018x}", self.id()))
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

impl Dictionary {
    /// Trains a dictionary of at most `bytes_max` bytes from samples like the data to come.
    ///
    /// Good results need samples of about 100 times `bytes_max` in all, and at least some ten
    /// samples. 32 to 110 KiB serves records of 100 B to 4 KB. Cost: half a second for 10 MB of
    /// samples.
    ///
    /// # Errors
    /// [`SigmaError::InvalidConfig`] if `bytes_max` is not 256..=16 MiB;
    /// [`SigmaError::DictionaryTraining`] if the samples are too few, too short or too many (2^32 -
    /// 1).
    ///
    /// # Source
    /// zstd's `ZDICT_trainFromBuffer` (fast COVER).
    pub fn train(samples: &[impl AsRef<[u8]>], bytes_max: usize) -> Result<Dictionary, SigmaError> {
        if !(TRAINED_BYTES_MIN..=DICTIONARY_BYTES_MAX).contains(&bytes_max) {
            return Err(SigmaError::InvalidConfig {
                name: "bytes_max of a dictionary",
                value: i64::try_from(bytes_max).unwrap_or(i64::MAX),
                allowed: "256..=16777216 bytes",
            });
        }
        let mut joined = Vec::new();
        let mut lengths = Vec::with_capacity(samples.len());
        for sample in samples
            .iter()
            .map(AsRef::as_ref)
            .filter(|sample| !sample.is_empty())
        {
            joined.extend_from_slice(sample);
            lengths.push(sample.len());
        }
        let failed = |detail| SigmaError::DictionaryTraining {
            samples: lengths.len() as u64,
            bytes: joined.len() as u64,
            detail,
        };
        if u32::try_from(lengths.len()).is_err() {
            return Err(failed("more than 2^32 - 1 samples"));
        }
        let mut bytes = Vec::with_capacity(bytes_max);
        zstd_safe::train_from_buffer(&mut bytes, &joined, &lengths)
            .map_err(|code| failed(zstd_safe::get_error_name(code)))?;
        Dictionary::from_bytes(&bytes)
    }

    /// Takes a dictionary from its bytes: what [`Dictionary::to_bytes`] gave, any zstd dictionary,
    /// or plain content (8 bytes to 16 MiB) whose repetition in the data is to be used.
    ///
    /// # Errors
    /// [`SigmaError::DictionaryInvalid`] if the length is illegal, or if the bytes begin as a zstd
    /// dictionary and are not one.
    pub fn from_bytes(bytes: &[u8]) -> Result<Dictionary, SigmaError> {
        let invalid = |detail| SigmaError::DictionaryInvalid {
            bytes: bytes.len() as u64,
            detail,
        };
        if !(DICTIONARY_BYTES_MIN..=DICTIONARY_BYTES_MAX).contains(&bytes.len()) {
            return Err(invalid("length is not 8..=16777216 bytes"));
        }
        let Some(decoder) = DDict::try_create(bytes) else {
            return Err(invalid("zstd cannot prepare it"));
        };
        Ok(Dictionary {
            bytes: bytes.to_vec(),
            hash: hash128(bytes),
            decoder,
            encoders: Mutex::new(Vec::new()),
        })
    }

    /// The dictionary's bytes, which `zstd -D` reads too.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The dictionary's bytes without a copy.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Name of the dictionary: the low 64 bits of [`Dictionary::hash`].
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low half is what is meant"
    )]
    pub fn id(&self) -> u64 {
        self.hash as u64
    }

    /// XXH3-128 of the bytes: two dictionaries with one hash are taken for the same.
    pub fn hash(&self) -> u128 {
        self.hash
    }

    pub(crate) fn decoder(&self) -> &DDict<'static> {
        &self.decoder
    }

    /// The tables for a zstd level, made on first use.
    pub(crate) fn encoder(&self, level: i32) -> Result<Arc<CDict<'static>>, SigmaError> {
        let mut encoders = self.encoders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, encoder)) = encoders.iter().find(|(made_for, _)| *made_for == level) {
            return Ok(Arc::clone(encoder));
        }
        let Some(encoder) = CDict::try_create(&self.bytes, level) else {
            return Err(SigmaError::DictionaryInvalid {
                bytes: self.bytes.len() as u64,
                detail: "zstd cannot prepare it for compression",
            });
        };
        let encoder = Arc::new(encoder);
        encoders.push((level, Arc::clone(&encoder)));
        Ok(encoder)
    }
}
