//! The header as a whole.

use std::collections::HashMap;
use std::io::Read;

use super::cursor::Cursor;
use super::tensor::{GgufTensor, place};
use super::value::{GgufValue, read_value};
use super::{FORMAT, limits};
use crate::error::{InferError, Result};

const MAGIC: [u8; 4] = *b"GGUF";
const ALIGNMENT_DEFAULT: u64 = 32;
/// Fewest bytes of a metadata entry: key length, type, one byte of value.
const METADATA_ENTRY_BYTES: u64 = 8 + 4 + 1;
/// Fewest bytes of a tensor description: name length, dimension count, type, offset.
const TENSOR_ENTRY_BYTES: u64 = 8 + 4 + 4 + 8;

/// A parsed and checked header.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufHeader {
    metadata: HashMap<String, GgufValue>,
    tensors: Vec<GgufTensor>,
    by_name: HashMap<String, usize>,
}

impl GgufHeader {
    /// Parses a header from the start of a file of `file_bytes` bytes.
    ///
    /// Reads no further than the header. Allocates no more than a small multiple of the header's
    /// own size, whatever its counts say; the caps are in [`limits`](super::limits). Wrap a file
    /// in a `BufReader`.
    ///
    /// # Errors
    /// [`InferError::BadMagic`], [`InferError::UnsupportedVersion`], [`InferError::Truncated`],
    /// [`InferError::OverLimit`], [`InferError::UnknownType`],
    /// [`InferError::UnsupportedTensorType`], [`InferError::Duplicate`],
    /// [`InferError::BadField`], [`InferError::TensorRange`], [`InferError::TensorOverlap`],
    /// [`InferError::Io`].
    pub fn read(reader: impl Read, file_bytes: u64) -> Result<Self> {
        let mut input = Cursor::new(reader, file_bytes);
        let found = input.array("magic")?;
        if found != MAGIC {
            return Err(InferError::BadMagic {
                format: FORMAT,
                found,
                expected: MAGIC,
            });
        }
        let version = input.u32("version")?;
        if !(2..=3).contains(&version) {
            let allowed = "2, 3";
            return Err(InferError::UnsupportedVersion {
                format: FORMAT,
                found: version,
                allowed,
            });
        }
        let tensor_count = input.count("tensor count", limits::TENSORS_MAX, TENSOR_ENTRY_BYTES)?;
        let metadata_count =
            input.count("metadata count", limits::METADATA_MAX, METADATA_ENTRY_BYTES)?;
        let mut metadata = HashMap::new();
        for _ in 0..metadata_count {
            let key = input.string("metadata key", limits::KEY_BYTES_MAX)?;
            let value = read_value(&mut input, &key)?;
            if metadata.contains_key(&key) {
                return Err(duplicate("metadata key", key));
            }
            metadata.insert(key, value);
        }
        let mut tensors = Vec::new();
        let mut by_name = HashMap::new();
        for index in 0..tensor_count {
            let tensor = GgufTensor::read(&mut input)?;
            if by_name.insert(tensor.name.clone(), index).is_some() {
                return Err(duplicate("tensor", tensor.name));
            }
            tensors.push(tensor);
        }
        let alignment = alignment(&metadata)?;
        let data_start = input.offset().next_multiple_of(alignment);
        place(&mut tensors, data_start, alignment, file_bytes)?;
        Ok(Self {
            metadata,
            tensors,
            by_name,
        })
    }

    /// The metadata value of `key`.
    pub fn get(&self, key: &str) -> Option<&GgufValue> {
        self.metadata.get(key)
    }

    /// Every metadata entry, in no particular order.
    pub fn metadata(&self) -> impl Iterator<Item = (&str, &GgufValue)> {
        self.metadata
            .iter()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// Every tensor, in file order of the descriptions.
    pub fn tensors(&self) -> &[GgufTensor] {
        &self.tensors
    }

    /// The tensor called `name`.
    pub fn tensor(&self, name: &str) -> Option<&GgufTensor> {
        self.by_name
            .get(name)
            .and_then(|index| self.tensors.get(*index))
    }

    /// The value of `key` converted by `convert`, or an error that names the wanted type.
    pub(crate) fn typed<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        convert: impl Fn(&'a GgufValue) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.get(key) else {
            return Ok(None);
        };
        match convert(value) {
            Some(converted) => Ok(Some(converted)),
            None => Err(InferError::BadField {
                format: FORMAT,
                field: key.to_owned(),
                value: value.brief(),
                allowed: wanted.to_owned(),
            }),
        }
    }

    /// As [`GgufHeader::typed`], with an error when the key is missing.
    pub(crate) fn required<'a, T>(
        &'a self,
        key: &str,
        wanted: &str,
        convert: impl Fn(&'a GgufValue) -> Option<T>,
    ) -> Result<T> {
        self.typed(key, wanted, convert)?
            .ok_or_else(|| InferError::MissingField {
                format: FORMAT,
                field: key.to_owned(),
            })
    }
}

fn duplicate(what: &'static str, name: String) -> InferError {
    InferError::Duplicate {
        format: FORMAT,
        what,
        name,
    }
}

fn alignment(metadata: &HashMap<String, GgufValue>) -> Result<u64> {
    let key = "general.alignment";
    let Some(value) = metadata.get(key) else {
        return Ok(ALIGNMENT_DEFAULT);
    };
    match value.as_u64() {
        Some(n) if n.is_power_of_two() && (8..=limits::ALIGNMENT_MAX).contains(&n) => Ok(n),
        _ => Err(InferError::BadField {
            format: FORMAT,
            field: key.to_owned(),
            value: value.brief(),
            allowed: format!("a power of two from 8 to {}", limits::ALIGNMENT_MAX),
        }),
    }
}
