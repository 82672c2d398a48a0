//! Cheap looks at a few bytes.

use std::sync::LazyLock;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::SigmaError;
use crate::frame::NOISE_BLOCK_BYTES;
use crate::simd::{self, Pair};
use crate::transform::{Coding, Effort, StreamEncoder, halves};

/// Bits per byte above which symbols alone are not worth coding: the gain would be under 1.5 %.
const NOISE_BITS: f64 = 7.88;
/// Bytes of the look at a plane, from several places.
const PLANE_BYTES: usize = 4 << 10;
const PLANE_PLACES: usize = 4;
/// Bits per byte below which a plane is mostly runs.
const RUN_BITS: f64 = 0.5;
/// Bits per byte below which there is hardly anything but one run.
const FLAT_BITS: f64 = 0.02;
/// Bits per byte between which a plane is tried in halves: below it is runs, above a byte of two halves
/// is one of too many.
const HALVES_BITS: std::ops::Range<f64> = RUN_BITS..3.5;
/// Share of the plane's bits below which halves are taken.
const HALVES_SHARE: f64 = 0.95;
/// Share of repetitions from afar at which they are not: few are chance, for the bytes are few.
const FAR_SHARE_MAX: f64 = 0.25;
/// Share of repeated places from which a search for repetitions pays.
const REPEATS_MIN: f64 = 0.02;
/// Bits of a repetition that is longer than its code.
const REPEAT_BITS: f64 = 24.0;

/// `places` pieces of `content`, about `bytes` in all, each at a multiple of 8 from the start.
pub(super) fn spread(content: &[u8], bytes: usize, places: usize) -> Vec<u8> {
    if content.len() <= bytes {
        return content.to_vec();
    }
    let piece = (bytes / places) & !7;
    let gap = (content.len() - piece) / places.saturating_sub(1).max(1);
    let mut out = Vec::with_capacity(bytes);
    for place in 0..places {
        let start = (place * gap) & !7;
        out.extend_from_slice(content.get(start..start + piece).unwrap_or_default());
    }
    out
}

/// The same in two pieces, from the start and the end, that begin and end with lines where there are any.
pub(super) fn spread_lines(content: &[u8], bytes: usize) -> Vec<u8> {
    if content.len() <= bytes {
        return content.to_vec();
    }
    let (first, _) = content.split_at(bytes / 2);
    let (_, last) = content.split_at(content.len() - bytes / 2);
    let is_end = |&byte: &u8| byte == b'\n';
    let first_end = first.iter().rposition(is_end).map(|end| end + 1);
    let last_start = last.iter().position(is_end).map(|end| end + 1);
    let mut out = Vec::with_capacity(bytes);
    for (piece, range) in [
        (first, 0..first_end.unwrap_or(first.len())),
        (last, last_start.unwrap_or(0)..last.len()),
    ] {
        out.extend_from_slice(piece.get(range).unwrap_or_default());
    }
    out
}

/// How often each byte occurs.
#[derive(Debug, Clone)]
pub(super) struct Counts([u32; 256]);

/// `n` x log2(`n`) for small `n`.
static N_LOG_N: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let product = |n: u32| f64::from(n) * f64::from(n.max(1)).log2();
    (0..4096).map(product).collect()
});

fn n_log_n(n: u32) -> f64 {
    match N_LOG_N.get(n as usize) {
        Some(&product) => product,
        None => f64::from(n) * f64::from(n).log2(),
    }
}

impl Counts {
    pub(super) fn of(bytes: &[u8]) -> Counts {
        // Two tables: equal neighbours do not wait for each other.
        let (mut even, mut odd) = ([0u32; 256], [0u32; 256]);
        let add = |table: &mut [u32; 256], byte: u8| {
            if let Some(count) = table.get_mut(usize::from(byte)) {
                *count += 1;
            }
        };
        let (pairs, rest) = bytes.as_chunks::<2>();
        for &[first, second] in pairs {
            add(&mut even, first);
            add(&mut odd, second);
        }
        for &byte in rest {
            add(&mut even, byte);
        }
        let mut counts = Counts(even);
        counts.add(&Counts(odd));
        counts
    }

    pub(super) fn add(&mut self, other: &Counts) {
        for (own, other) in self.0.iter_mut().zip(&other.0) {
            *own += other;
        }
    }

    pub(super) fn of_byte(&self, byte: u8) -> usize {
        self.0
            .get(usize::from(byte))
            .map_or(0, |&count| count as usize)
    }

    /// Bytes that pass.
    pub(super) fn of_all(&self, pass: impl Fn(u8) -> bool) -> usize {
        let pass = |&(byte, _): &(u8, &u32)| pass(byte);
        let all = (0..=u8::MAX).zip(&self.0).filter(pass);
        all.map(|(_, &count)| count as usize).sum()
    }

    /// Bits that an ideal coder of single bytes needs for content like this: a short sample shows
    /// fewer symbols and fewer bits than the whole, by about half a bit's worth per symbol
    /// (G. Miller, 1955).
    pub(super) fn bits(&self) -> f64 {
        let (symbols, bits) = self.symbols_and_bits();
        let bias = f64::from(symbols.saturating_sub(1)) / (2.0 * std::f64::consts::LN_2);
        let total: u32 = self.0.iter().sum();
        // Runs stay runs: only a spread of symbols hides others.
        (bits + bias.min(bits)).min(8.0 * f64::from(total))
    }

    /// Bits of a code of whole bits for each byte, for exactly what was counted; none if all are equal.
    fn code_bits(&self) -> f64 {
        let total: u32 = self.0.iter().sum();
        let bits = |&count: &u32| {
            let ideal = (f64::from(total) / f64::from(count.max(1))).log2();
            f64::from(count) * ideal.max(1.0)
        };
        if self.0.contains(&total) {
            return 0.0;
        }
        self.0.iter().map(bits).sum()
    }

    /// Different bytes, and the bits of an ideal coder for exactly what was counted.
    fn symbols_and_bits(&self) -> (u32, f64) {
        let (mut total, mut symbols, mut sum) = (0, 0u32, 0.0);
        for &count in self.0.iter().filter(|&&count| count > 0) {
            total += count;
            symbols += 1;
            sum += n_log_n(count);
        }
        (symbols, n_log_n(total) - sum)
    }
}

/// Bits of an ideal coder for exactly these bytes, and of its table.
pub(crate) fn table_bits(bytes: &[u8]) -> f64 {
    let counts = Counts::of(bytes);
    let (symbols, bits) = counts.symbols_and_bits();
    bits + 4.0 * f64::from(symbols)
}

/// Share of the places of the sample at which something begins that stood there before and is long
/// enough to be worth a reference: at least [`REPEAT_BITS`] at `bits` per byte.
#[expect(clippy::cast_precision_loss, reason = "a few thousand")]
pub(super) fn repeats(look: &[u8], bits: f64) -> f64 {
    const TABLE_BITS: u32 = 12;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "held within 4..=16"
    )]
    let length = (REPEAT_BITS / bits.max(0.1)).ceil().clamp(4.0, 16.0) as usize;
    let mut table = vec![0u32; 1 << TABLE_BITS];
    let mut found = 0usize;
    let mask = u128::MAX >> (128 - 8 * length);
    for (place, window) in (1u32..).zip(look.windows(16)) {
        let Ok(window) = <[u8; 16]>::try_from(window) else {
            break;
        };
        let key = u128::from_le_bytes(window) & mask;
        #[expect(clippy::cast_possible_truncation, reason = "halves of the key")]
        let (low, high) = (key as u64, (key >> 64) as u64);
        let hash = (low ^ high.rotate_left(29)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let Some(slot) = table.get_mut((hash >> (64 - TABLE_BITS)) as usize) else {
            break;
        };
        // The tag of the hash stands in the upper half of the slot, the place in the lower.
        let tag = ((hash >> 20) & 0xffff) as u32;
        found += usize::from(*slot >> 16 == tag && *slot != 0);
        *slot = tag << 16 | (place & 0xffff).max(1);
    }
    found as f64 / look.len().max(1) as f64
}

/// How to code a plane, judged by a sample of it.
pub(crate) fn coding(plane: &[u8], streams: &mut StreamEncoder) -> Result<Coding, SigmaError> {
    let look = spread(plane, PLANE_BYTES, PLANE_PLACES);
    let counts = Counts::of(&look);
    let effort = effort(&look, &counts);
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let bits = counts.bits() / look.len().max(1) as f64;
    if !HALVES_BITS.contains(&bits) {
        return Ok(Coding::Whole(effort));
    }
    // What repeats does so over a distance, so the sample is longer where it is compared.
    let long = effort == Effort::Matches;
    let look = if long {
        spread(plane, 4 * PLANE_BYTES, 2 * PLANE_PLACES)
    } else {
        look
    };
    let mut split = [Vec::new(), Vec::new()];
    halves::split(&look, &mut split);
    let [low, high] = split.each_ref().map(|half| half_cost(half));
    let halves = low.1 + high.1;
    let efforts = [low.0, high.0];
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let whole = if long {
        8.0 * streams.measure(&look, effort)? as f64
    } else {
        counts.code_bits()
    };
    // No sample shows what repeats itself from afar, and in halves it is not looked for.
    Ok(
        if halves < HALVES_SHARE * whole && far_share(plane, &look) < FAR_SHARE_MAX {
            Coding::Halves(efforts)
        } else {
            Coding::Whole(effort)
        },
    )
}

/// Share of the places looked at in a plane from which it repeats itself, by more than chance.
fn far_share(plane: &[u8], look: &[u8]) -> f64 {
    let Some(mut scan) = FarScan::new(plane, look, &Counts::of(look)) else {
        return 0.0;
    };
    for block in plane.chunks(NOISE_BLOCK_BYTES) {
        scan.look(block);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let share = (scan.found.again * scan.every) as f64 / scan.found.places.max(1) as f64;
    share
}

/// How much to look for in half bytes, and the bits that this makes of them.
fn half_cost(half: &[u8]) -> (Effort, f64) {
    let counts = Counts::of(half);
    let bits = counts.bits();
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let runs = bits < RUN_BITS * half.len() as f64;
    if runs {
        (effort(half, &counts), bits)
    } else {
        (Effort::Symbols, counts.code_bits())
    }
}

/// How much to look for in a plane.
fn effort(look: &[u8], counts: &Counts) -> Effort {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let bits = counts.bits() / look.len().max(1) as f64;
    if bits < FLAT_BITS {
        Effort::Quick
    } else if bits < RUN_BITS || repeats(look, bits) > REPEATS_MIN {
        Effort::Matches
    } else if bits > NOISE_BITS {
        Effort::Store
    } else {
        Effort::Symbols
    }
}

/// Finds whether content that looks random repeats itself over a distance that no sample shows: what
/// follows a mark, which is neither rare nor frequent, is compared all over it.
#[derive(Debug)]
pub(super) struct FarScan {
    pair: Pair,
    /// One block in this many is looked at.
    every: usize,
    index: u64,
    words: Vec<u64>,
    found: Found,
}

impl FarScan {
    /// For `content`, of which `look` is a sample; nothing if that has no mark or is the whole.
    pub(super) fn new(content: &[u8], look: &[u8], counts: &Counts) -> Option<FarScan> {
        /// Up to this length every mark in every block counts: what repeats may be a small part. Beyond, what
        /// repeats is found in a part of the marks and blocks as well.
        const DENSE_BYTES: usize = 512 << 10;
        if content.len() <= look.len() {
            return None;
        }
        let [first, second] = mark(look, counts)?;
        // Bits of the second byte that do not count.
        let mask = if content.len() <= DENSE_BYTES { 0 } else { 3 };
        let every = content
            .len()
            .div_ceil(DENSE_BYTES)
            .min(4)
            .next_power_of_two();
        let expected = content.len() / every / if mask == 0 { 256 } else { 1024 };
        Some(FarScan {
            pair: Pair {
                first,
                second,
                mask,
            },
            every,
            index: 0,
            words: Vec::with_capacity(NOISE_BLOCK_BYTES / GROUP),
            found: Found::new(expected),
        })
    }

    /// Looks at the next block of [`NOISE_BLOCK_BYTES`].
    pub(super) fn look(&mut self, block: &[u8]) {
        const KEY: usize = 16;
        // Not at equal distances: those might never meet what repeats.
        let mixed = self.index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        self.index += 1;
        if !(mixed >> 60).is_multiple_of(self.every as u64) {
            return;
        }
        self.words.clear();
        simd::push_pairs(block, self.pair, &mut self.words);
        for (group, &word) in self.words.iter().enumerate() {
            let mut left = word;
            while left != 0 {
                let start = group * GROUP + left.trailing_zeros() as usize + 1;
                if let Some(key) = block.get(start..start + KEY) {
                    self.found.add(xxh3_64(key));
                }
                left &= left - 1;
            }
        }
    }

    /// Whether what follows the marks repeated itself.
    pub(super) fn repeats(&self) -> bool {
        /// This many and one in this many of the places found must be repetitions.
        const FOUND_MIN: usize = 2;
        const FOUND_SHARE: usize = 256;
        let Found { places, again, .. } = self.found;
        // Both copies must lie in blocks that were looked at.
        again >= FOUND_MIN && again * FOUND_SHARE * self.every >= places
    }
}

/// Bytes whose marks are one word of bits.
const GROUP: usize = 64;

/// Whether content that looks random repeats itself, see [`FarScan`].
pub(super) fn repeats_far(content: &[u8], look: &[u8], counts: &Counts) -> bool {
    let Some(mut scan) = FarScan::new(content, look, counts) else {
        return false;
    };
    for block in content.chunks(NOISE_BLOCK_BYTES) {
        scan.look(block);
    }
    scan.repeats()
}

/// Counts keys that come again, nearly all: a key takes the slot of another.
#[derive(Debug)]
struct Found {
    slots: Vec<u64>,
    places: usize,
    again: usize,
}

impl Found {
    fn new(expected: usize) -> Found {
        Found {
            slots: vec![0; (4 * expected).next_power_of_two().max(64)],
            places: 0,
            again: 0,
        }
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "low bits are what is meant"
    )]
    fn add(&mut self, key: u64) {
        let mask = self.slots.len() - 1;
        if let Some(slot) = self.slots.get_mut(key as usize & mask) {
            self.again += usize::from(*slot == key);
            *slot = key;
        }
        self.places += 1;
    }
}

/// A byte that is about one in 256 of the sample, and the byte behind it somewhere.
fn mark(look: &[u8], counts: &Counts) -> Option<[u8; 2]> {
    let wanted = look.len() / 256;
    let there = (0..=u8::MAX).filter(|&byte| counts.of_byte(byte) > 0);
    let from_wanted = |byte| {
        let count = counts.of_byte(byte);
        // One that is too rare shows nothing, one that is too frequent takes time.
        (2 * count < wanted, count.abs_diff(wanted))
    };
    let first = there.min_by_key(|&byte| from_wanted(byte))?;
    let pair = look.windows(2).find(|pair| pair.first() == Some(&first))?;
    pair.try_into().ok()
}
