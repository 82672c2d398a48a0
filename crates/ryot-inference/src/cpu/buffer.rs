//! Bytes that begin on a cache line, so that no vector or tile row straddles two.

use std::alloc::{Layout, alloc_zeroed, dealloc, handle_alloc_error};
use std::ptr::NonNull;

/// Cache line.
const LINE: usize = 64;
/// Large page of the processor; buffers from twice this size on are aligned to it, and the system
/// is asked to use such pages.
const LARGE_PAGE: usize = 2 << 20;

/// Zeroed bytes, aligned to a cache line at least.
pub(crate) struct Buffer {
    start: NonNull<u8>,
    layout: Layout,
    len: usize,
}

// SAFETY: a buffer owns its bytes, and shares them only behind `&self`.
unsafe impl Send for Buffer {}
// SAFETY: see above.
unsafe impl Sync for Buffer {}

impl Buffer {
    pub(crate) fn zeroed(len: usize) -> Self {
        let align = if len >= 2 * LARGE_PAGE {
            LARGE_PAGE
        } else {
            LINE
        };
        let bytes = len.next_multiple_of(align).max(LINE);
        let layout = Layout::from_size_align(bytes, align)
            .unwrap_or_else(|_| panic!("a buffer of {len} bytes is larger than memory can be"));
        // SAFETY: the layout's size is not zero.
        let start = unsafe { alloc_zeroed(layout) };
        let Some(start) = NonNull::new(start) else {
            handle_alloc_error(layout)
        };
        if align == LARGE_PAGE {
            ask_for_large_pages(start, bytes);
        }
        Self { start, layout, len }
    }

    /// Makes room for `len` bytes; what is in them is not specified, but set.
    pub(crate) fn resize(&mut self, len: usize) {
        if len > self.layout.size() {
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
        // SAFETY: allocated with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// A hint: refused, everything works as it is.
#[cfg(target_os = "linux")]
fn ask_for_large_pages(start: NonNull<u8>, bytes: usize) {
    use rustix::mm::{Advice, madvise};
    // SAFETY: the range is allocated here, and the advice does not change what is in it.
    let _refused = unsafe { madvise(start.as_ptr().cast(), bytes, Advice::LinuxHugepage) };
}

#[cfg(not(target_os = "linux"))]
fn ask_for_large_pages(_start: NonNull<u8>, _bytes: usize) {}

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

    /// The bytes as f32, in the machine's own order.
    pub(crate) fn as_mut_f32(&mut self) -> &mut [f32] {
        // SAFETY: as for `as_f32`, and the borrow is unique.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr().cast(), self.len / 4) }
    }
}
