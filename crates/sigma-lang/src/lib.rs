//! Checksummed, seekable compression of agent data on top of zstd.
//!
//! | task | entry |
//! |---|---|
//! | a buffer | [`compress`], [`decompress`]; many: [`Compressor`], [`Decompressor`] |
//! | a stream | [`Encoder`], [`Decoder`] |
//! | a part of a large content | [`Reader`] |
//! | small values that the caller delimits | [`Compressor::compress_record_into`] |
//! | small values alike | [`Dictionary`], [`DictionaryRegistry`], [`DictionarySampler`] |
//! | small values in order, each against those before | [`SessionEncoder`], [`SessionDecoder`] |
//! | data that repeats earlier data | [`compress_with_base`], [`decompress_with_base`] |
//! | which earlier data new data repeats | [`BaseFinder`] |
//! | what is in a container | [`inspect`] |
//! | many files, equal parts kept once | [`ArchiveWriter`], [`ArchiveReader`] |
//! | floats, with a known loss | [`tensor::compress_int8`]; keys and values of attention: [`tensor::compress_kv`] |
//!
//! The bytes are specified in `docs/formats/sigma-lang.md`. A container is a valid zstd file unless
//! it holds stored (incompressible) or transformed frames; [`Config::plain_frames_only`] rules both
//! out. Bytes
//! from outside are checked against [`Limits`] before memory is allocated, and every content is
//! checked against a 32-bit checksum.
//!
//! ```
//! use sigma_lang::{Config, Level, Limits};
//! let data = b"{\"role\":\"user\",\"text\":\"hello\"}\n".repeat(100);
//! let packed = sigma_lang::compress(&data, &Config::new().level(Level::High))?;
//! assert_eq!(sigma_lang::decompress(&packed, &Limits::default())?, data);
//! # Ok::<(), sigma_lang::SigmaError>(())
//! ```

#![deny(unsafe_code)] // allowed in the kernels of `simd`, in `grown` and in `room` only
#![deny(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic
)]

mod archive;
mod base;
mod config;
mod decode;
mod detect;
mod dictionary;
mod encode;
mod error;
mod frame;
mod gear;
mod level;
mod limits;
mod parallel;
mod record;
mod session;
mod simd;
pub mod tensor;
mod transform;

pub use archive::{ArchiveEntry, ArchiveReader, ArchiveSummary, ArchiveWriter};
pub use base::{BaseFinder, BaseFinderConfig, BaseMatch, compress_with_base, decompress_with_base};
pub use config::Config;
pub use decode::{
    Decoder, Decompressor, FrameInspection, FrameTag, Inspection, Reader, decompress, inspect,
    reference,
};
pub use dictionary::{Dictionary, DictionaryRegistry, DictionarySampler, DictionaryVersion};
pub use encode::{Compressor, Encoder, compress};
pub use error::SigmaError;
pub use level::Level;
pub use limits::Limits;
pub use session::{SessionConfig, SessionDecoder, SessionEncoder, SessionSnapshot};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
