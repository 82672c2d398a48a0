//! Bytes that begin on a cache line, so that no vector or tile row straddles two.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;
use std::sync::Arc;

/// Cache line.
const LINE: usize = 64;
/// Large page of the processor. Buffers from twice this size on are aligned to it, and the system
/// is asked for such pages: reading weights ran at 27 GB/s with them and at 22 without.
const LARGE_PAGE: usize = 2 << 20;
/// Bytes that an [`Arena`] takes at once.
const CHUNK: usize = 32 << 20;

/// Zeroed bytes, aligned to a cache line at least.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    /// Bytes that there are.
    room: usize,
    len: usize,
    memory: Memory,
}

/// Who gives the bytes back.
enum Memory {
    Heap(NonNull<u8>, Layout),
    /// A mapping that holds the bytes.
    #[cfg(target_os = "linux")]
    Mapped {
        start: NonNull<u8>,
        bytes: usize,
    },
    /// The chunk of an arena.
    Part(#[expect(dead_code, reason = "kept until the last part is gone")] Arc<Buffer>),
}

// SAFETY: a buffer owns its bytes, and shares them only behind `&self`.
unsafe impl Send for Buffer {}
// SAFETY: see above.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn zeroed(len: usize) -> Self {
        #[cfg(target_os = "linux")]
        if len >= 2 * LARGE_PAGE
            && let Some(mapped) = Self::mapped(len)
        {
            return mapped;
        }
        let room = len.next_multiple_of(LINE).max(LINE);
        // a line more instead of an alignment, which would have the allocator write all the zeros
        let layout = Layout::array::<u8>(room.saturating_add(LINE))
            .unwrap_or_else(|_| panic!("a buffer of {len} bytes is larger than memory can be"));
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(memory) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        // SAFETY: less than a line, which was added.
        let start = unsafe { memory.add(memory.align_offset(LINE)) };
        Self {
            start,
            room,
            len,
            memory: Memory::Heap(memory, layout),
        }
    }

    /// Fresh pages of the system, which become real where they are first written. `None` where it
    /// gives none.
    #[cfg(target_os = "linux")]
    fn mapped(len: usize) -> Option<Self> {
        use rustix::mm::{Advice, MapFlags, ProtFlags, madvise, mmap_anonymous};
        let room = len.checked_next_multiple_of(LARGE_PAGE)?;
        let bytes = room.checked_add(LARGE_PAGE)?;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping overlaps nothing.
        let mapping =
            unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, access, MapFlags::PRIVATE).ok()? };
        let mapping = NonNull::new(mapping.cast::<u8>())?;
        let skip = mapping.align_offset(LARGE_PAGE);
        // SAFETY: the mapping is one large page longer than `room`.
        let start = unsafe { mapping.add(skip) };
        // SAFETY: the range is mapped here; a hint, refused, everything works as it is.
        let _refused = unsafe { madvise(start.as_ptr().cast(), room, Advice::LinuxHugepage) };
        Some(Self {
            start,
            room,
            len,
            memory: Memory::Mapped {
                start: mapping,
                bytes,
            },
        })
    }

    /// Makes room for `len` bytes; what is in them is not specified, but set.
    pub(crate) fn resize(&mut self, len: usize) {
        if len > self.room {
            *self = Self::zeroed(len);
        }
        self.len = len;
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        // SAFETY: `len` bytes are allocated and were zeroed or written.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as for `as_slice`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        match &self.memory {
            // SAFETY: allocated with this layout.
            Memory::Heap(start, layout) => unsafe { dealloc(start.as_ptr(), *layout) },
            #[cfg(target_os = "linux")]
            Memory::Mapped { start, bytes } => {
                // SAFETY: mapped with this length, and nothing else points into it.
                let _failed = unsafe { rustix::mm::munmap(start.as_ptr().cast(), *bytes) };
            }
            Memory::Part(_) => {}
        }
    }
}

/// Buffers side by side in few large pieces of memory, which large pages can back.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    chunk: Option<Arc<Buffer>>,
    used: usize,
}

impl Arena {
    /// The next `len` bytes, zero.
    pub(crate) fn take(&mut self, len: usize) -> Buffer {
        let room = len.next_multiple_of(LINE);
        if room >= CHUNK {
            return Buffer::zeroed(len);
        }
        let chunk = match &self.chunk {
            Some(chunk) if self.used + room <= chunk.len => Arc::clone(chunk),
            _ => {
                self.used = 0;
                let chunk = Arc::new(Buffer::zeroed(CHUNK));
                Arc::clone(self.chunk.insert(chunk))
            }
        };
        // SAFETY: within the chunk, as `used + room` is; the chunk lives as long as the part.
        let start = unsafe { chunk.start.add(self.used) };
        self.used += room;
        Buffer {
            start,
            room,
            len,
            memory: Memory::Part(chunk),
        }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Buffer({} bytes)", self.len)
    }
}

impl Buffer {
    /// The bytes as f32, in the machine's own order.
    pub(crate) fn as_f32(&self) -> &[f32] {
        // SAFETY: aligned to a cache line, and every bit pattern is an f32.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 4) }
    }

    /// The bytes as words, in the machine's own order.
    pub(crate) fn as_u32(&self) -> &[u32] {
        // SAFETY: aligned to a cache line, and every bit pattern is a u32.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr().cast(), self.len / 4) }
    }

    /// The bytes as words, in the machine's own order.
    pub(crate) fn as_mut_u32(&mut self) -> &mut [u32] {
        // SAFETY: as for `as_u32`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / 4) }
    }

    /// The bytes as f32, in the machine's own order.
    pub(crate) fn as_mut_f32(&mut self) -> &mut [f32] {
        // SAFETY: as for `as_f32`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / 4) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_arena_are_apart_and_outlive_it() {
        let mut arena = Arena::default();
        let lens = [1, 64, 100_000, CHUNK / 2, CHUNK / 2, CHUNK + 1, 5];
        let mut parts: Vec<Buffer> = lens.map(|len| arena.take(len)).into();
        drop(arena);
        for (i, part) in (1u8..).zip(&mut parts) {
            assert!(part.as_slice().iter().all(|byte| *byte == 0));
            assert_eq!(part.as_slice().as_ptr() as usize % LINE, 0);
            part.as_mut_slice().fill(i);
        }
        for ((i, part), len) in (1u8..).zip(&parts).zip(lens) {
            assert_eq!(part.as_slice().len(), len);
            assert!(part.as_slice().iter().all(|byte| *byte == i));
        }
    }

    #[test]
    fn a_buffer_grows_and_shrinks() {
        let mut buffer = Buffer::zeroed(10);
        for len in [0, 64, 65, 5 << 20, 9 << 20, 3] {
            buffer.resize(len);
            assert_eq!(buffer.as_slice().len(), len);
            buffer.as_mut_slice().fill(7);
        }
    }
}
