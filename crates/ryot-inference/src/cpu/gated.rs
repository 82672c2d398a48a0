//! The first half of a feed-forward part: products with gate and up matrix, and
//! `gate * sigmoid(gate) * up` of them, while both are in the cache.

use std::cell::RefCell;

use super::Isa;
use super::bf16_rows::Bf16Rows;
use super::buffer::Buffer;
use super::elementwise::silu_times;
use super::format::{BLOCK, TILE};
use super::kernel::Sums;
use super::kernel::amx::{self, PAIRS_MAX, Target, Workspace};
use super::matrix::{Kernel, PackedMatrix, is_cached, with_tiles};
use super::pool::Pool;
use super::rows::QuantisedRows;
use super::shared::SharedRows;

/// Memory of one thread.
struct Room {
    workspace: Workspace,
    products: Buffer,
}

thread_local! {
    static ROOM: RefCell<Room> = RefCell::new(Room {
        workspace: Workspace::new(),
        products: Buffer::zeroed(0),
    });
    static SUMS: RefCell<Vec<Sums>> = const { RefCell::new(Vec::new()) };
}

/// Whether [`multiply_gated`] and [`multiply_gated_bytes`] can do it.
pub(super) fn goes_together(gate: &PackedMatrix, up: &PackedMatrix) -> bool {
    gate.rows() == up.rows() && gate.rows().is_multiple_of(BLOCK)
}

/// Fills `out` with the gated products of `rows`, rounded; the bits are those of the steps one by
/// one.
///
/// # Panics
/// When the machine has no tiles of bfloat16, or sizes do not agree.
pub(super) fn multiply_gated(
    isa: Isa,
    pool: &Pool,
    rows: &Bf16Rows,
    [gate, up]: [&PackedMatrix; 2],
    out: &mut Bf16Rows,
) {
    assert!(Isa::has_bf16_tiles(), "tiles of bfloat16");
    assert!(goes_together(gate, up), "rows of gate and up matrix");
    for matrix in [gate, up] {
        assert_eq!(rows.columns(), matrix.columns(), "columns of both factors");
    }
    let (count, pairs) = (rows.rows(), gate.rows() / BLOCK);
    out.reset(count, gate.rows());
    let out = out.writer();
    let group = if is_cached(rows) { 2 } else { PAIRS_MAX / 2 };
    // an odd number of cache lines from row to row
    let pitch = 2 * group * BLOCK + TILE;
    pool.run(pairs.div_ceil(group), &|piece| {
        let first = piece * group;
        let used = group.min(pairs - first);
        let mut weights = [gate.pair(first); PAIRS_MAX];
        for i in 0..used {
            weights[i] = gate.pair(first + i);
            weights[used + i] = up.pair(first + i);
        }
        ROOM.with_borrow_mut(|room| {
            room.products.resize(count * pitch * size_of::<f32>());
            let target = Target {
                out: &SharedRows::new(room.products.as_mut_f32(), pitch),
                at: 0,
                columns: 2 * used * BLOCK,
            };
            let weights = &weights[..2 * used];
            // SAFETY: the instruction set was asserted; the target is this thread's own.
            unsafe { amx::multiply(weights, rows, &mut room.workspace, &target) };
            for (row, line) in room.products.as_f32().chunks_exact(pitch).enumerate() {
                let (gates, ups) = line[..2 * used * BLOCK].split_at(used * BLOCK);
                let mut values = [0f32; PAIRS_MAX / 2 * BLOCK];
                let values = &mut values[..used * BLOCK];
                silu_times(isa, gates, ups, values);
                // SAFETY: one pair of tiles is one block of the rows, done by one thread.
                unsafe { out.set(isa, row, first, values) };
            }
        });
    });
}

/// Pairs of weight tiles of either matrix that a thread takes at once.
const TOGETHER: usize = 4;

/// As [`multiply_gated`], for generated tokens.
///
/// # Panics
/// When sizes do not agree.
pub(super) fn multiply_gated_bytes(
    isa: Isa,
    pool: &Pool,
    rows: &mut QuantisedRows,
    [gate, up]: [&PackedMatrix; 2],
    out: &mut QuantisedRows,
) {
    assert!(goes_together(gate, up), "rows of gate and up matrix");
    for matrix in [gate, up] {
        assert_eq!(rows.columns(), matrix.columns(), "columns of both factors");
        rows.prepare(matrix.format());
    }
    let rows = &*rows;
    let pairs = gate.rows() / BLOCK;
    let together = (pairs / (pool.threads() * 12)).clamp(1, TOGETHER);
    out.reset(rows.rows(), gate.rows());
    let out = out.writer();
    let with_tiles = with_tiles(isa, rows.rows());
    pool.run(pairs.div_ceil(together), &|piece| {
        let mut kernel = Kernel::new(isa, with_tiles);
        let first = piece * together;
        let used = together.min(pairs - first);
        SUMS.with_borrow_mut(|sums| {
            sums.resize(4 * TOGETHER, Sums([[0.0; TILE]; TILE]));
            let (gates, ups) = sums[..4 * used].split_at_mut(2 * used);
            for index in 0..rows.tiles() {
                for (matrix, sums) in [(gate, &mut *gates), (up, &mut *ups)] {
                    let part = rows.tile(index, matrix.format());
                    for (tile, sums) in (2 * first..2 * (first + used)).zip(sums) {
                        kernel.multiply(&matrix.tile(tile), &part, sums);
                    }
                }
                let height = (rows.rows() - index * TILE).min(TILE);
                for m in 0..height {
                    let mut values = [[0f32; TILE]; 2 * TOGETHER];
                    for ((gate, up), values) in gates.iter().zip(&*ups).zip(&mut values) {
                        silu_times(isa, &gate.0[m], &up.0[m], values);
                    }
                    let values = &values.as_flattened()[..used * BLOCK];
                    // SAFETY: these blocks of all rows are this piece's alone.
                    unsafe { out.set(isa, index * TILE + m, first, values) };
                }
            }
        });
    });
}
