//! Metadata values.

use std::io::Read;

use super::cursor::{Cursor, over};
use super::{FORMAT, limits};
use crate::error::{InferError, Result};

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the type names of the format")]
pub enum GgufValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    String(String),
    Array(GgufArray),
    U64(u64),
    I64(i64),
    F64(f64),
}

/// An array of one type; one allocation whatever the number of elements, strings apart.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the type names of the format")]
pub enum GgufArray {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    F32(Vec<f32>),
    Bool(Vec<bool>),
    String(Vec<String>),
    Array(Vec<GgufArray>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F64(Vec<f64>),
}

impl GgufValue {
    /// The value as an unsigned integer, if it is a non-negative integer of any width.
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Self::U8(v) => Some(u64::from(*v)),
            Self::U16(v) => Some(u64::from(*v)),
            Self::U32(v) => Some(u64::from(*v)),
            Self::U64(v) => Some(*v),
            Self::I8(v) => u64::try_from(*v).ok(),
            Self::I16(v) => u64::try_from(*v).ok(),
            Self::I32(v) => u64::try_from(*v).ok(),
            Self::I64(v) => u64::try_from(*v).ok(),
            _ => None,
        }
    }

    /// The value as a float, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F32(v) => Some(f64::from(*v)),
            Self::F64(v) => Some(*v),
            _ => None,
        }
    }

    /// The value as a truth value, if it is one.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(v) => Some(*v),
            _ => None,
        }
    }

    /// The value as text, if it is a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(v) => Some(v),
            _ => None,
        }
    }

    /// The value as an array, if it is one.
    pub fn as_array(&self) -> Option<&GgufArray> {
        match self {
            Self::Array(v) => Some(v),
            _ => None,
        }
    }

    /// Short text for error messages.
    pub(crate) fn brief(&self) -> String {
        match self {
            Self::String(v) => v.chars().take(64).collect(),
            Self::Array(v) => format!("an array of {} elements", v.len()),
            other => format!("{other:?}"),
        }
    }
}

impl GgufArray {
    /// Number of elements.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(v) => v.len(),
            Self::I8(v) => v.len(),
            Self::U16(v) => v.len(),
            Self::I16(v) => v.len(),
            Self::U32(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::F32(v) => v.len(),
            Self::Bool(v) => v.len(),
            Self::String(v) => v.len(),
            Self::Array(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::I64(v) => v.len(),
            Self::F64(v) => v.len(),
        }
    }

    /// Whether the array has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements, if they are strings.
    pub fn as_strings(&self) -> Option<&[String]> {
        match self {
            Self::String(v) => Some(v),
            _ => None,
        }
    }

    /// The elements, if they are f32.
    pub fn as_f32s(&self) -> Option<&[f32]> {
        match self {
            Self::F32(v) => Some(v),
            _ => None,
        }
    }

    /// The elements as i32, if they are 32-bit integers.
    pub fn to_i32s(&self) -> Option<Vec<i32>> {
        match self {
            Self::I32(v) => Some(v.clone()),
            Self::U32(v) => v.iter().map(|x| i32::try_from(*x).ok()).collect(),
            _ => None,
        }
    }
}

/// Type tags of the format.
const TAG_U8: u32 = 0;
const TAG_I8: u32 = 1;
const TAG_U16: u32 = 2;
const TAG_I16: u32 = 3;
const TAG_U32: u32 = 4;
const TAG_I32: u32 = 5;
const TAG_F32: u32 = 6;
const TAG_BOOL: u32 = 7;
const TAG_STRING: u32 = 8;
const TAG_ARRAY: u32 = 9;
const TAG_U64: u32 = 10;
const TAG_I64: u32 = 11;
const TAG_F64: u32 = 12;

/// Fewest bytes that an element of a type takes in the file.
fn element_bytes(tag: u32, key: &str) -> Result<u64> {
    match tag {
        TAG_U8 | TAG_I8 | TAG_BOOL => Ok(1),
        TAG_U16 | TAG_I16 => Ok(2),
        TAG_U32 | TAG_I32 | TAG_F32 => Ok(4),
        TAG_U64 | TAG_I64 | TAG_F64 | TAG_STRING => Ok(8),
        TAG_ARRAY => Ok(12),
        id => Err(unknown(id, key)),
    }
}

fn unknown(id: u32, key: &str) -> InferError {
    InferError::UnknownType {
        format: FORMAT,
        what: format!("metadata `{key}`"),
        id,
    }
}

/// Reads one value with its type tag.
pub(super) fn read_value<R: Read>(input: &mut Cursor<R>, key: &str) -> Result<GgufValue> {
    let what = "metadata value";
    Ok(match input.u32("metadata type")? {
        TAG_U8 => GgufValue::U8(u8::from_le_bytes(input.array(what)?)),
        TAG_I8 => GgufValue::I8(i8::from_le_bytes(input.array(what)?)),
        TAG_U16 => GgufValue::U16(u16::from_le_bytes(input.array(what)?)),
        TAG_I16 => GgufValue::I16(i16::from_le_bytes(input.array(what)?)),
        TAG_U32 => GgufValue::U32(u32::from_le_bytes(input.array(what)?)),
        TAG_I32 => GgufValue::I32(i32::from_le_bytes(input.array(what)?)),
        TAG_F32 => GgufValue::F32(f32::from_le_bytes(input.array(what)?)),
        TAG_BOOL => GgufValue::Bool(boolean(input.array(what)?)?),
        TAG_STRING => GgufValue::String(input.string(what, limits::STRING_BYTES_MAX)?),
        TAG_ARRAY => GgufValue::Array(read_array(input, key, 1)?),
        TAG_U64 => GgufValue::U64(u64::from_le_bytes(input.array(what)?)),
        TAG_I64 => GgufValue::I64(i64::from_le_bytes(input.array(what)?)),
        TAG_F64 => GgufValue::F64(f64::from_le_bytes(input.array(what)?)),
        id => return Err(unknown(id, key)),
    })
}

/// Reads an array; recursion is bounded by `depth`.
fn read_array<R: Read>(input: &mut Cursor<R>, key: &str, depth: u32) -> Result<GgufArray> {
    let limit = limits::ARRAY_DEPTH_MAX;
    over("array nesting", u64::from(depth), u64::from(limit))?;
    let tag = input.u32("array type")?;
    let least = element_bytes(tag, key)?;
    let n = input.count("array length", limits::ARRAY_ELEMENTS_MAX, least)?;
    Ok(match tag {
        TAG_U8 => GgufArray::U8(input.elements(n, |b| Ok(u8::from_le_bytes(b)))?),
        TAG_I8 => GgufArray::I8(input.elements(n, |b| Ok(i8::from_le_bytes(b)))?),
        TAG_U16 => GgufArray::U16(input.elements(n, |b| Ok(u16::from_le_bytes(b)))?),
        TAG_I16 => GgufArray::I16(input.elements(n, |b| Ok(i16::from_le_bytes(b)))?),
        TAG_U32 => GgufArray::U32(input.elements(n, |b| Ok(u32::from_le_bytes(b)))?),
        TAG_I32 => GgufArray::I32(input.elements(n, |b| Ok(i32::from_le_bytes(b)))?),
        TAG_F32 => GgufArray::F32(input.elements(n, |b| Ok(f32::from_le_bytes(b)))?),
        TAG_BOOL => GgufArray::Bool(input.elements(n, boolean)?),
        TAG_U64 => GgufArray::U64(input.elements(n, |b| Ok(u64::from_le_bytes(b)))?),
        TAG_I64 => GgufArray::I64(input.elements(n, |b| Ok(i64::from_le_bytes(b)))?),
        TAG_F64 => GgufArray::F64(input.elements(n, |b| Ok(f64::from_le_bytes(b)))?),
        TAG_STRING => {
            let mut strings = Vec::with_capacity(n);
            for _ in 0..n {
                strings.push(input.string("array string", limits::STRING_BYTES_MAX)?);
            }
            GgufArray::String(strings)
        }
        _ => {
            let mut arrays = Vec::with_capacity(n);
            for _ in 0..n {
                arrays.push(read_array(input, key, depth + 1)?);
            }
            GgufArray::Array(arrays)
        }
    })
}

fn boolean([byte]: [u8; 1]) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        other => Err(InferError::BadField {
            format: FORMAT,
            field: "bool value".to_owned(),
            value: other.to_string(),
            allowed: "0, 1".to_owned(),
        }),
    }
}
