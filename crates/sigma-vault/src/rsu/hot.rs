//! Which units are read most; the edge to `sketches`' SpaceSaving.

use sketches::SpaceSaving;

use super::signature::similarity_error;
use crate::error::VaultError;

/// A unit that was read often, as [`Vault::hot`](crate::Vault::hot) counts it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct HotUnit {
    /// The unit's identifier.
    pub id: Vec<u8>,
    /// How often it was read since the vault was opened, at most.
    pub reads: u64,
    /// By how much `reads` may be too high; 0 as long as no more units were read than are counted.
    pub reads_error_max: u64,
}

/// Counts of reads by identifier, of a bounded number of identifiers.
#[derive(Debug)]
pub(crate) struct HotCounts(SpaceSaving<Vec<u8>>);

impl HotCounts {
    pub(crate) fn new(units: usize) -> Result<Self, VaultError> {
        let counts = SpaceSaving::new(units);
        let counts = counts.map_err(|error| similarity_error("make the read counter", error))?;
        Ok(Self(counts))
    }

    pub(crate) fn read(&mut self, id: &[u8]) {
        self.0.insert(id.to_vec());
    }

    /// All counted units, most read first.
    pub(crate) fn all(&self) -> Vec<HotUnit> {
        let all = self.0.top(self.0.len());
        let unit = |heavy: sketches::Heavy<Vec<u8>>| HotUnit {
            id: heavy.item,
            reads: heavy.count,
            reads_error_max: heavy.error,
        };
        all.into_iter().map(unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_units_are_counted_exactly_and_many_within_the_error() {
        let mut counts = HotCounts::new(4).unwrap();
        for (id, reads) in [(b"a", 5), (b"b", 9), (b"c", 1)] {
            (0..reads).for_each(|_| counts.read(id));
        }
        let all = counts.all();
        let found: Vec<_> = all.iter().map(|unit| (unit.id[0], unit.reads)).collect();
        assert_eq!(found, [(b'b', 9), (b'a', 5), (b'c', 1)]);
        assert!(all.iter().all(|unit| unit.reads_error_max == 0));
        for number in 0..200_u32 {
            counts.read(&number.to_le_bytes());
            (0..3).for_each(|_| counts.read(b"b"));
        }
        let all = counts.all();
        assert_eq!((all.len(), &all[0].id[..]), (4, &b"b"[..]));
        assert!(all[0].reads >= 609 && all[0].reads - all[0].reads_error_max <= 609);
    }
}
