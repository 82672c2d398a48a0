//! The container's parts as bytes: `docs/formats/sigma-lang.md`, one file per part.

mod checksum;
mod cursor;
mod header;
mod layout;
mod part;
mod seek_table;
mod varint;
mod zstd_frame;

pub(crate) use checksum::{NOISE_BLOCK_BYTES, check32, hash128, noise_check32};
pub(crate) use cursor::Cursor;
pub(crate) use header::{FORMAT_VERSION, HEADER_FIXED_BYTES, Header};
pub(crate) use layout::{Layout, Placed, check_stated};
pub(crate) use part::{
    PartInfo, TAG_CHECKED_PLANES, TAG_GROWN, TAG_NUMBERS, TAG_PLAIN, TAG_PLANES, TAG_TEMPLATES,
    TAG_TOKENS, TAGGED_MAGIC, TaggedHead, check_for, check_plain_header, check_tag,
    check_tagged_head, is_stored, open_transformed_frame, stored_frame_bytes, write_stored_frame,
    write_stored_frame_with,
};
pub(crate) use seek_table::{
    SEEK_ENTRY_BYTES, SEEK_FOOTER_BYTES, SEEK_TABLE_FIXED_BYTES, SeekEntry, SeekTable,
    TRAILER_BYTES, TRAILER_MAGIC, Trailer, write_end,
};
pub(crate) use varint::{LengthGap, VARINT_BYTES_MAX, write_varint};
pub(crate) use zstd_frame::{
    BLOCK_BYTES_MAX, BLOCK_HEADER_BYTES, BlockHeader, BlockKind, FrameHeader, ZSTD_MAGIC,
    frame_bytes_max, header_bytes, skip_blocks,
};
