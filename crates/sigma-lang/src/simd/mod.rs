//! Kernels compiled for wide registers, chosen when they are called. Each has a plain form that runs
//! everywhere; tests hold both to the same answers.

#![allow(
    unsafe_code,
    reason = "a function for registers that this processor may lack must be called by hand"
)]

#[cfg(target_arch = "x86_64")]
mod x86_64;
mod xxh3;

pub(crate) use xxh3::{
    BLOCK_BYTES as HASH_BLOCK_BYTES, LongHash, SHORT_BYTES_MAX as HASH_SHORT_BYTES_MAX,
};

/// Work that gains from being compiled for wide registers. `run` must be `#[inline(always)]`, and so
/// must be what it calls, or else it is compiled for the smallest processor.
pub(crate) trait Kernel<R> {
    fn run(self) -> R;
}

/// Runs the kernel, compiled for AVX2 where the processor has it.
#[inline]
pub(crate) fn run<R, K: Kernel<R>>(kernel: K) -> R {
    #[cfg(target_arch = "x86_64")]
    if x86_64::has_avx2() {
        // SAFETY: the processor has AVX2 and the bit instructions, which is all that is asked for.
        return unsafe { x86_64::run(kernel) };
    }
    kernel.run()
}

/// For each block of 64 classes and each map: appends the word whose bit *i* is bit *k* of class *i*, *k* the
/// index of the map.
pub(crate) fn push_bits<const N: usize>(blocks: &[[u8; 64]], maps: &mut [Vec<u64>; N]) {
    #[cfg(target_arch = "x86_64")]
    if x86_64::has_avx2() {
        // SAFETY: the processor has AVX2.
        unsafe { x86_64::push_bits(blocks, maps) };
        return;
    }
    push_bits_plain(blocks, maps);
}

/// Takes blocks into the state of an XXH3 hash.
fn hash_blocks(lanes: &mut xxh3::Lanes, blocks: &[xxh3::Block]) {
    #[cfg(target_arch = "x86_64")]
    if x86_64::has_avx2() {
        // SAFETY: the processor has AVX2.
        unsafe { x86_64::hash_blocks(lanes, blocks) };
        return;
    }
    xxh3::add_blocks(lanes, blocks);
}

/// Whether bytes are a mark: the first is `first`, and the one behind it is `second` in the bits of `mask`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pair {
    pub(crate) first: u8,
    pub(crate) second: u8,
    pub(crate) mask: u8,
}

/// Appends a word for each 64 bytes that another byte follows: bit *i* says whether the pair begins at
/// byte *i*.
pub(crate) fn push_pairs(bytes: &[u8], pair: Pair, words: &mut Vec<u64>) {
    #[cfg(target_arch = "x86_64")]
    if x86_64::has_avx2() {
        // SAFETY: the processor has AVX2.
        unsafe { x86_64::push_pairs(bytes, pair, words) };
        return;
    }
    push_pairs_plain(bytes, pair, words);
}

fn push_pairs_plain(bytes: &[u8], pair: Pair, words: &mut Vec<u64>) {
    let is_pair = |own: u8, next: u8| (own ^ pair.first) | ((next ^ pair.second) & pair.mask) == 0;
    let next = bytes.get(1..).unwrap_or_default();
    let both = bytes
        .as_chunks::<64>()
        .0
        .iter()
        .zip(next.as_chunks::<64>().0);
    words.extend(both.map(|(own, next)| {
        let bits = (0u32..).zip(own.iter().zip(next));
        bits.fold(0, |word, (place, (&own, &next))| {
            word | u64::from(is_pair(own, next)) << place
        })
    }));
}

fn push_bits_plain<const N: usize>(blocks: &[[u8; 64]], maps: &mut [Vec<u64>; N]) {
    const LOW_BITS: u64 = 0x0101_0101_0101_0101;
    // Times this, bit 0 of byte i goes to bit 56 + i.
    const GATHER: u64 = 0x0102_0408_1020_4080;
    for block in blocks {
        let (eights, _) = block.as_chunks::<8>();
        for (kind, map) in maps.iter_mut().enumerate() {
            let mut word = 0u64;
            for eight in eights.iter().rev() {
                let bits = u64::from_le_bytes(*eight) >> kind & LOW_BITS;
                word = word << 8 | bits.wrapping_mul(GATHER) >> 56;
            }
            map.push(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_a_plain_loop() {
        let blocks: Vec<[u8; 64]> = (0..50u64)
            .map(|n| {
                std::array::from_fn(|i| {
                    let mixed = (n * 64 + i as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    mixed.to_le_bytes()[7] & 0x7f
                })
            })
            .collect();
        let mut fast: [Vec<u64>; 7] = Default::default();
        let mut plain = fast.clone();
        push_bits(&blocks, &mut fast);
        push_bits_plain(&blocks, &mut plain);
        assert_eq!(fast, plain);
        for (kind, map) in fast.iter().enumerate() {
            for (block, word) in blocks.iter().zip(map) {
                for (place, class) in block.iter().enumerate() {
                    assert_eq!(word >> place & 1, u64::from(class >> kind & 1));
                }
            }
        }
    }

    #[test]
    fn pairs_are_those_of_a_plain_loop() {
        for length in [0usize, 1, 63, 64, 65, 128, 129, 1000, 4096] {
            let bytes: Vec<u8> = (0..length)
                .map(|n| (n * n / 7 % 11).to_le_bytes()[0])
                .collect();
            for (first, second, mask) in [(0, 0, 0), (3, 1, 3), (4, 9, 0xff)] {
                let pair = Pair {
                    first,
                    second,
                    mask,
                };
                let (mut fast, mut plain) = (Vec::new(), Vec::new());
                push_pairs(&bytes, pair, &mut fast);
                push_pairs_plain(&bytes, pair, &mut plain);
                assert_eq!(fast, plain);
                assert_eq!(fast.len(), length.saturating_sub(1) / 64);
                for (place, both) in bytes.windows(2).take(64 * fast.len()).enumerate() {
                    let is = both[0] == first && (both[1] ^ second) & mask == 0;
                    assert_eq!(fast[place / 64] >> (place % 64) & 1, u64::from(is));
                }
            }
        }
    }

    #[test]
    fn a_kernel_gives_its_answer() {
        struct Sum<'a>(&'a [u8]);
        impl Kernel<u64> for Sum<'_> {
            #[inline(always)]
            fn run(self) -> u64 {
                self.0.iter().map(|&byte| u64::from(byte)).sum()
            }
        }
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(run(Sum(&bytes)), 255 * 128);
        assert_eq!(Sum(&bytes).run(), 255 * 128);
    }
}
