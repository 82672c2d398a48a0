//! Causal attention of a few query vectors over one head's keys and values.
//!
//! Scores of all keys are kept, so a softmax takes three passes over numbers that are in the
//! cache; a query's result does not depend on the queries beside it.

use super::elementwise::{add_lanes, exp};
use super::kv::{GROUP, Head};
use super::lanes::lanes;

/// Queries computed together.
pub(super) const QUERIES: usize = 8;

/// Query vectors of one key head.
pub(super) struct Queries<'a> {
    /// `[QUERIES][padded]`, already scaled; unused ones are zero.
    pub(super) vectors: &'a [f32],
    /// Keys that each may see: at least 1 for the used ones, 0 for the others.
    pub(super) visible: [usize; QUERIES],
    /// Numbers of a vector, a multiple of 16.
    pub(super) padded: usize,
}

lanes! {
    /// Weighted values `[QUERIES][padded]` for all queries; `scores` is memory to work in.
    pub(super) fn attend(head: Head<'_>, queries: &Queries<'_>, scores: &mut Vec<f32>, out: &mut [f32])
        = attend_body
}

#[inline(always)]
fn attend_body(head: Head<'_>, queries: &Queries<'_>, scores: &mut Vec<f32>, out: &mut [f32]) {
    let padded = queries.padded;
    let longest = queries.visible.into_iter().max().unwrap_or(0);
    let groups = longest.div_ceil(GROUP);
    let row = groups * GROUP;
    if scores.len() < QUERIES * row {
        scores.resize(QUERIES * row, 0.0);
    }
    let scores = &mut scores[..QUERIES * row];
    for (group, keys) in head
        .keys
        .chunks_exact(padded * GROUP)
        .take(groups)
        .enumerate()
    {
        let mut sums = [[0f32; GROUP]; QUERIES];
        for (d, keys) in keys.as_chunks::<GROUP>().0.iter().enumerate() {
            for (q, sums) in sums.iter_mut().enumerate() {
                let x = queries.vectors[q * padded + d];
                for lane in 0..GROUP {
                    sums[lane] = x.mul_add(keys[lane], sums[lane]);
                }
            }
        }
        for (q, sums) in sums.iter().enumerate() {
            scores[q * row + group * GROUP..][..GROUP].copy_from_slice(sums);
        }
    }
    let mut inverse = [0f32; QUERIES];
    for (q, inverse) in inverse.iter_mut().enumerate() {
        let visible = queries.visible[q];
        let scores = &mut scores[q * row..(q + 1) * row];
        scores[visible..].fill(f32::NEG_INFINITY);
        if visible > 0 {
            *inverse = 1.0 / soften(scores);
        }
    }
    for at in (0..padded).step_by(GROUP) {
        let mut sums = [[0f32; GROUP]; QUERIES];
        for (token, values) in head.values.chunks_exact(padded).take(longest).enumerate() {
            let values: &[f32; GROUP] = values[at..at + GROUP].try_into().expect("sixteen");
            for (q, sums) in sums.iter_mut().enumerate() {
                let weight = scores[q * row + token];
                for lane in 0..GROUP {
                    sums[lane] = weight.mul_add(values[lane], sums[lane]);
                }
            }
        }
        for (q, sums) in sums.iter().enumerate() {
            let out = &mut out[q * padded + at..][..GROUP];
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum * inverse[q];
            }
        }
    }
}

/// Replaces scores by `e^(score - largest)` and gives their sum.
#[inline(always)]
fn soften(scores: &mut [f32]) -> f32 {
    let (chunks, _) = scores.as_chunks_mut::<GROUP>();
    let mut largest = [f32::NEG_INFINITY; GROUP];
    for chunk in chunks.iter() {
        for lane in 0..GROUP {
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
    let mut sums = [0f32; GROUP];
    for chunk in chunks.iter_mut() {
        for lane in 0..GROUP {
            chunk[lane] = exp(chunk[lane] - largest);
            sums[lane] += chunk[lane];
        }
    }
    add_lanes(sums)
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test numbers are small")]
mod tests {
    use super::*;
    use crate::cpu::Isa;
    use crate::cpu::kv::{CpuKv, KvLayout};
    use crate::sampler::SplitMix64;

    /// However many queries go together, and whatever the instruction set: the same bits.
    #[test]
    fn queries_do_not_see_each_other() {
        let mut rng = SplitMix64::new(12);
        let mut numbers = |len: usize| -> Vec<f32> {
            let number = |_| (rng.next_unit() * 4.0 - 2.0) as f32;
            (0..len).map(number).collect()
        };
        for (head_dim, len) in [(16, 5), (40, 33), (64, 100), (80, 70), (128, 17)] {
            let layout = KvLayout {
                layers: 1,
                kv_heads: 1,
                head_dim,
            };
            let padded = layout.padded();
            let mut kv = CpuKv::new(layout);
            kv.reserve(0, len, 4096);
            kv.write(0, len, &numbers(2 * len * head_dim));
            let vectors = numbers(QUERIES * padded);
            let run = |isa, used: &[usize]| {
                let mut own = vec![0f32; QUERIES * padded];
                let mut visible = [0; QUERIES];
                for (slot, q) in used.iter().enumerate() {
                    visible[slot] = len - q % 3;
                    let vector = &vectors[q * padded..][..head_dim];
                    own[slot * padded..][..head_dim].copy_from_slice(vector);
                }
                let queries = Queries {
                    vectors: &own,
                    visible,
                    padded,
                };
                let mut out = vec![0f32; QUERIES * padded];
                attend(isa, kv.head(0, 0), &queries, &mut Vec::new(), &mut out);
                let bits = out.chunks_exact(padded).take(used.len());
                let bits = bits.map(|v| v.iter().map(|v| v.to_bits()).collect::<Vec<_>>());
                bits.collect::<Vec<_>>()
            };
            let all: Vec<usize> = (0..QUERIES).collect();
            let together = run(Isa::Scalar, &all);
            for isa in Isa::all() {
                for count in 1..=QUERIES {
                    let some = run(isa, &all[..count]);
                    assert_eq!(some, together[..count], "{isa:?} {count} of {head_dim}");
                }
                let last = run(isa, &all[QUERIES - 1..]);
                assert_eq!(last[0], together[QUERIES - 1], "{isa:?} {head_dim}");
            }
        }
    }
}
