//! The edge to sigma-lang: how values are packed into records.

use std::borrow::Cow;
use std::sync::Mutex;

use sigma_lang::{Compressor, Config, Decompressor, Level, Limits};

use crate::error::VaultError;
use crate::options::{Compression, Options};
use crate::vault::held;

/// Idle compressors or decompressors kept for reuse; more than threads that pack at once is waste.
const IDLE_MAX: usize = 16;
/// Decompressors are made for outputs up to a power of two, this at least.
const OUTPUT_CLASS_BYTES_MIN: u32 = 64 << 10;

/// Packs and unpacks values; shared by all threads.
#[derive(Debug)]
pub(crate) struct Codec {
    /// `None`: values are stored as they are.
    config: Option<Config>,
    compress_bytes_min: usize,
    compressors: Mutex<Vec<Compressor>>,
    decompressors: Mutex<Vec<(u32, Decompressor)>>,
}

impl Codec {
    pub(crate) fn new(options: &Options) -> Self {
        let (compression, compress_bytes_min) = options.compression_setting();
        let level = match compression {
            Compression::None => None,
            Compression::Fast => Some(Level::Fast),
            Compression::Balanced => Some(Level::Balanced),
            Compression::High => Some(Level::High),
            Compression::Smallest => Some(Level::Smallest),
        };
        Self {
            // The record's own checksum covers the packed bytes.
            config: level.map(|level| Config::new().level(level).record_checksum(false)),
            compress_bytes_min,
            compressors: Mutex::new(Vec::new()),
            decompressors: Mutex::new(Vec::new()),
        }
    }

    /// The bytes to store for `value`, and whether they are compressed.
    pub(crate) fn pack<'a>(&self, value: &'a [u8]) -> Result<(Cow<'a, [u8]>, bool), VaultError> {
        let Some(config) = &self.config else {
            return Ok((Cow::Borrowed(value), false));
        };
        if value.len() < self.compress_bytes_min.max(1) {
            return Ok((Cow::Borrowed(value), false));
        }
        let wrap = |source| VaultError::Codec {
            operation: "compress",
            bytes: value.len(),
            source: Box::new(source),
        };
        let idle = held(&self.compressors).pop();
        let mut compressor = match idle {
            Some(compressor) => compressor,
            None => Compressor::new(config).map_err(wrap)?,
        };
        let mut packed = Vec::new();
        compressor
            .compress_record_into(value, &mut packed)
            .map_err(wrap)?;
        let mut idle = held(&self.compressors);
        if idle.len() < IDLE_MAX {
            idle.push(compressor);
        }
        if packed.len() < value.len() {
            Ok((Cow::Owned(packed), true))
        } else {
            Ok((Cow::Borrowed(value), false))
        }
    }

    /// The value that `stored` was packed from; its recorded length bounds what is allocated (to
    /// the next power of two) and must be met exactly.
    pub(crate) fn unpack(&self, stored: &[u8], raw_bytes: u32) -> Result<Vec<u8>, VaultError> {
        let class = raw_bytes
            .max(OUTPUT_CLASS_BYTES_MIN)
            .checked_next_power_of_two();
        let class = class.unwrap_or(u32::MAX);
        let mut decompressor = self.decompressor(class);
        let mut value = Vec::new();
        let result = decompressor.decompress_record_into(stored, &mut value);
        let mut idle = held(&self.decompressors);
        if idle.len() < IDLE_MAX {
            idle.push((class, decompressor));
        }
        drop(idle);
        let wrap = |source| VaultError::Codec {
            operation: "decompress",
            bytes: stored.len(),
            source,
        };
        result.map_err(|source| wrap(Box::new(source)))?;
        if value.len() as u64 != u64::from(raw_bytes) {
            return Err(wrap("length differs from the recorded one".into()));
        }
        Ok(value)
    }

    fn decompressor(&self, class: u32) -> Decompressor {
        let mut idle = held(&self.decompressors);
        if let Some(position) = idle.iter().position(|(known, _)| *known == class) {
            return idle.swap_remove(position).1;
        }
        let bytes = u64::from(class);
        Decompressor::new(Limits::new().output_bytes_max(bytes).frame_bytes_max(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_at_every_setting() {
        let text = "the same words again and again; ".repeat(300).into_bytes();
        let noise: Vec<u8> = (0..4000_u32)
            .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2])
            .collect();
        for compression in [
            Compression::None,
            Compression::Fast,
            Compression::Balanced,
            Compression::High,
            Compression::Smallest,
        ] {
            let codec = Codec::new(&Options::new().compression(compression));
            for value in [&text[..], &noise[..1], &[], &noise[..]] {
                let (stored, compressed) = codec.pack(value).unwrap();
                assert!(stored.len() <= value.len());
                if compressed {
                    let raw_bytes = u32::try_from(value.len()).unwrap();
                    assert_eq!(codec.unpack(&stored, raw_bytes).unwrap(), value);
                    assert!(codec.unpack(&stored, raw_bytes + 1).is_err());
                } else {
                    assert_eq!(&*stored, value);
                }
            }
            let (stored, compressed) = codec.pack(&text).unwrap();
            assert_eq!(compressed, compression != Compression::None);
            assert!(!compressed || stored.len() * 10 < text.len());
        }
    }

    #[test]
    fn the_recorded_length_bounds_the_output() {
        let codec = Codec::new(&Options::new());
        let zeros = vec![0; 50 << 20];
        let (stored, _) = codec.pack(&zeros).unwrap();
        let error = codec.unpack(&stored, 10).unwrap_err();
        assert!(matches!(
            error,
            VaultError::Codec {
                operation: "decompress",
                ..
            }
        ));
    }
}
