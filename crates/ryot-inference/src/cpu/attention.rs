//! Causal attention of a few query vectors over one head's keys and values.
//!
//! Scores of all keys are kept, so a softmax takes three passes over numbers that are in the
//! cache; a query's result does not depend on the queries beside it.

use super::elementwise::{add_lanes, exp};
use super::kv::{GROUP, Head, STEP, widened};
use super::lanes::lanes;
use crate::kv::KvElement;

/// Queries computed together.
pub(super) const QUERIES: usize = 8;

/// Query vectors of one key head.
pub(super) struct Queries<'a> {
    /// `[QUERIES][padded]`, already scaled; unused ones are zero.
    pub(super) vectors: &'a [f32],
    /// Keys that each may see: at least 1 for the used ones, which come first, 0 for the others.
    pub(super) visible: [usize; QUERIES],
    /// Numbers of a vector, a multiple of [`GROUP`].
    pub(super) padded: usize,
}

lanes! {
    /// Weighted values `[QUERIES][padded]` of the used queries; `scores` is memory to work in.
    pub(super) fn attend(head: Head<'_>, queries: &Queries<'_>, scores: &mut Vec<f32>, out: &mut [f32])
        = attend_body
}

#[inline(always)]
fn attend_body(head: Head<'_>, queries: &Queries<'_>, scores: &mut Vec<f32>, out: &mut [f32]) {
    let used = queries.visible.into_iter().take_while(|seen| *seen > 0);
    // few queries leave room for more sums of each
    match (head.element, used.count()) {
        (KvElement::F32, _) => attend_few::<QUERIES, 1, Plain>(head, queries, scores, out),
        (KvElement::Bf16, 0..=1) => attend_few::<1, 4, Pairs>(head, queries, scores, out),
        (KvElement::Bf16, 2) => attend_few::<2, 2, Pairs>(head, queries, scores, out),
        (KvElement::Bf16, 3) => attend_few::<3, 2, Pairs>(head, queries, scores, out),
        (KvElement::Bf16, 4) => attend_few::<4, 2, Pairs>(head, queries, scores, out),
        (KvElement::Bf16, _) => attend_few::<QUERIES, 1, Pairs>(head, queries, scores, out),
    }
}

/// How numbers of one element are read and summed, always in the same order.
trait Numbers {
    /// Adds to `sums` the products of `queries` and the keys of `G` groups from `group` on.
    fn score<const N: usize, const G: usize>(
        head: Head<'_>,
        queries: &Queries<'_>,
        group: usize,
        sums: &mut [[[f32; GROUP]; G]; N],
    );

    /// Adds to `sums` the values of the first `len` tokens, `G` times sixteen numbers from `at` on,
    /// weighted by the rows of `weights`; `sizes` are `[padded, at, len]`.
    fn weigh<const N: usize, const G: usize>(
        head: Head<'_>,
        sizes: [usize; 3],
        weights: [&[f32]; N],
        sums: &mut [[[f32; GROUP]; G]; N],
    );
}

#[inline(always)]
fn attend_few<const N: usize, const G: usize, T: Numbers>(
    head: Head<'_>,
    queries: &Queries<'_>,
    scores: &mut Vec<f32>,
    out: &mut [f32],
) {
    let padded = queries.padded;
    let longest = queries.visible.into_iter().max().unwrap_or(0);
    let groups = longest.div_ceil(GROUP).next_multiple_of(G);
    let row = groups * GROUP;
    if scores.len() < N * row {
        scores.resize(N * row, 0.0);
    }
    let scores = &mut scores[..N * row];
    let there = head.keys.len() / (GROUP * padded * head.element.bytes() / 4);
    for group in (0..groups).step_by(G) {
        let mut sums = [[[0f32; GROUP]; G]; N];
        if group + G <= there {
            T::score(head, queries, group, &mut sums);
        } else {
            // less than G groups are left in memory
            for g in 0..there.saturating_sub(group) {
                let mut own = [[[0f32; GROUP]; 1]; N];
                T::score(head, queries, group + g, &mut own);
                for (sums, own) in sums.iter_mut().zip(own) {
                    sums[g] = own[0];
                }
            }
        }
        for (q, sums) in sums.iter().enumerate() {
            scores[q * row + group * GROUP..][..G * GROUP].copy_from_slice(sums.as_flattened());
        }
    }
    let mut inverse = [0f32; N];
    for (q, inverse) in inverse.iter_mut().enumerate() {
        let visible = queries.visible[q];
        let scores = &mut scores[q * row..(q + 1) * row];
        scores[visible..].fill(f32::NEG_INFINITY);
        if visible > 0 {
            *inverse = 1.0 / soften(&mut scores[..longest.next_multiple_of(GROUP)]);
        }
    }
    let scores = &*scores;
    let weights: [&[f32]; N] = std::array::from_fn(|q| &scores[q * row..(q + 1) * row]);
    let mut at = 0;
    while at < padded {
        if at + G * GROUP <= padded {
            let mut sums = [[[0f32; GROUP]; G]; N];
            T::weigh(head, [padded, at, longest], weights, &mut sums);
            give(&sums, &inverse, (padded, at), out);
            at += G * GROUP;
        } else {
            let mut sums = [[[0f32; GROUP]; 1]; N];
            T::weigh(head, [padded, at, longest], weights, &mut sums);
            give(&sums, &inverse, (padded, at), out);
            at += GROUP;
        }
    }
}

#[inline(always)]
fn give<const N: usize, const G: usize>(
    sums: &[[[f32; GROUP]; G]; N],
    inverse: &[f32; N],
    (padded, at): (usize, usize),
    out: &mut [f32],
) {
    for (q, sums) in sums.iter().enumerate() {
        let out = &mut out[q * padded + at..][..G * GROUP];
        for (out, sum) in out.iter_mut().zip(sums.as_flattened()) {
            *out = sum * inverse[q];
        }
    }
}

/// Words that hold one f32.
struct Plain;

impl Numbers for Plain {
    #[inline(always)]
    fn score<const N: usize, const G: usize>(
        head: Head<'_>,
        queries: &Queries<'_>,
        group: usize,
        sums: &mut [[[f32; GROUP]; G]; N],
    ) {
        let padded = queries.padded;
        for g in 0..G {
            let keys = &head.keys[(group + g) * GROUP * padded..][..GROUP * padded];
            for (d, keys) in keys.as_chunks::<GROUP>().0.iter().enumerate() {
                for (q, sums) in sums.iter_mut().enumerate() {
                    let x = queries.vectors[q * padded + d];
                    for lane in 0..GROUP {
                        let key = f32::from_bits(keys[lane]);
                        sums[g][lane] = x.mul_add(key, sums[g][lane]);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn weigh<const N: usize, const G: usize>(
        head: Head<'_>,
        [padded, at, len]: [usize; 3],
        weights: [&[f32]; N],
        sums: &mut [[[f32; GROUP]; G]; N],
    ) {
        for (token, values) in head.values.chunks_exact(padded).take(len).enumerate() {
            let (values, _) = values[at..].as_chunks::<GROUP>();
            for (q, sums) in sums.iter_mut().enumerate() {
                let weight = weights[q][token];
                for (sums, values) in sums.iter_mut().zip(values) {
                    for lane in 0..GROUP {
                        sums[lane] = weight.mul_add(f32::from_bits(values[lane]), sums[lane]);
                    }
                }
            }
        }
    }
}

/// Words that hold two numbers of bfloat16.
struct Pairs;

impl Numbers for Pairs {
    #[inline(always)]
    fn score<const N: usize, const G: usize>(
        head: Head<'_>,
        queries: &Queries<'_>,
        group: usize,
        sums: &mut [[[f32; GROUP]; G]; N],
    ) {
        let padded = queries.padded;
        let each = GROUP * padded / 2;
        let keys: [&[[u32; GROUP]]; G] =
            std::array::from_fn(|g| head.keys[(group + g) * each..][..each].as_chunks().0);
        let vectors: [&[f32]; N] =
            std::array::from_fn(|q| &queries.vectors[q * padded..(q + 1) * padded]);
        for line in 0..padded / 2 {
            for g in 0..G {
                if let Some(ahead) = head.ahead {
                    ahead.key_line((group + g) * each + line * GROUP);
                }
                let [low, high] = widened(&keys[g][line]);
                for (sums, vector) in sums.iter_mut().zip(vectors) {
                    let (a, b) = (vector[2 * line], vector[2 * line + 1]);
                    for lane in 0..GROUP {
                        let sum = a.mul_add(low[lane], sums[g][lane]);
                        sums[g][lane] = b.mul_add(high[lane], sum);
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn weigh<const N: usize, const G: usize>(
        head: Head<'_>,
        [padded, at, len]: [usize; 3],
        weights: [&[f32]; N],
        sums: &mut [[[f32; GROUP]; G]; N],
    ) {
        const TILE: usize = GROUP * GROUP;
        let each = STEP * padded / 2;
        for (step, values) in head.values.chunks_exact(each).enumerate() {
            let first = step * STEP;
            if first >= len {
                break;
            }
            let pairs = (len - first).min(STEP).div_ceil(2);
            let tiles: [&[[u32; GROUP]]; G] =
                std::array::from_fn(|g| values[(at / GROUP + g) * TILE..][..TILE].as_chunks().0);
            for (pair, token) in (first..).step_by(2).enumerate().take(pairs) {
                for g in 0..G {
                    if let Some(ahead) = head.ahead {
                        let tile = step * each + (at / GROUP + g) * TILE;
                        ahead.value_line(tile + pair * GROUP);
                    }
                    let [low, high] = widened(&tiles[g][pair]);
                    for (sums, weights) in sums.iter_mut().zip(weights) {
                        // past the last token the weight is zero, and the number too
                        let (a, b) = (weights[token], weights[token + 1]);
                        for lane in 0..GROUP {
                            let sum = a.mul_add(low[lane], sums[g][lane]);
                            sums[g][lane] = b.mul_add(high[lane], sum);
                        }
                    }
                }
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
    use crate::kv::KvValues;
    use crate::sampler::SplitMix64;

    fn numbers(len: usize, rng: &mut SplitMix64) -> Vec<f32> {
        let number = |_| (rng.next_unit() * 4.0 - 2.0) as f32;
        (0..len).map(number).collect()
    }

    /// Results of queries `used` of `vectors`, query `q` seeing all but `q % 3` of `len` tokens.
    fn run(isa: Isa, kv: &CpuKv, len: usize, vectors: &[f32], used: &[usize]) -> Vec<Vec<u32>> {
        let KvLayout { head_dim, .. } = kv.layout();
        let padded = kv.layout().padded();
        let mut own = vec![0f32; QUERIES * padded];
        let mut visible = [0; QUERIES];
        for (slot, q) in used.iter().enumerate() {
            visible[slot] = len - q % 3;
            own[slot * padded..][..head_dim].copy_from_slice(&vectors[q * head_dim..][..head_dim]);
        }
        let queries = Queries {
            vectors: &own,
            visible,
            padded,
        };
        let mut out = vec![0f32; QUERIES * padded];
        attend(isa, kv.head(0, 0), &queries, &mut Vec::new(), &mut out);
        let bits = out.chunks_exact(padded).take(used.len());
        bits.map(|v| v[..head_dim].iter().map(|v| v.to_bits()).collect())
            .collect()
    }

    /// However many queries go together, whatever the instruction set, and whichever way numbers of
    /// eight bits are kept: the same bits.
    #[test]
    fn queries_do_not_see_each_other() {
        let mut rng = SplitMix64::new(12);
        for (head_dim, len) in [(16, 5), (40, 33), (64, 100), (80, 70), (128, 17), (33, 64)] {
            let layout = |element| KvLayout {
                layers: 1,
                kv_heads: 1,
                head_dim,
                element,
            };
            // numbers that both kinds of memory hold exactly
            let values = numbers(2 * len * head_dim, &mut rng);
            let values = KvValues::from_f32(KvElement::Bf16, values);
            let kv = [KvElement::F32, KvElement::Bf16].map(|element| {
                let mut kv = CpuKv::new(layout(element));
                kv.reserve(0, len, 4096);
                let own = KvValues::from_f32(element, values.to_f32());
                kv.write(0, &[(len, &own)], 1);
                assert_eq!(kv.read(0, len).to_f32(), values.to_f32());
                kv
            });
            let vectors = numbers(QUERIES * head_dim, &mut rng);
            let all: Vec<usize> = (0..QUERIES).collect();
            let together = run(Isa::Scalar, &kv[0], len, &vectors, &all);
            for kv in &kv {
                for isa in Isa::all() {
                    let element = kv.layout().element;
                    for count in 1..=QUERIES {
                        let some = run(isa, kv, len, &vectors, &all[..count]);
                        let name = format!("{isa:?} {element:?} {count} of {head_dim}");
                        assert_eq!(some, together[..count], "{name}");
                    }
                    let last = run(isa, kv, len, &vectors, &all[QUERIES - 1..]);
                    assert_eq!(last[0], together[QUERIES - 1], "{isa:?} {head_dim}");
                }
            }
        }
    }
}
