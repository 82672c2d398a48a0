//! x86-64 with AVX2, which processors have had since 2013.

use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm256_add_epi64, _mm256_and_si256, _mm256_cmpeq_epi8,
    _mm256_loadu_si256, _mm256_movemask_epi8, _mm256_mul_epu32, _mm256_or_si256, _mm256_set1_epi8,
    _mm256_set1_epi64x, _mm256_setzero_si256, _mm256_shuffle_epi32, _mm256_sll_epi16,
    _mm256_slli_epi64, _mm256_srli_epi64, _mm256_storeu_si256, _mm256_xor_si256,
};

use super::xxh3::{Block, Lanes, PRIME32_1, SCRAMBLE, STRIPES};
use super::{Kernel, Pair};

#[inline]
pub(super) fn has_avx2() -> bool {
    std::arch::is_x86_feature_detected!("avx2")
        && std::arch::is_x86_feature_detected!("bmi1")
        && std::arch::is_x86_feature_detected!("bmi2")
        && std::arch::is_x86_feature_detected!("lzcnt")
        && std::arch::is_x86_feature_detected!("popcnt")
}

#[target_feature(enable = "avx2,bmi1,bmi2,lzcnt,popcnt")]
pub(super) fn run<R, K: Kernel<R>>(kernel: K) -> R {
    kernel.run()
}

#[target_feature(enable = "avx2")]
pub(super) fn push_bits<const N: usize>(blocks: &[[u8; 64]], maps: &mut [Vec<u64>; N]) {
    for map in maps.iter_mut() {
        map.reserve(blocks.len());
    }
    for block in blocks {
        let (halves, _) = block.as_chunks::<32>();
        let [low, high] = halves else {
            continue;
        };
        let (low, high) = (load(low), load(high));
        for (kind, map) in (0i32..).zip(maps.iter_mut()) {
            // To the top of each byte, of which a mask is made. What comes from the byte below
            // stays below the top.
            let to_top = _mm_cvtsi32_si128(7 - kind);
            let bits = |half| _mm256_movemask_epi8(_mm256_sll_epi16(half, to_top));
            map.push(
                u64::from(bits(low).cast_unsigned()) | u64::from(bits(high).cast_unsigned()) << 32,
            );
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn push_pairs(bytes: &[u8], pair: Pair, words: &mut Vec<u64>) {
    let all = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
    let (first, second, mask) = (all(pair.first), all(pair.second), all(pair.mask));
    let half_bits = |own: &[u8; 32], next: &[u8; 32]| {
        let distance = _mm256_or_si256(
            _mm256_xor_si256(load(own), first),
            _mm256_and_si256(_mm256_xor_si256(load(next), second), mask),
        );
        let is_pair = _mm256_cmpeq_epi8(distance, _mm256_setzero_si256());
        u64::from(_mm256_movemask_epi8(is_pair).cast_unsigned())
    };
    let next = bytes.get(1..).unwrap_or_default();
    let both = bytes
        .as_chunks::<64>()
        .0
        .iter()
        .zip(next.as_chunks::<64>().0);
    words.reserve(bytes.len() / 64);
    for (own, next) in both {
        if let ([own_low, own_high], [next_low, next_high]) =
            (own.as_chunks::<32>().0, next.as_chunks::<32>().0)
        {
            words.push(half_bits(own_low, next_low) | half_bits(own_high, next_high) << 32);
        }
    }
}

#[target_feature(enable = "avx2")]
pub(super) fn hash_blocks(lanes: &mut Lanes, blocks: &[Block]) {
    let (halves, _) = lanes.as_chunks_mut::<4>();
    let [low_lanes, high_lanes] = halves else {
        return;
    };
    let (mut low, mut high) = (load_words(low_lanes), load_words(high_lanes));
    for block in blocks {
        let (stripes, _) = block.as_chunks::<32>();
        let (stripes, _) = stripes.as_chunks::<2>();
        for ([low_stripe, high_stripe], secret) in stripes.iter().zip(&STRIPES) {
            if let [low_secret, high_secret] = secret.as_chunks::<4>().0 {
                low = add_stripe(low, low_stripe, low_secret);
                high = add_stripe(high, high_stripe, high_secret);
            }
        }
        if let [low_secret, high_secret] = SCRAMBLE.as_chunks::<4>().0 {
            low = scramble(low, low_secret);
            high = scramble(high, high_secret);
        }
    }
    store_words(low_lanes, low);
    store_words(high_lanes, high);
}

#[inline]
#[target_feature(enable = "avx2")]
fn add_stripe(lanes: __m256i, stripe: &[u8; 32], secret: &[u64; 4]) -> __m256i {
    const CROSSED: i32 = 0b01_00_11_10;
    let value = load(stripe);
    let key = _mm256_xor_si256(value, load_words(secret));
    let product = _mm256_mul_epu32(key, _mm256_srli_epi64::<32>(key));
    let crossed = _mm256_shuffle_epi32::<CROSSED>(value);
    _mm256_add_epi64(lanes, _mm256_add_epi64(product, crossed))
}

#[inline]
#[target_feature(enable = "avx2")]
fn scramble(lanes: __m256i, secret: &[u64; 4]) -> __m256i {
    let prime = _mm256_set1_epi64x(PRIME32_1.cast_signed());
    let mixed = _mm256_xor_si256(lanes, _mm256_srli_epi64::<47>(lanes));
    let mixed = _mm256_xor_si256(mixed, load_words(secret));
    let low = _mm256_mul_epu32(mixed, prime);
    let high = _mm256_mul_epu32(_mm256_srli_epi64::<32>(mixed), prime);
    _mm256_add_epi64(low, _mm256_slli_epi64::<32>(high))
}

#[inline]
#[target_feature(enable = "avx2")]
fn load_words(words: &[u64; 4]) -> __m256i {
    // SAFETY: the reference is to 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(std::ptr::from_ref(words).cast()) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn store_words(words: &mut [u64; 4], value: __m256i) {
    // SAFETY: the reference is to 32 bytes that may be written, and the store needs no alignment.
    unsafe { _mm256_storeu_si256(std::ptr::from_mut(words).cast(), value) }
}

#[inline]
#[target_feature(enable = "avx2")]
fn load(bytes: &[u8; 32]) -> __m256i {
    // SAFETY: the reference is to 32 bytes, and the load needs no alignment.
    unsafe { _mm256_loadu_si256(std::ptr::from_ref(bytes).cast()) }
}
