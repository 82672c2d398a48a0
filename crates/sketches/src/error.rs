//! The one error type of the crate.

use alloc::string::{String, ToString};

/// What went wrong, with the value that was found and the values that are allowed.
///
/// Every variant names the structure (`sketch`) it came from. Nothing in this crate panics on
/// parameters or on bytes; both come back as one of these.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum SketchError {
    /// A parameter of a constructor is outside its legal range.
    #[error("{sketch}: {name} is {value}, allowed: {allowed}")]
    Parameter {
        /// Structure that was asked for.
        sketch: &'static str,
        /// Name of the parameter.
        name: &'static str,
        /// Value that was given.
        value: String,
        /// Legal range, in words.
        allowed: &'static str,
    },
    /// Two structures were built with different hash seeds, so their hashes do not compare.
    #[error("{sketch}: seeds differ, {left:#018x} here and {right:#018x} there")]
    SeedMismatch {
        /// Structure that was asked to combine.
        sketch: &'static str,
        /// Seed of the receiver.
        left: u64,
        /// Seed of the argument.
        right: u64,
    },
    /// Two structures, or bytes and a reader, have different secret keys; the identities are shown.
    #[error("{sketch}: secret keys differ, identity {left:#018x} here and {right:#018x} there")]
    KeyMismatch {
        /// Structure that was asked to combine or to be read.
        sketch: &'static str,
        /// Identity of the key of the receiver.
        left: u64,
        /// Identity of the key of the argument, or in the bytes.
        right: u64,
    },
    /// The keys of the structure in the bytes were hashed by another rule than the reader's.
    #[error(
        "{sketch}: hash rule {found} in the bytes, expected {expected} (0 seeded, 1 secret key)"
    )]
    HashRule {
        /// Structure that was being read.
        sketch: &'static str,
        /// Rule in the bytes.
        found: u16,
        /// Rule of the reader.
        expected: u16,
    },
    /// Two structures of different size or kind cannot be combined or compared.
    #[error("{sketch}: {name} differs, {left} here and {right} there")]
    ShapeMismatch {
        /// Structure that was asked to combine.
        sketch: &'static str,
        /// Name of the property that differs.
        name: &'static str,
        /// Value of the receiver.
        left: String,
        /// Value of the argument.
        right: String,
    },
    /// A growing structure reached the most entries its index numbers can name.
    #[error("{sketch}: holds {len} entries, at most {allowed}")]
    Full {
        /// Structure that is full.
        sketch: &'static str,
        /// Entries it holds.
        len: usize,
        /// Most entries it can hold.
        allowed: usize,
    },
    /// The memory for a structure could not be allocated.
    #[error("{sketch}: {bytes} bytes of memory could not be allocated")]
    Memory {
        /// Structure that was asked for.
        sketch: &'static str,
        /// Bytes that were asked for.
        bytes: usize,
    },
    /// The bytes end before the structure does.
    #[error("{sketch}: {field} at byte {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        /// Structure that was being read.
        sketch: &'static str,
        /// Field that was being read.
        field: &'static str,
        /// Offset of the field from the start of the bytes.
        offset: usize,
        /// Bytes the field needs.
        needed: usize,
        /// Bytes that are left for it.
        available: usize,
    },
    /// The bytes do not start with this crate's magic number.
    #[error("{sketch}: first four bytes are {found:02x?}, expected 53 4b 43 48")]
    Magic {
        /// Structure that was being read.
        sketch: &'static str,
        /// First four bytes.
        found: [u8; 4],
    },
    /// The bytes were written by a format version this build does not read.
    #[error("{sketch}: format version {found}, this build reads {supported}")]
    Version {
        /// Structure that was being read.
        sketch: &'static str,
        /// Version in the bytes.
        found: u8,
        /// Version that is read.
        supported: u8,
    },
    /// The bytes hold another kind of sketch.
    #[error("{sketch}: family code {found} in the bytes, expected {expected}")]
    Family {
        /// Structure that was being read.
        sketch: &'static str,
        /// Family code in the bytes.
        found: u8,
        /// Family code of the structure that was asked for.
        expected: u8,
    },
    /// The checksum at the end does not match the bytes before it.
    #[error("{sketch}: checksum {computed:#018x} does not match stored {stored:#018x}")]
    Checksum {
        /// Structure that was being read.
        sketch: &'static str,
        /// Checksum in the bytes.
        stored: u64,
        /// Checksum of the bytes.
        computed: u64,
    },
    /// A field holds a value that no writer produces.
    #[error("{sketch}: {field} at byte {offset} is {value}, allowed: {allowed}")]
    Field {
        /// Structure that was being read.
        sketch: &'static str,
        /// Name of the field.
        field: &'static str,
        /// Offset of the field from the start of the bytes.
        offset: usize,
        /// Value that was found.
        value: String,
        /// Legal values, in words.
        allowed: &'static str,
    },
}

impl SketchError {
    pub(crate) fn parameter(
        sketch: &'static str,
        name: &'static str,
        value: impl ToString,
        allowed: &'static str,
    ) -> Self {
        Self::Parameter {
            sketch,
            name,
            value: value.to_string(),
            allowed,
        }
    }

    pub(crate) fn shape<V: ToString>(
        sketch: &'static str,
        name: &'static str,
        left: V,
        right: V,
    ) -> Self {
        Self::ShapeMismatch {
            sketch,
            name,
            left: left.to_string(),
            right: right.to_string(),
        }
    }
}

/// Refuses two seeds that differ.
pub(crate) fn check_seeds(sketch: &'static str, left: u64, right: u64) -> Result<(), SketchError> {
    if left == right {
        Ok(())
    } else {
        Err(SketchError::SeedMismatch {
            sketch,
            left,
            right,
        })
    }
}
