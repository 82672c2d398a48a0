//! Short prompts on matrix tiles of bfloat16: up to sixteen rows, for which weights should pass as fast as
//! memory gives them.
//!
//! A weight tile goes from its first block to its last while the sums stay in registers, so memory is
//! read in order; what comes next is asked for line by line while a block is widened. The sums are
//! added up in the order of [`super::amx`], so the bits are the same.

use std::arch::asm;

use super::WeightTile;
use super::amx::{BF16_TILES, Configured, TILE_BYTES, Target, widen};
use super::avx512::by_format;
use crate::cpu::bf16_rows::Bf16Rows;
use crate::cpu::format::TILE;

/// Most rows.
pub(super) const ROWS_MAX: usize = TILE;

/// Widened blocks: one is multiplied while the second after it is widened.
const RING: usize = 4;

/// Sums, and widened blocks.
#[repr(C, align(64))]
struct Room {
    sums: [[f32; TILE]; TILE],
    ring: [[u8; TILE_BYTES]; RING],
}

/// Products of weight tiles with up to [`ROWS_MAX`] rows; lengths are checked.
///
/// # Safety
/// As for [`super::amx::multiply`].
pub(super) unsafe fn multiply(
    weights: &[[WeightTile<'_>; 2]],
    rows: &Bf16Rows,
    target: &Target<'_, '_>,
) {
    assert!(rows.rows() <= ROWS_MAX, "{} rows", rows.rows());
    let mut room = Room {
        sums: [[0.0; TILE]; TILE],
        ring: [[0; TILE_BYTES]; RING],
    };
    let part = rows.tile(0, 0);
    // SAFETY: the instructions are there, as the caller vouches.
    let configured = unsafe { Configured::new(&BF16_TILES) };
    for (index, tile) in weights.iter().flatten().enumerate() {
        let width = target.columns.saturating_sub(index * TILE).min(TILE);
        if width == 0 {
            continue;
        }
        // SAFETY: tiles are configured; the rows have the blocks of the weights.
        by_format!(tile.format, F => unsafe { product::<F>(tile, part.as_ptr(), &mut room) });
        for (row, sums) in room.sums.iter().enumerate().take(rows.rows()) {
            // SAFETY: nobody else uses the target's columns, as the caller vouches.
            let out = unsafe { target.out.part(row, target.at + index * TILE, width) };
            out.copy_from_slice(&sums[..width]);
        }
    }
    drop(configured);
}

/// Sums of one weight tile and the rows.
///
/// # Safety
/// Tiles configured; `rows` good for the blocks of `tile`, which is checked.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi,avx512bf16")]
unsafe fn product<const F: u8>(tile: &WeightTile<'_>, rows: *const u8, room: &mut Room) {
    let ring: [*mut u8; RING] = room.ring.each_mut().map(|block| block.as_mut_ptr());
    // SAFETY: the caller vouches; a block of the ring is a tile.
    unsafe {
        asm!("tilezero tmm0", options(nostack, nomem));
        let first = ring.iter().enumerate().take(tile.blocks.min(RING / 2));
        for (block, room) in first {
            widen::<F, true>(tile, block, *room);
        }
        for block in 0..tile.blocks {
            let next = block + RING / 2;
            if next < tile.blocks {
                widen::<F, true>(tile, next, ring[next % RING]);
            }
            asm!(
                "tileloadd tmm4, [{a} + {stride}*1]",
                "tileloadd tmm6, [{w} + {stride}*1]",
                "tdpbf16ps tmm0, tmm4, tmm6",
                a = in(reg) rows.add(block * TILE_BYTES),
                w = in(reg) ring[block % RING],
                stride = in(reg) 64usize,
                options(nostack, readonly),
            );
        }
        asm!(
            "tilestored [{a} + {stride}*1], tmm0",
            a = in(reg) room.sums.as_mut_ptr(),
            stride = in(reg) 64usize,
            options(nostack),
        );
    }
}
