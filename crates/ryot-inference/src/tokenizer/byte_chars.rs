//! The printable stand-ins for bytes in byte-level BPE vocabularies.

/// Character that stands for `byte`.
///
/// # Source
/// `bytes_to_unicode` of GPT-2's `encoder.py`: printable Latin-1 stands for itself, the other 68
/// bytes for U+0100 and up in order.
pub(super) fn char_of(byte: u8) -> char {
    let own = |b: u8| matches!(b, 0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff);
    if own(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|b| !own(*b)).count();
    u32::try_from(before)
        .ok()
        .and_then(|n| char::from_u32(0x100 + n))
        .unwrap_or(char::from(byte))
}

/// Translates token text back to bytes.
#[derive(Debug)]
pub(super) struct ByteChars {
    bytes: Vec<Option<u8>>,
}

/// Every stand-in lies below U+0144.
const TABLE: usize = 0x144;

impl ByteChars {
    pub(super) fn new() -> Self {
        let mut bytes = vec![None; TABLE];
        for byte in 0..=u8::MAX {
            if let Some(slot) = bytes.get_mut(char_of(byte) as usize) {
                *slot = Some(byte);
            }
        }
        Self { bytes }
    }

    /// The bytes of a token; characters that stand for no byte keep their UTF-8 form.
    pub(super) fn decode(&self, text: &str) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        for c in text.chars() {
            match self.bytes.get(c as usize).copied().flatten() {
                Some(byte) => out.push(byte),
                None => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_the_one_of_gpt2() {
        assert_eq!(char_of(b'a'), 'a');
        assert_eq!(char_of(b' '), '\u{120}');
        assert_eq!(char_of(b'\n'), '\u{10a}');
        assert_eq!(char_of(0), '\u{100}');
        assert_eq!(char_of(0x7f), '\u{121}');
        assert_eq!(char_of(0xad), '\u{143}');
        let table = ByteChars::new();
        for byte in 0..=u8::MAX {
            assert_eq!(table.decode(&char_of(byte).to_string()), [byte]);
        }
        assert_eq!(table.decode("\u{120}a\u{4e2d}"), " a\u{4e2d}".as_bytes());
    }
}
