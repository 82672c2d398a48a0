//! The edge to sigma-lang: how values are packed into records.

use std::borrow::Cow;
use std::cell::RefCell;
use std::sync::Mutex;

use lz4_flex::block::{CompressTable, compress_into_with_table, get_maximum_output_size};
use sigma_lang::{Compressor, Config, Decompressor, Level, Limits};

use crate::error::VaultError;
use crate::log::record::Form;
use crate::lz4;
use crate::lz4_encode;
use crate::options::{Compression, Options};
use crate::vault::held;

/// Idle compressors kept for reuse; more than threads that pack at once is waste.
const IDLE_MAX: usize = 16;
/// Decompressors are made for outputs up to a power of two, this at least.
const OUTPUT_CLASS_BYTES_MIN: u32 = 64 << 10;

/// Packs and unpacks values; shared by all threads.
#[derive(Debug)]
pub(crate) struct Codec {
    lz4: bool,
    /// `None`: sigma-lang is not asked.
    config: Option<Config>,
    compress_bytes_min: usize,
    compressors: Mutex<Vec<Compressor>>,
}

impl Codec {
    pub(crate) fn new(options: &Options) -> Self {
        let (compression, compress_bytes_min) = options.compression_setting();
        let level = match compression {
            Compression::None | Compression::Lz4 => None,
            Compression::Fast => Some(Level::Fast),
            Compression::Balanced => Some(Level::Balanced),
            Compression::High => Some(Level::High),
            Compression::Smallest => Some(Level::Smallest),
        };
        Self {
            lz4: compression == Compression::Lz4,
            // The record's own checksum covers the packed bytes.
            config: level.map(|level| Config::new().level(level).record_checksum(false)),
            compress_bytes_min,
            compressors: Mutex::new(Vec::new()),
        }
    }

    /// The bytes to store for `value`, and their form.
    pub(crate) fn pack<'a>(&self, value: &'a [u8]) -> Result<(Cow<'a, [u8]>, Form), VaultError> {
        let mut packed = Vec::new();
        Ok(match self.pack_onto(value, &mut packed)? {
            Form::Plain => (Cow::Borrowed(value), Form::Plain),
            form => (Cow::Owned(packed), form),
        })
    }

    /// Appends the bytes to store for `value` to `packed`, nothing where that is the value itself.
    pub(crate) fn pack_onto(&self, value: &[u8], packed: &mut Vec<u8>) -> Result<Form, VaultError> {
        if value.len() < self.compress_bytes_min.max(1) {
            return Ok(Form::Plain);
        }
        // Less than an eighth saved is not worth the work at every read.
        let bytes_max = value.len() - value.len() / 8;
        match &self.config {
            Some(config) => {
                let bytes = self.pack_sigma_lang(config, value)?;
                if bytes.len() > bytes_max {
                    return Ok(Form::Plain);
                }
                packed.extend_from_slice(&bytes);
                Ok(Form::SigmaLang)
            }
            None if self.lz4 => {
                let is_packed = pack_lz4(value, bytes_max, packed)?;
                Ok(if is_packed { Form::Lz4 } else { Form::Plain })
            }
            None => Ok(Form::Plain),
        }
    }

    fn pack_sigma_lang(&self, config: &Config, value: &[u8]) -> Result<Vec<u8>, VaultError> {
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
        Ok(packed)
    }
}

/// Values above this are rare, and buffers for them would be kept for nothing.
const KEPT_OUTPUT_BYTES: usize = 256 << 10;

/// Appends the block, unless it is longer than `used_max`.
fn pack_lz4(value: &[u8], used_max: usize, packed: &mut Vec<u8>) -> Result<bool, VaultError> {
    thread_local! {
        /// The encoder's table and output, of which only the used part is copied.
        static ENCODER: RefCell<(CompressTable, Vec<u8>)> = RefCell::default();
    }
    if value.len() <= lz4_encode::INPUT_BYTES_MAX {
        return Ok(lz4_encode::encode(value, used_max, packed));
    }
    let bytes_max = get_maximum_output_size(value.len());
    ENCODER.with_borrow_mut(|(table, output)| {
        if output.len() < bytes_max {
            output.resize(bytes_max, 0);
        }
        let used = compress_into_with_table(value, output, table);
        let used = used.map_err(|source| VaultError::Codec {
            operation: "compress",
            bytes: value.len(),
            source: Box::new(source),
        })?;
        let is_packed = used <= used_max;
        if is_packed {
            packed.extend_from_slice(output.get(..used).unwrap_or_default());
        }
        if value.len() > KEPT_OUTPUT_BYTES {
            *output = Vec::new();
            *table = CompressTable::small();
        }
        Ok(is_packed)
    })
}

/// Replaces what `value` holds by what `stored` was packed from; the recorded length bounds what is
/// allocated (to the next power of two) and must be met exactly. Nothing is cleared that is written
/// anyway, so a buffer that is used again costs no more than the decoding.
pub(crate) fn unpack_into(
    form: Form,
    stored: &[u8],
    raw_bytes: u32,
    value: &mut Vec<u8>,
) -> Result<(), VaultError> {
    match form {
        Form::Plain => {
            value.clear();
            value.extend_from_slice(stored);
            Ok(())
        }
        Form::SigmaLang => {
            value.clear();
            unpack_sigma_lang(stored, raw_bytes, value)
        }
        Form::Lz4 => unpack_lz4(stored, raw_bytes, value),
    }
}

fn unpack_lz4(stored: &[u8], raw_bytes: u32, value: &mut Vec<u8>) -> Result<(), VaultError> {
    let wrap = |source: &str| VaultError::Codec {
        operation: "decompress",
        bytes: stored.len(),
        source: source.into(),
    };
    let raw = usize::try_from(raw_bytes).unwrap_or(usize::MAX);
    if !lz4::may_hold(stored.len(), raw) {
        return Err(wrap("recorded length is more than a block can hold"));
    }
    value.resize(raw, 0);
    lz4::decode(stored, value).ok_or_else(|| wrap("not a block of the recorded length"))
}

fn unpack_sigma_lang(stored: &[u8], raw_bytes: u32, value: &mut Vec<u8>) -> Result<(), VaultError> {
    let class = raw_bytes
        .max(OUTPUT_CLASS_BYTES_MIN)
        .checked_next_power_of_two();
    let class = class.unwrap_or(u32::MAX);
    let result = with_decompressor(class, |decompressor| {
        decompressor.decompress_record_into(stored, value)
    });
    let wrap = |source| VaultError::Codec {
        operation: "decompress",
        bytes: stored.len(),
        source,
    };
    result.map_err(|source| wrap(Box::new(source)))?;
    if value.len() as u64 != u64::from(raw_bytes) {
        return Err(wrap("length differs from the recorded one".into()));
    }
    Ok(())
}

thread_local! {
    /// This thread's decompressors by output class; at most one of each power of two.
    static DECOMPRESSORS: RefCell<Vec<(u32, Decompressor)>> = const { RefCell::new(Vec::new()) };
}

fn with_decompressor<R>(class: u32, run: impl FnOnce(&mut Decompressor) -> R) -> R {
    DECOMPRESSORS.with_borrow_mut(|known| {
        let position = known.iter().position(|(size, _)| *size == class);
        let position = position.unwrap_or_else(|| {
            let bytes = u64::from(class);
            let limits = Limits::new().output_bytes_max(bytes).frame_bytes_max(bytes);
            known.push((class, Decompressor::new(limits)));
            known.len() - 1
        });
        run(&mut known[position].1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unpack(form: Form, stored: &[u8], raw_bytes: u32) -> Result<Vec<u8>, VaultError> {
        let mut value = Vec::new();
        unpack_into(form, stored, raw_bytes, &mut value)?;
        Ok(value)
    }

    #[test]
    fn round_trip_at_every_setting() {
        let text = "the same words again and again; ".repeat(300).into_bytes();
        let noise: Vec<u8> = (0..4000_u32)
            .map(|i| i.wrapping_mul(2_654_435_761).to_le_bytes()[2])
            .collect();
        for compression in [
            Compression::None,
            Compression::Lz4,
            Compression::Fast,
            Compression::Balanced,
            Compression::High,
            Compression::Smallest,
        ] {
            let codec = Codec::new(&Options::new().compression(compression));
            for value in [&text[..], &noise[..1], &[], &noise[..]] {
                let (stored, form) = codec.pack(value).unwrap();
                assert!(stored.len() <= value.len());
                let raw_bytes = u32::try_from(value.len()).unwrap();
                assert_eq!(unpack(form, &stored, raw_bytes).unwrap(), value);
                if form != Form::Plain {
                    assert!(unpack(form, &stored, raw_bytes + 1).is_err());
                    assert!(unpack(form, &stored, raw_bytes - 1).is_err());
                    assert!(unpack(form, &stored[1..], raw_bytes).is_err());
                }
            }
            let (stored, form) = codec.pack(&text).unwrap();
            assert_eq!(form == Form::Plain, compression == Compression::None);
            assert!(form == Form::Plain || stored.len() * 10 < text.len());
        }
    }

    #[test]
    fn the_recorded_length_bounds_the_output() {
        for compression in [Compression::Balanced, Compression::Lz4] {
            let codec = Codec::new(&Options::new().compression(compression));
            let zeros = vec![0; 50 << 20];
            let (stored, form) = codec.pack(&zeros).unwrap();
            for wrong in [10, u32::MAX] {
                let error = unpack(form, &stored, wrong).unwrap_err();
                assert!(matches!(
                    error,
                    VaultError::Codec {
                        operation: "decompress",
                        ..
                    }
                ));
            }
        }
    }
}
