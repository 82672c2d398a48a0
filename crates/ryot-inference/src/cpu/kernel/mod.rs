//! Products of a tile of weights with rows of activations, per instruction set.
//!
//! Every kernel computes, block after block, `sum += dot * (row_scale * weight_scale)` and then
//! `sum -= row_total * minimum`, with one rounding for each product of scales and one for each
//! multiply-add. The dot product is a whole number. So all give the same bits, whatever the
//! instruction set and however many rows are computed together.

#[cfg(target_arch = "x86_64")]
pub(super) mod amx;
#[cfg(target_arch = "x86_64")]
pub(super) mod amx_attention;
#[cfg(target_arch = "x86_64")]
pub(super) mod amx_bytes;
#[cfg(target_arch = "x86_64")]
mod amx_few;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod scalar;

use super::format::{BLOCK, Format, TILE};
use super::isa::Isa;
use super::rows::RowTile;

/// Sixteen rows of a packed matrix.
#[derive(Debug, Clone, Copy)]
pub(super) struct WeightTile<'a> {
    pub(super) format: Format,
    pub(super) blocks: usize,
    /// `[blocks][format.block_bytes()]`.
    pub(super) bytes: &'a [u8],
    /// `format.scale_bytes(blocks)`.
    pub(super) scales: &'a [u8],
}

impl WeightTile<'_> {
    /// Where the numbers from block `block` on begin; of those past the last, the next tile's.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn bytes_from(&self, block: usize) -> *const u8 {
        let bytes = self.bytes.as_ptr();
        bytes.wrapping_add(block * self.format.block_bytes())
    }
}

/// `[activation row][weight row]` of one tile by one tile.
#[derive(Debug, Clone)]
#[repr(C, align(64))]
pub(super) struct Sums(pub(super) [[f32; TILE]; TILE]);

/// Products of one tile of weights with one tile of rows.
pub(super) fn multiply(isa: Isa, weights: &WeightTile<'_>, rows: &RowTile<'_>, out: &mut Sums) {
    match isa {
        Isa::Scalar => scalar::multiply(weights, rows, out),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx2 => avx2::multiply(weights, rows, out),
        #[cfg(target_arch = "x86_64")]
        Isa::Avx512 => avx512::multiply(weights, rows, out),
        #[cfg(not(target_arch = "x86_64"))]
        Isa::Avx2 | Isa::Avx512 => scalar::multiply(weights, rows, out),
    }
}

/// The numbers of one row of a tile, as the type defines them.
pub(super) fn read_row(tile: &WeightTile<'_>, row: usize, out: &mut [f32]) {
    let format = tile.format;
    let blocks = tile.bytes.chunks_exact(format.block_bytes());
    for ((index, block), out) in blocks.enumerate().zip(out.as_chunks_mut::<BLOCK>().0) {
        let (scale, minimum) = scalar::scales(tile, index, row);
        for (column, value) in out.iter_mut().enumerate() {
            let stored = i32::from(scalar::number(format, block, row, column));
            #[expect(clippy::cast_precision_loss, reason = "eight bits")]
            let number = (stored - format.zero_point()) as f32;
            *value = number * scale[column / (BLOCK / 2)] - minimum;
        }
    }
}
