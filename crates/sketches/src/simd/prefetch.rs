//! Asking for memory before it is needed.
#![allow(unsafe_code)] // the instruction

/// Asks for the cache line of a place that will be written, where the CPU can be asked.
#[inline(always)]
pub(crate) fn prefetch_to_write<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        // SAFETY: a prefetch has no effect on memory; SSE is part of x86-64.
        unsafe { _mm_prefetch::<_MM_HINT_ET0>(core::ptr::from_ref(place).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[cfg(test)]
mod tests {
    use super::prefetch_to_write;

    #[test]
    fn what_is_asked_for_stays_as_it_is() {
        let words = [1_u64, 2, 3];
        words.iter().for_each(prefetch_to_write);
        prefetch_to_write(&());
        assert_eq!(words, [1, 2, 3]);
    }
}
