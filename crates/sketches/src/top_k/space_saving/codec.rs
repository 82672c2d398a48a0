//! Bytes of a [`SpaceSaving`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};
use core::hash::Hash;

use super::sketch::{Entry, Heavy, SpaceSaving};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
    hash::hash_of,
    top_k::item_bytes::{ItemBytes, out_of_order, read_item, read_type, write_item},
};

/// Least bytes of an entry: three varints, and a key of no bytes.
const ENTRY_BYTES_MIN: usize = 3;

impl<K: Eq + Hash + Clone + ItemBytes> SpaceSaving<K> {
    /// Encodes the counter: 41 bytes, and for each key its bytes and 3 to 30 more.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Family::SpaceSaving, self.seed, 17 + 24 * self.len());
        writer.u8(K::TYPE_CODE);
        writer.u32(u32::try_from(self.capacity).unwrap_or(u32::MAX));
        writer.u64(self.total);
        writer.u32(u32::try_from(self.len()).unwrap_or(u32::MAX));
        let mut order: Vec<&Entry<K>> = self.entries.iter().collect();
        order.sort_unstable_by(|a, b| a.rank(b));
        for entry in order {
            writer.varint(entry.heavy.count);
            writer.varint(entry.heavy.error);
            write_item(&mut writer, &entry.heavy.item);
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::SpaceSaving)?;
        read_type::<K>(&mut reader)?;
        let capacity = reader.count("capacity", 1..=Self::CAPACITY_MAX, 0, "1 to 2^24")?;
        let mut counter = Self::with_seed(capacity, seed)?;
        let total_at = reader.offset();
        counter.total = reader.u64("total")?;
        let len = reader.count("entries", 0..=capacity, ENTRY_BYTES_MIN, "at most capacity")?;
        for _ in 0..len {
            let at = reader.offset();
            let entry = read_entry(&mut reader, seed)?;
            let in_order = counter
                .entries
                .last()
                .is_none_or(|last| last.rank(&entry).is_lt());
            if !in_order || counter.get(&entry.heavy.item).is_some() {
                return Err(out_of_order(&reader, at));
            }
            counter.push(entry);
        }
        let counts = counter.entries.iter().map(|entry| entry.heavy.count);
        if counts.fold(0, u64::saturating_add) > counter.total {
            let value = format!("{}", counter.total);
            return Err(reader.bad_field(
                "total",
                total_at,
                value,
                "not below the sum of the counts",
            ));
        }
        reader.finish()?;
        Ok(counter)
    }
}

fn read_entry<K: Hash + ItemBytes>(
    reader: &mut Reader<'_>,
    seed: u64,
) -> Result<Entry<K>, SketchError> {
    let at = reader.offset();
    let count = reader.varint("count")?;
    let error = reader.varint("error")?;
    if count == 0 || error > count {
        let (value, allowed) = (
            format!("{count}, error {error}"),
            "above 0 and not below its error",
        );
        return Err(reader.bad_field("count", at, value, allowed));
    }
    let item = read_item(reader)?;
    let hash = hash_of(&item, seed);
    Ok(Entry {
        heavy: Heavy { item, count, error },
        hash,
    })
}

serde_through_bytes!(SpaceSaving<K>, K: Eq + Hash + Clone + ItemBytes);
