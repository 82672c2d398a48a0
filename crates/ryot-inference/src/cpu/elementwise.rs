//! The steps between the matrix products.

use super::lanes::lanes;

const LANES: usize = 16;

lanes! {
    /// `out = x / rms(x) * weight`: root mean square norm.
    pub(super) fn rms_norm(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) = rms_norm_body
}

#[inline(always)]
fn rms_norm_body(x: &[f32], weight: &[f32], epsilon: f32, out: &mut [f32]) {
    let squares = dot_body(x, x);
    #[expect(clippy::cast_precision_loss, reason = "a row is below 2^24 numbers")]
    let mean = squares / x.len() as f32;
    let scale = 1.0 / (mean + epsilon).sqrt();
    for ((out, x), weight) in out.iter_mut().zip(x).zip(weight) {
        *out = x * scale * weight;
    }
}

/// Sum of products in sixteen lanes, then of the lanes in a fixed order.
#[inline(always)]
fn dot_body(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0f32; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] = a[lane].mul_add(b[lane], sums[lane]);
        }
    }
    let mut sum = add_lanes(sums);
    for (a, b) in a_rest.iter().zip(b_rest) {
        sum = a.mul_add(*b, sum);
    }
    sum
}

#[inline(always)]
pub(super) fn add_lanes(mut sums: [f32; LANES]) -> f32 {
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            sums[lane] += sums[lane + half];
        }
        half /= 2;
    }
    sums[0]
}

lanes! {
    /// `out = gate * sigmoid(gate) * up`.
    pub(super) fn silu_times(gate: &[f32], up: &[f32], out: &mut [f32]) = silu_times_body
}

#[inline(always)]
fn silu_times_body(gate: &[f32], up: &[f32], out: &mut [f32]) {
    for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
        *out = gate / (1.0 + exp(-gate)) * up;
    }
}

lanes! {
    /// `out += x`.
    pub(super) fn add(out: &mut [f32], x: &[f32]) = add_body
}

#[inline(always)]
fn add_body(out: &mut [f32], x: &[f32]) {
    for (out, x) in out.iter_mut().zip(x) {
        *out += x;
    }
}

/// The highest of some numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Highest {
    /// Above `-inf`; the first on a tie.
    pub(crate) index: Option<usize>,
    /// None is NaN or `+inf`.
    pub(crate) all_below_infinity: bool,
}

lanes! {
    /// The highest number; what is not a number is passed over.
    pub(crate) fn highest(x: &[f32]) -> Highest = highest_body
}

#[inline(always)]
fn highest_body(x: &[f32]) -> Highest {
    let (chunks, rest) = x.as_chunks::<LANES>();
    let mut best = [f32::NEG_INFINITY; LANES];
    let mut at = [0u32; LANES];
    let mut below = [true; LANES];
    for (chunk, index) in chunks.iter().zip(0u32..) {
        for lane in 0..LANES {
            let higher = chunk[lane] > best[lane];
            best[lane] = if higher { chunk[lane] } else { best[lane] };
            at[lane] = if higher { index } else { at[lane] };
            below[lane] &= chunk[lane] < f32::INFINITY;
        }
    }
    let lanes = (0..LANES).map(|lane| (best[lane], at[lane] as usize * LANES + lane));
    let rest_at = chunks.len() * LANES;
    let rest_best = rest.iter().copied().zip(rest_at..);
    let mut found = (f32::NEG_INFINITY, None);
    for (number, index) in lanes.chain(rest_best) {
        let tie = number == found.0 && found.1.is_some_and(|first| index < first);
        if number > found.0 || tie {
            found = (number, Some(index));
        }
    }
    Highest {
        index: found.1,
        all_below_infinity: below.into_iter().all(|b| b) && rest.iter().all(|x| *x < f32::INFINITY),
    }
}

/// `e^x` within 2 ulp; 0 below -87.3, infinite above 88.7, NaN for NaN.
///
/// # Source
/// The usual reduction to `2^n * e^r` with `|r| <= ln 2 / 2`, `ln 2` in two parts, and the minimax
/// polynomial of Cephes' `expf`.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    const LOG2_E: f32 = std::f32::consts::LOG2_E;
    const LN_2_HIGH: f32 = 0.693_359_4;
    const LN_2_LOW: f32 = -2.121_944_4e-4;
    // adding and subtracting this rounds to a whole number
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.3, 88.7);
    let shifted = clamped.mul_add(LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = n.mul_add(-LN_2_HIGH, clamped);
    let r = n.mul_add(-LN_2_LOW, r);
    let mut p = 1.987_569_1e-4_f32;
    for c in [
        1.398_2e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        p = p.mul_add(r, c);
    }
    let e = p.mul_add(r * r, r) + 1.0;
    // n is -126 to 128, in the low bits of `shifted`; two halves keep 2^n in range
    let n = shifted
        .to_bits()
        .wrapping_sub(ROUND.to_bits())
        .cast_signed();
    let half = n >> 1;
    let power = |n: i32| f32::from_bits((n.wrapping_add(127) << 23).cast_unsigned());
    let value = e * power(half) * power(n.wrapping_sub(half));
    // one comparison each, so that a NaN goes through the polynomial
    let value = if x < -87.3 { 0.0 } else { value };
    if x > 88.7 { f32::INFINITY } else { value }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "test numbers are small")]
mod tests {
    use super::*;
    use crate::cpu::Isa;
    use crate::sampler::SplitMix64;

    #[test]
    fn exp_is_close_everywhere() {
        let mut x = -90.0f32;
        while x < 90.0 {
            let (ours, exact) = (f64::from(exp(x)), f64::from(x).exp());
            if x < -87.4 {
                assert_eq!(ours, 0.0);
            } else if x > 88.75 {
                assert_eq!(ours, f64::INFINITY);
            } else if x > -87.2 && x < 88.6 {
                assert!((ours / exact - 1.0).abs() < 2.5e-7, "{x}: {ours} {exact}");
            }
            x += 0.0137;
        }
        assert!(exp(f32::NAN).is_nan());
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    /// The plain twin of [`highest`].
    fn highest_one_by_one(x: &[f32]) -> Highest {
        let mut index = None;
        for (at, number) in x.iter().enumerate() {
            if *number > index.map_or(f32::NEG_INFINITY, |best: usize| x[best]) {
                index = Some(at);
            }
        }
        Highest {
            index,
            all_below_infinity: x.iter().all(|number| *number < f32::INFINITY),
        }
    }

    #[test]
    fn the_highest_is_found_among_ties_and_what_is_no_number() {
        let mut rng = SplitMix64::new(21);
        for len in [0, 1, 15, 16, 17, 50, 1000] {
            for _ in 0..20 {
                // few different numbers, so that there are ties
                let mut x: Vec<f32> = (0..len)
                    .map(|_| (rng.next_unit() * 9.0).floor() as f32)
                    .collect();
                for odd in [f32::NAN, f32::NEG_INFINITY, f32::INFINITY] {
                    let expected = highest_one_by_one(&x);
                    for isa in Isa::all() {
                        assert_eq!(highest(isa, &x), expected, "{isa:?} {x:?}");
                    }
                    let at = (rng.next_unit() * len as f64) as usize;
                    if let Some(x) = x.get_mut(at) {
                        *x = odd;
                    }
                }
            }
        }
        let nothing = highest(Isa::detect(), &[f32::NEG_INFINITY; 40]);
        assert_eq!((nothing.index, nothing.all_below_infinity), (None, true));
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let x: Vec<f32> = (0..77u16)
            .map(|i| (f32::from(i) * 0.37).sin() * 5.0)
            .collect();
        let w: Vec<f32> = (0..77u16).map(|i| (f32::from(i) * 0.11).cos()).collect();
        let run = |isa| {
            let (mut normed, mut gated) = (vec![0f32; 77], vec![0f32; 77]);
            rms_norm(isa, &x, &w, 1e-5, &mut normed);
            silu_times(isa, &normed, &w, &mut gated);
            add(isa, &mut gated, &x);
            gated.iter().map(|v| v.to_bits()).collect::<Vec<_>>()
        };
        for isa in Isa::all() {
            assert_eq!(run(isa), run(Isa::Scalar), "{isa:?}");
        }
    }
}
