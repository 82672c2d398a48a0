//! The open segment files, by number and by the small slot numbers that words hold.

use std::collections::HashMap;
use std::sync::Arc;

use crate::io::{FileMap, StorageFile};
use crate::log::Tail;

/// Replaced as a whole, so that a clone is a snapshot.
pub(crate) type Files = Arc<FileTable>;

/// A segment that is open for reading.
#[derive(Clone, Debug)]
pub(crate) struct SegmentFile {
    pub(crate) segment: u64,
    pub(crate) file: Arc<dyn StorageFile>,
    pub(crate) map: Option<Arc<FileMap>>,
    /// What is written but not in the file yet; segments that were sealed at opening have none.
    pub(crate) tail: Option<Arc<Tail>>,
}

impl SegmentFile {
    /// A segment to which nothing is added; `bytes` is the length of its file.
    pub(crate) fn sealed(segment: u64, file: Arc<dyn StorageFile>, bytes: u64) -> Self {
        let map = file.map(bytes).map(Arc::new);
        Self {
            segment,
            file,
            map,
            tail: None,
        }
    }

    /// The active segment, which may grow to `bytes_max`.
    pub(crate) fn active(
        segment: u64,
        file: Arc<dyn StorageFile>,
        bytes_max: u64,
        tail: Arc<Tail>,
    ) -> Self {
        let map = file.map(bytes_max).map(Arc::new);
        Self {
            segment,
            file,
            map,
            tail: Some(tail),
        }
    }

    /// `count` bytes at `offset` where they lie; `None` for those that are not in the file yet, and
    /// where the file cannot be mapped.
    #[inline]
    pub(crate) fn mapped(&self, offset: u64, count: u64) -> Option<&[u8]> {
        let tail = self.tail.as_ref();
        if tail.is_some_and(|tail| offset >= tail.written()) {
            return None;
        }
        self.map.as_ref()?.bytes(offset, count)
    }
}

#[derive(Clone, Debug, Default)]
pub(crate) struct FileTable {
    slots: Vec<Option<SegmentFile>>,
    by_segment: HashMap<u64, u32>,
}

impl FileTable {
    pub(crate) fn len(&self) -> usize {
        self.by_segment.len()
    }

    pub(crate) fn contains(&self, segment: u64) -> bool {
        self.by_segment.contains_key(&segment)
    }

    pub(crate) fn get(&self, segment: u64) -> Option<&SegmentFile> {
        self.at(self.slot(segment)?)
    }

    pub(crate) fn slot(&self, segment: u64) -> Option<u32> {
        self.by_segment.get(&segment).copied()
    }

    /// The segment in a slot.
    pub(crate) fn at(&self, slot: u32) -> Option<&SegmentFile> {
        self.slots.get(usize::try_from(slot).ok()?)?.as_ref()
    }

    /// All segments with their slots.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &SegmentFile)> {
        let slots = self.slots.iter().enumerate();
        slots.filter_map(|(slot, file)| Some((u32::try_from(slot).ok()?, file.as_ref()?)))
    }

    /// Gives the segment the lowest free slot.
    pub(crate) fn insert(&mut self, file: SegmentFile) {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.slots.len());
        let number = u32::try_from(slot).unwrap_or(u32::MAX);
        self.by_segment.insert(file.segment, number);
        match self.slots.get_mut(slot) {
            Some(target) => *target = Some(file),
            None => self.slots.push(Some(file)),
        }
    }

    /// Gives the segment this slot, which is free.
    pub(crate) fn insert_at(&mut self, slot: u32, file: SegmentFile) {
        self.by_segment.insert(file.segment, slot);
        let slot = usize::try_from(slot).unwrap_or(usize::MAX);
        if self.slots.len() <= slot {
            self.slots.resize_with(slot + 1, || None);
        }
        if let Some(target) = self.slots.get_mut(slot) {
            *target = Some(file);
        }
    }

    pub(crate) fn remove(&mut self, segment: u64) {
        if let Some(slot) = self.by_segment.remove(&segment)
            && let Ok(slot) = usize::try_from(slot)
            && let Some(target) = self.slots.get_mut(slot)
        {
            *target = None;
        }
    }
}
