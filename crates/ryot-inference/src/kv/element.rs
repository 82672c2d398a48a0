//! How keys and values are kept, and runs of them as numbers.

use crate::cpu::{bf16_to_f32, f32_to_bf16};

/// The type of the numbers that a state keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KvElement {
    /// Four bytes: as computed.
    F32,
    /// Two bytes: the first half of an f32, rounded to nearest.
    Bf16,
}

impl KvElement {
    /// Bytes of one number.
    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::Bf16 => 2,
        }
    }
}

/// Numbers of keys and values, as wide as the state that they come from keeps them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum KvValues {
    /// As computed.
    F32(Vec<f32>),
    /// Rounded; the bits of each number.
    Bf16(Vec<u16>),
}

impl KvValues {
    pub(crate) fn with_capacity(element: KvElement, numbers: usize) -> Self {
        match element {
            KvElement::F32 => Self::F32(Vec::with_capacity(numbers)),
            KvElement::Bf16 => Self::Bf16(Vec::with_capacity(numbers)),
        }
    }

    /// Numbers held.
    pub fn len(&self) -> usize {
        match self {
            Self::F32(values) => values.len(),
            Self::Bf16(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The type of the numbers.
    pub fn element(&self) -> KvElement {
        match self {
            Self::F32(_) => KvElement::F32,
            Self::Bf16(_) => KvElement::Bf16,
        }
    }

    /// Bytes of the numbers.
    pub fn bytes(&self) -> usize {
        self.len() * self.element().bytes()
    }

    /// The numbers as f32, exactly.
    pub fn to_f32(&self) -> Vec<f32> {
        match self {
            Self::F32(values) => values.clone(),
            Self::Bf16(values) => values.iter().map(|bits| bf16_to_f32(*bits)).collect(),
        }
    }

    /// `values` as numbers of `element`, rounded to nearest where it is narrower.
    pub fn from_f32(element: KvElement, values: Vec<f32>) -> Self {
        match element {
            KvElement::F32 => Self::F32(values),
            KvElement::Bf16 => Self::Bf16(values.into_iter().map(f32_to_bf16).collect()),
        }
    }

    /// The numbers one after another, little-endian.
    pub fn to_le_bytes(&self) -> Vec<u8> {
        match self {
            Self::F32(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            Self::Bf16(values) => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        }
    }

    /// What [`KvValues::to_le_bytes`] gave; bytes that do not make a whole number are left out.
    pub fn from_le_bytes(element: KvElement, bytes: &[u8]) -> Self {
        match element {
            KvElement::F32 => {
                let numbers = bytes.as_chunks().0.iter();
                Self::F32(numbers.map(|b| f32::from_le_bytes(*b)).collect())
            }
            KvElement::Bf16 => {
                let numbers = bytes.as_chunks().0.iter();
                Self::Bf16(numbers.map(|b| u16::from_le_bytes(*b)).collect())
            }
        }
    }
}
