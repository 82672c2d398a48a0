//! Memory for the lines of shards.
//!
//! Small shards have memory of their own. The lines of larger ones lie side by side in slabs for
//! which the system is asked for huge pages: a lookup goes to a random line, and with pages of
//! 4 KiB the processor's search for the page took longer than the line itself.
#![cfg_attr(
    not(neurectomy_loom),
    expect(
        unsafe_code,
        reason = "measured: a mapping is the only memory in huge pages, and lines in it cannot be made without"
    )
)]

use std::ops::Deref;

use super::sync::{AtomicU32, AtomicU64};

/// Words per line.
pub(super) const LINE_SLOTS: usize = 5;

/// 64 bytes.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(super) struct Line {
    /// 0 where the slot is free. 1 stands for hash 0 too.
    pub(super) hashes: [AtomicU32; LINE_SLOTS],
    /// Has the [bit](Line::bit) of every hash that lies behind this line and is at home in it or
    /// before it, and may have others.
    pub(super) passed: AtomicU32,
    /// 0 where the slot is free.
    pub(super) words: [AtomicU64; LINE_SLOTS],
}

impl Line {
    /// One of 32, by the bits that have no say in where a hash is at home.
    #[inline]
    pub(super) fn bit(hash: u32) -> u32 {
        1 << (hash % 32)
    }
}

/// The lines of one shard.
#[derive(Debug)]
pub(super) enum Lines {
    Own(Box<[Line]>),
    #[cfg(not(neurectomy_loom))]
    Part(slab::Part),
}

impl Default for Lines {
    fn default() -> Self {
        Self::own(0)
    }
}

impl Lines {
    /// `count` free lines in memory of their own: the plain form.
    pub(super) fn own(count: usize) -> Self {
        Self::Own((0..count).map(|_| Line::default()).collect())
    }
}

impl Deref for Lines {
    type Target = [Line];

    fn deref(&self) -> &[Line] {
        match self {
            Self::Own(lines) => lines,
            #[cfg(not(neurectomy_loom))]
            Self::Part(part) => part.lines,
        }
    }
}

/// Where shards of one index get their lines.
#[derive(Debug)]
pub(crate) struct Slabs {
    /// How many shards will want about as many lines.
    #[cfg_attr(
        neurectomy_loom,
        expect(dead_code, reason = "models have small shards")
    )]
    shards: usize,
    #[cfg(not(neurectomy_loom))]
    filling: Option<slab::Filling>,
}

impl Slabs {
    pub(crate) fn new(shards: usize) -> Self {
        Self {
            shards,
            #[cfg(not(neurectomy_loom))]
            filling: None,
        }
    }

    /// `count` free lines.
    #[cfg(neurectomy_loom)]
    pub(super) fn take(&mut self, count: usize) -> Lines {
        Lines::own(count)
    }

    /// `count` free lines.
    #[cfg(not(neurectomy_loom))]
    pub(super) fn take(&mut self, count: usize) -> Lines {
        if let Some(part) = self.filling.as_mut().and_then(|slab| slab.take(count)) {
            return Lines::Part(part);
        }
        self.expect(count.saturating_mul(self.shards));
        let part = self.filling.as_mut().and_then(|slab| slab.take(count));
        part.map_or_else(|| Lines::own(count), Lines::Part)
    }

    /// Makes ready for calls of [`take`](Self::take) that come to `count` lines together.
    #[cfg_attr(neurectomy_loom, expect(unused_variables, reason = "see take"))]
    pub(crate) fn expect(&mut self, count: usize) {
        #[cfg(not(neurectomy_loom))]
        {
            self.filling = slab::Filling::new(count);
        }
    }
}

#[cfg(not(neurectomy_loom))]
mod slab {
    use std::sync::Arc;

    use memmap2::{MmapOptions, MmapRaw};

    use super::Line;

    /// A huge page. In slabs of less than one there is nothing to win.
    const HUGE_BYTES: usize = 2 << 20;

    /// Zeros until they are written; memory is taken up by what was.
    #[derive(Debug)]
    struct Slab {
        map: MmapRaw,
        /// Where the first huge page begins.
        start: usize,
    }

    /// The slab that is given out, line by line in order, never twice.
    #[derive(Debug)]
    pub(super) struct Filling {
        slab: Arc<Slab>,
        next: usize,
        count: usize,
    }

    impl Filling {
        /// `None` for few lines, or where the system has no such memory.
        pub(super) fn new(count: usize) -> Option<Self> {
            let bytes = count.checked_mul(size_of::<Line>())?;
            if bytes < HUGE_BYTES {
                return None;
            }
            let mut options = MmapOptions::new();
            let options = options.len(bytes.checked_add(HUGE_BYTES)?);
            let map = MmapRaw::from(options.no_reserve_swap().map_anon().ok()?);
            let start = map.as_ptr().align_offset(HUGE_BYTES);
            #[cfg(target_os = "linux")]
            {
                // A wish: without it lookups are slower and no more.
                let _ = map.advise_range(memmap2::Advice::HugePage, start, bytes);
            }
            let slab = Arc::new(Slab { map, start });
            let next = 0;
            (start <= HUGE_BYTES).then_some(Self { slab, next, count })
        }

        pub(super) fn take(&mut self, count: usize) -> Option<Part> {
            let (first, end) = (self.next, self.next.checked_add(count)?);
            if end > self.count {
                return None;
            }
            self.next = end;
            let slab = Arc::clone(&self.slab);
            let offset = slab.start + first * size_of::<Line>();
            // SAFETY: that many lines fit behind `start`, and this part ends at or below their count.
            let first = unsafe { slab.map.as_ptr().add(offset) };
            // SAFETY: the memory is mapped readable and writable for as long as the slab lives,
            // aligned as lines are (`start` is a multiple of 2 MiB), and holds lines: zeros at
            // first, which are free slots, then what was stored through this reference. Lines are
            // atomics throughout, so a shared reference is all that anybody has. Its lifetime is
            // that of the part, which keeps the slab: the field is private, and `Lines` gives it
            // out for as long as it is borrowed itself.
            let lines = unsafe { std::slice::from_raw_parts(first.cast::<Line>(), count) };
            Some(Part { lines, slab })
        }
    }

    /// Lines that belong to one shard.
    #[derive(Debug)]
    pub(in super::super) struct Part {
        /// In `slab`. Kept, since a way through the slab would be one more access to memory for each
        /// lookup.
        pub(super) lines: &'static [Line],
        slab: Arc<Slab>,
    }

    impl Drop for Part {
        /// Gives the memory back at once: others may keep the slab for long.
        fn drop(&mut self) {
            #[cfg(target_os = "linux")]
            {
                const PAGE_BYTES: usize = 4096;
                let offset = self.lines.as_ptr().addr() - self.slab.map.as_ptr().addr();
                let end = offset + size_of_val(self.lines);
                let start = offset.next_multiple_of(PAGE_BYTES);
                let bytes = (end - end % PAGE_BYTES).saturating_sub(start);
                let free = memmap2::UncheckedAdvice::DontNeed;
                if bytes > 0 {
                    // SAFETY: the pages lie within this part, which nobody refers to any more and
                    // which is not given out again.
                    let _ = unsafe { self.slab.map.unchecked_advise_range(free, start, bytes) };
                }
            }
        }
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::super::sync::Ordering;
    use super::*;

    fn mark(lines: &Lines, with: u64) {
        for (number, line) in lines.iter().enumerate() {
            assert_eq!(line.words[4].load(Ordering::Relaxed), 0);
            line.words[4].store(with + number as u64, Ordering::Relaxed);
        }
    }

    fn holds(lines: &Lines, with: u64) -> bool {
        let words = lines
            .iter()
            .map(|line| line.words[4].load(Ordering::Relaxed));
        words.eq((with..).take(lines.len()))
    }

    #[test]
    fn parts_are_free_lines_and_nobody_elses() {
        let mut slabs = Slabs::new(8);
        let mut kept = Vec::new();
        for round in 1..6_u64 {
            let count = 4096 + 777 * usize::try_from(round).unwrap();
            for shard in 0..8 {
                let lines = slabs.take(count);
                assert!(matches!(lines, Lines::Part(_)));
                assert_eq!(lines.len(), count);
                let with = round << 40 | shard << 32 | 1;
                mark(&lines, with);
                kept.push((with, lines));
            }
            // As a shard that grew.
            kept.retain(|(with, _)| with >> 40 == round || with >> 32 & 1 == 0);
            assert!(kept.iter().all(|(with, lines)| holds(lines, *with)));
        }
    }

    #[test]
    fn few_lines_have_memory_of_their_own() {
        let mut slabs = Slabs::new(8);
        for count in [0, 1, 4095] {
            let lines = slabs.take(count);
            assert!(matches!(lines, Lines::Own(_)));
            assert_eq!(lines.len(), count);
            mark(&lines, 1);
        }
        slabs.expect(40_000);
        assert!(matches!(slabs.take(1), Lines::Part(_)));
        let too_many = slabs.take(40_000);
        assert_eq!(too_many.len(), 40_000);
    }
}
