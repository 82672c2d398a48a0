//! A packed weight matrix and its product with rows of activations.

use std::cell::RefCell;

use super::bf16_rows::Bf16Rows;
use super::buffer::Buffer;
use super::format::{BLOCK, Format, TILE};
use super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::kernel::amx::{self, PAIRS_MAX, Workspace};
use super::kernel::{self, Sums, WeightTile};
use super::pack::{Stored, TileBuilder};
use super::pool::Pool;
use super::rows::QuantisedRows;
use super::shared::SharedRows;

/// Weights `[rows, columns]` in tiles of sixteen rows, at the bits of the file.
#[derive(Debug)]
pub(crate) struct PackedMatrix {
    format: Format,
    rows: usize,
    columns: usize,
    bytes: Buffer,
    scales: Buffer,
}

impl PackedMatrix {
    /// Repacks `data`, the bytes of a GGUF tensor of `rows` rows; `columns` is a multiple of 32,
    /// and of 256 for the K types.
    pub(crate) fn pack(
        stored: Stored,
        rows: usize,
        columns: usize,
        data: &[u8],
        pool: &Pool,
    ) -> Self {
        let format = stored.format();
        let (tiles, blocks) = (rows.div_ceil(TILE), columns / BLOCK);
        let tile_bytes = blocks * format.block_bytes();
        let scale_bytes = format.scale_bytes(blocks);
        let mut bytes = Buffer::zeroed(tiles * tile_bytes);
        let mut scales = Buffer::zeroed(tiles * scale_bytes);
        let row_bytes = data.len() / rows.max(1);
        {
            let bytes = SharedRows::new(bytes.as_mut_slice(), tile_bytes);
            let scales = SharedRows::new(scales.as_mut_slice(), scale_bytes);
            pool.run(tiles, &|tile| {
                // SAFETY: every tile is one piece of the region, done by one thread.
                let (bytes, scales) = unsafe { (bytes.row(tile), scales.row(tile)) };
                let mut builder = TileBuilder {
                    stored,
                    blocks,
                    bytes,
                    scales,
                };
                let from = tile * TILE;
                for row in 0..TILE.min(rows - from) {
                    let start = (from + row) * row_bytes;
                    builder.place(row, &data[start..start + row_bytes]);
                }
            });
        }
        Self {
            format,
            rows,
            columns,
            bytes,
            scales,
        }
    }

    fn tile(&self, index: usize) -> WeightTile<'_> {
        let blocks = self.columns / BLOCK;
        let bytes = blocks * self.format.block_bytes();
        let scales = self.format.scale_bytes(blocks);
        WeightTile {
            format: self.format,
            blocks,
            bytes: &self.bytes.as_slice()[index * bytes..(index + 1) * bytes],
            scales: &self.scales.as_slice()[index * scales..(index + 1) * scales],
        }
    }

    /// The numbers of row `row`, as the type defines them.
    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        let tile = self.tile(row / TILE);
        kernel::read_row(&tile, row % TILE, out);
    }
}

/// Products of the same rows with several matrices, side by side in `out` (rows `stride` apart,
/// from the given columns on), in one region; bit for bit the same for every instruction set,
/// thread count and number of rows.
pub(crate) fn multiply_all(
    isa: Isa,
    pool: &Pool,
    rows: &mut QuantisedRows,
    out: &mut [f32],
    stride: usize,
    matrices: &[(&PackedMatrix, usize)],
) {
    for (matrix, at) in matrices {
        assert_eq!(rows.columns(), matrix.columns, "columns of both factors");
        assert!(at + matrix.rows <= stride, "columns of the product");
        rows.prepare(matrix.format);
    }
    let rows = &*rows;
    assert!(rows.rows() * stride <= out.len(), "rows of the product");
    let tiles: usize = matrices.iter().map(|(m, _)| m.rows.div_ceil(TILE)).sum();
    // pieces small enough to share out evenly, large enough to hide the counter
    let each = (tiles / (pool.threads() * 16)).clamp(1, 32);
    let out = SharedRows::new(out, stride);
    pool.run(tiles.div_ceil(each), &|piece| {
        for tile in piece * each..tiles.min((piece + 1) * each) {
            let mut tile = tile;
            for (matrix, at) in matrices {
                let own = matrix.rows.div_ceil(TILE);
                if tile < own {
                    matrix.one_tile(isa, rows, tile, &out, *at);
                    break;
                }
                tile -= own;
            }
        }
    });
}

impl PackedMatrix {
    fn one_tile(
        &self,
        isa: Isa,
        rows: &QuantisedRows,
        tile: usize,
        out: &SharedRows<'_, f32>,
        at: usize,
    ) {
        let width = TILE.min(self.rows - tile * TILE);
        let from = at + tile * TILE;
        let weights = self.tile(tile);
        let mut sums = Sums([[0.0; TILE]; TILE]);
        for index in 0..rows.tiles() {
            let part = rows.tile(index, self.format);
            kernel::multiply(isa, &weights, &part, &mut sums);
            for (m, line) in sums.0.iter().enumerate().take(part.height) {
                // SAFETY: this tile's columns of the product are written by this piece alone.
                let target = unsafe { out.part(index * TILE + m, from, width) };
                target.copy_from_slice(&line[..width]);
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
thread_local! {
    static WORKSPACE: RefCell<Workspace> = RefCell::new(Workspace::new());
}

/// As [`multiply_all`], for the rows of a prompt: weights are widened once for all of them.
///
/// # Panics
/// When the machine has no tiles of bfloat16; see [`Isa::has_bf16_tiles`].
pub(crate) fn multiply_prompt(
    pool: &Pool,
    rows: &Bf16Rows,
    out: &mut [f32],
    stride: usize,
    matrices: &[(&PackedMatrix, usize)],
) {
    assert!(Isa::has_bf16_tiles(), "tiles of bfloat16");
    for (matrix, at) in matrices {
        assert_eq!(rows.columns(), matrix.columns, "columns of both factors");
        assert!(at + matrix.rows <= stride, "columns of the product");
    }
    assert!(rows.rows() * stride <= out.len(), "rows of the product");
    // groups of weight tiles as large as leaves some for every thread
    let pairs: usize = matrices
        .iter()
        .map(|(m, _)| m.rows.div_ceil(2 * TILE))
        .sum();
    let group = (pairs / (4 * pool.threads())).clamp(1, PAIRS_MAX);
    let groups = |matrix: &PackedMatrix| matrix.rows.div_ceil(2 * TILE * group);
    let pieces: usize = matrices.iter().map(|(m, _)| groups(m)).sum();
    let out = SharedRows::new(out, stride);
    pool.run(pieces, &|piece| {
        let mut index = piece;
        for (matrix, at) in matrices {
            if index < groups(matrix) {
                let from = index * 2 * group;
                #[cfg(target_arch = "x86_64")]
                WORKSPACE.with_borrow_mut(|w| matrix.one_group(rows, [from, group], w, &out, *at));
                return;
            }
            index -= groups(matrix);
        }
    });
}

/// See [`amx::PAIRS_MAX`]; there are no tiles elsewhere.
#[cfg(not(target_arch = "x86_64"))]
const PAIRS_MAX: usize = 1;

#[cfg(target_arch = "x86_64")]
impl PackedMatrix {
    /// `group` pairs of weight tiles from tile `first` on.
    fn one_group(
        &self,
        rows: &Bf16Rows,
        [first, group]: [usize; 2],
        workspace: &mut Workspace,
        out: &SharedRows<'_, f32>,
        at: usize,
    ) {
        let tiles = self.rows.div_ceil(TILE);
        let mut weights = [[self.tile(first); 2]; PAIRS_MAX];
        let used = group.min((tiles - first).div_ceil(2));
        for (pair, weights) in weights.iter_mut().enumerate().take(used) {
            let from = first + 2 * pair;
            // an odd tile at the end is computed twice and written once
            *weights = [self.tile(from), self.tile((from + 1).min(tiles - 1))];
        }
        let give = |row: usize, pair: usize, sums: &[[u8; TILE * 4]; 2]| {
            for (half, sums) in sums.iter().enumerate() {
                let from = (first + 2 * pair + half) * TILE;
                let width = TILE.min(self.rows.saturating_sub(from));
                if width == 0 {
                    return;
                }
                // SAFETY: these columns of the product are written by this piece alone.
                let target = unsafe { out.part(row, at + from, width) };
                for (value, bytes) in target.iter_mut().zip(sums.as_chunks::<4>().0) {
                    *value = f32::from_le_bytes(*bytes);
                }
            }
        };
        // SAFETY: the instruction set was asserted.
        unsafe { amx::multiply(&weights[..used], rows, workspace, give) };
    }
}
