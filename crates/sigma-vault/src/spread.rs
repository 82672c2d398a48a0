//! A hash for numbers that this program gave: nobody chooses them so that they collide.

use std::hash::Hasher;

/// One multiplication for each number.
#[derive(Debug, Default)]
pub(crate) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, number: u64) {
        let mixed = (self.0.rotate_left(5) ^ number).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        // Tables take the low bits and the top ones; the product's middle ones are the best.
        self.0 = mixed.rotate_left(26);
    }
}
