//! Keys as bytes, for the counters that own their keys.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, string::String, vec::Vec};

use crate::{
    codec::{Reader, Writer},
    error::SketchError,
};

/// A key that can be written into the bytes of a counter and read back.
///
/// Implemented for the integers (little-endian), `String`, `Vec<u8>` and byte arrays. Own types
/// implement it with a [`TYPE_CODE`](Self::TYPE_CODE) of 128 or more.
///
/// ```
/// use sketches::top_k::ItemBytes;
///
/// #[derive(Debug, PartialEq)]
/// struct Port(u16);
///
/// impl ItemBytes for Port {
///     const TYPE_CODE: u8 = 128;
///     fn write(&self, bytes: &mut Vec<u8>) {
///         self.0.write(bytes);
///     }
///     fn read(bytes: &[u8]) -> Option<Self> {
///         u16::read(bytes).map(Port)
///     }
/// }
/// assert_eq!(Port::read(&[80, 0]), Some(Port(80)));
/// ```
pub trait ItemBytes: Sized {
    /// Tells types apart in the encoding; below 128 they belong to this crate.
    const TYPE_CODE: u8;

    /// Appends the bytes of the key.
    fn write(&self, bytes: &mut Vec<u8>);

    /// Reads a key from exactly the bytes that [`write`](Self::write) appended; `None` where they
    /// are not those of a key.
    fn read(bytes: &[u8]) -> Option<Self>;
}

macro_rules! integer_items {
    ($($integer:ty = $code:literal),+ $(,)?) => {$(
        impl ItemBytes for $integer {
            const TYPE_CODE: u8 = $code;

            fn write(&self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }

            fn read(bytes: &[u8]) -> Option<Self> {
                Some(Self::from_le_bytes(bytes.try_into().ok()?))
            }
        }
    )+};
}

integer_items! {
    u8 = 1, u16 = 2, u32 = 3, u64 = 4, u128 = 5,
    i8 = 6, i16 = 7, i32 = 8, i64 = 9, i128 = 10,
}

impl ItemBytes for String {
    const TYPE_CODE: u8 = 11;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self.as_bytes());
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        core::str::from_utf8(bytes).ok().map(Self::from)
    }
}

impl ItemBytes for Vec<u8> {
    const TYPE_CODE: u8 = 12;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        Some(bytes.to_vec())
    }
}

impl<const N: usize> ItemBytes for [u8; N] {
    const TYPE_CODE: u8 = 13;

    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(self);
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok()
    }
}

/// Appends a key: its length in bytes as a varint, then the bytes.
pub(super) fn write_item<K: ItemBytes>(writer: &mut Writer, item: &K) {
    let mut bytes = Vec::new();
    item.write(&mut bytes);
    writer.varint(bytes.len() as u64);
    writer.raw(&bytes);
}

/// Reads what [`write_item`] wrote.
pub(super) fn read_item<K: ItemBytes>(reader: &mut Reader<'_>) -> Result<K, SketchError> {
    let len = usize::try_from(reader.varint("key length")?).unwrap_or(usize::MAX);
    let at = reader.offset();
    K::read(reader.raw("key", len)?).ok_or_else(|| {
        let (value, allowed) = (format!("{len} bytes"), "the bytes of a key of its type");
        reader.bad_field("key", at, value, allowed)
    })
}

/// Reads the type code, which must be that of the keys asked for.
pub(super) fn read_type<K: ItemBytes>(reader: &mut Reader<'_>) -> Result<(), SketchError> {
    let at = reader.offset();
    let code = reader.u8("key type")?;
    if code == K::TYPE_CODE {
        return Ok(());
    }
    Err(reader.bad_field("key type", at, format!("{code}"), "the one asked for"))
}

/// The error of an entry that is in the wrong place or there twice.
pub(super) fn out_of_order(reader: &Reader<'_>, at: usize) -> SketchError {
    let (value, allowed) = (String::from("out of order"), "each key once, in order");
    reader.bad_field("entry", at, value, allowed)
}
