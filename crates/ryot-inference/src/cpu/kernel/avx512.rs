//! AVX-512 with byte dot products: sixteen weight rows are the sixteen lanes.

use std::arch::x86_64::{
    __m128i, __m512, __m512i, _MM_HINT_T0, _mm_loadu_si128, _mm_prefetch, _mm256_loadu_si256,
    _mm512_and_si512, _mm512_cvtepi8_epi32, _mm512_cvtepi32_ps, _mm512_cvtepu8_epi32,
    _mm512_cvtph_ps, _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_fnmadd_ps, _mm512_loadu_si512,
    _mm512_mul_ps, _mm512_or_si512, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps,
    _mm512_setzero_ps, _mm512_slli_epi16, _mm512_srli_epi16, _mm512_storeu_ps, _mm512_xor_si512,
};

use super::{Sums, WeightTile};
use crate::cpu::format::{BLOCK, Format, SUPER, TILE};
use crate::cpu::rows::RowTile;

/// Groups of a block.
pub(super) const GROUPS: usize = BLOCK / 4;

/// Bytes of weights that are fetched ahead; the next tile follows in memory.
pub(super) const AHEAD: usize = 2048;

/// Rows whose sums are kept in registers at once.
const HEIGHT_MAX: usize = 8;

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn line(block: *const u8, i: usize) -> __m512i {
    // SAFETY: the caller vouches for `i + 1` lines; the load needs no alignment.
    unsafe { _mm512_loadu_si512(block.add(i * 64).cast()) }
}

/// The numbers of the block at `block`, unsigned.
///
/// # Safety
/// `format.block_bytes()` bytes must be readable.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn unpack<const F: u8>(block: *const u8) -> [__m512i; GROUPS] {
    let format = const { Format::from_index(F) };
    let low = _mm512_set1_epi8(0x0f);
    let mut groups = [low; GROUPS];
    if format == Format::Q8 {
        let sign = _mm512_set1_epi8(i8::MIN);
        for (g, group) in groups.iter_mut().enumerate() {
            // SAFETY: eight lines.
            *group = _mm512_xor_si512(unsafe { line(block, g) }, sign);
        }
        return groups;
    }
    for g in 0..GROUPS / 2 {
        // SAFETY: four lines.
        let v = unsafe { line(block, g) };
        groups[g] = _mm512_and_si512(v, low);
        groups[g + GROUPS / 2] = _mm512_and_si512(_mm512_srli_epi16::<4>(v), low);
    }
    match format {
        Format::Q5 | Format::Q5Min | Format::Q5K => {
            // SAFETY: five lines.
            let plane = unsafe { line(block, 4) };
            let bit = _mm512_set1_epi8(0x10);
            let shifted = [
                _mm512_slli_epi16::<4>(plane),
                _mm512_slli_epi16::<3>(plane),
                _mm512_slli_epi16::<2>(plane),
                _mm512_slli_epi16::<1>(plane),
                plane,
                _mm512_srli_epi16::<1>(plane),
                _mm512_srli_epi16::<2>(plane),
                _mm512_srli_epi16::<3>(plane),
            ];
            for (group, shifted) in groups.iter_mut().zip(shifted) {
                *group = _mm512_or_si512(*group, _mm512_and_si512(shifted, bit));
            }
        }
        Format::Q6K => {
            let bits = _mm512_set1_epi8(0x30);
            for half in 0..2 {
                // SAFETY: six lines.
                let plane = unsafe { line(block, 4 + half) };
                let shifted = [
                    _mm512_slli_epi16::<4>(plane),
                    _mm512_slli_epi16::<2>(plane),
                    plane,
                    _mm512_srli_epi16::<2>(plane),
                ];
                for (group, shifted) in groups[half * 4..].iter_mut().zip(shifted) {
                    *group = _mm512_or_si512(*group, _mm512_and_si512(shifted, bits));
                }
            }
        }
        _ => {}
    }
    groups
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn halves(bytes: *const u8) -> __m512 {
    // SAFETY: the caller vouches for 32 bytes.
    _mm512_cvtph_ps(unsafe { _mm256_loadu_si256(bytes.cast()) })
}

#[inline]
#[target_feature(enable = "avx512f")]
unsafe fn sixteen(bytes: *const u8) -> __m128i {
    // SAFETY: the caller vouches for 16 bytes.
    unsafe { _mm_loadu_si128(bytes.cast()) }
}

/// Scales (of either half where there are two) and minimum of block `block`.
///
/// # Safety
/// `tile.scales` must be as long as the format says, and `block` below `tile.blocks`.
#[inline]
#[target_feature(enable = "avx512f")]
pub(super) unsafe fn scales<const F: u8>(
    tile: &WeightTile<'_>,
    block: usize,
) -> ([__m512; 2], __m512) {
    let format = const { Format::from_index(F) };
    let zero = _mm512_setzero_ps();
    let base = tile.scales.as_ptr();
    // SAFETY: within the tile's scales, as the caller vouches.
    unsafe {
        let outer = base.add(tile.blocks * 32);
        let inner = base.add(block * 32);
        match format {
            Format::Q8 | Format::Q4 | Format::Q5 => ([halves(inner), zero], zero),
            Format::Q4Min | Format::Q5Min => {
                let inner = base.add(block * 64);
                ([halves(inner), zero], halves(inner.add(32)))
            }
            Format::Q4K | Format::Q5K => {
                let outer = outer.add(block / SUPER * 64);
                let scale = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(sixteen(inner)));
                let minimum = _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(sixteen(inner.add(16))));
                (
                    [_mm512_mul_ps(halves(outer), scale), zero],
                    _mm512_mul_ps(halves(outer.add(32)), minimum),
                )
            }
            Format::Q6K => {
                let outer = halves(outer.add(block / SUPER * 32));
                let first = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen(inner)));
                let second = _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(sixteen(inner.add(16))));
                (
                    [_mm512_mul_ps(outer, first), _mm512_mul_ps(outer, second)],
                    zero,
                )
            }
        }
    }
}

/// Calls `$call` with the tile's format as a constant, so that a kernel has no branches on it.
macro_rules! by_format {
    ($format:expr, $f:ident => $call:expr) => {
        by_format!($format, $f => $call; Q8, Q4, Q5, Q4Min, Q5Min, Q4K, Q5K, Q6K)
    };
    ($format:expr, $f:ident => $call:expr; $($name:ident),*) => {
        match $format {
            $($crate::cpu::format::Format::$name => {
                const $f: u8 = $crate::cpu::format::Format::$name as u8;
                $call
            })*
        }
    };
}

pub(super) use by_format;

/// Products of one tile of weights with one tile of rows.
pub(super) fn multiply(tile: &WeightTile<'_>, rows: &RowTile<'_>, out: &mut Sums) {
    check_both(tile, rows);
    macro_rules! by_height {
        ($first:ident: $($n:literal),*) => {
            // rows past the tile's height are computed and not used
            match [$($n),*].into_iter().find(|n| *n >= (rows.height - $first).min(HEIGHT_MAX)) {
                $(Some($n) => by_format!(tile.format, F => {
                    // SAFETY: this module is entered only where these instructions were found,
                    // and the lengths were just checked.
                    unsafe { product::<F, $n>(tile, rows, $first, out) }
                }),)*
                _ => {}
            }
        };
    }
    for first in (0..rows.height).step_by(HEIGHT_MAX) {
        by_height!(first: 1, 2, 3, 4, 6, 8);
    }
}

/// What kernels read through pointers, of both factors.
pub(super) fn check_both(tile: &WeightTile<'_>, rows: &RowTile<'_>) {
    check(tile);
    assert!(
        tile.blocks > 0 && tile.blocks <= rows.blocks,
        "blocks of weights and rows"
    );
    // a kernel reads up to sixteen rows from the last block on
    let readable = rows.blocks.saturating_sub(1) * rows.height + TILE;
    assert!(rows.bytes.len() >= readable * BLOCK, "bytes of the rows");
    assert!(rows.scales.len() >= readable && rows.totals.len() >= readable);
    assert!(rows.biases.len() >= readable, "biases of the rows");
}

/// What kernels read of the weights through pointers.
pub(super) fn check(tile: &WeightTile<'_>) {
    assert!(tile.bytes.len() >= tile.blocks * tile.format.block_bytes());
    assert!(tile.scales.len() >= tile.format.scale_bytes(tile.blocks));
}

/// # Safety
/// Lengths as [`multiply`] checks them.
#[target_feature(enable = "avx512f,avx512bw,avx512vnni")]
unsafe fn product<const F: u8, const M: usize>(
    tile: &WeightTile<'_>,
    rows: &RowTile<'_>,
    first: usize,
    out: &mut Sums,
) {
    let format = const { Format::from_index(F) };
    let mut sums = [_mm512_setzero_ps(); M];
    let (row_bytes, row_scales) = (rows.bytes.as_ptr(), rows.scales.as_ptr());
    let (biases, totals) = (rows.biases.as_ptr(), rows.totals.as_ptr());
    /// `sum += dot * (row scale * weight scale)` over the groups from `$from` to `$to`.
    macro_rules! add {
        ($sum:expr, $groups:ident, $from:literal..$to:literal, $four:ident, $bias:expr,
         $row_scale:ident, $scale:expr) => {{
            let mut dot = _mm512_set1_epi32($bias);
            for g in $from..$to {
                let four = _mm512_set1_epi32($four.add(g).read_unaligned());
                dot = _mm512_dpbusd_epi32(dot, $groups[g], four);
            }
            let both = _mm512_mul_ps($row_scale, $scale);
            $sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), both, $sum);
        }};
    }
    for block in 0..tile.blocks {
        // SAFETY: lengths were checked by the caller.
        unsafe {
            let groups = unpack::<F>(tile.bytes.as_ptr().add(block * format.block_bytes()));
            let (scale, minimum) = scales::<F>(tile, block);
            let ahead = tile
                .bytes
                .as_ptr()
                .wrapping_add(block * format.block_bytes() + AHEAD);
            for line in 0..format.block_bytes() / 64 {
                _mm_prefetch::<_MM_HINT_T0>(ahead.wrapping_add(line * 64).cast());
            }
            let at = block * rows.height + first;
            for (m, sum) in sums.iter_mut().enumerate() {
                let four = row_bytes.add((at + m) * BLOCK).cast::<i32>();
                let [bias, second] = *biases.add(at + m);
                let row_scale = _mm512_set1_ps(*row_scales.add(at + m));
                if format.scales_per_block() == 2 {
                    add!(*sum, groups, 0..4, four, bias, row_scale, scale[0]);
                    add!(*sum, groups, 4..8, four, second, row_scale, scale[1]);
                } else {
                    add!(*sum, groups, 0..8, four, bias, row_scale, scale[0]);
                }
                if format.has_minimum() {
                    let total = _mm512_set1_ps(*totals.add(at + m));
                    *sum = _mm512_fnmadd_ps(total, minimum, *sum);
                }
            }
        }
    }
    for (m, sum) in sums.iter().enumerate() {
        // SAFETY: a row of `out` is sixteen f32.
        unsafe { _mm512_storeu_ps(out.0[first + m].as_mut_ptr(), *sum) };
    }
}
