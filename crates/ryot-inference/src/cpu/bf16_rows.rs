//! Activations as bfloat16, for prompts.

use super::Isa;
use super::buffer::Buffer;
use super::format::{BLOCK, TILE};
use super::lanes::lanes;
use super::shared::SharedRows;

/// Bytes of one block of sixteen rows.
const TILE_BYTES: usize = TILE * BLOCK * 2;

/// Rows of activations rounded to bfloat16, in tiles of sixteen rows by thirty-two numbers.
#[derive(Debug)]
pub(crate) struct Bf16Rows {
    rows: usize,
    columns: usize,
    /// `[row tile][block][16][32]`.
    data: Buffer,
}

impl Bf16Rows {
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            columns: 0,
            data: Buffer::zeroed(0),
        }
    }

    /// Makes room for `rows` rows of `columns` numbers, a multiple of 32; all are to be set.
    pub(crate) fn reset(&mut self, rows: usize, columns: usize) {
        debug_assert!(columns.is_multiple_of(BLOCK), "columns: {columns}");
        self.rows = rows;
        self.columns = columns;
        // an even number of tiles, so that they go in pairs
        let len = self.tiles() * self.blocks() * TILE_BYTES;
        self.data.resize(len);
        let used = rows / TILE * self.blocks() * TILE_BYTES;
        self.data.as_mut_slice()[used..].fill(0);
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    pub(crate) fn blocks(&self) -> usize {
        self.columns / BLOCK
    }

    /// Tiles of rows, an even number; rows past the last are zero.
    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(2 * TILE) * 2
    }

    /// Row tile `index` from block `block` on.
    pub(crate) fn tile(&self, index: usize, block: usize) -> &[u8] {
        let each = self.blocks() * TILE_BYTES;
        &self.data.as_slice()[index * each + block * TILE_BYTES..(index + 1) * each]
    }

    /// Where each thread may put its rows.
    pub(crate) fn writer(&mut self) -> Bf16Writer<'_> {
        let (blocks, rows) = (self.blocks(), self.rows);
        Bf16Writer {
            lines: SharedRows::new(self.data.as_mut_slice(), 2 * BLOCK),
            blocks,
            rows,
        }
    }
}

/// Writes rows from several threads.
pub(crate) struct Bf16Writer<'a> {
    lines: SharedRows<'a, u8>,
    blocks: usize,
    rows: usize,
}

impl Bf16Writer<'_> {
    /// Rounds `values`, the numbers of row `row` from block `first` on, to the nearest, ties to
    /// even.
    ///
    /// # Safety
    /// One thread for a block of a row.
    pub(crate) unsafe fn set(&self, isa: Isa, row: usize, first: usize, values: &[f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let base = row / TILE * self.blocks * TILE + row % TILE;
        for (block, values) in values.as_chunks::<BLOCK>().0.iter().enumerate() {
            // SAFETY: the line belongs to this row; the caller vouches for the row.
            let line = unsafe { self.lines.row(base + (first + block) * TILE) };
            if let ([line], _) = line.as_chunks_mut::<{ 2 * BLOCK }>() {
                round(isa, values, line);
            }
        }
    }
}

lanes! {
    fn round(values: &[f32; BLOCK], line: &mut [u8; 2 * BLOCK]) = round_body
}

#[inline(always)]
fn round_body(values: &[f32; BLOCK], line: &mut [u8; 2 * BLOCK]) {
    for (out, value) in line.as_chunks_mut::<2>().0.iter_mut().zip(values) {
        *out = super::half::f32_to_bf16(*value).to_le_bytes();
    }
}
