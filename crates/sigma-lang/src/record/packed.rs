//! A zstd compressed block with the headers of its sections in fewer bytes.
//!
//! A block that leans on a dictionary mostly reuses the dictionary's tables for everything. Then
//! zstd's mode byte says nothing, and two single bytes are enough for the lengths of the literals.

use super::head::Form;

/// Mode byte of a sequences section whose three tables are all the dictionary's.
const MODES_REPEAT: u8 = 0xFC;
/// Literals block types of RFC 8878, 3.1.1.3.1.1.
const LITERALS_RAW: u8 = 0;
const LITERALS_TREELESS: u8 = 3;

/// How much longer than the short form the block is that [`unpack`] makes.
pub(crate) const UNPACKED_MORE_BYTES: usize = 2;

/// Literals section of a block: type, regenerated and stored length, length of its header.
struct Literals {
    treeless: bool,
    regenerated: u8,
    stored: u8,
    header_bytes: usize,
}

/// The literals section, if its lengths fit in bytes and it is raw, or Huffman-coded in one stream by
/// the dictionary's table.
fn literals(block: &[u8]) -> Option<Literals> {
    let [a, b, c] = *block.first_chunk::<3>()?;
    let word = u32::from_le_bytes([a, b, c, 0]);
    match (a & 3, (a >> 2) & 3) {
        (LITERALS_RAW, format) => {
            let (regenerated, header_bytes) = match format {
                0 | 2 => (u32::from(a >> 3), 1),
                1 => ((word & 0xFFFF) >> 4, 2),
                _ => return None,
            };
            let regenerated = u8::try_from(regenerated).ok()?;
            Some(Literals {
                treeless: false,
                regenerated,
                stored: regenerated,
                header_bytes,
            })
        }
        (LITERALS_TREELESS, 0) => Some(Literals {
            treeless: true,
            regenerated: u8::try_from((word >> 4) & 0x3FF).ok()?,
            stored: u8::try_from(word >> 14).ok()?,
            header_bytes: 3,
        }),
        _ => None,
    }
}

/// Appends the short form of a zstd compressed block and says which form it is; `None` (and nothing
/// appended) for a block that has none.
pub(crate) fn pack(block: &[u8], out: &mut Vec<u8>) -> Option<Form> {
    let Literals {
        treeless,
        regenerated,
        stored,
        header_bytes,
    } = literals(block)?;
    let (content, sequences) = block
        .get(header_bytes..)?
        .split_at_checked(usize::from(stored))?;
    let (&[count, modes], rest) = sequences.split_first_chunk::<2>()?;
    if !(1..=127).contains(&count) || modes != MODES_REPEAT {
        return None;
    }
    out.push(regenerated);
    if treeless {
        out.push(stored);
    }
    out.extend_from_slice(content);
    out.push(count);
    out.extend_from_slice(rest);
    Some(if treeless {
        Form::PackedTreeless
    } else {
        Form::PackedRaw
    })
}

/// Appends the zstd compressed block of a short form. False,
/// with nothing appended, if `body` is too short for its own lengths.
pub(crate) fn unpack(treeless: bool, body: &[u8], out: &mut Vec<u8>) -> bool {
    let (lengths, rest) = match (treeless, body) {
        (true, [regenerated, stored, rest @ ..]) => ([*regenerated, *stored], rest),
        (false, [regenerated, rest @ ..]) => ([*regenerated, *regenerated], rest),
        _ => return false,
    };
    let [regenerated, stored] = lengths;
    let Some((content, sequences)) = rest.split_at_checked(usize::from(stored)) else {
        return false;
    };
    let Some((&count, sequences)) = sequences.split_first() else {
        return false;
    };
    if !(1..=127).contains(&count) {
        return false;
    }
    if treeless {
        let word = 3 | u32::from(regenerated) << 4 | u32::from(stored) << 14;
        let [a, b, c, _] = word.to_le_bytes();
        out.extend_from_slice(&[a, b, c]);
    } else {
        let word = 1 << 2 | u16::from(regenerated) << 4;
        out.extend_from_slice(&word.to_le_bytes());
    }
    out.extend_from_slice(content);
    out.extend_from_slice(&[count, MODES_REPEAT]);
    out.extend_from_slice(sequences);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_of_both_kinds_come_back() {
        for (block, form, again) in [
            // Raw literals, header of one byte; comes back with a header of two.
            (
                vec![3 << 3, 7, 8, 9, 5, 0xFC, 1, 2],
                Form::PackedRaw,
                vec![0x34, 0, 7, 8, 9, 5, 0xFC, 1, 2],
            ),
            // Raw literals, header of two bytes.
            (
                vec![0x24, 0, 7, 8, 127, 0xFC, 1],
                Form::PackedRaw,
                vec![0x24, 0, 7, 8, 127, 0xFC, 1],
            ),
            // Treeless, 5 bytes from 2.
            (
                vec![0x53, 0x80, 0, 7, 8, 1, 0xFC, 1],
                Form::PackedTreeless,
                vec![0x53, 0x80, 0, 7, 8, 1, 0xFC, 1],
            ),
        ] {
            let (mut packed, mut out) = (Vec::new(), Vec::new());
            assert_eq!(pack(&block, &mut packed), Some(form));
            assert!(packed.len() < block.len());
            assert!(unpack(form == Form::PackedTreeless, &packed, &mut out));
            assert_eq!(out, again);
            assert_eq!(out.len(), packed.len() + UNPACKED_MORE_BYTES);
        }
    }

    #[test]
    fn other_blocks_have_no_short_form() {
        for block in [
            &[][..],
            // Modes other than repeat; no sequences; too many sequences for one byte.
            &[3 << 3, 7, 8, 9, 5, 0xA8, 1],
            &[3 << 3, 7, 8, 9, 0, 0xFC, 1],
            &[3 << 3, 7, 8, 9, 0x80, 0xFC, 1],
            // Literals with a table, in four streams, as a run, longer than the block.
            &[0x52, 0x80, 0, 7, 8, 1, 0xFC, 1],
            &[0x57, 0x80, 0, 7, 8, 1, 0xFC, 1],
            &[1 | 3 << 3, 7, 5, 0xFC, 1],
            &[31 << 3, 7, 5, 0xFC, 1],
        ] {
            let mut out = Vec::new();
            assert_eq!(pack(block, &mut out), None, "{block:?}");
            assert!(out.is_empty());
        }
    }

    #[test]
    fn short_bodies_are_refused() {
        for (treeless, body) in [
            (true, &[][..]),
            (true, &[1]),
            (true, &[5, 2, 7, 8]),
            (true, &[5, 2, 7, 8, 0, 1]),
            (false, &[]),
            (false, &[4, 1, 2, 3]),
            (false, &[1, 7, 128]),
        ] {
            let mut out = Vec::new();
            assert!(!unpack(treeless, body, &mut out), "{body:?}");
            assert!(out.is_empty());
        }
    }
}
