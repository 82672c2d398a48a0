//! The end of the active segment that is not in its file yet.
//!
//! Only the holder of the log's lock adds to it or empties it; readers look a record up in it when
//! that lies at or behind `written`. A record is in the file before `written` moves past it, so a
//! reader that sees the new value finds it there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Bytes from `start` on.
#[derive(Debug, Default)]
pub(crate) struct Buffer {
    pub(crate) start: u64,
    pub(crate) bytes: Vec<u8>,
}

impl Buffer {
    /// `count` bytes at `offset` of the segment, if they are here.
    pub(crate) fn get(&self, offset: u64, count: u64) -> Option<&[u8]> {
        let from = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let count = usize::try_from(count).ok()?;
        self.bytes.get(from..)?.get(..count)
    }
}

#[derive(Debug)]
pub(crate) struct Tail {
    written: AtomicU64,
    buffer: RwLock<Buffer>,
}

impl Tail {
    /// The tail of a segment whose file holds everything below `end`.
    pub(crate) fn new(end: u64) -> Self {
        Self {
            written: AtomicU64::new(end),
            buffer: RwLock::new(Buffer {
                start: end,
                bytes: Vec::new(),
            }),
        }
    }

    /// Everything below this is in the file.
    pub(crate) fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Buffer> {
        self.buffer.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Buffer> {
        self.buffer.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The buffer is in the file up to `end`; gives it back empty, its memory up to `bytes_kept`.
    pub(crate) fn emptied(&self, end: u64, bytes_kept: usize) {
        let mut buffer = self.write();
        buffer.start = end;
        buffer.bytes.clear();
        if buffer.bytes.capacity() > bytes_kept {
            buffer.bytes = Vec::new();
        }
        self.written.store(end, Ordering::Release);
    }
}
