//! The open segment files, by number and by the small slot numbers that words hold.

use std::collections::HashMap;
use std::sync::Arc;

use crate::io::StorageFile;

/// Replaced as a whole, so that a clone is a snapshot.
pub(crate) type Files = Arc<FileTable>;

#[derive(Clone, Debug, Default)]
pub(crate) struct FileTable {
    slots: Vec<Option<(u64, Arc<dyn StorageFile>)>>,
    by_segment: HashMap<u64, u32>,
}

impl FileTable {
    pub(crate) fn len(&self) -> usize {
        self.by_segment.len()
    }

    pub(crate) fn contains(&self, segment: u64) -> bool {
        self.by_segment.contains_key(&segment)
    }

    pub(crate) fn get(&self, segment: u64) -> Option<&Arc<dyn StorageFile>> {
        self.at(self.slot(segment)?).map(|(_, file)| file)
    }

    pub(crate) fn slot(&self, segment: u64) -> Option<u32> {
        self.by_segment.get(&segment).copied()
    }

    /// The segment and file in a slot.
    pub(crate) fn at(&self, slot: u32) -> Option<(u64, &Arc<dyn StorageFile>)> {
        let slot = self.slots.get(usize::try_from(slot).ok()?)?.as_ref()?;
        Some((slot.0, &slot.1))
    }

    /// Gives the segment the lowest free slot.
    pub(crate) fn insert(&mut self, segment: u64, file: Arc<dyn StorageFile>) {
        let free = self.slots.iter().position(Option::is_none);
        let slot = free.unwrap_or(self.slots.len());
        let number = u32::try_from(slot).unwrap_or(u32::MAX);
        self.by_segment.insert(segment, number);
        match self.slots.get_mut(slot) {
            Some(target) => *target = Some((segment, file)),
            None => self.slots.push(Some((segment, file))),
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
