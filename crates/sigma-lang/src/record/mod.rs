//! The parts of a record as bytes: its first byte, and zstd blocks in fewer bytes than zstd's own.

mod head;
mod packed;

pub(crate) use head::{
    FLAG_CHECKSUM, FLAG_DICTIONARY, FLAG_DICTIONARY_ID, FLAG_DICTIONARY_VERSION, Form,
};
pub(crate) use packed::{UNPACKED_MORE_BYTES, pack, unpack};
