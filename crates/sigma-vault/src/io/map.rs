//! Memory that shows a file: reads without a system call.
//!
//! Bytes are lent out as slices range by range, never the
//! whole mapping, because the rest of the file may be written meanwhile.
#![expect(
    unsafe_code,
    reason = "a slice of mapped memory cannot be made without"
)]

use std::fs::File;
use std::io;

use memmap2::{MmapOptions, MmapRaw};

/// A shared, read-only mapping of a file's first bytes.
#[derive(Debug)]
pub struct FileMap(MmapRaw);

impl FileMap {
    /// Maps `bytes` bytes of `file`; the file may be shorter and grow later.
    pub(super) fn new(file: &File, bytes: u64) -> io::Result<Self> {
        let bytes = usize::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let map = MmapOptions::new().len(bytes).map_raw_read_only(file)?;
        Ok(Self(map))
    }

    /// `count` bytes at `offset`, or `None` where the mapping ends before.
    ///
    /// The caller asks for ranges only that lie within the file (the system kills a process that
    /// reads behind the end) and that are not written any more: records whose write has returned.
    pub(crate) fn bytes(&self, offset: u64, count: u64) -> Option<&[u8]> {
        let (offset, count) = (usize::try_from(offset).ok()?, usize::try_from(count).ok()?);
        if offset.checked_add(count)? > self.0.len() {
            return None;
        }
        // SAFETY: the range lies within the mapping (checked above), so the pointer stays inside
        // the mapped object.
        let start = unsafe { self.0.as_ptr().add(offset) };
        // SAFETY: the range is mapped readable for as long as `self` lives. Nothing writes to it:
        // the vault holds the directory's lock and never writes below the end of a finished write.
        Some(unsafe { std::slice::from_raw_parts(start, count) })
    }
}
