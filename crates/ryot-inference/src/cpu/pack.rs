//! From the blocks of a GGUF file to tiles.
//!
//! # Source
//! Block layouts as in ggml's `ggml-common.h` and its `dequantize_row_*` functions.

use super::format::{BLOCK, Format, SUPER, TILE};

/// Groups of four columns in a block.
const GROUPS: usize = BLOCK / 4;

/// Types of a GGUF file that are computed with as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stored {
    Q8_0,
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
}

impl Stored {
    pub(crate) fn format(self) -> Format {
        match self {
            Self::Q8_0 => Format::Q8,
            Self::Q4_0 => Format::Q4,
            Self::Q4_1 => Format::Q4Min,
            Self::Q5_0 => Format::Q5,
            Self::Q5_1 => Format::Q5Min,
            Self::Q4K => Format::Q4K,
            Self::Q5K => Format::Q5K,
            Self::Q3K | Self::Q6K => Format::Q6K,
        }
    }

    /// Columns and bytes of one stored block.
    pub(crate) fn stored_block(self) -> (usize, usize) {
        match self {
            Self::Q8_0 => (32, 34),
            Self::Q4_0 => (32, 18),
            Self::Q4_1 => (32, 20),
            Self::Q5_0 => (32, 22),
            Self::Q5_1 => (32, 24),
            Self::Q3K => (256, 110),
            Self::Q4K => (256, 144),
            Self::Q5K => (256, 176),
            Self::Q6K => (256, 210),
        }
    }
}

/// One tile to be filled, row by row.
pub(crate) struct TileBuilder<'a> {
    pub(crate) stored: Stored,
    /// Blocks of thirty-two columns.
    pub(crate) blocks: usize,
    pub(crate) bytes: &'a mut [u8],
    pub(crate) scales: &'a mut [u8],
}

impl TileBuilder<'_> {
    /// Places row `row` of the tile, `data` as it stands in the file.
    pub(crate) fn place(&mut self, row: usize, data: &[u8]) {
        let (columns, bytes) = self.stored.stored_block();
        for (index, block) in data.chunks_exact(bytes).enumerate() {
            match columns {
                32 => self.small(row, index, block),
                _ => self.large(row, index * SUPER, block),
            }
        }
    }

    /// Blocks of thirty-two numbers.
    fn small(&mut self, row: usize, block: usize, data: &[u8]) {
        let (head, numbers): (usize, _) = match self.stored {
            Stored::Q8_0 => (2, std::array::from_fn(|i| data[2 + i])),
            Stored::Q4_0 => (2, four(&data[2..], [0; 4])),
            Stored::Q4_1 => (4, four(&data[4..], [0; 4])),
            Stored::Q5_0 => (2, four(&data[6..], [data[2], data[3], data[4], data[5]])),
            _ => (4, four(&data[8..], [data[4], data[5], data[6], data[7]])),
        };
        let each = head * TILE;
        self.half(block * each + 2 * row, &data[..2], false);
        if head == 4 {
            // the file adds the minimum, a tile subtracts it
            self.half(block * each + 32 + 2 * row, &data[2..4], true);
        }
        self.numbers(row, block, &numbers);
    }

    /// Super-blocks of 256 numbers.
    fn large(&mut self, row: usize, first: usize, data: &[u8]) {
        match self.stored {
            Stored::Q4K => self.with_minima(row, first, data, &data[16..144], None),
            Stored::Q5K => self.with_minima(row, first, data, &data[48..176], Some(&data[16..48])),
            Stored::Q3K => self.three(row, first, data),
            _ => self.six(row, first, data),
        }
    }

    /// Q4_K and Q5_K: scale and minimum of six bits for each thirty-two numbers.
    fn with_minima(
        &mut self,
        row: usize,
        first: usize,
        data: &[u8],
        low: &[u8],
        high: Option<&[u8]>,
    ) {
        let outer = self.blocks * 32 + first / SUPER * 64;
        self.half(outer + 2 * row, &data[..2], false);
        self.half(outer + 32 + 2 * row, &data[2..4], false);
        let packed = &data[4..16];
        for j in 0..SUPER {
            let (scale, minimum) = if j < 4 {
                (packed[j] & 63, packed[j + 4] & 63)
            } else {
                (
                    (packed[j + 4] & 0x0f) | (packed[j - 4] >> 6) << 4,
                    (packed[j + 4] >> 4) | (packed[j] >> 6) << 4,
                )
            };
            let at = (first + j) * 32 + row;
            self.scales[at] = scale;
            self.scales[at + TILE] = minimum;
            let nibbles = &low[j / 2 * 32..j / 2 * 32 + 32];
            let numbers = std::array::from_fn(|i| {
                let low = if j % 2 == 0 {
                    nibbles[i] & 0x0f
                } else {
                    nibbles[i] >> 4
                };
                low | high.map_or(0, |high| (high[i] >> j & 1) << 4)
            });
            self.numbers(row, first + j, &numbers);
        }
    }

    /// Q6_K: a signed scale for each sixteen numbers.
    fn six(&mut self, row: usize, first: usize, data: &[u8]) {
        let (low, high, inner) = (&data[..128], &data[128..192], &data[192..208]);
        self.half(
            self.blocks * 32 + first / SUPER * 32 + 2 * row,
            &data[208..],
            false,
        );
        for j in 0..SUPER {
            let (half, quarter) = (j / 4, j % 4);
            let numbers = std::array::from_fn(|i| {
                let byte = low[half * 64 + quarter % 2 * 32 + i];
                let low = if quarter < 2 { byte & 0x0f } else { byte >> 4 };
                low | (high[half * 32 + i] >> (2 * quarter) & 3) << 4
            });
            self.inner(row, first + j, [inner[2 * j], inner[2 * j + 1]]);
            self.numbers(row, first + j, &numbers);
        }
    }

    /// Q3_K, as six bits: the same zero point, the same kind of scales.
    fn three(&mut self, row: usize, first: usize, data: &[u8]) {
        let (mask, low, packed) = (&data[..32], &data[32..96], &data[96..108]);
        self.half(
            self.blocks * 32 + first / SUPER * 32 + 2 * row,
            &data[108..],
            false,
        );
        let scale = |i: usize| -> u8 {
            let low = if i < 8 {
                packed[i] & 0x0f
            } else {
                packed[i - 8] >> 4
            };
            let high = packed[8 + i % 4] >> (2 * (i / 4)) & 3;
            (low | high << 4).wrapping_sub(32)
        };
        for j in 0..SUPER {
            let (half, quarter) = (j / 4, j % 4);
            let numbers = std::array::from_fn(|i| {
                let two = low[half * 32 + i] >> (2 * quarter) & 3;
                // 32 stands for zero; the mask's bit is missing where four is subtracted
                32 + two - if mask[i] >> j & 1 == 0 { 4 } else { 0 }
            });
            self.inner(row, first + j, [scale(2 * j), scale(2 * j + 1)]);
            self.numbers(row, first + j, &numbers);
        }
    }

    fn inner(&mut self, row: usize, block: usize, scales: [u8; 2]) {
        self.scales[block * 32 + row] = scales[0];
        self.scales[block * 32 + TILE + row] = scales[1];
    }

    fn half(&mut self, at: usize, half: &[u8], negate: bool) {
        self.scales[at] = half[0];
        self.scales[at + 1] = half[1] ^ if negate { 0x80 } else { 0 };
    }

    /// Puts the numbers of one row into the planes of a block, four numbers at once.
    fn numbers(&mut self, row: usize, block: usize, numbers: &[u8; BLOCK]) {
        let each = self.stored.format().block_bytes();
        let (lines, _) = self.bytes[block * each..(block + 1) * each].as_chunks_mut::<64>();
        let mut put = |line: usize, four: u32| {
            lines[line][4 * row..4 * row + 4].copy_from_slice(&four.to_le_bytes());
        };
        let mut fours = [0; GROUPS];
        for (four, bytes) in fours.iter_mut().zip(numbers.as_chunks::<4>().0) {
            *four = u32::from_le_bytes(*bytes);
        }
        if each == 512 {
            fours.iter().enumerate().for_each(|(g, four)| put(g, *four));
            return;
        }
        let low = |four: u32| four & 0x0f0f_0f0f;
        for g in 0..GROUPS / 2 {
            put(g, low(fours[g]) | low(fours[g + GROUPS / 2]) << 4);
        }
        let high = fours.map(|four| four >> 4 & 0x0303_0303);
        if each == 320 {
            put(4, (0..GROUPS).fold(0, |line, g| line | high[g] << g));
        } else if each == 384 {
            for half in 0..2 {
                let line = (0..4).fold(0, |line, g| line | high[4 * half + g] << (2 * g));
                put(4 + half, line);
            }
        }
    }
}

/// Low halves are the first sixteen numbers, high halves the others; one more bit each in `high`.
fn four(data: &[u8], high: [u8; 4]) -> [u8; BLOCK] {
    std::array::from_fn(|i| {
        let byte = data[i % 16];
        let low = if i < 16 { byte & 0x0f } else { byte >> 4 };
        low | (high[i / 8] >> (i % 8) & 1) << 4
    })
}
