//! What is needed next, asked for while something else is computed.

/// Places of keys and values that are asked for while those of another head are read: the same
/// words of each. Nothing is read through the pointers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ahead {
    keys: *const u32,
    values: *const u32,
}

impl Ahead {
    /// Of the head whose keys and values begin there.
    pub(super) fn new(keys: *const u32, values: *const u32) -> Self {
        Self { keys, values }
    }

    /// Asks for the sixteen keys' words from `word` on.
    #[inline(always)]
    pub(super) fn key_line(self, word: usize) {
        fetch(self.keys.wrapping_add(word));
    }

    /// Asks for the sixteen values' words from `word` on.
    #[inline(always)]
    pub(super) fn value_line(self, word: usize) {
        fetch(self.values.wrapping_add(word));
    }
}

#[inline(always)]
fn fetch(place: *const u32) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint, which reads nothing; every processor of this architecture has it.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
