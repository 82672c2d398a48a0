//! Safetensors headers: a bounded parser of our own.
//!
//! # Source
//! The safetensors format description: a u64 length, that many bytes of JSON that map tensor names
//! to type, shape and byte range, then the data, which the ranges cover without gaps.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::io::Read;

use serde::Deserialize;

use crate::error::{InferError, Result};

const FORMAT: &str = "safetensors";
/// Longest JSON header; published models stay below 2 MB, the format itself allows 100 MB.
const HEADER_BYTES_MAX: u64 = 32 << 20;
const TENSORS_MAX: u64 = 1 << 16;
const DIMENSIONS_MAX: u64 = 4;
const LENGTH_BYTES: u64 = 8;

/// Number format of a safetensors tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FloatType {
    F32,
    F16,
    BF16,
}

impl FloatType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
        }
    }

    fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
        }
    }
}

/// Where a tensor lies and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StoredTensor {
    pub(super) kind: FloatType,
    pub(super) shape: Vec<u64>,
    /// First byte in the file.
    pub(super) start: u64,
    pub(super) bytes: u64,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

/// Parses and checks the header of a file of `file_bytes` bytes.
pub(super) fn read_header(
    mut reader: impl Read,
    file_bytes: u64,
    path: &std::path::Path,
) -> Result<BTreeMap<String, StoredTensor>> {
    let truncated = |what, offset, needed| InferError::Truncated {
        format: FORMAT,
        what,
        offset,
        needed,
        available: file_bytes.saturating_sub(offset),
    };
    if file_bytes < LENGTH_BYTES {
        return Err(truncated("header length", 0, LENGTH_BYTES));
    }
    let mut length = [0; 8];
    reader
        .read_exact(&mut length)
        .map_err(InferError::io("read", path))?;
    let length = u64::from_le_bytes(length);
    over("header length in bytes", length, HEADER_BYTES_MAX)?;
    if length > file_bytes - LENGTH_BYTES {
        return Err(truncated("header", LENGTH_BYTES, length));
    }
    let mut json = vec![0; usize::try_from(length).unwrap_or(0)];
    reader
        .read_exact(&mut json)
        .map_err(InferError::io("read", path))?;
    let json_error = |source| InferError::Json {
        path: path.to_path_buf(),
        source: Box::new(source),
    };
    // raw values, so that a hostile entry is never expanded
    let mut raw: BTreeMap<String, &serde_json::value::RawValue> =
        serde_json::from_slice(&json).map_err(json_error)?;
    raw.remove("__metadata__");
    over("tensor count", raw.len() as u64, TENSORS_MAX)?;
    let mut tensors = BTreeMap::new();
    for (name, value) in raw {
        let entry: Entry = serde_json::from_str(value.get()).map_err(json_error)?;
        let tensor = check(&name, entry, LENGTH_BYTES + length, file_bytes)?;
        tensors.insert(name, tensor);
    }
    check_overlap(&tensors)?;
    Ok(tensors)
}

fn check(name: &str, entry: Entry, data_start: u64, file_bytes: u64) -> Result<StoredTensor> {
    let kind = match entry.dtype.as_str() {
        "F32" => FloatType::F32,
        "F16" => FloatType::F16,
        "BF16" => FloatType::BF16,
        other => {
            return Err(InferError::UnsupportedTensorType {
                tensor: name.to_owned(),
                found: other.chars().take(32).collect(),
                supported: "F32, F16, BF16",
            });
        }
    };
    over("dimension count", entry.shape.len() as u64, DIMENSIONS_MAX)?;
    let elements = entry.shape.iter().try_fold(1u64, |n, d| n.checked_mul(*d));
    let expected = elements.and_then(|n| n.checked_mul(kind.bytes()));
    let (from, to) = entry.data_offsets;
    let bytes = to.checked_sub(from);
    let start = data_start.saturating_add(from);
    let end = data_start.saturating_add(to);
    if bytes.is_none() || bytes != expected {
        return Err(InferError::BadField {
            format: FORMAT,
            field: format!("data_offsets of tensor `{name}`"),
            value: format!("{from}..{to}"),
            allowed: format!("a range of {} bytes", expected.unwrap_or(u64::MAX)),
        });
    }
    if end > file_bytes {
        let tensor = name.to_owned();
        return Err(InferError::TensorRange {
            tensor,
            start,
            end,
            file_bytes,
        });
    }
    Ok(StoredTensor {
        kind,
        shape: entry.shape,
        start,
        bytes: end - start,
    })
}

fn check_overlap(tensors: &BTreeMap<String, StoredTensor>) -> Result<()> {
    let mut by_start: Vec<_> = tensors.iter().filter(|(_, t)| t.bytes > 0).collect();
    by_start.sort_by_key(|(_, t)| t.start);
    for ((first, a), (second, b)) in by_start.iter().zip(by_start.iter().skip(1)) {
        if b.start < a.start + a.bytes {
            return Err(InferError::TensorOverlap {
                first: (*first).clone(),
                second: (*second).clone(),
            });
        }
    }
    Ok(())
}

fn over(what: &'static str, value: u64, limit: u64) -> Result<()> {
    if value <= limit {
        return Ok(());
    }
    Err(InferError::OverLimit {
        format: FORMAT,
        what,
        value,
        limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn parse(json: &str, data: usize) -> Result<BTreeMap<String, StoredTensor>> {
        let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
        bytes.extend(json.as_bytes());
        bytes.resize(bytes.len() + data, 0);
        read_header(&bytes[..], bytes.len() as u64, Path::new("m.safetensors"))
    }

    #[test]
    fn a_good_header_is_read() {
        let json = r#"{"__metadata__":{"format":"pt"},
            "a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},
            "b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}"#;
        let tensors = parse(json, 16).unwrap();
        let start = 8 + json.len() as u64;
        assert_eq!(tensors["a"].start, start);
        assert_eq!((tensors["b"].start, tensors["b"].bytes), (start + 12, 4));
    }

    #[test]
    fn hostile_headers_are_refused() {
        let one = |body: &str| format!(r#"{{"a":{body}}}"#);
        let cases = [
            (
                one(r#"{"dtype":"F32","shape":[2],"data_offsets":[0,4]}"#),
                "data_offsets",
            ),
            (
                one(r#"{"dtype":"F32","shape":[1],"data_offsets":[8,4]}"#),
                "data_offsets",
            ),
            (
                one(r#"{"dtype":"F32","shape":[99],"data_offsets":[0,396]}"#),
                "spans bytes",
            ),
            (
                one(r#"{"dtype":"I8","shape":[4],"data_offsets":[0,4]}"#),
                "type I8",
            ),
            (
                one(r#"{"dtype":"F32","shape":[1,1,1,1,1],"data_offsets":[0,4]}"#),
                "dimension count",
            ),
            (
                one(r#"{"dtype":"F32","shape":[18446744073709551615,2],"data_offsets":[0,4]}"#),
                "data_offsets",
            ),
            (one(r#"{"dtype":"F32"}"#), "cannot parse"),
            ("[1]".to_owned(), "cannot parse"),
            (
                r#"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},
                    "b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}"#
                    .to_owned(),
                "overlap",
            ),
        ];
        for (json, expected) in cases {
            let message = parse(&json, 16).unwrap_err().to_string();
            assert!(message.contains(expected), "{json}: {message}");
        }
        let huge = u64::MAX.to_le_bytes();
        let error = read_header(&huge[..], 8, Path::new("x"))
            .unwrap_err()
            .to_string();
        assert!(error.contains("header length in bytes"), "{error}");
        assert!(read_header(&huge[..4], 4, Path::new("x")).is_err());
        let deep = format!(r#"{{"a":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
        assert!(parse(&deep, 0).is_err());
    }
}
