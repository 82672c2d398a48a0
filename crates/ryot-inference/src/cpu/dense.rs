//! Weights in f32, for files that hold floats.

use super::Isa;
use super::buffer::Buffer;
use super::format::TILE;
use super::lanes::lanes;
use super::pool::Pool;
use super::shared::SharedRows;

/// Rows of activations whose sums are kept in registers at once.
const HEIGHT: usize = 8;

/// Weights `[rows, columns]` f32, sixteen rows side by side.
#[derive(Debug)]
pub(crate) struct DenseMatrix {
    rows: usize,
    columns: usize,
    /// `[rows / 16][columns][16]`.
    data: Buffer,
}

impl DenseMatrix {
    /// Takes `values`, row after row.
    pub(crate) fn pack(rows: usize, columns: usize, values: &[f32]) -> Self {
        let mut data = Buffer::zeroed(rows.div_ceil(TILE) * columns * TILE * size_of::<f32>());
        let out = data.as_mut_f32();
        for (row, values) in values.chunks_exact(columns).enumerate() {
            let base = row / TILE * columns * TILE + row % TILE;
            for (column, value) in values.iter().enumerate() {
                out[base + column * TILE] = *value;
            }
        }
        Self {
            rows,
            columns,
            data,
        }
    }

    pub(crate) fn read_row(&self, row: usize, out: &mut [f32]) {
        let base = row / TILE * self.columns * TILE + row % TILE;
        for (column, out) in out.iter_mut().enumerate() {
            *out = self.data.as_f32()[base + column * TILE];
        }
    }

    /// Writes `x * self^T` to `out`, rows `stride` apart, from column `at` on; the bits do not
    /// depend on the number of rows or threads.
    pub(crate) fn multiply(
        &self,
        isa: Isa,
        pool: &Pool,
        x: &[f32],
        out: &mut [f32],
        [stride, at]: [usize; 2],
    ) {
        let count = x.len() / self.columns;
        assert!(count * stride <= out.len() && at + self.rows <= stride);
        let out = SharedRows::new(out, stride);
        let tile_len = self.columns * TILE;
        pool.run(self.rows.div_ceil(TILE), &|tile| {
            let weights = &self.data.as_f32()[tile * tile_len..(tile + 1) * tile_len];
            let width = TILE.min(self.rows - tile * TILE);
            for (part, x) in x.chunks(HEIGHT * self.columns).enumerate() {
                let mut sums = [[0f32; TILE]; HEIGHT];
                tile_product(isa, weights, x, self.columns, &mut sums);
                for (m, sums) in sums.iter().enumerate().take(x.len() / self.columns) {
                    // SAFETY: this tile's columns are written by this piece alone.
                    let out = unsafe { out.part(part * HEIGHT + m, at + tile * TILE, width) };
                    out.copy_from_slice(&sums[..width]);
                }
            }
        });
    }
}

lanes! {
    /// Products of one tile with up to [`HEIGHT`] rows of `columns` numbers.
    fn tile_product(weights: &[f32], x: &[f32], columns: usize, sums: &mut [[f32; TILE]; HEIGHT])
        = tile_product_body
}

#[inline(always)]
fn tile_product_body(weights: &[f32], x: &[f32], columns: usize, sums: &mut [[f32; TILE]; HEIGHT]) {
    match x.len() / columns {
        1 => rows_product::<1>(weights, x, columns, sums),
        2..=4 => rows_product::<4>(weights, x, columns, sums),
        _ => rows_product::<HEIGHT>(weights, x, columns, sums),
    }
}

#[inline(always)]
fn rows_product<const M: usize>(
    weights: &[f32],
    x: &[f32],
    columns: usize,
    sums: &mut [[f32; TILE]; HEIGHT],
) {
    let last = x.len() / columns - 1;
    // rows that are missing repeat the last one
    let rows: [&[f32]; M] = std::array::from_fn(|m| &x[m.min(last) * columns..][..columns]);
    let mut own = [[0f32; TILE]; M];
    for (k, weights) in weights.as_chunks::<TILE>().0.iter().enumerate() {
        for m in 0..M {
            let x = rows[m][k];
            for lane in 0..TILE {
                own[m][lane] = x.mul_add(weights[lane], own[m][lane]);
            }
        }
    }
    sums[..M].copy_from_slice(&own);
}
