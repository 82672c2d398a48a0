//! A record's place in 64 bits.

use crate::log::record::UNIT_BYTES;

const SLOT_BITS: u32 = 20;
const UNITS_BITS: u32 = 15;
const OFFSET_BITS: u32 = 64 - SLOT_BITS - UNITS_BITS;
/// Stands for all longer records: their header knows.
const UNITS_MANY: u64 = (1 << UNITS_BITS) - 1;

/// The most segment files at once.
pub(crate) const SLOTS_MAX: usize = 1 << SLOT_BITS;

/// File slot (20 bits), offset in units (29 bits), length in units (15 bits). Never 0: records
/// start behind the segment head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Word(u64);

impl Word {
    /// `None` for a place beyond what a vault writes.
    pub(crate) fn new(slot: u32, offset: u64, bytes: u64) -> Option<Self> {
        let units = offset / UNIT_BYTES;
        if slot >= 1 << SLOT_BITS || units == 0 || units >= 1 << OFFSET_BITS {
            return None;
        }
        let length = (bytes / UNIT_BYTES).min(UNITS_MANY);
        Some(Self(
            u64::from(slot) << (OFFSET_BITS + UNITS_BITS) | units << UNITS_BITS | length,
        ))
    }

    pub(crate) fn from_bits(bits: u64) -> Option<Self> {
        (bits != 0).then_some(Self(bits))
    }

    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn slot(self) -> u32 {
        u32::try_from(self.0 >> (OFFSET_BITS + UNITS_BITS)).unwrap_or(u32::MAX)
    }

    pub(crate) fn offset(self) -> u64 {
        (self.0 >> UNITS_BITS & ((1 << OFFSET_BITS) - 1)) * UNIT_BYTES
    }

    /// The record's length in bytes, where it is short enough to be held here (below 256 KiB).
    pub(crate) fn bytes(self) -> Option<u64> {
        let units = self.0 & UNITS_MANY;
        (units != UNITS_MANY).then_some(units * UNIT_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_at_the_limits() {
        let last = (1_u64 << 32) - 8;
        for slot in [0, 1, 77, (1 << 20) - 1] {
            for offset in [64, 72, 1 << 20, last] {
                for bytes in [56, 64, 262_128, 262_136, 1 << 30] {
                    let word = Word::new(slot, offset, bytes).unwrap();
                    assert_eq!((word.slot(), word.offset()), (slot, offset));
                    assert_eq!(word.bytes(), (bytes < 262_136).then_some(bytes));
                    assert_eq!(Word::from_bits(word.bits()), Some(word));
                }
            }
        }
        assert_eq!(Word::new(1 << 20, 64, 56), None);
        assert_eq!(Word::new(0, last + 8, 56), None);
        assert_eq!(Word::new(0, 0, 56), None);
        assert_eq!(Word::from_bits(0), None);
    }
}
