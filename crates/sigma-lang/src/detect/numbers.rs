//! Rows of numbers: is there a shape worth a trial?

use xxhash_rust::xxh3::xxh3_64;

use crate::simd::{self, Kernel};
use crate::transform::{Numbers, find_decimal, widened};

/// Columns that are looked for.
const COLUMNS_LOOKED: usize = 32;
/// Elements of the look, in each of its places.
const LOOK: usize = 128;
const PLACES: usize = 4;

/// Shapes of rows that promise what planes cannot give: decimal floats, several columns, smooth series.
pub(super) fn candidates(content: &[u8]) -> Vec<Numbers> {
    /// Bits beside those of wider elements that narrower ones must have at most, and that wider ones may have.
    const NARROW_SHARE: f64 = 0.95;
    const WIDE_SHARE: f64 = 1.25;
    let looks = [8, 4, 2].map(|width| Look::new(content, width));
    let looks: Vec<Look> = looks.into_iter().flatten().collect();
    let Some(widest) = looks.first() else {
        return Vec::new();
    };
    let best = looks.iter().fold(widest, |best, look| {
        let narrow = look.bits < NARROW_SHARE * best.bits;
        if narrow { look } else { best }
    });
    let promising = looks.iter().filter(|look| {
        let near = look.width >= best.width && look.bits < WIDE_SHARE * best.bits;
        look.is_decimal || (near && look.gains())
    });
    promising.map(Look::shape).collect()
}

/// A part of the content in one piece, about so long and from its middle, that begins with a row.
pub(super) fn sample(content: &[u8], shape: Numbers, bytes: usize) -> &[u8] {
    let row_bytes = shape.row_bytes();
    let start = content.len().saturating_sub(bytes) / 2 / row_bytes * row_bytes;
    let end = content.len().min(start + bytes.next_multiple_of(row_bytes));
    content.get(start..end).unwrap_or_default()
}

/// Whether long pieces of the content come again, which numbers in columns do not show.
pub(super) fn repeats_far(content: &[u8], shape: Numbers) -> bool {
    const PIECE: usize = 64;
    const SLOTS_BITS: u32 = 14;
    /// One in this many places is looked at, and one in that many of those may come again.
    const EVERY: u64 = 64;
    const SHARE: usize = 16;
    let mut slots = vec![0u64; 1 << SLOTS_BITS];
    let (mut places, mut again) = (0usize, 0usize);
    for (index, key) in content.chunks_exact(shape.width).enumerate() {
        let mixed = widened(key).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        if mixed >> 58 != EVERY - 1 {
            continue;
        }
        let start = index * shape.width;
        let Some(piece) = content.get(start..start + PIECE) else {
            break;
        };
        let hash = xxh3_64(piece);
        if let Some(slot) = slots.get_mut((hash >> (64 - SLOTS_BITS)) as usize) {
            again += usize::from(*slot == hash);
            *slot = hash;
        }
        places += 1;
    }
    again > 2 && again * SHARE >= places
}

/// Elements of one width from some places, and what they look like.
struct Look {
    width: usize,
    /// The decimal numbers of the elements, or the elements.
    numbers: Vec<u64>,
    is_decimal: bool,
    /// Distance at which elements are most alike, and the bits of their differences in each byte, of all
    /// places together.
    columns: usize,
    bits: f64,
}

impl Look {
    /// Nothing for content that is too short to see rows in.
    fn new(content: &[u8], width: usize) -> Option<Look> {
        /// Share of the differences' bits that more columns must leave at most.
        const COLUMNS_SHARE: f64 = 0.93;
        let bytes = LOOK * width;
        if content.len() < 2 * PLACES * bytes {
            return None;
        }
        let mut numbers = Vec::with_capacity(PLACES * LOOK);
        for place in 1..=PLACES {
            let start = (content.len() / (PLACES + 1) * place) & !7;
            let piece = content.get(start..start + bytes)?;
            numbers.extend(piece.chunks_exact(width).map(widened));
        }
        let decimal = find_decimal(&numbers, width);
        let mut look = Look {
            width,
            numbers,
            is_decimal: decimal.is_some(),
            columns: 1,
            bits: 0.0,
        };
        if let Some(kind) = decimal {
            look.numbers = kind.numbers(&look.numbers, width);
        }
        let mut places = look.bits_by_place(1);
        for columns in 2..=COLUMNS_LOOKED {
            // Rows show in every place; what only repeats itself in one does not.
            let bits = look.bits_by_place(columns);
            let fewer = |(own, least): (&f64, &f64)| *own <= COLUMNS_SHARE * least;
            let all: f64 = places.iter().sum();
            if all > 0.0 && bits.iter().zip(&places).all(fewer) {
                (look.columns, places) = (columns, bits);
            }
        }
        look.bits = places.iter().sum();
        Some(look)
    }

    fn shape(&self) -> Numbers {
        Numbers {
            width: self.width,
            columns: self.columns,
        }
    }

    /// Bits in each byte of the difference of an element from the one `columns` before, in each place.
    fn bits_by_place(&self, columns: usize) -> [f64; PLACES] {
        bits_by_place(&self.numbers, self.width, columns)
    }

    /// Whether columns or higher differences promise something.
    fn gains(&self) -> bool {
        /// Share of the differences' bits that differences of differences must leave at most.
        const SECOND_SHARE: f64 = 0.9;
        if self.columns > 1 {
            return true;
        }
        let mut second = self.numbers.clone();
        for piece in second.chunks_mut(LOOK) {
            let mut before = 0u64;
            for number in piece {
                let difference = number.wrapping_sub(before);
                before = *number;
                *number = difference;
            }
        }
        let bits: f64 = bits_by_place(&second, self.width, 1).iter().sum();
        bits < SECOND_SHARE * self.bits
    }
}

/// Bits in each byte of the difference of a number from the one `columns` before, in each place of a look.
#[expect(clippy::cast_precision_loss, reason = "some thousand")]
fn bits_by_place(numbers: &[u64], width: usize, columns: usize) -> [f64; PLACES] {
    let mut bits = [0.0; PLACES];
    for (bits, piece) in bits.iter_mut().zip(numbers.chunks(LOOK)) {
        let end = piece.len().saturating_sub(columns);
        let before = piece.get(..end).unwrap_or_default();
        let own = piece.get(columns..).unwrap_or_default();
        let all = simd::run(DifferenceBits { own, before });
        *bits = f64::from(all) / (own.len().max(1) * width) as f64;
    }
    bits
}

struct DifferenceBits<'a> {
    own: &'a [u64],
    before: &'a [u64],
}

impl Kernel<u32> for DifferenceBits<'_> {
    #[inline(always)]
    fn run(self) -> u32 {
        let pairs = self.own.iter().zip(self.before);
        let bits = |(own, before): (&u64, &u64)| {
            let difference = own.wrapping_sub(*before).cast_signed();
            64 - difference.unsigned_abs().leading_zeros()
        };
        pairs.map(bits).sum()
    }
}
