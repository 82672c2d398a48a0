//! Bytes of a [`FrequentItems`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, string::String, vec::Vec};
use core::{cmp::Reverse, hash::Hash};

use super::sketch::FrequentItems;
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
    hash::hash_of,
    top_k::item_bytes::{ItemBytes, out_of_order, read_item, read_type, write_item},
};

/// Least bytes of an entry: two varints, and a key of no bytes.
const ENTRY_BYTES_MIN: usize = 2;

impl<K: Eq + Hash + Clone + ItemBytes> FrequentItems<K> {
    /// Encodes the counter: 49 bytes, and for each key its bytes and 2 to 20 more.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Family::FrequentItems, self.seed, 25 + 20 * self.len());
        writer.u8(K::TYPE_CODE);
        writer.u32(u32::try_from(self.capacity).unwrap_or(u32::MAX));
        writer.u64(self.total);
        writer.u64(self.offset);
        writer.u32(u32::try_from(self.len()).unwrap_or(u32::MAX));
        for (kept, count) in self.in_order() {
            writer.varint(count);
            write_item(&mut writer, kept);
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::FrequentItems)?;
        read_type::<K>(&mut reader)?;
        let range = Self::CAPACITY_MIN..=Self::CAPACITY_MAX;
        let capacity = reader.count("capacity", range, 0, "2 to 2^24")?;
        let mut counter = Self::with_seed(capacity, seed)?;
        let total_at = reader.offset();
        counter.total = reader.u64("total")?;
        counter.offset = reader.u64("offset")?;
        let len = reader.count("entries", 0..=capacity, ENTRY_BYTES_MIN, "at most capacity")?;
        let mut last = None;
        let mut sum = u128::from(counter.offset) * (counter.kept() as u128 + 1);
        for _ in 0..len {
            let at = reader.offset();
            let (item, count): (K, u64) = read_entry(&mut reader)?;
            let hash = hash_of(&item, seed);
            let place = (Reverse(count), hash);
            let in_order = last.is_none_or(|last| last <= place);
            if !in_order || counter.get(&item).is_some() {
                return Err(out_of_order(&reader, at));
            }
            last = Some(place);
            sum += u128::from(count);
            counter.push(hash, item, count);
        }
        if counter.total < u64::MAX && sum > u128::from(counter.total) {
            let allowed = "not below the counts and what was taken from them";
            let value = format!("{}", counter.total);
            return Err(reader.bad_field("total", total_at, value, allowed));
        }
        reader.finish()?;
        Ok(counter)
    }
}

fn read_entry<K: ItemBytes>(reader: &mut Reader<'_>) -> Result<(K, u64), SketchError> {
    let at = reader.offset();
    let count = reader.varint("count")?;
    if count == 0 {
        return Err(reader.bad_field("count", at, String::from("0"), "above 0"));
    }
    let item = read_item(reader)?;
    Ok((item, count))
}

serde_through_bytes!(FrequentItems<K>, K: Eq + Hash + Clone + ItemBytes);
