//! GGUF headers: a bounded parser of our own, run before any library touches the file.
//!
//! A GGUF file is a header (metadata values and tensor descriptions) followed by tensor data. The
//! header comes from strangers, so every count, length, dimension and nesting is capped before
//! anything is allocated, names must be unique, types known, and the tensors must lie inside the
//! file without overlap.
//!
//! ```
//! use ryot_inference::gguf::GgufHeader;
//! let error = GgufHeader::read(&b"GGUF\x09\0\0\0"[..], 8).unwrap_err();
//! assert_eq!(error.to_string(), "gguf: version 9 is not supported, allowed: 2, 3");
//! ```
//!
//! # Source
//! `docs/gguf.md` of the ggml project, versions 2 and 3, little-endian.
#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

mod cursor;
mod header;
mod tensor;
mod value;

pub use header::GgufHeader;
pub use tensor::{GgufTensor, GgufType};
pub use value::{GgufArray, GgufValue};

/// Name of the format in errors.
pub(crate) const FORMAT: &str = "gguf";

/// Caps of the parser; files beyond them are refused. Each is several times what published models
/// need.
pub mod limits {
    /// Bytes of header (metadata and tensor descriptions).
    pub const HEADER_BYTES_MAX: u64 = 512 << 20;
    /// Metadata entries.
    pub const METADATA_MAX: u64 = 1 << 16;
    /// Tensors.
    pub const TENSORS_MAX: u64 = 1 << 16;
    /// Bytes of a metadata key.
    pub const KEY_BYTES_MAX: u64 = 1 << 16;
    /// Bytes of a tensor name.
    pub const TENSOR_NAME_BYTES_MAX: u64 = 256;
    /// Bytes of a string value.
    pub const STRING_BYTES_MAX: u64 = 16 << 20;
    /// Elements of one array.
    pub const ARRAY_ELEMENTS_MAX: u64 = 1 << 22;
    /// Arrays inside arrays.
    pub const ARRAY_DEPTH_MAX: u32 = 4;
    /// Dimensions of a tensor.
    pub const DIMENSIONS_MAX: u64 = 4;
    /// Numbers in a tensor.
    pub const TENSOR_ELEMENTS_MAX: u64 = 1 << 40;
    /// Alignment of tensor data; the least is 8 bytes.
    pub const ALIGNMENT_MAX: u64 = 1 << 16;
}
