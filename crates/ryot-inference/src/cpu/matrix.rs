//! A packed weight matrix and its product with rows of activations.

#[cfg(target_arch = "x86_64")]
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};

use super::bf16_rows::Bf16Rows;
use super::buffer::{Arena, Buffer};
use super::format::{BLOCK, Format, TILE};
use super::isa::Isa;
#[cfg(target_arch = "x86_64")]
use super::kernel::amx::{self, PAIRS_MAX, Workspace};
#[cfg(target_arch = "x86_64")]
use super::kernel::amx_bytes::{ByteTiles, ROWS_MIN};
use super::kernel::{self, Sums, WeightTile};
use super::pack::{Stored, TileBuilder};
use super::pool::Pool;
use super::rows::{QuantisedRows, RowTile};
use super::shared::SharedRows;
use crate::error::Result;

/// Where the matrices of a model are packed.
#[derive(Debug, Default)]
pub(crate) struct PackMemory {
    arena: Arena,
    /// For bytes of the file on their way.
    read: [Vec<u8>; 2],
}

/// Fills a buffer with the bytes of a tensor that follow those given before.
pub(crate) type ReadNext<'a> = dyn FnMut(&mut [u8]) -> Result<()> + Send + 'a;

/// Activations of a prompt that stay in the second cache while all weights pass.
const CACHED_BYTES: usize = 1 << 20;

/// Bytes of a file that are read while those before are repacked.
const RUN_BYTES: usize = 1 << 20;

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
    /// Repacks a GGUF tensor of `rows` rows, whose bytes `read` gives in order, one run of rows after
    /// the other; `columns` is a multiple of 32, and of 256 for the K types.
    ///
    /// While one run is repacked, the next one is read.
    pub(crate) fn pack(
        stored: Stored,
        [rows, columns]: [usize; 2],
        pool: &Pool,
        memory: &mut PackMemory,
        read: &mut ReadNext<'_>,
    ) -> Result<Self> {
        let format = stored.format();
        let (tiles, blocks) = (rows.div_ceil(TILE), columns / BLOCK);
        let tile_bytes = blocks * format.block_bytes();
        let scale_bytes = format.scale_bytes(blocks);
        let mut bytes = memory.arena.take(tiles * tile_bytes);
        let mut scales = memory.arena.take(tiles * scale_bytes);
        let (each, block_bytes) = stored.stored_block();
        let row_bytes = columns / each * block_bytes;
        let run = (RUN_BYTES / row_bytes.max(1) / TILE * TILE).clamp(TILE, rows.max(TILE));
        let [mut now, mut next] = memory.read.each_mut();
        now.resize(run.min(rows) * row_bytes, 0);
        read(now)?;
        for from in (0..rows).step_by(run) {
            let count = run.min(rows - from);
            next.resize(run.min(rows - from - count) * row_bytes, 0);
            let bytes = SharedRows::new(bytes.as_mut_slice(), tile_bytes);
            let scales = SharedRows::new(scales.as_mut_slice(), scale_bytes);
            let reading = Mutex::new((&mut *read, &mut *next, Ok(())));
            let current: &[u8] = now;
            pool.run(count.div_ceil(TILE) + 1, &|piece| {
                let Some(tile) = piece.checked_sub(1) else {
                    let mut reading = reading.lock().unwrap_or_else(PoisonError::into_inner);
                    let (read, next, result) = &mut *reading;
                    *result = if next.is_empty() { Ok(()) } else { read(next) };
                    return;
                };
                let index = from / TILE + tile;
                // SAFETY: every tile is one piece of the region, done by one thread.
                let (bytes, scales) = unsafe { (bytes.row(index), scales.row(index)) };
                let mut builder = TileBuilder {
                    stored,
                    blocks,
                    bytes,
                    scales,
                };
                let data = current.chunks_exact(row_bytes).skip(tile * TILE).take(TILE);
                for (row, data) in data.enumerate() {
                    builder.place(row, data);
                }
            });
            let reading = reading.into_inner().unwrap_or_else(PoisonError::into_inner);
            reading.2?;
            std::mem::swap(&mut now, &mut next);
        }
        Ok(Self {
            format,
            rows,
            columns,
            bytes,
            scales,
        })
    }

    pub(super) fn tile(&self, index: usize) -> WeightTile<'_> {
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

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn format(&self) -> Format {
        self.format
    }

    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Two tiles side by side; both are there.
    #[cfg(target_arch = "x86_64")]
    pub(super) fn pair(&self, pair: usize) -> [WeightTile<'_>; 2] {
        [self.tile(2 * pair), self.tile(2 * pair + 1)]
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
    let tiles = with_tiles(isa, rows.rows());
    multiply_by((isa, tiles), pool, rows, out, stride, matrices);
}

/// Whether `rows` rows go through matrix tiles.
pub(super) fn with_tiles(isa: Isa, rows: usize) -> bool {
    isa == Isa::Avx512 && Isa::has_byte_tiles() && rows >= ROWS_MIN
}

/// [`multiply_all`] with or without matrix tiles.
pub(super) fn multiply_by(
    (isa, with_tiles): (Isa, bool),
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
        let mut kernel = Kernel::new(isa, with_tiles);
        let mut sums = Sums([[0.0; TILE]; TILE]);
        for tile in piece * each..tiles.min((piece + 1) * each) {
            let mut tile = tile;
            for (matrix, at) in matrices {
                let own = matrix.rows.div_ceil(TILE);
                if tile < own {
                    matrix.one_tile((&mut kernel, &mut sums), rows, tile, &out, *at);
                    break;
                }
                tile -= own;
            }
        }
    });
}

/// What one thread multiplies with.
pub(super) struct Kernel {
    isa: Isa,
    #[cfg(target_arch = "x86_64")]
    tiles: Option<ByteTiles>,
}

impl Kernel {
    /// With matrix tiles only where there are some; see [`with_tiles`].
    #[cfg(target_arch = "x86_64")]
    pub(super) fn new(isa: Isa, with_tiles: bool) -> Self {
        assert!(!with_tiles || Isa::has_byte_tiles(), "tiles of bytes");
        // SAFETY: tiles are wished for only where they are.
        let tiles = with_tiles.then(|| unsafe { ByteTiles::new() });
        Self { isa, tiles }
    }

    #[cfg(not(target_arch = "x86_64"))]
    pub(super) fn new(isa: Isa, _with_tiles: bool) -> Self {
        Self { isa }
    }

    pub(super) fn multiply(
        &mut self,
        weights: &WeightTile<'_>,
        rows: &RowTile<'_>,
        sums: &mut Sums,
    ) {
        #[cfg(target_arch = "x86_64")]
        if let Some(tiles) = self.tiles.as_mut().filter(|_| rows.height >= ROWS_MIN) {
            tiles.multiply(weights, rows, sums);
            return;
        }
        kernel::multiply(self.isa, weights, rows, sums);
    }
}

impl PackedMatrix {
    fn one_tile(
        &self,
        (kernel, sums): (&mut Kernel, &mut Sums),
        rows: &QuantisedRows,
        tile: usize,
        out: &SharedRows<'_, f32>,
        at: usize,
    ) {
        let width = TILE.min(self.rows - tile * TILE);
        let from = at + tile * TILE;
        let weights = self.tile(tile);
        for index in 0..rows.tiles() {
            let part = rows.tile(index, self.format);
            kernel.multiply(&weights, &part, sums);
            for (m, line) in sums.0.iter().enumerate().take(part.height) {
                // SAFETY: this tile's columns of the product are written by this piece alone.
                let target = unsafe { out.part(index * TILE + m, from, width) };
                match target.as_chunks_mut() {
                    ([whole], []) => *whole = *line,
                    _ => target.copy_from_slice(&line[..width]),
                }
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
    // several weight tiles in a row use a part of the rows in turn while it is in the cache
    let pairs = matrices.iter().map(|(m, _)| m.rows.div_ceil(2 * TILE));
    let group_max = if is_cached(rows) { 3 } else { PAIRS_MAX };
    let group = (pairs.sum::<usize>() / (4 * pool.threads())).clamp(1, group_max);
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

/// Whether the second cache holds all rows while weights pass.
pub(super) fn is_cached(rows: &Bf16Rows) -> bool {
    rows.rows() * rows.columns() * size_of::<u16>() <= CACHED_BYTES
}

/// See [`amx::PAIRS_MAX`]; there are no tiles elsewhere.
#[cfg(not(target_arch = "x86_64"))]
const PAIRS_MAX: usize = 1;
/// See [`ROWS_MIN`](super::kernel::amx_bytes::ROWS_MIN).
#[cfg(not(target_arch = "x86_64"))]
const ROWS_MIN: usize = usize::MAX;

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
        let target = amx::Target {
            out,
            at: at + first * TILE,
            columns: self.rows - first * TILE,
        };
        // SAFETY: the instruction set was asserted; these columns of the product are written by this
        // piece alone.
        unsafe { amx::multiply(&weights[..used], rows, workspace, &target) };
    }
}
