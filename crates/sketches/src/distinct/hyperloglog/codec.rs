//! Bytes of a [`HyperLogLog`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::{
    coupon::{is_coupon, rank_max},
    coupon_set::CouponSet,
    sketch::{HyperLogLog, State, cells_max, coupons_max},
};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
};

const SPARSE: u8 = 0;
const DENSE: u8 = 1;

impl HyperLogLog {
    /// Encodes the sketch: 30 bytes and one to five bytes for each key while sparse, 26 bytes and
    /// six bits for each register after.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let body_bytes = match &self.state {
            State::Sparse(coupons) => 6 + 4 * coupons.len(),
            State::Dense(registers) => 2 + registers.len() / 4 * 3,
        };
        let mut writer = Writer::new(Family::HyperLogLog, self.seed, body_bytes);
        writer.u8(self.precision);
        match &self.state {
            State::Sparse(coupons) => {
                writer.u8(SPARSE);
                writer.u32(u32::try_from(coupons.len()).unwrap_or(u32::MAX));
                let mut last = 0;
                for coupon in coupons.sorted() {
                    writer.varint(u64::from(coupon - last));
                    last = coupon;
                }
            }
            State::Dense(registers) => {
                writer.u8(DENSE);
                for four in registers.as_chunks::<4>().0 {
                    let [a, b, c, d] = four.map(u32::from);
                    let packed = a | (b << 6) | (c << 12) | (d << 18);
                    let [low, middle, high, _] = packed.to_le_bytes();
                    writer.raw(&[low, middle, high]);
                }
            }
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Family::HyperLogLog)?;
        let at = reader.offset();
        let precision = reader.u8("precision")?;
        if !(Self::PRECISION_MIN..=Self::PRECISION_MAX).contains(&precision) {
            return Err(reader.bad_field("precision", at, format!("{precision}"), "4 to 18"));
        }
        let at = reader.offset();
        let state = match reader.u8("state")? {
            SPARSE => State::Sparse(read_coupons(&mut reader, precision)?),
            DENSE => State::Dense(read_registers(&mut reader, precision)?),
            other => return Err(reader.bad_field("state", at, format!("{other}"), "0 or 1")),
        };
        reader.finish()?;
        Ok(Self {
            seed,
            precision,
            state,
        })
    }
}

fn read_coupons(reader: &mut Reader<'_>, precision: u8) -> Result<CouponSet, SketchError> {
    let allowed = "at most three quarters of 2^(precision - 3) or of 16";
    let len = reader.count("coupons", 0..=coupons_max(precision), 1, allowed)?;
    let mut coupons = CouponSet::default();
    let mut last = 0_u64;
    for _ in 0..len {
        let at = reader.offset();
        let step = reader.varint("coupon")?;
        let next = last.saturating_add(step);
        match u32::try_from(next) {
            Ok(coupon) if step > 0 && is_coupon(coupon) => {
                coupons.insert(coupon, cells_max(precision))
            }
            _ => {
                let allowed = "above the one before, below 2^32, with a rank of 1 to 39";
                return Err(reader.bad_field("coupon", at, format!("{next}"), allowed));
            }
        }
        last = next;
    }
    Ok(coupons)
}

fn read_registers(reader: &mut Reader<'_>, precision: u8) -> Result<Vec<u8>, SketchError> {
    let at = reader.offset();
    let packed = reader.raw("registers", 3 << (precision - 2))?;
    let mut registers = Vec::with_capacity(1 << precision);
    for three in packed.as_chunks::<3>().0 {
        let [low, middle, high] = *three;
        let four = u32::from_le_bytes([low, middle, high, 0]);
        for shift in [0, 6, 12, 18] {
            let [rank, ..] = ((four >> shift) & 0x3f).to_le_bytes();
            registers.push(rank);
        }
    }
    if let Some(rank) = registers.iter().find(|rank| **rank > rank_max(precision)) {
        let allowed = "ranks up to 65 - precision";
        return Err(reader.bad_field("registers", at, format!("{rank}"), allowed));
    }
    Ok(registers)
}

serde_through_bytes!(HyperLogLog);
