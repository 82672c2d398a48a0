//! Sizes and rates of a Bloom filter.
//!
//! Source: Broder, Mitzenmacher, "Network applications of Bloom filters", 2004, section 2.2.

/// Hashes and bits for a number of keys and a false-positive rate: the number of hashes nearest to
/// the optimum, and the bits that give the rate with it.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "1 to 40"
)]
pub(super) fn size_for(items: f64, rate: f64) -> (u32, f64) {
    let hashes = libm::round(-libm::log2(rate)).max(1.0);
    let bits = -hashes * items / libm::log1p(-libm::pow(rate, 1.0 / hashes));
    (hashes as u32, libm::ceil(bits))
}

/// Rate of false positives at a share of set bits.
pub(super) fn rate_at_fill(fill: f64, hashes: u32) -> f64 {
    libm::pow(fill, f64::from(hashes))
}

/// Number of keys behind a share of set bits; infinite where all are set.
pub(super) fn items_at_fill(fill: f64, bits: f64, hashes: u32) -> f64 {
    -bits / f64::from(hashes) * libm::log1p(-fill)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::f64::consts::LN_2;

    #[test]
    fn sizes_are_those_of_the_textbook() {
        let (hashes, bits) = size_for(1e6, 0.01);
        assert_eq!(hashes, 7);
        // n ln(1/p) / ln(2)^2 is the least possible.
        let least = 1e6 * 100.0_f64.ln() / (LN_2 * LN_2);
        assert!(bits >= least && bits < 1.002 * least);
        assert_eq!(size_for(1.0, 0.9).0, 1);
    }

    #[test]
    fn the_size_gives_the_rate() {
        for rate in [0.5, 0.1, 0.01, 1e-3, 1e-6, 1e-9] {
            let (hashes, bits) = size_for(1e5, rate);
            let fill = 1.0 - (-f64::from(hashes) * 1e5 / bits).exp();
            assert!(rate_at_fill(fill, hashes) <= rate * 1.000_001);
            assert!(rate_at_fill(fill, hashes) >= rate * 0.99);
            assert!((items_at_fill(fill, bits, hashes) / 1e5 - 1.0).abs() < 1e-9);
        }
    }
}
