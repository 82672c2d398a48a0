//! Rows of whole tokens, such as the ids of a tokenizer (tag 8).
//!
//! Ids repeat as wholes: what comes again begins and ends with a token. Repetitions are therefore looked for
//! and measured in tokens, after the bytes that are 0 in all of them are left out. What is left is split into
//! planes, and lengths and offsets stand in streams of their own.
//!
//! The form of repetitions (literals, lengths and offsets apart, recent offsets as short codes) is that of
//! Y. Collet, "Zstandard", RFC 8878, with a table of one entry for each hash as in its fastest search.

mod decode;
mod encode;
mod matcher;

pub(crate) use decode::decode;
use encode::bits_of;
pub(crate) use encode::{TokenScratch, encode};

/// Bits of a token, at most.
pub(crate) const TOKEN_BITS_MAX: u32 = 32;
/// Literals and lengths from this number on have the rest of it in a stream of their own.
const LENGTH_MORE: usize = 15;
/// Tokens of a repetition, at least.
const LENGTH_MIN: usize = 2;
/// Codes of offsets below this stand for the last and the last but one.
const RECENT: u64 = 2;
/// What is added to an offset, so that its code is at least [`RECENT`].
const OFFSET_BIAS: u64 = 3;

/// Elements of equal width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Tokens {
    /// Bytes of an element: 2, 4 or 8.
    pub(crate) width: usize,
    /// Bits that an element may have by what was seen of them, whole bytes.
    pub(crate) bits_seen: u32,
}

impl Tokens {
    /// Elements of 8 or 4 bytes of which one or more upper bytes are 0 in all that is seen, if there are such.
    pub(crate) fn by_look(look: &[u8]) -> Option<Tokens> {
        [8u32, 4].into_iter().find_map(|width| {
            let bits_seen = bits_of(look, width as usize)?.next_multiple_of(8);
            let fits = bits_seen < 8 * width;
            fits.then_some(Tokens {
                width: width as usize,
                bits_seen,
            })
        })
    }

    /// Whether a payload has larger elements than were seen: what repeats may stand at another place of its
    /// elements, which this does not find.
    pub(crate) fn is_strange(self, payload: &[u8]) -> bool {
        payload
            .get(1)
            .is_some_and(|&bits| u32::from(bits) > self.bits_seen)
    }
}

/// Planes of tokens of so many bits.
fn planes_of(bits: u32) -> usize {
    bits.div_ceil(8) as usize
}

/// Bits by which a token is shifted up so that its highest bits fill a plane.
fn shift_of(bits: u32) -> u32 {
    bits.next_multiple_of(8) - bits
}

#[cfg(test)]
mod tests {
    use super::super::streams::{PayloadReader, StreamDecoder, StreamEncoder};
    use super::*;

    fn round_trip(width: usize, level: i32, content: &[u8]) -> Option<usize> {
        let mut payload = Vec::new();
        let mut streams = StreamEncoder::new(level).unwrap();
        let shape = Tokens {
            width,
            bits_seen: 16,
        };
        if !encode(shape, content, &mut streams, &mut payload).unwrap() {
            return None;
        }
        let mut decoder = StreamDecoder::new().unwrap();
        let mut reader = PayloadReader::new(&payload, 0, content.len(), &mut decoder);
        let mut out = b"before".to_vec();
        decode(&mut reader, content.len(), &mut out).unwrap();
        assert!(
            out.strip_prefix(b"before") == Some(content),
            "{width} {level}"
        );
        Some(payload.len())
    }

    fn elements(ids: &[u32], width: usize) -> Vec<u8> {
        let bytes = |&id: &u32| u64::from(id).to_le_bytes().into_iter().take(width);
        ids.iter().flat_map(bytes).collect()
    }

    /// Phrases of 2 to 9 ids below `ids_max`, again and again, with something else between some.
    fn phrases(count: usize, ids_max: u32) -> Vec<u32> {
        let mut state = 7u32;
        let mut next = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            u32::try_from((u64::from(state) * u64::from(below)) >> 32).unwrap()
        };
        let known: Vec<Vec<u32>> = (0..200)
            .map(|n| (0..2 + n % 8).map(|_| next(ids_max)).collect())
            .collect();
        let mut ids = Vec::new();
        while ids.len() < count {
            ids.extend(&known[next(200) as usize]);
            if next(4) == 0 {
                ids.push(next(ids_max));
            }
        }
        ids
    }

    #[test]
    fn tokens_of_every_width_and_size_come_back() {
        for ids_max in [2, 200, 256, 257, 50_000, 65_536, 65_537, 150_000, u32::MAX] {
            for width in [2, 4, 8] {
                if width == 2 && ids_max > 65_536 {
                    continue;
                }
                for count in [1, 2, 3, 7, 8, 9, 20, 40, 3_000, 40_000] {
                    let content = elements(&phrases(count, ids_max), width);
                    for level in [1, 3, 9] {
                        let bytes = round_trip(width, level, &content).unwrap();
                        if count == 40_000 && ids_max >= 256 {
                            let planes = planes_of(bits_of(&content, width).unwrap());
                            assert!(2 * bytes < count * planes, "{bytes} {ids_max}");
                        }
                    }
                    for odd in 1..width {
                        let odd = &content[..content.len() - odd];
                        if odd.len() >= width {
                            round_trip(width, 3, odd).unwrap();
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn runs_and_long_repetitions_come_back() {
        for period in [1, 2, 3, 5, 8, 17, 40, 300] {
            let once = phrases(period, 60_000);
            let mut ids: Vec<u32> = once.iter().copied().cycle().take(70_000).collect();
            ids.extend(phrases(100, 60_000));
            ids.extend(once.iter().cycle().take(5_000));
            for width in [2, 4, 8] {
                for level in [1, 9] {
                    let bytes = round_trip(width, level, &elements(&ids, width)).unwrap();
                    assert!(bytes < 3_000, "{period} {width}: {bytes}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_row_of_tokens_is_refused() {
        let wide: Vec<u8> = (0..400u64).flat_map(|n| (n << 40).to_le_bytes()).collect();
        assert_eq!(round_trip(8, 3, &wide), None);
        assert_eq!(round_trip(4, 3, &[1, 2, 3]), None);
        assert_eq!(round_trip(4, 3, &[]), None);
    }
}
