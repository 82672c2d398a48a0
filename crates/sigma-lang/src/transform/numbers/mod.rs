//! Tables of numbers, column by column (tag 6).
//!
//! Elements of one width stand in rows of equal length. A float of a column may be a decimal number: the
//! quotient of an integer and a power of ten, which is what parsing its digits gives, or the product with the
//! inverse power. The integers, or the elements themselves, become multiples of a unit above a base, then
//! differences of a chosen order, and the bytes of those become planes, as many as the greatest needs. What is
//! no such number (an empty field, a stray value) is kept beside as a patch.
//!
//! The idea of decimal floats as integers with exceptions: A. Afroozeh, L. Kuffo and P. Boncz, "ALP: Adaptive
//! Lossless floating-Point Compression", 2023; here with division, which is exact for every parsed decimal.

mod column;
mod decimal;
mod decode;
mod encode;

pub(crate) use decimal::find_decimal;
pub(crate) use decode::decode;
pub(crate) use encode::encode;

/// Columns of a table, at most.
pub(crate) const COLUMNS_MAX: usize = 64;
/// Differences of differences, at most.
pub(crate) const ORDER_MAX: u8 = 3;
/// Bytes of a group's elements, at most: what a decoder needs for codes is four times as much.
const GROUP_BYTES_MAX: usize = 1 << 20;
/// Bytes of a code, at most.
const CODE_BYTES_MAX: usize = 8;

/// Shape of a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Numbers {
    /// Bytes of an element: 2, 4 or 8.
    pub(crate) width: usize,
    /// Elements of a row: 1..=[`COLUMNS_MAX`].
    pub(crate) columns: usize,
}

impl Numbers {
    pub(crate) fn row_bytes(self) -> usize {
        self.width * self.columns
    }

    /// Rows of a group, at most; at least one, as the largest row has 512 bytes.
    fn group_rows_max(self) -> usize {
        GROUP_BYTES_MAX / self.row_bytes()
    }
}

/// The integer that stands for an element of `width` little-endian bytes, with its sign.
pub(crate) fn widened(element: &[u8]) -> u64 {
    match *element {
        [a, b] => i64::from(i16::from_le_bytes([a, b])).cast_unsigned(),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])).cast_unsigned(),
        [a, b, c, d, e, f, g, h] => u64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::super::streams::{PayloadReader, StreamDecoder, StreamEncoder};
    use super::*;

    fn round_trip(shape: Numbers, content: &[u8]) -> usize {
        let mut payload = Vec::new();
        let mut streams = StreamEncoder::new(3).unwrap();
        assert!(encode(shape, content, &mut streams, &mut payload).unwrap());
        let mut decoder = StreamDecoder::new().unwrap();
        let mut reader = PayloadReader::new(&payload, 0, content.len(), &mut decoder);
        let mut out = b"before".to_vec();
        decode(&mut reader, content.len(), &mut out).unwrap();
        assert!(out.strip_prefix(b"before") == Some(content), "{shape:?}");
        payload.len()
    }

    fn mixed(n: u64) -> u64 {
        let n = n.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (n ^ n >> 31).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    #[test]
    fn any_bytes_of_any_shape_come_back() {
        for width in [2, 4, 8] {
            for columns in [1, 2, 5, COLUMNS_MAX] {
                for bytes in [width * columns, width * columns + 1, 4_999, 70_001] {
                    let content: Vec<u8> = (0..bytes as u64)
                        .map(|n| mixed(n).to_le_bytes()[4])
                        .collect();
                    round_trip(Numbers { width, columns }, &content);
                }
            }
        }
    }

    #[test]
    fn a_group_of_more_than_a_mebibyte_is_refused() {
        let shape = Numbers {
            width: 2,
            columns: 3,
        };
        let most = shape.group_rows_max();
        for (rows, is_legal) in [(most, true), (most + 1, false)] {
            // zeros: no planes, no patches
            let mut payload = vec![2, 3];
            crate::frame::write_varint(rows as u64, &mut payload);
            for _ in 0..3 {
                payload.extend([0, 1, 0]);
            }
            payload.push(0);
            let content_bytes = rows * shape.row_bytes();
            let mut decoder = StreamDecoder::new().unwrap();
            let mut reader = PayloadReader::new(&payload, 0, content_bytes, &mut decoder);
            let decoded = decode(&mut reader, content_bytes, &mut Vec::new());
            assert_eq!(decoded.is_ok(), is_legal, "{rows} rows: {decoded:?}");
        }
    }

    #[test]
    fn extreme_integers_come_back() {
        let values = [i64::MIN, i64::MAX, 0, -1, 1, i64::MIN + 5, i64::MAX - 5];
        for step in 1..7 {
            let content: Vec<u8> = (0..700usize)
                .flat_map(|n| values[n * step % 7].to_le_bytes())
                .collect();
            for columns in [1, 3, 7] {
                round_trip(Numbers { width: 8, columns }, &content);
            }
        }
    }

    #[expect(clippy::cast_possible_truncation, reason = "rounded on purpose")]
    #[test]
    fn decimals_take_the_bits_of_their_digits() {
        let shape = |width| Numbers { width, columns: 1 };
        let cents = |n: u64| (mixed(n) >> 56) as f64;
        let parsed: Vec<u8> = (0..20_000)
            .flat_map(|n| (cents(n) / 100.0).to_le_bytes())
            .collect();
        assert!(round_trip(shape(8), &parsed) < 20_100);
        let scaled: Vec<u8> = (0..20_000)
            .flat_map(|n| (cents(n) * 0.01).to_le_bytes())
            .collect();
        assert!(round_trip(shape(8), &scaled) < 20_100);
        let single: Vec<u8> = (0..20_000)
            .flat_map(|n| ((cents(n) / 100.0) as f32).to_le_bytes())
            .collect();
        assert!(round_trip(shape(4), &single) < 20_100);
    }

    #[test]
    fn what_is_no_decimal_is_patched() {
        let odd = [
            f64::NAN,
            -0.0,
            f64::INFINITY,
            1.0 / 3.0,
            1e300,
            f64::MIN_POSITIVE,
        ];
        let content: Vec<u8> = (0..20_000u64)
            .flat_map(|n| match n % 60 {
                7 => odd[(n / 60 % 6) as usize].to_le_bytes(),
                _ => ((mixed(n) >> 56) as f64 / 10.0).to_le_bytes(),
            })
            .collect();
        assert!(
            round_trip(
                Numbers {
                    width: 8,
                    columns: 1
                },
                &content
            ) < 25_000
        );
        // All of them at the beginning, and nothing else.
        let content: Vec<u8> = odd.iter().flat_map(|odd| odd.to_le_bytes()).collect();
        round_trip(
            Numbers {
                width: 8,
                columns: 1,
            },
            &content,
        );
    }

    #[test]
    fn a_few_strays_do_not_cost_the_others_digits() {
        let content: Vec<u8> = (0..20_000u64)
            .flat_map(|n| {
                let stray = if n % 163 == 0 { 0.000_000_1 } else { 0.0 };
                ((mixed(n) >> 56) as f64 / 10.0 + stray).to_le_bytes()
            })
            .collect();
        let shape = Numbers {
            width: 8,
            columns: 1,
        };
        assert!(round_trip(shape, &content) < 22_500);
    }

    #[test]
    fn units_and_orders_are_found() {
        let shape = Numbers {
            width: 4,
            columns: 2,
        };
        // Multiples of 1,000 by chance; and a parabola.
        let content: Vec<u8> = (0..20_000u32)
            .flat_map(|n| {
                let hundreds = u32::try_from(mixed(u64::from(n)) >> 57).unwrap() * 1000;
                [hundreds.to_le_bytes(), (n * n / 2).to_le_bytes()]
            })
            .flatten()
            .collect();
        assert!(round_trip(shape, &content) < 19_000);
    }
}
