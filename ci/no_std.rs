//! A program without `std` around `sketches`. `std` has a panic handler of its own, so this does not
//! compile where the crate, or anything under it, brings `std` in.
#![no_std]

extern crate alloc;

use core::alloc::{GlobalAlloc, Layout};

struct NoMemory;

// SAFETY: it never hands out memory.
unsafe impl GlobalAlloc for NoMemory {
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        core::ptr::null_mut()
    }
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: NoMemory = NoMemory;

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// Uses a sketch and its bytes, so that they are linked.
pub fn count(keys: &[u64]) -> usize {
    let Ok(mut sketch) = sketches::HyperLogLog::new(14) else { return 0 };
    sketch.insert_each(keys);
    sketch.to_bytes().len()
}
