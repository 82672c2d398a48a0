//! Causal attention of a prompt on matrix tiles of bfloat16.
//!
//! Keys and values are kept as the tiles that they are multiplied as; scores and the softmax stay in
//! f32. A query's result does not depend on the queries beside it: what it must not see has the
//! weight zero, and adding zero changes nothing.

use std::arch::asm;
use std::arch::x86_64::{
    __m256bh, __m256i, __m512, _mm256_storeu_si256, _mm512_add_ps, _mm512_cvtneps_pbh,
    _mm512_loadu_ps, _mm512_mul_ps, _mm512_set1_ps, _mm512_setzero_ps, _mm512_storeu_ps,
};

use super::amx::{BF16_TILES, Configured, TILE_BYTES};
use crate::cpu::buffer::Buffer;
use crate::cpu::elementwise::exp;
use crate::cpu::format::TILE;
use crate::cpu::kv::{Head, STEP};
use crate::kv::KvElement;

/// Queries of a tile.
pub(in crate::cpu) const QUERIES: usize = TILE;
/// Keys in one step of the sums over keys, and numbers of a head in one step of a score.
const DEPTH: usize = STEP;

/// Memory of one thread.
#[derive(Debug)]
pub(in crate::cpu) struct Room {
    queries: Buffer,
    scores: Buffer,
    weights: Buffer,
    sums: Buffer,
}

impl Room {
    pub(in crate::cpu) fn new() -> Self {
        Self {
            queries: Buffer::zeroed(0),
            scores: Buffer::zeroed(0),
            weights: Buffer::zeroed(0),
            sums: Buffer::zeroed(0),
        }
    }
}

/// One head of up to sixteen queries.
pub(in crate::cpu) struct QueryTile<'a> {
    /// Keys and values of bfloat16.
    pub(in crate::cpu) head: Head<'a>,
    /// Numbers of a head in memory.
    pub(in crate::cpu) padded: usize,
    /// Query vectors: the first one's start, and numbers from one to the next.
    pub(in crate::cpu) queries: &'a [f32],
    pub(in crate::cpu) stride: usize,
    pub(in crate::cpu) head_dim: usize,
    /// What scores are multiplied by.
    pub(in crate::cpu) scale: f32,
    /// Keys that each query may see, at least one.
    pub(in crate::cpu) visible: &'a [usize],
}

/// Weighted values of each query, `give`n with its index, `padded` numbers.
///
/// # Safety
/// [`Isa::has_bf16_tiles`](crate::cpu::Isa::has_bf16_tiles) must have said yes.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")]
pub(in crate::cpu) unsafe fn attend(
    query: &QueryTile<'_>,
    room: &mut Room,
    mut give: impl FnMut(usize, &[f32]),
) {
    let QueryTile {
        head,
        padded,
        visible,
        ..
    } = *query;
    assert!(visible.len() <= TILE && query.head_dim <= padded && padded.is_multiple_of(DEPTH));
    assert!(
        head.element == KvElement::Bf16,
        "keys of {:?}",
        head.element
    );
    let longest = visible.iter().copied().max().unwrap_or(0);
    let blocks = longest.div_ceil(DEPTH);
    let row = blocks * DEPTH;
    let words = row * padded / 2;
    assert!(
        head.keys.len() >= words && head.values.len() >= words,
        "keys"
    );
    room.queries.resize(padded / DEPTH * TILE_BYTES);
    room.scores.resize(TILE * row * size_of::<f32>());
    room.weights.resize(blocks * TILE_BYTES);
    room.sums.resize(padded / TILE * TILE_BYTES);
    round_queries(query, room.queries.as_mut_slice());
    // SAFETY: the instructions are there, as the caller vouches; the buffers are as long as what is
    // read and written.
    unsafe {
        let configured = Configured::new(&BF16_TILES);
        scores(query, blocks, room);
        let mut inverse = [0f32; TILE];
        room.weights.as_mut_slice().fill(0);
        let weights = room.weights.as_mut_slice();
        for (q, visible) in visible.iter().enumerate() {
            let scores = &mut room.scores.as_mut_f32()[q * row..(q + 1) * row];
            let row = &mut scores[..visible.next_multiple_of(TILE)];
            row[*visible..].fill(f32::NEG_INFINITY);
            inverse[q] = 1.0 / soften(row, &mut weights[q * 2 * DEPTH..]);
        }
        sums(query, blocks, room);
        drop(configured);
        let sums = room.sums.as_mut_f32();
        for (q, inverse) in inverse.iter().enumerate().take(visible.len()) {
            let out = &mut sums[q * padded..(q + 1) * padded];
            let inverse = _mm512_set1_ps(*inverse);
            for chunk in out.as_chunks_mut::<TILE>().0 {
                let scaled = _mm512_mul_ps(_mm512_loadu_ps(chunk.as_ptr()), inverse);
                _mm512_storeu_ps(chunk.as_mut_ptr(), scaled);
            }
            give(q, out);
        }
    }
}

/// Query vectors as tiles `[steps][16][32]`, scaled and rounded; missing ones are zero.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
fn round_queries(query: &QueryTile<'_>, out: &mut [u8]) {
    out.fill(0);
    let scale = _mm512_set1_ps(query.scale);
    for q in 0..query.visible.len() {
        let vector = &query.queries[q * query.stride..][..query.head_dim];
        for (part, numbers) in vector.chunks(TILE).enumerate() {
            let mut line = [0f32; TILE];
            line[..numbers.len()].copy_from_slice(numbers);
            let at = (part / 2 * TILE + q) * 2 * DEPTH + part % 2 * 2 * TILE;
            let out = &mut out[at..at + 2 * TILE];
            // SAFETY: sixteen numbers, thirty-two bytes.
            unsafe {
                let numbers = _mm512_mul_ps(_mm512_loadu_ps(line.as_ptr()), scale);
                store_rounded(numbers, out.as_mut_ptr());
            }
        }
    }
}

/// # Safety
/// Thirty-two bytes at `out`.
#[inline]
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn store_rounded(numbers: __m512, out: *mut u8) {
    // SAFETY: the caller vouches.
    unsafe {
        let rounded = std::mem::transmute::<__m256bh, __m256i>(_mm512_cvtneps_pbh(numbers));
        _mm256_storeu_si256(out.cast(), rounded);
    }
}

/// Scores `[16][blocks * KEYS]` of all queries.
///
/// # Safety
/// Tiles configured, buffers as [`attend`] makes them.
unsafe fn scores(query: &QueryTile<'_>, blocks: usize, room: &mut Room) {
    let steps = query.padded / DEPTH;
    let stride = blocks * DEPTH * size_of::<f32>();
    let queries = room.queries.as_slice().as_ptr();
    let out = room.scores.as_mut_slice().as_mut_ptr();
    for block in 0..blocks {
        // SAFETY: the caller vouches for configuration and lengths.
        unsafe {
            let keys = query.head.keys.as_ptr().cast::<u8>();
            let keys = keys.add(block * 2 * steps * TILE_BYTES);
            asm!("tilezero tmm0", "tilezero tmm1", options(nostack, nomem));
            for step in 0..steps {
                asm!(
                    "tileloadd tmm4, [{q} + {stride}*1]",
                    "tileloadd tmm5, [{a} + {stride}*1]",
                    "tileloadd tmm6, [{b} + {stride}*1]",
                    "tdpbf16ps tmm0, tmm4, tmm5",
                    "tdpbf16ps tmm1, tmm4, tmm6",
                    q = in(reg) queries.add(step * TILE_BYTES),
                    a = in(reg) keys.add(step * TILE_BYTES),
                    b = in(reg) keys.add((steps + step) * TILE_BYTES),
                    stride = in(reg) 64usize,
                    options(nostack, readonly),
                );
            }
            asm!(
                "tilestored [{o} + {stride}*1], tmm0",
                "tilestored [{o} + {stride}*1 + 64], tmm1",
                o = in(reg) out.add(block * DEPTH * size_of::<f32>()),
                stride = in(reg) stride,
                options(nostack),
            );
        }
    }
}

/// Weights `e^(score - largest)`, rounded, into the lines of `weights`, a tile apart for each
/// [`KEYS`] of them; gives the sum of what was not rounded.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,fma")]
fn soften(scores: &mut [f32], weights: &mut [u8]) -> f32 {
    let (chunks, _) = scores.as_chunks_mut::<TILE>();
    let mut largest = [f32::NEG_INFINITY; TILE];
    for chunk in chunks.iter() {
        for lane in 0..TILE {
            // a NaN stays, as `max` would not keep it
            largest[lane] = if chunk[lane] <= largest[lane] {
                largest[lane]
            } else {
                chunk[lane]
            };
        }
    }
    let largest = largest
        .into_iter()
        .fold(f32::NEG_INFINITY, |a, b| if b <= a { a } else { b });
    let mut sum = _mm512_setzero_ps();
    for (index, chunk) in chunks.iter_mut().enumerate() {
        for score in &mut *chunk {
            *score = exp(*score - largest);
        }
        let at = index / 2 * TILE_BYTES + index % 2 * 2 * TILE;
        let out = &mut weights[at..at + 2 * TILE];
        // SAFETY: sixteen numbers, thirty-two bytes.
        unsafe {
            let numbers = _mm512_loadu_ps(chunk.as_ptr());
            sum = _mm512_add_ps(sum, numbers);
            store_rounded(numbers, out.as_mut_ptr());
        }
    }
    let mut lanes = [0f32; TILE];
    // SAFETY: sixteen numbers.
    unsafe { _mm512_storeu_ps(lanes.as_mut_ptr(), sum) };
    crate::cpu::elementwise::add_lanes(lanes)
}

/// Weighted values `[16][padded]`.
///
/// # Safety
/// Tiles configured, buffers as [`attend`] makes them.
unsafe fn sums(query: &QueryTile<'_>, blocks: usize, room: &mut Room) {
    let columns = query.padded / TILE;
    let stride = query.padded * size_of::<f32>();
    let weights = room.weights.as_slice().as_ptr();
    let out = room.sums.as_mut_slice().as_mut_ptr();
    let values = query.head.values.as_ptr().cast::<u8>();
    let mut column = 0;
    while column < columns {
        let wide = column + 4 <= columns;
        // SAFETY: the caller vouches for configuration and lengths.
        unsafe {
            asm!(
                "tilezero tmm0",
                "tilezero tmm1",
                "tilezero tmm2",
                "tilezero tmm3",
                options(nostack, nomem)
            );
            for block in 0..blocks {
                let values = values.add((block * columns + column) * TILE_BYTES);
                let weights = weights.add(block * TILE_BYTES);
                if wide {
                    asm!(
                        "tileloadd tmm4, [{w} + {stride}*1]",
                        "tileloadd tmm5, [{v} + {stride}*1]",
                        "tileloadd tmm6, [{v} + {stride}*1 + 1024]",
                        "tdpbf16ps tmm0, tmm4, tmm5",
                        "tileloadd tmm7, [{v} + {stride}*1 + 2048]",
                        "tdpbf16ps tmm1, tmm4, tmm6",
                        "tileloadd tmm5, [{v} + {stride}*1 + 3072]",
                        "tdpbf16ps tmm2, tmm4, tmm7",
                        "tdpbf16ps tmm3, tmm4, tmm5",
                        w = in(reg) weights,
                        v = in(reg) values,
                        stride = in(reg) 64usize,
                        options(nostack, readonly),
                    );
                } else {
                    asm!(
                        "tileloadd tmm4, [{w} + {stride}*1]",
                        "tileloadd tmm5, [{v} + {stride}*1]",
                        "tdpbf16ps tmm0, tmm4, tmm5",
                        w = in(reg) weights,
                        v = in(reg) values,
                        stride = in(reg) 64usize,
                        options(nostack, readonly),
                    );
                }
            }
            let out = out.add(column * TILE * size_of::<f32>());
            asm!("tilestored [{o} + {s}*1], tmm0", o = in(reg) out, s = in(reg) stride, options(nostack));
            if wide {
                asm!(
                    "tilestored [{o} + {s}*1 + 64], tmm1",
                    "tilestored [{o} + {s}*1 + 128], tmm2",
                    "tilestored [{o} + {s}*1 + 192], tmm3",
                    o = in(reg) out,
                    s = in(reg) stride,
                    options(nostack),
                );
            }
        }
        column += if wide { 4 } else { 1 };
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test numbers are small")]
mod tests {
    use super::*;
    use crate::cpu::attention::{self, Queries};
    use crate::cpu::kv::{CpuKv, KvLayout};
    use crate::cpu::{Isa, attention::QUERIES as ROWS};
    use crate::kv::KvValues;
    use crate::sampler::SplitMix64;

    fn numbers(len: usize, rng: &mut SplitMix64) -> Vec<f32> {
        (0..len)
            .map(|_| (rng.next_unit() * 4.0 - 2.0) as f32)
            .collect()
    }

    /// Results of `visible.len()` queries, by tiles.
    fn by_tiles(head_dim: usize, kv: &CpuKv, queries: &[f32], visible: &[usize]) -> Vec<Vec<f32>> {
        let query = QueryTile {
            head: kv.head(0, 0),
            padded: kv.layout().padded(),
            queries,
            stride: head_dim,
            head_dim,
            scale: 0.125,
            visible,
        };
        let mut out = vec![Vec::new(); visible.len()];
        let give = |q: usize, sums: &[f32]| out[q] = sums[..head_dim].to_vec();
        // SAFETY: asked before.
        unsafe { attend(&query, &mut Room::new(), give) };
        out
    }

    /// The same by the plain twin, one query at a time.
    fn plain(head_dim: usize, kv: &CpuKv, query: &[f32], visible: usize) -> Vec<f32> {
        let padded = kv.layout().padded();
        let mut vectors = vec![0f32; ROWS * padded];
        for (v, q) in vectors.iter_mut().zip(query) {
            *v = q * 0.125;
        }
        let mut all = [0; ROWS];
        all[0] = visible;
        let queries = Queries {
            vectors: &vectors,
            visible: all,
            padded,
        };
        let mut out = vec![0f32; ROWS * padded];
        attention::attend(
            Isa::Scalar,
            kv.head(0, 0),
            &queries,
            &mut Vec::new(),
            &mut out,
        );
        out[..head_dim].to_vec()
    }

    #[test]
    fn tiles_are_close_to_the_plain_twin_and_rows_do_not_see_each_other() {
        if !Isa::has_bf16_tiles() {
            return;
        }
        let mut rng = SplitMix64::new(11);
        for head_dim in [16, 40, 64, 80, 128] {
            let layout = KvLayout {
                layers: 1,
                kv_heads: 1,
                head_dim,
                element: KvElement::Bf16,
            };
            for len in [1, 15, 16, 33, 100] {
                let mut kv = CpuKv::new(layout);
                kv.reserve(0, len, 4096);
                let values = numbers(2 * len * head_dim, &mut rng);
                let values = KvValues::from_f32(KvElement::Bf16, values);
                kv.write(0, &[(len, &values)], 1);
                let count = len.min(13);
                let visible: Vec<usize> = (len - count + 1..=len).collect();
                let queries = numbers(count * head_dim, &mut rng);
                let together = by_tiles(head_dim, &kv, &queries, &visible);
                for (q, visible) in visible.iter().enumerate() {
                    let query = &queries[q * head_dim..(q + 1) * head_dim];
                    let alone = by_tiles(head_dim, &kv, query, &[*visible]);
                    assert_eq!(alone[0], together[q], "{head_dim} {len} query {q}");
                    let plain = plain(head_dim, &kv, query, *visible);
                    for (a, b) in plain.iter().zip(&together[q]) {
                        // values are within 2; eight bits of weights, scores and values
                        assert!((a - b).abs() < 0.03, "{head_dim} {len} query {q}: {a} {b}");
                    }
                }
            }
        }
    }
}
