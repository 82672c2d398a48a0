//! Where to cut content, so that equal parts are cut alike wherever they stand.

use crate::gear::roll;

/// Shortest chunk but the last: below it the index costs more than is found.
pub(super) const CHUNK_BYTES_MIN: usize = 2 << 10;
/// Aim of the cutting.
const CHUNK_BYTES_MEAN: usize = 8 << 10;
/// Longest chunk.
pub(super) const CHUNK_BYTES_MAX: usize = 64 << 10;

/// Bits of the rolling hash that must be zero before and behind the mean: two more and two fewer than
/// the mean asks for, which draws the lengths towards it.
const MASK_BEFORE: u64 = 0x7FFF << 40;
const MASK_BEHIND: u64 = 0x7FF << 40;

/// Length of the first chunk of `data`: all of it if it is short, or if no place to cut is found
/// within [`CHUNK_BYTES_MAX`].
///
/// # Source
/// FastCDC with normalised chunking (Xia et al., USENIX ATC 2016).
pub(super) fn cut(data: &[u8]) -> usize {
    if data.len() <= CHUNK_BYTES_MIN {
        return data.len();
    }
    let end = data.len().min(CHUNK_BYTES_MAX);
    let mut hash = 0;
    for (mask, from, to) in [
        (MASK_BEFORE, CHUNK_BYTES_MIN, CHUNK_BYTES_MEAN.min(end)),
        (MASK_BEHIND, CHUNK_BYTES_MEAN.min(end), end),
    ] {
        for (offset, byte) in data.get(from..to).unwrap_or_default().iter().enumerate() {
            hash = roll(hash, *byte);
            if hash & mask == 0 {
                return from + offset + 1;
            }
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gear::mix;

    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let words = (0..length as u64 / 8 + 1).map(|n| mix(seed << 32 | n).to_le_bytes());
        let mut out: Vec<u8> = words.flatten().collect();
        out.truncate(length);
        out
    }

    fn chunks(mut data: &[u8]) -> Vec<&[u8]> {
        let mut out = Vec::new();
        while !data.is_empty() {
            let (chunk, rest) = data.split_at(cut(data));
            out.push(chunk);
            data = rest;
        }
        out
    }

    #[test]
    fn lengths_are_within_bounds_and_near_the_mean() {
        let data = noise(4 << 20, 1);
        let chunks = chunks(&data);
        let (last, others) = chunks.split_last().unwrap();
        assert!(last.len() <= CHUNK_BYTES_MAX);
        for chunk in others {
            assert!((CHUNK_BYTES_MIN..=CHUNK_BYTES_MAX).contains(&chunk.len()));
        }
        let mean = data.len() / chunks.len();
        assert!((6 << 10..12 << 10).contains(&mean), "{mean}");
        assert_eq!(cut(&[0; 100]), 100);
        assert_eq!(cut(&vec![0; 1 << 20]), CHUNK_BYTES_MAX);
    }

    #[test]
    fn an_insertion_changes_the_chunks_near_it_only() {
        let data = noise(1 << 20, 2);
        let (front, back) = data.split_at(300_000);
        let changed = [front, b"inserted", back].concat();
        let before: Vec<&[u8]> = chunks(&data);
        let after = chunks(&changed);
        let new = after.iter().filter(|chunk| !before.contains(chunk)).count();
        assert!((1..=4).contains(&new), "{new} of {}", after.len());
    }
}
