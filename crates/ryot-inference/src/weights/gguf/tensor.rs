//! Tensor descriptions: types, shapes and places in the file.

use std::io::Read;

use candle_core::quantized::GgmlDType;

use super::cursor::{Cursor, over};
use super::{FORMAT, limits};
use crate::error::{InferError, Result};

/// Number format of a tensor that this crate can compute with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the type names of the format")]
pub enum GgufType {
    F32,
    F16,
    BF16,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

/// Names of [`GgufType`], for error messages.
pub(crate) const SUPPORTED: &str =
    "F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K";

/// Types of the format that are not computed with here, by id.
const KNOWN: [(u32, &str); 22] = [
    (9, "Q8_1"),
    (15, "Q8_K"),
    (16, "IQ2_XXS"),
    (17, "IQ2_XS"),
    (18, "IQ3_XXS"),
    (19, "IQ1_S"),
    (20, "IQ4_NL"),
    (21, "IQ3_S"),
    (22, "IQ2_S"),
    (23, "IQ4_XS"),
    (24, "I8"),
    (25, "I16"),
    (26, "I32"),
    (27, "I64"),
    (28, "F64"),
    (29, "IQ1_M"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (34, "TQ1_0"),
    (35, "TQ2_0"),
    (39, "MXFP4"),
];

impl GgufType {
    fn from_id(id: u32, tensor: &str) -> Result<Self> {
        Ok(match id {
            0 => Self::F32,
            1 => Self::F16,
            2 => Self::Q4_0,
            3 => Self::Q4_1,
            6 => Self::Q5_0,
            7 => Self::Q5_1,
            8 => Self::Q8_0,
            10 => Self::Q2K,
            11 => Self::Q3K,
            12 => Self::Q4K,
            13 => Self::Q5K,
            14 => Self::Q6K,
            30 => Self::BF16,
            id => return Err(refused(id, tensor)),
        })
    }

    /// Numbers per block.
    pub fn block_elements(self) -> u64 {
        match self {
            Self::F32 | Self::F16 | Self::BF16 => 1,
            Self::Q4_0 | Self::Q4_1 | Self::Q5_0 | Self::Q5_1 | Self::Q8_0 => 32,
            Self::Q2K | Self::Q3K | Self::Q4K | Self::Q5K | Self::Q6K => 256,
        }
    }

    /// Bytes per block.
    pub fn block_bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::BF16 => 2,
            Self::Q4_0 => 18,
            Self::Q4_1 => 20,
            Self::Q5_0 => 22,
            Self::Q5_1 => 24,
            Self::Q8_0 => 34,
            Self::Q2K => 84,
            Self::Q3K => 110,
            Self::Q4K => 144,
            Self::Q5K => 176,
            Self::Q6K => 210,
        }
    }

    /// Name as llama.cpp writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::BF16 => "BF16",
            Self::Q4_0 => "Q4_0",
            Self::Q4_1 => "Q4_1",
            Self::Q5_0 => "Q5_0",
            Self::Q5_1 => "Q5_1",
            Self::Q8_0 => "Q8_0",
            Self::Q2K => "Q2_K",
            Self::Q3K => "Q3_K",
            Self::Q4K => "Q4_K",
            Self::Q5K => "Q5_K",
            Self::Q6K => "Q6_K",
        }
    }

    /// The same type in candle.
    pub(crate) fn candle(self) -> GgmlDType {
        match self {
            Self::F32 => GgmlDType::F32,
            Self::F16 => GgmlDType::F16,
            Self::BF16 => GgmlDType::BF16,
            Self::Q4_0 => GgmlDType::Q4_0,
            Self::Q4_1 => GgmlDType::Q4_1,
            Self::Q5_0 => GgmlDType::Q5_0,
            Self::Q5_1 => GgmlDType::Q5_1,
            Self::Q8_0 => GgmlDType::Q8_0,
            Self::Q2K => GgmlDType::Q2K,
            Self::Q3K => GgmlDType::Q3K,
            Self::Q4K => GgmlDType::Q4K,
            Self::Q5K => GgmlDType::Q5K,
            Self::Q6K => GgmlDType::Q6K,
        }
    }
}

fn refused(id: u32, tensor: &str) -> InferError {
    match KNOWN.iter().find(|(known, _)| *known == id) {
        Some((_, name)) => InferError::UnsupportedTensorType {
            tensor: tensor.to_owned(),
            found: (*name).to_owned(),
            supported: SUPPORTED,
        },
        None => InferError::UnknownType {
            format: FORMAT,
            what: format!("tensor `{tensor}`"),
            id,
        },
    }
}

/// Description of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct GgufTensor {
    /// Name, unique in the file.
    pub name: String,
    /// Number format.
    pub kind: GgufType,
    /// Shape, rows first (the file stores it the other way round). Every dimension is at least 1.
    pub shape: Vec<u64>,
    /// First byte of the data, from the start of the file.
    pub start: u64,
    /// Bytes of data.
    pub bytes: u64,
}

impl GgufTensor {
    /// Reads a description; `start` is still relative to the data section.
    pub(super) fn read<R: Read>(input: &mut Cursor<R>) -> Result<Self> {
        let name = input.string("tensor name", limits::TENSOR_NAME_BYTES_MAX)?;
        let dimensions = u64::from(input.u32("dimension count")?);
        over("dimension count", dimensions, limits::DIMENSIONS_MAX)?;
        let mut shape = Vec::new();
        let mut elements = 1u64;
        for _ in 0..dimensions {
            let size = input.u64("dimension")?;
            if size == 0 {
                return Err(bad(&name, "dimension", 0, "at least 1"));
            }
            elements = elements.saturating_mul(size);
            over("numbers in a tensor", elements, limits::TENSOR_ELEMENTS_MAX)?;
            shape.push(size);
        }
        let row = shape.first().copied().unwrap_or(1);
        shape.reverse();
        let kind = GgufType::from_id(input.u32("tensor type")?, &name)?;
        if !row.is_multiple_of(kind.block_elements()) {
            let allowed = format!(
                "a multiple of {} for {}",
                kind.block_elements(),
                kind.name()
            );
            return Err(bad(&name, "row length", row, &allowed));
        }
        // at most 2^40 elements of at most 4 bytes
        let bytes = elements / kind.block_elements() * kind.block_bytes();
        let start = input.u64("tensor offset")?;
        Ok(Self {
            name,
            kind,
            shape,
            start,
            bytes,
        })
    }

    /// One past the last byte of data.
    pub fn end(&self) -> u64 {
        self.start.saturating_add(self.bytes)
    }
}

/// Turns relative offsets into places in the file and checks alignment, range and overlap.
pub(super) fn place(
    tensors: &mut [GgufTensor],
    data_start: u64,
    alignment: u64,
    file_bytes: u64,
) -> Result<()> {
    for tensor in &mut *tensors {
        if !tensor.start.is_multiple_of(alignment) {
            let allowed = format!("a multiple of the alignment of {alignment} bytes");
            return Err(bad(&tensor.name, "offset", tensor.start, &allowed));
        }
        tensor.start = data_start.saturating_add(tensor.start);
        if tensor.end() > file_bytes {
            return Err(InferError::TensorRange {
                tensor: tensor.name.clone(),
                start: tensor.start,
                end: tensor.end(),
                file_bytes,
            });
        }
    }
    let mut by_start: Vec<&GgufTensor> = tensors.iter().collect();
    by_start.sort_by_key(|t| (t.start, t.end()));
    for (first, second) in by_start.iter().zip(by_start.iter().skip(1)) {
        if second.start < first.end() {
            return Err(InferError::TensorOverlap {
                first: first.name.clone(),
                second: second.name.clone(),
            });
        }
    }
    Ok(())
}

fn bad(tensor: &str, field: &str, value: u64, allowed: &str) -> InferError {
    InferError::BadField {
        format: FORMAT,
        field: format!("{field} of tensor `{tensor}`"),
        value: value.to_string(),
        allowed: allowed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_sizes_agree_with_candle() {
        for id in 0..64 {
            let Ok(kind) = GgufType::from_id(id, "t") else {
                continue;
            };
            assert_eq!(
                kind.block_bytes(),
                kind.candle().type_size() as u64,
                "{kind:?}"
            );
            assert_eq!(
                kind.block_elements(),
                kind.candle().block_size() as u64,
                "{kind:?}"
            );
            assert!(SUPPORTED.split(", ").any(|n| n == kind.name()), "{kind:?}");
        }
    }

    #[test]
    fn known_and_unknown_types_are_told_apart() {
        let known = GgufType::from_id(16, "a").unwrap_err().to_string();
        assert!(
            known.starts_with("tensor `a` has type IQ2_XXS, supported: F32"),
            "{known}"
        );
        let unknown = GgufType::from_id(99, "a").unwrap_err().to_string();
        assert_eq!(unknown, "gguf: tensor `a` has unknown type id 99");
    }
}
