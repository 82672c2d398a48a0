//! Tables of zeros, and the pages under the large ones.
//!
//! A table of tens of megabytes that is read at random misses the translation cache at nearly every
//! access. On Linux, with feature `std`, such a table asks for huge pages before it is touched.
#![allow(unsafe_code)] // madvise

use alloc::{vec, vec::Vec};

use crate::error::SketchError;

/// Least bytes of a table that asks for huge pages: two of them.
#[cfg(all(feature = "std", target_os = "linux", not(miri)))]
const HUGE_WORTH_BYTES: usize = 4 << 20;

/// A vector of zeros, or the typed error where the memory is not there.
pub(crate) fn zeros<T: Clone + Default>(
    sketch: &'static str,
    len: usize,
) -> Result<Vec<T>, SketchError> {
    let mut row = reserved(sketch, len)?;
    row.resize(len, T::default());
    Ok(row)
}

/// As [`zeros`], and left to the allocator to clear, which gives pages that are clear already.
pub(crate) fn zero_words(sketch: &'static str, len: usize) -> Result<Vec<u64>, SketchError> {
    drop(reserved::<u64>(sketch, len)?);
    let row = vec![0; len];
    prefer_huge_pages(row.as_ptr(), row.len());
    Ok(row)
}

/// An empty vector with room for `len` items, or the typed error where the memory is not there.
pub(crate) fn reserved<T>(sketch: &'static str, len: usize) -> Result<Vec<T>, SketchError> {
    let mut row = Vec::new();
    row.try_reserve_exact(len)
        .map_err(|_| SketchError::Memory {
            sketch,
            bytes: len.saturating_mul(size_of::<T>()),
        })?;
    prefer_huge_pages(row.as_ptr(), row.capacity());
    Ok(row)
}

/// The items of an iterator that knows their number, in memory of [`reserved`].
pub(crate) fn collected<T>(
    sketch: &'static str,
    items: impl ExactSizeIterator<Item = T>,
) -> Result<Vec<T>, SketchError> {
    let mut row = reserved(sketch, items.len())?;
    row.extend(items);
    Ok(row)
}

/// Asks for huge pages under a table that has not been touched; a kernel without them ignores it.
#[cfg(all(feature = "std", target_os = "linux", not(miri)))]
fn prefer_huge_pages<T>(table: *const T, len: usize) {
    const HUGE_PAGE_BYTES: usize = 2 << 20;
    let bytes = len.saturating_mul(size_of::<T>());
    if bytes < HUGE_WORTH_BYTES {
        return;
    }
    let before = table.addr().next_multiple_of(HUGE_PAGE_BYTES) - table.addr();
    let inside = (bytes - before) / HUGE_PAGE_BYTES * HUGE_PAGE_BYTES;
    let start = table.cast::<u8>().wrapping_add(before);
    // SAFETY: the range is a part of one allocation, on page boundaries, and the advice changes no
    // contents. That it may fail does not matter: the table is as good with small pages.
    unsafe {
        libc::madvise(start.cast_mut().cast(), inside, libc::MADV_HUGEPAGE);
    }
}

#[cfg(not(all(feature = "std", target_os = "linux", not(miri))))]
const fn prefer_huge_pages<T>(_table: *const T, _len: usize) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_every_size_are_clear() {
        for len in [0, 1, 1000, (4 << 20) / 8, (5 << 20) / 8 + 3] {
            let mut words: Vec<u64> = zeros("test", len).unwrap();
            assert!(words.len() == len && words.iter().all(|word| *word == 0));
            words.fill(7);
            let clear = zero_words("test", len).unwrap();
            assert!(clear.len() == len && clear.iter().all(|word| *word == 0));
            assert!(words.iter().all(|word| *word == 7));
        }
    }

    #[test]
    fn memory_that_is_not_there_is_an_error() {
        let wanted = usize::MAX / 16;
        for error in [
            zeros::<u64>("test", wanted).unwrap_err(),
            zero_words("test", wanted).unwrap_err(),
        ] {
            assert!(matches!(error, SketchError::Memory { sketch: "test", .. }));
        }
    }
}
