//! SipHash-2-4 under a secret key.
//!
//! Source: Aumasson, Bernstein, "SipHash: a fast short-input PRF", 2012. Two rounds for each word and
//! four at the end, the cautious choice: hashes of keys leave the process inside the bytes of sketches.

use core::{
    fmt,
    hash::{Hash, Hasher},
};

/// What is hashed under a key to name the key without giving it away.
const IDENTITY: &[u8] = b"sketches: identity of a key";

/// A secret 128-bit key. Take it from a random source that cannot be guessed, and keep it for as long
/// as sketches made with it are to be merged or asked.
///
/// It is not written anywhere: the bytes of sketches hold its [identity](Self::id), and `Debug` shows
/// no more.
///
/// ```
/// use sketches::hash::SipKey;
/// let key = SipKey::new([0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908]);
/// assert_eq!(key.hash_bytes(&[]), 0x726f_db47_dd0e_0e31); // first vector of the authors
/// assert_ne!(key.hash_of("a"), SipKey::new([1, 2]).hash_of("a"));
/// ```
#[derive(Clone)]
pub struct SipKey {
    key: [u64; 2],
}

impl SipKey {
    /// A key of two halves, the first being the low one.
    #[must_use]
    pub const fn new(key: [u64; 2]) -> Self {
        Self { key }
    }

    /// A key of sixteen bytes, as the authors write them.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        let key = u128::from_le_bytes(bytes);
        #[expect(clippy::cast_possible_truncation, reason = "the low half")]
        let low = key as u64;
        Self::new([low, (key >> 64) as u64])
    }

    /// A number that names the key: equal keys have the same, different keys have the same with
    /// probability 2^-64, and finding the key from it is as hard as trying all keys.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.hash_bytes(IDENTITY)
    }

    /// Hashes a value: SipHash-2-4 of all its writes, one after the other. Integers are written as
    /// their little-endian bytes, `usize` and `isize` as 64 bits, a `str` as its UTF-8 bytes and one
    /// byte `0xff`, slices and byte arrays after their length.
    ///
    /// ```
    /// use sketches::hash::SipKey;
    /// let key = SipKey::from_bytes([7; 16]);
    /// assert_eq!(key.hash_of(&5_u64), key.hash_bytes(&5_u64.to_le_bytes()));
    /// assert_eq!(key.hash_of("abc"), key.hash_bytes(b"abc\xff"));
    /// ```
    #[inline]
    pub fn hash_of<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        let mut hasher = SipHasher::new(self);
        value.hash(&mut hasher);
        hasher.finish()
    }

    /// SipHash-2-4 of some bytes.
    #[must_use]
    pub fn hash_bytes(&self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher::new(self);
        hasher.write(bytes);
        hasher.finish()
    }
}

impl fmt::Debug for SipKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "SipKey(identity {:#018x})", self.id())
    }
}

/// A [`Hasher`] over SipHash-2-4, the same on every platform.
#[derive(Clone)]
pub struct SipHasher {
    v: [u64; 4],
    /// Bytes that do not fill a word yet, the first one lowest.
    tail: u64,
    /// Bytes written so far.
    len: u64,
}

impl SipHasher {
    /// A hasher that has seen nothing.
    #[inline]
    #[must_use]
    pub const fn new(key: &SipKey) -> Self {
        let [k0, k1] = key.key;
        Self {
            v: [
                k0 ^ 0x736f_6d65_7073_6575,
                k1 ^ 0x646f_7261_6e64_6f6d,
                k0 ^ 0x6c79_6765_6e65_7261,
                k1 ^ 0x7465_6462_7974_6573,
            ],
            tail: 0,
            len: 0,
        }
    }

    #[inline]
    const fn absorb(&mut self, word: u64) {
        self.v[3] ^= word;
        self.round();
        self.round();
        self.v[0] ^= word;
    }

    #[inline(always)]
    const fn round(&mut self) {
        let [mut a, mut b, mut c, mut d] = self.v;
        a = a.wrapping_add(b);
        c = c.wrapping_add(d);
        b = b.rotate_left(13) ^ a;
        d = d.rotate_left(16) ^ c;
        a = a.rotate_left(32);
        c = c.wrapping_add(b);
        a = a.wrapping_add(d);
        b = b.rotate_left(17) ^ c;
        d = d.rotate_left(21) ^ a;
        c = c.rotate_left(32);
        self.v = [a, b, c, d];
    }

    /// Appends the lowest `count` bytes of a word, 1 to 8; those above are zero.
    #[inline]
    const fn append(&mut self, word: u64, count: u64) {
        let held = self.len % 8;
        self.len = self.len.wrapping_add(count);
        self.tail |= word << (8 * held);
        if held + count >= 8 {
            let full = self.tail;
            self.absorb(full);
            // What did not fit; nothing where the word began a new one.
            self.tail = if held == 0 {
                0
            } else {
                word >> (8 * (8 - held))
            };
        }
    }
}

impl Hasher for SipHasher {
    #[inline]
    fn finish(&self) -> u64 {
        let mut last = self.clone();
        last.absorb(self.tail | self.len << 56);
        last.v[2] ^= 0xff;
        for _ in 0..4 {
            last.round();
        }
        last.v[0] ^ last.v[1] ^ last.v[2] ^ last.v[3]
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.append(u64::from_le_bytes(*word), 8);
        }
        for byte in rest {
            self.append(u64::from(*byte), 1);
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.append(u64::from(value), 1);
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.append(u64::from(value), 2);
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.append(u64::from(value), 4);
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.append(value, 8);
    }

    #[inline]
    fn write_u128(&mut self, value: u128) {
        self.write(&value.to_le_bytes());
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    #[inline]
    fn write_isize(&mut self, value: isize) {
        self.write_u64((value as i64).cast_unsigned());
    }
}

impl fmt::Debug for SipHasher {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The state would give the key away.
        formatter.debug_struct("SipHasher").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::split_mix;
    use alloc::{format, vec::Vec};

    /// First eight and last of the vectors published with the reference implementation: the key is
    /// 00 01 .. 0f, the message of `n` bytes 00 01 .. n - 1.
    const VECTORS: [(usize, u64); 9] = [
        (0, 0x726f_db47_dd0e_0e31),
        (1, 0x74f8_39c5_93dc_67fd),
        (2, 0x0d6c_8009_d9a9_4f5a),
        (3, 0x8567_6696_d7fb_7e2d),
        (4, 0xcf27_94e0_2771_87b7),
        (5, 0x1876_5564_cd99_a68d),
        (6, 0xcbc9_466e_58fe_e3ce),
        (7, 0xab02_00f5_8b01_d137),
        (15, 0xa129_ca61_49be_45e5),
    ];

    #[test]
    fn published_vectors() {
        let key: [u8; 16] = core::array::from_fn(|i| u8::try_from(i).unwrap());
        let key = SipKey::from_bytes(key);
        let message: Vec<u8> = (0..64).collect();
        for (len, expected) in VECTORS {
            assert_eq!(key.hash_bytes(&message[..len]), expected, "{len} bytes");
        }
    }

    #[test]
    #[allow(
        deprecated,
        reason = "the SipHash-2-4 of the standard library, as the second opinion"
    )]
    fn any_key_and_any_split_as_the_standard_library() {
        for i in 0..300_u64 {
            let key = [split_mix(1, i), split_mix(2, i)];
            let bytes: Vec<u8> = (0..i % 70)
                .map(|j| split_mix(i, j).to_le_bytes()[0])
                .collect();
            let mut theirs = core::hash::SipHasher::new_with_keys(key[0], key[1]);
            theirs.write(&bytes);
            let key = SipKey::new(key);
            assert_eq!(key.hash_bytes(&bytes), theirs.finish());
            for split in 0..=bytes.len() {
                let mut ours = SipHasher::new(&key);
                ours.write(&bytes[..split]);
                ours.write(&bytes[split..]);
                assert_eq!(ours.finish(), theirs.finish(), "{i} {split}");
            }
        }
    }

    #[test]
    fn integers_are_their_bytes_wherever_they_start() {
        let key = SipKey::new([3, 4]);
        for before in 0..8 {
            let mut ours = SipHasher::new(&key);
            let mut bytes: Vec<u8> = (1..=before).collect();
            ours.write(&bytes);
            ours.write_u8(0xfe);
            ours.write_u16(0xfedc);
            ours.write_u32(0xfedc_ba98);
            ours.write_u64(0xfedc_ba98_7654_3210);
            ours.write_u128(7 << 90);
            ours.write_usize(9);
            ours.write_isize(-9);
            bytes.push(0xfe);
            bytes.extend(0xfedc_u16.to_le_bytes());
            bytes.extend(0xfedc_ba98_u32.to_le_bytes());
            bytes.extend(0xfedc_ba98_7654_3210_u64.to_le_bytes());
            bytes.extend((7_u128 << 90).to_le_bytes());
            bytes.extend(9_u64.to_le_bytes());
            bytes.extend((-9_i64).to_le_bytes());
            assert_eq!(ours.finish(), key.hash_bytes(&bytes), "{before}");
        }
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = SipKey::new([0x1234_5678_9abc_def0, 42]);
        let shown = format!("{key:?} {:?}", SipHasher::new(&key));
        assert_eq!(
            shown,
            format!("SipKey(identity {:#018x}) SipHasher {{ .. }}", key.id())
        );
    }
}
