//! Generated tokens of many sequences on matrix tiles of bytes: dot products of sixteen rows by
//! sixteen weight rows are one instruction a block.
//!
//! The dot products are whole numbers and the steps in f32 are those of the other byte kernels in
//! the same order, so the bits are theirs, too.

use std::arch::asm;
use std::arch::x86_64::{
    __m512, __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_cvtepi32_ps, _mm512_fmadd_ps,
    _mm512_fnmadd_ps, _mm512_load_si512, _mm512_mul_ps, _mm512_set1_epi8, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_store_si512, _mm512_storeu_ps, _mm512_sub_epi8,
};

use super::amx::{AHEAD, Configured, TILE_BYTES, TileConfig};
use super::avx512::{self, by_format};
use super::{Sums, WeightTile};
use crate::cpu::format::{BLOCK, Format, TILE};
use crate::cpu::rows::RowTile;

/// Fewest rows that are faster here than by byte dot products.
pub(in crate::cpu) const ROWS_MIN: usize = 5;

/// Sums in tiles 0 to 3; rows and weights of a block in 4 and 5, of the next one in 6 and 7.
static WHOLE: TileConfig = TileConfig::new([
    (16, 64),
    (16, 64),
    (16, 64),
    (16, 64),
    (16, 32),
    (8, 64),
    (16, 32),
    (8, 64),
]);

/// Rows and weights of a block's first half in 4 and 5, of its second in 6 and 7.
static HALVES: TileConfig = TileConfig::new([
    (16, 64),
    (16, 64),
    (16, 64),
    (16, 64),
    (16, 16),
    (4, 64),
    (16, 16),
    (4, 64),
]);

/// The tiles of one thread, configured until this is dropped, and memory for what passes through
/// them.
pub(in crate::cpu) struct ByteTiles {
    configured: Configured,
    halves: bool,
    work: Work,
}

#[repr(C, align(64))]
struct Work {
    /// Dot products of two blocks, two halves each.
    dots: [[[u8; TILE_BYTES]; 2]; 2],
    /// Numbers of two blocks.
    weights: [[u8; TILE_BYTES / 2]; 2],
}

impl ByteTiles {
    /// # Safety
    /// [`Isa::has_byte_tiles`](crate::cpu::Isa::has_byte_tiles) must have said yes.
    pub(in crate::cpu) unsafe fn new() -> Self {
        Self {
            // SAFETY: passed on to the caller.
            configured: unsafe { Configured::new(&WHOLE) },
            halves: false,
            work: Work {
                dots: [[[0; TILE_BYTES]; 2]; 2],
                weights: [[0; TILE_BYTES / 2]; 2],
            },
        }
    }

    /// Products of one tile of weights with one tile of rows.
    pub(in crate::cpu) fn multiply(
        &mut self,
        tile: &WeightTile<'_>,
        rows: &RowTile<'_>,
        out: &mut Sums,
    ) {
        avx512::check_both(tile, rows);
        let halves = tile.format.scales_per_block() == 2;
        if halves != self.halves {
            self.halves = halves;
            let config = if halves { &HALVES } else { &WHOLE };
            // SAFETY: the instructions are there, as the maker of `self` vouched.
            unsafe { self.configured.change(config) };
        }
        let work = &mut self.work;
        // SAFETY: the instructions are there, tiles are configured, lengths were just checked.
        by_format!(tile.format, F => unsafe {
            if rows.height <= TILE / 2 {
                product::<F, { TILE / 2 }>(tile, rows, work, out);
            } else {
                product::<F, TILE>(tile, rows, work, out);
            }
        });
    }
}

/// One block's products: sums in tile `$c`, rows in `$a`, weights in `$b`.
macro_rules! dots {
    ($c:literal, $a:literal, $b:literal, $rows:expr, $weights:expr, $out:expr) => {
        asm!(
            concat!("tilezero ", $c),
            concat!("tileloadd ", $a, ", [{x} + {narrow}*1]"),
            concat!("tileloadd ", $b, ", [{w} + {wide}*1]"),
            concat!("tdpbssd ", $c, ", ", $a, ", ", $b),
            concat!("tilestored [{o} + {wide}*1], ", $c),
            x = in(reg) $rows,
            w = in(reg) $weights,
            o = in(reg) $out,
            narrow = in(reg) BLOCK,
            wide = in(reg) 64usize,
            options(nostack),
        )
    };
}

/// Computes the dot products of block `block` into its half of `work`.
///
/// # Safety
/// As for [`product`].
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn start<const F: u8>(
    tile: &WeightTile<'_>,
    rows: &RowTile<'_>,
    block: usize,
    work: &mut Work,
) {
    let format = const { Format::from_index(F) };
    let side = block % 2;
    // SAFETY: lengths were checked by the caller.
    unsafe {
        let bytes = tile.bytes.as_ptr().add(block * format.block_bytes());
        let x = rows.bytes.as_ptr().add(block * rows.height * BLOCK);
        let weights = if format == Format::Q8 {
            bytes
        } else {
            let room = work.weights[side].as_mut_ptr();
            #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
            let zero_point = _mm512_set1_epi8(format.zero_point() as i8);
            for (g, group) in avx512::unpack::<F>(bytes).into_iter().enumerate() {
                let group = _mm512_sub_epi8(group, zero_point);
                _mm512_store_si512(room.add(g * 64).cast::<__m512i>(), group);
            }
            room.cast_const()
        };
        let [first, second] = &mut work.dots[side];
        let (first, second) = (first.as_mut_ptr(), second.as_mut_ptr());
        match (format.scales_per_block() == 2, side) {
            (true, 0) => {
                dots!("tmm0", "tmm4", "tmm5", x, weights, first);
                dots!("tmm1", "tmm6", "tmm7", x.add(16), weights.add(256), second);
            }
            (true, _) => {
                dots!("tmm2", "tmm4", "tmm5", x, weights, first);
                dots!("tmm3", "tmm6", "tmm7", x.add(16), weights.add(256), second);
            }
            (false, 0) => dots!("tmm0", "tmm4", "tmm5", x, weights, first),
            (false, _) => dots!("tmm1", "tmm6", "tmm7", x, weights, first),
        }
    }
}

/// # Safety
/// Tiles configured for the format, lengths as [`avx512::check_both`] checks them, at most `M` rows.
#[target_feature(enable = "avx512f,avx512bw")]
unsafe fn product<const F: u8, const M: usize>(
    tile: &WeightTile<'_>,
    rows: &RowTile<'_>,
    work: &mut Work,
    out: &mut Sums,
) {
    let format = const { Format::from_index(F) };
    let lines = format.block_bytes() / 64;
    let mut sums = [_mm512_setzero_ps(); M];
    let (row_scales, totals) = (rows.scales.as_ptr(), rows.totals.as_ptr());
    // SAFETY: passed on to the caller.
    unsafe { start::<F>(tile, rows, 0, work) };
    for block in 0..tile.blocks {
        // SAFETY: the block after this one is there; rows are readable sixteen high.
        unsafe {
            if block + 1 < tile.blocks {
                start::<F>(tile, rows, block + 1, work);
            }
            let (scale, minimum) = avx512::scales::<F>(tile, block);
            let at = block * rows.height;
            let halves = work.dots[block % 2].as_ptr().cast::<__m512i>();
            let ahead = tile.bytes_from(block).wrapping_add(AHEAD);
            for (m, sum) in sums.iter_mut().enumerate() {
                // asked for at once, the lines would fill the places of those on their way
                for line in m * lines / M..(m + 1) * lines / M {
                    _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line * 64).cast());
                }
                let row_scale = _mm512_set1_ps(*row_scales.add(at + m));
                let add = |half: usize, scale: __m512, sum: __m512| {
                    let dot = _mm512_load_si512(halves.add(half * TILE + m));
                    _mm512_fmadd_ps(
                        _mm512_cvtepi32_ps(dot),
                        _mm512_mul_ps(row_scale, scale),
                        sum,
                    )
                };
                *sum = add(0, scale[0], *sum);
                if format.scales_per_block() == 2 {
                    *sum = add(1, scale[1], *sum);
                }
                if format.has_minimum() {
                    let total = _mm512_set1_ps(*totals.add(at + m));
                    *sum = _mm512_fnmadd_ps(total, minimum, *sum);
                }
            }
        }
    }
    for (out, sum) in out.0.iter_mut().zip(sums) {
        // SAFETY: a row of `out` is sixteen f32.
        unsafe { _mm512_storeu_ps(out.as_mut_ptr(), sum) };
    }
}
