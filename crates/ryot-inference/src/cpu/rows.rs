//! Activations as bytes: what a matrix is multiplied by.

use super::Isa;
use super::buffer::Buffer;
use super::format::{BLOCK, Format, TILE};
use super::lanes::lanes;
use super::shared::SharedRows;

/// Zero points of all formats.
const ZERO_POINTS: [i32; 5] = [0, 8, 16, 32, 128];

fn zero_point_index(format: Format) -> usize {
    let found = ZERO_POINTS.iter().position(|z| *z == format.zero_point());
    found.unwrap_or(0)
}

/// Rows of activations, each block of thirty-two numbers rounded to signed bytes of one f32 scale.
///
/// Rows stand in tiles of sixteen (the last may be lower); a tile holds block after block, a block
/// its rows. The error of a number is at most half a 127th of the largest in its block.
#[derive(Debug)]
pub(crate) struct QuantisedRows {
    rows: usize,
    columns: usize,
    bytes: Buffer,
    /// Per block and row.
    scales: Vec<f32>,
    /// Per block and row: sums of the bytes of either half.
    sums: Vec<[i32; 2]>,
    /// Per block and row, for the zero point that they were made for: see [`RowTile::biases`].
    biases: [Vec<[i32; 2]>; ZERO_POINTS.len()],
    /// Which of the biases are those of the rows that were set last.
    prepared: [bool; ZERO_POINTS.len()],
    /// Per block and row: scale times the sum of the bytes.
    totals: Vec<f32>,
}

/// One tile of rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowTile<'a> {
    /// Rows, 1 to 16.
    pub(crate) height: usize,
    /// Blocks a row.
    pub(crate) blocks: usize,
    /// `[blocks][height][32]` signed bytes; readable for 16 rows from the last block on, too.
    pub(crate) bytes: &'a [u8],
    /// `[blocks][height]`, and sixteen more that mean nothing.
    pub(crate) scales: &'a [f32],
    /// `[blocks][height]`, and sixteen more: what the zero point of the weights adds to a dot
    /// product, of the whole block or of either half where halves have scales of their own.
    pub(crate) biases: &'a [[i32; 2]],
    /// `[blocks][height]`, and sixteen more that mean nothing.
    pub(crate) totals: &'a [f32],
}

impl QuantisedRows {
    pub(crate) fn new() -> Self {
        Self {
            rows: 0,
            columns: 0,
            bytes: Buffer::zeroed(0),
            scales: Vec::new(),
            sums: Vec::new(),
            biases: [const { Vec::new() }; ZERO_POINTS.len()],
            prepared: [false; ZERO_POINTS.len()],
            totals: Vec::new(),
        }
    }

    /// Makes room for `rows` rows of `columns` numbers, a multiple of 32; all are to be set.
    pub(crate) fn reset(&mut self, rows: usize, columns: usize) {
        debug_assert!(columns.is_multiple_of(BLOCK), "columns: {columns}");
        let blocks = rows * (columns / BLOCK);
        self.rows = rows;
        self.columns = columns;
        self.prepared = [false; ZERO_POINTS.len()];
        // a tile is loaded sixteen rows high whatever its height
        self.bytes.resize(rows * columns + TILE * BLOCK);
        self.scales.resize(blocks + TILE, 0.0);
        self.sums.resize(blocks, [0; 2]);
        self.totals.resize(blocks + TILE, 0.0);
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn columns(&self) -> usize {
        self.columns
    }

    /// Where each thread may put its rows.
    pub(crate) fn writer(&mut self) -> RowWriter<'_> {
        let (rows, blocks) = (self.rows, self.columns / BLOCK);
        RowWriter {
            rows,
            blocks,
            bytes: SharedRows::new(self.bytes.as_mut_slice(), BLOCK),
            scales: SharedRows::new(&mut self.scales, 1),
            sums: SharedRows::new(&mut self.sums, 1),
            totals: SharedRows::new(&mut self.totals, 1),
        }
    }

    pub(crate) fn tiles(&self) -> usize {
        self.rows.div_ceil(TILE)
    }

    /// Prepares for weights of `format`; to be called after the rows are set, before [`Self::tile`].
    pub(crate) fn prepare(&mut self, format: Format) {
        let index = zero_point_index(format);
        if std::mem::replace(&mut self.prepared[index], true) {
            return;
        }
        let biases = &mut self.biases[index];
        let zero_point = format.zero_point();
        biases.clear();
        biases.extend(self.sums.iter().map(|[low, high]| {
            if format.scales_per_block() == 2 {
                [-zero_point * low, -zero_point * high]
            } else {
                [-zero_point * (low + high), 0]
            }
        }));
        biases.resize(self.sums.len() + TILE, [0; 2]);
    }

    pub(crate) fn tile(&self, index: usize, format: Format) -> RowTile<'_> {
        let biases = &self.biases[zero_point_index(format)];
        let blocks = self.columns / BLOCK;
        let height = TILE.min(self.rows - index * TILE);
        let (start, len) = (index * TILE * blocks, height * blocks);
        let bytes = self.bytes.as_slice();
        RowTile {
            height,
            blocks,
            bytes: &bytes[start * BLOCK..(start + len + TILE) * BLOCK],
            scales: &self.scales[start..start + len + TILE],
            biases: &biases[start..start + len + TILE],
            totals: &self.totals[start..start + len + TILE],
        }
    }
}

/// Writes rows from several threads.
pub(crate) struct RowWriter<'a> {
    rows: usize,
    blocks: usize,
    bytes: SharedRows<'a, u8>,
    scales: SharedRows<'a, f32>,
    sums: SharedRows<'a, [i32; 2]>,
    totals: SharedRows<'a, f32>,
}

/// Blocks rounded in one call.
const TOGETHER: usize = 8;

/// Rounded blocks on their way to their places.
struct Rounded {
    bytes: [[u8; BLOCK]; TOGETHER],
    scales: [f32; TOGETHER],
    sums: [[i32; 2]; TOGETHER],
}

impl RowWriter<'_> {
    /// Rounds `values`, the numbers of row `row` from block `first` on.
    ///
    /// # Safety
    /// One thread for a block of a row.
    pub(crate) unsafe fn set(&self, isa: Isa, row: usize, first: usize, values: &[f32]) {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let tile = row / TILE;
        let height = TILE.min(self.rows - tile * TILE);
        let base = tile * TILE * self.blocks + row % TILE;
        let mut rounded = Rounded {
            bytes: [[0; BLOCK]; TOGETHER],
            scales: [0.0; TOGETHER],
            sums: [[0; 2]; TOGETHER],
        };
        let (values, _) = values.as_chunks::<BLOCK>();
        for (part, values) in values.chunks(TOGETHER).enumerate() {
            round(isa, values, &mut rounded);
            for i in 0..values.len() {
                let at = base + (first + part * TOGETHER + i) * height;
                let (scale, [low, high]) = (rounded.scales[i], rounded.sums[i]);
                #[expect(clippy::cast_precision_loss, reason = "at most 32 * 127")]
                let sum = (low + high) as f32;
                // SAFETY: these places belong to this block of this row; the caller vouches.
                unsafe {
                    self.bytes.row(at).copy_from_slice(&rounded.bytes[i]);
                    self.scales.row(at)[0] = scale;
                    self.sums.row(at)[0] = [low, high];
                    self.totals.row(at)[0] = scale * sum;
                }
            }
        }
    }
}

lanes! {
    /// Rounds up to [`TOGETHER`] blocks.
    fn round(values: &[[f32; BLOCK]], out: &mut Rounded) = round_body
}

#[inline(always)]
fn round_body(values: &[[f32; BLOCK]], out: &mut Rounded) {
    for (i, values) in values.iter().enumerate().take(TOGETHER) {
        (out.scales[i], out.sums[i]) = quantise(values, &mut out.bytes[i]);
    }
}

/// The sum of signed bytes, in the order that vectors add in.
#[inline(always)]
fn sum_of(bytes: &[u8; BLOCK / 2]) -> i32 {
    let mut lanes = bytes.map(|byte| i32::from(byte.cast_signed()));
    let mut half = lanes.len() / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0]
}

/// Rounds one block; gives the scale and the sums of the halves.
///
/// A number that is not finite makes the scale NaN, so that it is not lost.
#[inline(always)]
fn quantise(values: &[f32; BLOCK], bytes: &mut [u8; BLOCK]) -> (f32, [i32; 2]) {
    // adding 1.5 * 2^23 rounds to the nearest whole number, ties to even, in the low bits
    const ROUND: f32 = 12_582_912.0;
    // as whole numbers, the bits of absolute values are in the order of the values
    let largest = values.iter().fold(0, |m, v| m.max(v.abs().to_bits()));
    let largest = f32::from_bits(largest);
    let scale = largest / 127.0;
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    for (byte, value) in bytes.iter_mut().zip(values) {
        let bits = (value * inverse + ROUND).to_bits();
        // the low byte with its sign, whatever came of what is not finite
        *byte = bits.wrapping_sub(ROUND.to_bits()).to_le_bytes()[0];
    }
    let mut sums = [0i32; 2];
    for (sum, bytes) in sums.iter_mut().zip(bytes.as_chunks().0) {
        *sum = sum_of(bytes);
    }
    if largest.is_finite() {
        (scale, sums)
    } else {
        (f32::NAN, sums)
    }
}
