//! Rows that several threads write, each its own part.

use std::marker::PhantomData;

/// A mutable slice cut into rows of equal length, shared by the threads of one region.
pub(crate) struct SharedRows<'a, T> {
    start: *mut T,
    len: usize,
    stride: usize,
    held: PhantomData<&'a mut [T]>,
}

// SAFETY: threads get disjoint parts (the contract of `row` and `part`), and `T` may be sent.
unsafe impl<T: Send> Sync for SharedRows<'_, T> {}

impl<'a, T> SharedRows<'a, T> {
    pub(crate) fn new(slice: &'a mut [T], stride: usize) -> Self {
        Self {
            start: slice.as_mut_ptr(),
            len: slice.len(),
            stride,
            held: PhantomData,
        }
    }

    /// Row `index`.
    ///
    /// # Safety
    /// No other part of it may be in use.
    ///
    /// # Panics
    /// When the row is outside the slice.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for disjoint parts")]
    pub(crate) unsafe fn row(&self, index: usize) -> &mut [T] {
        // SAFETY: passed on to the caller.
        unsafe { self.part(index, 0, self.stride) }
    }

    /// `width` items of row `index` from column `at` on.
    ///
    /// # Safety
    /// No overlapping part may be in use.
    ///
    /// # Panics
    /// When the part is outside the slice.
    #[expect(clippy::mut_from_ref, reason = "the caller vouches for disjoint parts")]
    pub(crate) unsafe fn part(&self, index: usize, at: usize, width: usize) -> &mut [T] {
        let from = index * self.stride + at;
        assert!(from + width <= self.len, "part of {} items", self.len);
        // SAFETY: within the slice, as just checked; the caller vouches that nobody else has it.
        unsafe { std::slice::from_raw_parts_mut(self.start.add(from), width) }
    }

    /// Where row `index` begins, or would; not to be read through.
    pub(crate) fn place(&self, index: usize) -> *const T {
        self.start.wrapping_add(index * self.stride).cast_const()
    }

    /// Items from one row to the next.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// The start of `height` rows by `width` items from row `index` and column `at` on.
    ///
    /// # Panics
    /// When a part of it is outside the slice.
    pub(crate) fn tile(&self, index: usize, at: usize, [height, width]: [usize; 2]) -> *mut T {
        let from = index * self.stride + at;
        let end = (height - 1) * self.stride + width;
        assert!(from + end <= self.len, "tile of {} items", self.len);
        // SAFETY: within the slice, as just checked.
        unsafe { self.start.add(from) }
    }
}
