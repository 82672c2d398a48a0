//! LEB128 of `u64`.

/// Longest varint in bytes.
pub(crate) const VARINT_BYTES_MAX: usize = 10;

/// Appends `value` in its shortest form.
pub(crate) fn write_varint(mut value: u64, out: &mut Vec<u8>) {
    loop {
        let low = (value & 0x7f) as u8;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Reads a varint at the start of `bytes`: value and length, or why not.
pub(super) fn read_varint(bytes: &[u8]) -> Result<(u64, usize), VarintError> {
    let mut value = 0u64;
    for (index, &byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        let low = u64::from(byte & 0x7f);
        let shift = 7 * index;
        if shift == 63 && low > 1 {
            return Err(VarintError::Illegal);
        }
        value |= low << shift;
        if byte & 0x80 == 0 {
            if byte == 0 && index > 0 {
                return Err(VarintError::Illegal);
            }
            return Ok((value, index + 1));
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX {
        return Err(VarintError::Illegal);
    }
    Err(VarintError::Short)
}

/// Why a varint cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VarintError {
    /// The bytes end inside it.
    Short,
    /// Too long, or not the shortest form.
    Illegal,
}

/// Room for the varint of a length that is known only when the body behind it is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LengthGap {
    start: usize,
    /// Where the body begins.
    pub(crate) body: usize,
}

impl LengthGap {
    /// Appends room for a length of at most `expected_max`.
    pub(crate) fn open(expected_max: usize, out: &mut Vec<u8>) -> LengthGap {
        let start = out.len();
        write_varint(expected_max as u64, out);
        LengthGap {
            start,
            body: out.len(),
        }
    }

    /// Puts the length of what was written since in front of it; gives that length. The body moves
    /// only if its length takes fewer bytes than the one expected.
    pub(crate) fn close(self, out: &mut Vec<u8>) -> usize {
        let length = out.len() - self.body;
        let mut varint = Vec::with_capacity(10);
        write_varint(length as u64, &mut varint);
        if varint.len() == self.body - self.start {
            if let Some(room) = out.get_mut(self.start..self.body) {
                room.copy_from_slice(&varint);
            }
        } else {
            out.splice(self.start..self.body, varint);
        }
        length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips_at_the_edges() {
        for value in [
            0,
            1,
            127,
            128,
            16_383,
            16_384,
            u64::from(u32::MAX),
            u64::MAX - 1,
            u64::MAX,
        ] {
            let mut bytes = Vec::new();
            write_varint(value, &mut bytes);
            assert_eq!(read_varint(&bytes), Ok((value, bytes.len())));
            for cut in 0..bytes.len() {
                assert_eq!(read_varint(&bytes[..cut]), Err(VarintError::Short));
            }
        }
    }

    #[test]
    fn refuses_long_forms() {
        assert_eq!(read_varint(&[0x80, 0]), Err(VarintError::Illegal));
        assert_eq!(read_varint(&[0xff; 10]), Err(VarintError::Illegal));
        let over = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(read_varint(&over), Err(VarintError::Illegal));
    }
}
