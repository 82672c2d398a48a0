//! Dropping tokens out of the middle of a sequence.

use super::Isa;
use super::kv::{CpuKv, KvLayout};
use super::rope::Angles;
use crate::kv::KvValues;

impl CpuKv {
    /// Drops tokens `start..end`, none or at least two, of the `held` ones; those behind them move up,
    /// their keys turned by `back`.
    pub(super) fn forget(&mut self, isa: Isa, [start, end, held]: [usize; 3], back: &Angles) {
        let KvLayout {
            layers,
            kv_heads,
            head_dim,
            element,
        } = self.layout();
        let dropped = end - start;
        // a token written to an even place makes the number beside it zero, which must not be one
        // that is still to be moved
        assert!(dropped != 1 && end <= held, "{start}..{end} of {held}");
        if dropped == 0 {
            return;
        }
        for layer in 0..layers {
            for head in 0..kv_heads {
                for token in end..held {
                    let mut numbers = KvValues::with_capacity(element, 2 * head_dim);
                    let from = self.head(layer, head);
                    self.read_key(from.keys, token, &mut numbers);
                    self.read_value(from.values, token, &mut numbers);
                    let mut numbers = numbers.to_f32();
                    let (key, value) = numbers.split_at_mut(head_dim);
                    back.turn(isa, 0, key);
                    let target = self.layer_mut(layer);
                    // SAFETY: this is the only thread.
                    unsafe { target.set(isa, head, token - dropped, key, value) };
                }
            }
        }
        self.clear(held - dropped, held);
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test numbers are small")]
mod tests {
    use super::*;
    use crate::cpu::rope::RopeTable;
    use crate::kv::KvElement;
    use crate::model::RopePairs;
    use crate::sampler::SplitMix64;

    /// Whatever is dropped: the tokens before stay as they are, those behind are where they would
    /// stand, keys turned and rounded once more, and what is written next goes behind them.
    #[test]
    fn tokens_move_up_with_their_keys_turned() {
        let mut rng = SplitMix64::new(21);
        let (kv_heads, len) = (2, 75);
        for (head_dim, pairs) in [(16, RopePairs::Adjacent), (40, RopePairs::Halves)] {
            let table = RopeTable {
                frequencies: (0..head_dim / 2).map(|i| 0.7f64.powi(i)).collect(),
                pairs,
            };
            for element in [KvElement::F32, KvElement::Bf16] {
                for [start, end] in [[0, 2], [4, 31], [5, 38], [3, 75], [10, 10]] {
                    let row = kv_heads * head_dim as usize;
                    let numbers = (0..4 * len * row).map(|_| rng.next_unit() as f32 - 0.5);
                    let all = KvValues::from_f32(element, numbers.collect());
                    let mut kv = CpuKv::new(KvLayout {
                        layers: 2,
                        kv_heads,
                        head_dim: head_dim as usize,
                        element,
                    });
                    kv.reserve(0, len, 100);
                    kv.write(0, &[(len, &all)], 1);
                    let back = table.back(end - start);
                    kv.forget(Isa::detect(), [start, end, len], &back);
                    let left = len - (end - start);
                    let mut expected = Vec::new();
                    for (plane, numbers) in all.to_f32().chunks_exact(len * row).enumerate() {
                        for (token, line) in numbers.chunks_exact(row).enumerate() {
                            let mut line = line.to_vec();
                            if (start..end).contains(&token) {
                                continue;
                            }
                            if plane % 2 == 0 && token >= end && start < end {
                                for head in line.chunks_exact_mut(head_dim as usize) {
                                    back.turn(Isa::Scalar, 0, head);
                                }
                            }
                            expected.extend(line);
                        }
                    }
                    let expected = KvValues::from_f32(element, expected);
                    assert_eq!(kv.read(0, left), expected, "{element:?} {start}..{end}");
                    if element == KvElement::Bf16 {
                        // tokens that are no longer held are zero
                        let rest = kv.read(left, len).to_f32();
                        let values = rest.chunks_exact((len - left).max(1) * row).skip(1);
                        assert!(values.step_by(2).flatten().all(|v| *v == 0.0));
                    }
                }
            }
        }
    }
}
