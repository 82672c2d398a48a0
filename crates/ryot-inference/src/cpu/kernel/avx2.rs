//! AVX2: eight weight rows are the lanes of a register, two registers a tile.

use std::arch::x86_64::{
    __m128i, __m256, __m256i, _mm_loadl_epi64, _mm_loadu_si128, _mm256_abs_epi8, _mm256_add_epi32,
    _mm256_and_si256, _mm256_cvtepi8_epi32, _mm256_cvtepi32_ps, _mm256_cvtepu8_epi32,
    _mm256_cvtph_ps, _mm256_fmadd_ps, _mm256_fnmadd_ps, _mm256_loadu_si256, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_mul_ps, _mm256_or_si256, _mm256_set1_epi8, _mm256_set1_epi16,
    _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm256_sign_epi8,
    _mm256_slli_epi16, _mm256_srli_epi16, _mm256_storeu_ps, _mm256_sub_epi8,
};

use super::{Sums, WeightTile};
use crate::cpu::format::{BLOCK, Format, SUPER, TILE};
use crate::cpu::rows::RowTile;

const GROUPS: usize = BLOCK / 4;
/// Weight rows in a register.
const LANES: usize = 8;
/// Rows of activations whose sums are kept in registers at once.
const HEIGHT_MAX: usize = 4;

/// Signed numbers of eight weight rows (`half` 0 or 1) of a block.
#[inline]
#[target_feature(enable = "avx2")]
fn unpack(format: Format, block: &[u8], half: usize) -> [__m256i; GROUPS] {
    let line = |i: usize| -> __m256i {
        let bytes = &block[i * 64 + half * 32..i * 64 + half * 32 + 32];
        // SAFETY: the slice is 32 bytes long, and the load needs no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    };
    #[expect(clippy::cast_possible_truncation, reason = "at most 32")]
    let zero_point = _mm256_set1_epi8(format.zero_point() as i8);
    let mut groups = [zero_point; GROUPS];
    if format == Format::Q8 {
        // signed as they are
        return std::array::from_fn(line);
    }
    let low = _mm256_set1_epi8(0x0f);
    for g in 0..GROUPS / 2 {
        let v = line(g);
        groups[g] = _mm256_and_si256(v, low);
        groups[g + GROUPS / 2] = _mm256_and_si256(_mm256_srli_epi16::<4>(v), low);
    }
    match format {
        Format::Q5 | Format::Q5Min | Format::Q5K => {
            let plane = line(4);
            let bit = _mm256_set1_epi8(0x10);
            let shifted = [
                _mm256_slli_epi16::<4>(plane),
                _mm256_slli_epi16::<3>(plane),
                _mm256_slli_epi16::<2>(plane),
                _mm256_slli_epi16::<1>(plane),
                plane,
                _mm256_srli_epi16::<1>(plane),
                _mm256_srli_epi16::<2>(plane),
                _mm256_srli_epi16::<3>(plane),
            ];
            for (group, shifted) in groups.iter_mut().zip(shifted) {
                *group = _mm256_or_si256(*group, _mm256_and_si256(shifted, bit));
            }
        }
        Format::Q6K => {
            let bits = _mm256_set1_epi8(0x30);
            for part in 0..2 {
                let plane = line(4 + part);
                let shifted = [
                    _mm256_slli_epi16::<4>(plane),
                    _mm256_slli_epi16::<2>(plane),
                    plane,
                    _mm256_srli_epi16::<2>(plane),
                ];
                for (group, shifted) in groups[part * 4..].iter_mut().zip(shifted) {
                    *group = _mm256_or_si256(*group, _mm256_and_si256(shifted, bits));
                }
            }
        }
        _ => {}
    }
    groups.map(|g| _mm256_sub_epi8(g, zero_point))
}

#[inline]
#[target_feature(enable = "avx2,f16c")]
fn halves(bytes: &[u8], half: usize) -> __m256 {
    // SAFETY: the slice index checks that 16 bytes are there.
    let v: __m128i = unsafe { _mm_loadu_si128(bytes[half * 16..half * 16 + 16].as_ptr().cast()) };
    _mm256_cvtph_ps(v)
}

#[inline]
#[target_feature(enable = "avx2")]
fn eight(bytes: &[u8], half: usize) -> __m128i {
    // SAFETY: the slice index checks that 8 bytes are there.
    unsafe { _mm_loadl_epi64(bytes[half * 8..half * 8 + 8].as_ptr().cast()) }
}

/// Scales (of either half of the block where there are two) and minimum.
#[inline]
#[target_feature(enable = "avx2,f16c")]
fn scales(
    format: Format,
    tile: &WeightTile<'_>,
    block: usize,
    half: usize,
) -> ([__m256; 2], __m256) {
    let zero = _mm256_setzero_ps();
    let scales = tile.scales;
    let outer = |each: usize| &scales[tile.blocks * 32 + block / SUPER * each..];
    match format {
        Format::Q8 | Format::Q4 | Format::Q5 => ([halves(&scales[block * 32..], half), zero], zero),
        Format::Q4Min | Format::Q5Min => (
            [halves(&scales[block * 64..], half), zero],
            halves(&scales[block * 64 + 32..], half),
        ),
        Format::Q4K | Format::Q5K => {
            let inner = &scales[block * 32..];
            let scale = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight(inner, half)));
            let minimum = _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight(&inner[16..], half)));
            (
                [_mm256_mul_ps(halves(outer(64), half), scale), zero],
                _mm256_mul_ps(halves(&outer(64)[32..], half), minimum),
            )
        }
        Format::Q6K => {
            let inner = &scales[block * 32..];
            let d = halves(outer(32), half);
            let first = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight(inner, half)));
            let second = _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(eight(&inner[16..], half)));
            ([_mm256_mul_ps(d, first), _mm256_mul_ps(d, second)], zero)
        }
    }
}

/// Products of one tile of weights with one tile of rows.
pub(super) fn multiply(tile: &WeightTile<'_>, rows: &RowTile<'_>, out: &mut Sums) {
    macro_rules! each {
        ($($f:ident),*) => {
            match tile.format {
                // SAFETY: this module is entered only where these instructions were found.
                $(Format::$f => unsafe { tile_product(Format::$f, tile, rows, out) },)*
            }
        };
    }
    each!(Q8, Q4, Q5, Q4Min, Q5Min, Q4K, Q5K, Q6K);
}

#[inline]
#[target_feature(enable = "avx2,fma,f16c")]
fn tile_product(format: Format, tile: &WeightTile<'_>, rows: &RowTile<'_>, out: &mut Sums) {
    for first in (0..rows.height).step_by(HEIGHT_MAX) {
        let height = HEIGHT_MAX.min(rows.height - first);
        for half in 0..2 {
            let mut sums = [_mm256_setzero_ps(); HEIGHT_MAX];
            for (block, stored) in tile.bytes.chunks_exact(format.block_bytes()).enumerate() {
                let groups = unpack(format, stored, half);
                let (scale, minimum) = scales(format, tile, block, half);
                let at = block * rows.height + first;
                for (m, sum) in sums.iter_mut().enumerate().take(height) {
                    let bytes = &rows.bytes[(at + m) * BLOCK..(at + m + 1) * BLOCK];
                    let row_scale = _mm256_set1_ps(rows.scales[at + m]);
                    let scaled = |dot: __m256i, scale: __m256, sum: __m256| {
                        let scale = _mm256_mul_ps(row_scale, scale);
                        _mm256_fmadd_ps(_mm256_cvtepi32_ps(dot), scale, sum)
                    };
                    if format.scales_per_block() == 2 {
                        *sum = scaled(dot(&groups[..4], &bytes[..16]), scale[0], *sum);
                        *sum = scaled(dot(&groups[4..], &bytes[16..]), scale[1], *sum);
                    } else {
                        *sum = scaled(dot(&groups, bytes), scale[0], *sum);
                    }
                    if format.has_minimum() {
                        let total = _mm256_set1_ps(rows.totals[at + m]);
                        *sum = _mm256_fnmadd_ps(total, minimum, *sum);
                    }
                }
            }
            for (line, sum) in out.0[first..].iter_mut().zip(&sums[..height]) {
                let lanes = &mut line[half * LANES..half * LANES + LANES];
                // SAFETY: the slice is eight f32 long.
                unsafe { _mm256_storeu_ps(lanes.as_mut_ptr(), *sum) };
            }
        }
    }
}

/// Whole-number products of signed bytes; `-128` may stand among the weights only.
#[inline]
#[target_feature(enable = "avx2")]
fn dot(groups: &[__m256i], bytes: &[u8]) -> __m256i {
    let ones = _mm256_set1_epi16(1);
    let mut sum = _mm256_setzero_si256();
    for (group, four) in groups.iter().zip(bytes.as_chunks::<4>().0) {
        let four = _mm256_set1_epi32(i32::from_le_bytes(*four));
        // |w| * sign(a, w): at most 2 * 128 * 127, which an i16 holds
        let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(*group), _mm256_sign_epi8(four, *group));
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, ones));
    }
    sum
}

const _: () = assert!(TILE == 2 * LANES, "a tile is two registers");
