//! Plain Rust: what every other kernel is held to, bit by bit.

use super::{Sums, WeightTile};
use crate::cpu::format::{BLOCK, Format, SUPER, TILE};
use crate::cpu::half::f16_to_f32;
use crate::cpu::rows::RowTile;

/// Stored number of column `column` of weight row `row` in one block.
pub(in crate::cpu) fn number(format: Format, block: &[u8], row: usize, column: usize) -> u8 {
    let (group, byte) = (column / 4, 4 * row + column % 4);
    if format == Format::Q8 {
        return block[group * 64 + byte] ^ 0x80;
    }
    let pair = block[group % 4 * 64 + byte];
    let low = if group < 4 { pair & 0x0f } else { pair >> 4 };
    let high = match format {
        Format::Q5 | Format::Q5Min | Format::Q5K => (block[256 + byte] >> group & 1) << 4,
        Format::Q6K => (block[256 + group / 4 * 64 + byte] >> (2 * (group % 4)) & 3) << 4,
        _ => 0,
    };
    low | high
}

fn half_at(bytes: &[u8], row: usize) -> f32 {
    f16_to_f32(u16::from_le_bytes([bytes[2 * row], bytes[2 * row + 1]]))
}

/// Scales of the two halves of a block for one row, and the minimum.
pub(in crate::cpu) fn scales(tile: &WeightTile<'_>, block: usize, row: usize) -> ([f32; 2], f32) {
    let scales = tile.scales;
    let outer = |each: usize| &scales[tile.blocks * 32 + block / SUPER * each..];
    match tile.format {
        Format::Q8 | Format::Q4 | Format::Q5 => ([half_at(&scales[block * 32..], row); 2], 0.0),
        Format::Q4Min | Format::Q5Min => (
            [half_at(&scales[block * 64..], row); 2],
            half_at(&scales[block * 64 + 32..], row),
        ),
        Format::Q4K | Format::Q5K => {
            let inner = &scales[block * 32..];
            let scale = half_at(outer(64), row) * f32::from(inner[row]);
            let minimum = half_at(&outer(64)[32..], row) * f32::from(inner[TILE + row]);
            ([scale; 2], minimum)
        }
        Format::Q6K => {
            let inner = &scales[block * 32..];
            let d = half_at(outer(32), row);
            let signed = |i: usize| f32::from(inner[i].cast_signed());
            ([d * signed(row), d * signed(TILE + row)], 0.0)
        }
    }
}

/// Products of one tile of weights with one tile of rows.
pub(super) fn multiply(tile: &WeightTile<'_>, rows: &RowTile<'_>, out: &mut Sums) {
    let format = tile.format;
    for line in out.0.iter_mut().take(rows.height) {
        *line = [0.0; TILE];
    }
    for (block, stored) in tile.bytes.chunks_exact(format.block_bytes()).enumerate() {
        for row in 0..TILE {
            let weights: [i32; BLOCK] = std::array::from_fn(|column| {
                i32::from(number(format, stored, row, column)) - format.zero_point()
            });
            let (scale, minimum) = scales(tile, block, row);
            for (m, line) in out.0.iter_mut().take(rows.height).enumerate() {
                let at = block * rows.height + m;
                let bytes = &rows.bytes[at * BLOCK..(at + 1) * BLOCK];
                let dot = |part: std::ops::Range<usize>| -> f32 {
                    let pairs = weights[part.clone()].iter().zip(&bytes[part]);
                    let dot: i32 = pairs.map(|(w, a)| w * i32::from(a.cast_signed())).sum();
                    #[expect(clippy::cast_precision_loss, reason = "below 2^24")]
                    let dot = dot as f32;
                    dot
                };
                let sum = &mut line[row];
                let row_scale = rows.scales[at];
                if format.scales_per_block() == 2 {
                    *sum = dot(0..16).mul_add(row_scale * scale[0], *sum);
                    *sum = dot(16..32).mul_add(row_scale * scale[1], *sum);
                } else {
                    *sum = dot(0..32).mul_add(row_scale * scale[0], *sum);
                }
                if format.has_minimum() {
                    *sum = (-rows.totals[at]).mul_add(minimum, *sum);
                }
            }
        }
    }
}
