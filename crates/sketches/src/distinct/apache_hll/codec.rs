//! The bytes of Apache DataSketches; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{collections::BTreeSet, format, vec::Vec};

use super::{
    coupon::{VALUE_MAX, pack, slot, value},
    sketch::{ApacheHll, ApacheHllType, LIST_LEN, NAME, Registers, State, inverse_power, is_full},
};
use crate::{
    codec::{Reader, serde_through_bytes},
    error::SketchError,
    memory::zeros,
};

const VERSION: u8 = 1;
const FAMILY: u8 = 7;
/// Lengths of the preambles in words of four bytes.
const LIST_PREAMBLE: u8 = 2;
const SET_PREAMBLE: u8 = 3;
const REGISTERS_PREAMBLE: u8 = 10;
const EMPTY: u8 = 4;
const COMPACT: u8 = 8;
const OUT_OF_ORDER: u8 = 16;
/// Sums and counts of the preamble are out of date; writers set it on the way through a union.
const REBUILD: u8 = 32;
const LIST: u8 = 0;
const SET: u8 = 1;
const REGISTERS: u8 = 2;
/// Base-2 logarithms of the tables that coupons are kept in.
const LIST_TABLE: u8 = 3;
const SET_TABLE_MIN: u8 = 5;
/// Four bits that stand for "see the exceptions".
const EXCEPTION: u8 = 15;

/// What the first eight bytes say.
struct Preamble {
    precision: u8,
    kind: ApacheHllType,
    table: u8,
    flags: u8,
    /// Coupons in a list, least value of registers.
    number: u8,
    mode: u8,
}

impl ApacheHll {
    /// Encodes the sketch in the compact form of the library, which all its languages read.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        match &self.state {
            State::Coupons(coupons) => self.coupon_bytes(coupons),
            State::Registers(registers) => self.register_bytes(registers),
        }
    }

    /// Reads the bytes of a sketch of the library, compact or updatable.
    ///
    /// # Errors
    /// [`SketchError::Truncated`] and [`SketchError::Field`]; the allocation is bounded by the bytes
    /// given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut reader = Reader::plain(NAME, bytes);
        let preamble = read_preamble(&mut reader)?;
        let mut sketch = Self::new(preamble.precision, preamble.kind)?;
        sketch.state = match preamble.mode {
            REGISTERS => State::Registers(read_registers(&mut reader, &preamble)?),
            _ => State::Coupons(read_coupons(&mut reader, &preamble)?),
        };
        if let State::Coupons(coupons) = &sketch.state
            && is_full(sketch.precision, coupons.len())
        {
            sketch.state = State::Registers(sketch.to_registers());
        }
        reader.finish()?;
        Ok(sketch)
    }

    fn coupon_bytes(&self, coupons: &BTreeSet<u32>) -> Vec<u8> {
        let count = u32::try_from(coupons.len()).unwrap_or(u32::MAX);
        let mut bytes = Vec::with_capacity(12 + 4 * coupons.len());
        if coupons.len() < LIST_LEN {
            let [number, ..] = count.to_le_bytes();
            let flags = COMPACT | if count == 0 { EMPTY } else { 0 };
            self.start(&mut bytes, LIST_PREAMBLE, LIST_TABLE, flags, number, LIST);
        } else {
            // The least table that is at most three quarters full.
            let table = (SET_TABLE_MIN..31)
                .find(|table| 4 * u64::from(count) <= 3 << table)
                .unwrap_or(31);
            self.start(&mut bytes, SET_PREAMBLE, table, COMPACT, 0, SET);
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        for coupon in coupons {
            bytes.extend_from_slice(&coupon.to_le_bytes());
        }
        bytes
    }

    fn register_bytes(&self, registers: &Registers) -> Vec<u8> {
        let values = &registers.values;
        let four = self.kind == ApacheHllType::Hll4;
        let least = match four {
            true => values.iter().copied().min().unwrap_or(0),
            false => 0,
        };
        let at_least = values.iter().filter(|value| **value == least).count();
        let exceptions: Vec<(u32, u8)> = (0..)
            .zip(values.iter().copied())
            .filter(|(_, value)| four && value - least >= EXCEPTION)
            .collect();
        let mut flags = if four { COMPACT } else { 0 };
        if registers.history.is_none() {
            flags |= OUT_OF_ORDER;
        }
        let mut bytes = Vec::with_capacity(41 + values.len() + 4 * exceptions.len());
        self.start(&mut bytes, REGISTERS_PREAMBLE, 0, flags, least, REGISTERS);
        let (large, small) = inverse_sums(values);
        for number in [registers.history.unwrap_or(0.0), large, small] {
            bytes.extend_from_slice(&number.to_bits().to_le_bytes());
        }
        for count in [at_least, exceptions.len()] {
            bytes.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
        }
        match self.kind {
            ApacheHllType::Hll4 => {
                let short = |value: &u8| (value - least).min(EXCEPTION);
                for [low, high] in values.as_chunks::<2>().0 {
                    bytes.push(short(low) | short(high) << 4);
                }
            }
            ApacheHllType::Hll6 => {
                for four in values.as_chunks::<4>().0 {
                    let [a, b, c, d] = four.map(u32::from);
                    let [low, middle, high, _] = (a | b << 6 | c << 12 | d << 18).to_le_bytes();
                    bytes.extend_from_slice(&[low, middle, high]);
                }
                bytes.push(0); // read by the library together with the last register
            }
            ApacheHllType::Hll8 => bytes.extend_from_slice(values),
        }
        for (slot, value) in exceptions {
            bytes.extend_from_slice(&pack(slot, value).to_le_bytes());
        }
        bytes
    }

    fn start(&self, bytes: &mut Vec<u8>, words: u8, table: u8, flags: u8, number: u8, mode: u8) {
        let kind = match self.kind {
            ApacheHllType::Hll4 => 0,
            ApacheHllType::Hll6 => 1,
            ApacheHllType::Hll8 => 2,
        };
        let mode = mode | kind << 2;
        let start = [
            words,
            VERSION,
            FAMILY,
            self.precision,
            table,
            flags,
            number,
            mode,
        ];
        bytes.extend_from_slice(&start);
    }
}

fn read_preamble(reader: &mut Reader<'_>) -> Result<Preamble, SketchError> {
    let words = reader.u8("preamble words")?;
    expect(reader, "version", VERSION, "1")?;
    expect(reader, "family", FAMILY, "7")?;
    let at = reader.offset();
    let precision = reader.u8("precision")?;
    if !(ApacheHll::PRECISION_MIN..=ApacheHll::PRECISION_MAX).contains(&precision) {
        return Err(reader.bad_field("precision", at, format!("{precision}"), "4 to 21"));
    }
    let table = reader.u8("table size")?;
    let flags = reader.u8("flags")?;
    let number = reader.u8("coupons or least value")?;
    let at = reader.offset();
    let byte = reader.u8("mode")?;
    let (mode, kind) = (
        byte & 3,
        match byte >> 2 & 3 {
            0 => ApacheHllType::Hll4,
            1 => ApacheHllType::Hll6,
            2 => ApacheHllType::Hll8,
            _ => return Err(reader.bad_field("mode", at, format!("{byte}"), "a type of 0 to 2")),
        },
    );
    let expected = match mode {
        LIST => LIST_PREAMBLE,
        SET => SET_PREAMBLE,
        REGISTERS => REGISTERS_PREAMBLE,
        _ => return Err(reader.bad_field("mode", at, format!("{byte}"), "a mode of 0 to 2")),
    };
    if words != expected {
        let allowed = "2 for a list, 3 for a set, 10 for registers";
        return Err(reader.bad_field("preamble words", 0, format!("{words}"), allowed));
    }
    Ok(Preamble {
        precision,
        kind,
        table,
        flags,
        number,
        mode,
    })
}

fn expect(
    reader: &mut Reader<'_>,
    field: &'static str,
    expected: u8,
    allowed: &'static str,
) -> Result<(), SketchError> {
    let at = reader.offset();
    let found = reader.u8(field)?;
    if found == expected {
        Ok(())
    } else {
        Err(reader.bad_field(field, at, format!("{found}"), allowed))
    }
}

fn read_coupons(
    reader: &mut Reader<'_>,
    preamble: &Preamble,
) -> Result<BTreeSet<u32>, SketchError> {
    // The table is as large as the library lets it grow; more places than that are not justified.
    let table_max = preamble.precision.saturating_sub(3).max(SET_TABLE_MIN);
    let (tables, allowed) = match preamble.mode {
        LIST => (LIST_TABLE..=LIST_TABLE, "3"),
        _ => (SET_TABLE_MIN..=table_max, "5 to precision - 3"),
    };
    if !tables.contains(&preamble.table) {
        return Err(reader.bad_field("table size", 4, format!("{}", preamble.table), allowed));
    }
    let (places, at) = (1_usize << preamble.table, reader.offset());
    let count = match preamble.mode {
        LIST => usize::from(preamble.number),
        _ => reader.count("coupons", 0..=places, 0, "at most 2^(table size)")?,
    };
    if count > places {
        return Err(reader.bad_field("coupons", 6, format!("{count}"), "at most 8"));
    }
    let stored = match preamble.flags & COMPACT {
        0 if count > 0 || reader.remaining() > 0 => places,
        _ => count,
    };
    let mut coupons = BTreeSet::new();
    for _ in 0..stored {
        let at = reader.offset();
        let coupon = reader.u32("coupon")?;
        // An empty place of a table is 0.
        let place_is_empty = coupon == 0 && preamble.flags & COMPACT == 0;
        if !place_is_empty && (value(coupon) == 0 || !coupons.insert(coupon)) {
            let allowed = "a value of 1 to 63, each coupon once";
            return Err(reader.bad_field("coupon", at, format!("{coupon:#010x}"), allowed));
        }
    }
    if coupons.len() != count {
        let allowed = "the number of coupons that follow";
        return Err(reader.bad_field("coupons", at, format!("{count}"), allowed));
    }
    Ok(coupons)
}

fn read_registers(reader: &mut Reader<'_>, preamble: &Preamble) -> Result<Registers, SketchError> {
    let at = reader.offset();
    let history = reader.f64("history")?;
    let sums_at = reader.offset();
    let stored_sum = reader.f64("inverse sum")? + reader.f64("inverse sum")?;
    let counts_at = reader.offset();
    let stored_count = reader.u32("registers at the least value")?;
    let exceptions = reader.u32("exceptions")?;
    let (values, least) = match preamble.kind {
        ApacheHllType::Hll4 => (
            read_four_bits(reader, preamble, exceptions)?,
            preamble.number,
        ),
        kind => {
            if exceptions != 0 {
                let at = counts_at + 4;
                return Err(reader.bad_field("exceptions", at, format!("{exceptions}"), "0"));
            }
            (read_wide(reader, preamble.precision, kind)?, 0)
        }
    };
    // What can be computed from the registers must be what was stored.
    let sum: f64 = values.iter().map(|value| inverse_power(*value)).sum();
    let count = values.iter().filter(|value| **value == least).count();
    if preamble.flags & REBUILD == 0 {
        let off = stored_sum - sum;
        if off.is_nan() || off.abs() > 1e-9 * sum {
            let allowed = "the sum of 2^-value over the registers";
            return Err(reader.bad_field("inverse sum", sums_at, format!("{stored_sum}"), allowed));
        }
        if usize::try_from(stored_count).ok() != Some(count) {
            let allowed = "the number of registers at the least value";
            let value = format!("{stored_count}");
            return Err(reader.bad_field(
                "registers at the least value",
                counts_at,
                value,
                allowed,
            ));
        }
    }
    if preamble.flags & OUT_OF_ORDER != 0 {
        return Ok(Registers::new(values, None));
    }
    if !(history.is_finite() && history >= 0.0) {
        return Err(reader.bad_field("history", at, format!("{history}"), "finite, 0 or more"));
    }
    Ok(Registers::new(values, Some(history)))
}

/// Registers of six or eight bits.
fn read_wide(
    reader: &mut Reader<'_>,
    precision: u8,
    kind: ApacheHllType,
) -> Result<Vec<u8>, SketchError> {
    let at = reader.offset();
    if kind == ApacheHllType::Hll8 {
        let values = reader.raw("registers", 1 << precision)?.to_vec();
        if let Some(value) = values.iter().find(|value| **value > VALUE_MAX) {
            return Err(reader.bad_field("registers", at, format!("{value}"), "values up to 63"));
        }
        return Ok(values);
    }
    let packed = reader.raw("registers", 3 << (precision - 2))?;
    reader.raw("end of registers", 1)?;
    let mut values = Vec::with_capacity(1 << precision);
    for [low, middle, high] in packed.as_chunks::<3>().0 {
        let four = u32::from_le_bytes([*low, *middle, *high, 0]);
        for shift in [0, 6, 12, 18] {
            let [value, ..] = ((four >> shift) & 0x3f).to_le_bytes();
            values.push(value);
        }
    }
    Ok(values)
}

/// Registers of four bits above the least value, and the exceptions.
fn read_four_bits(
    reader: &mut Reader<'_>,
    preamble: &Preamble,
    exceptions: u32,
) -> Result<Vec<u8>, SketchError> {
    let least = preamble.number;
    if least > VALUE_MAX {
        return Err(reader.bad_field("least value", 6, format!("{least}"), "0 to 63"));
    }
    let packed = reader.raw("registers", 1 << (preamble.precision - 1))?;
    let mut values: Vec<u8> = zeros(NAME, 1 << preamble.precision)?;
    let mut open = 0_u32;
    let at = reader.offset();
    for (two, byte) in values.as_chunks_mut::<2>().0.iter_mut().zip(packed) {
        for (place, short) in two.iter_mut().zip([byte & 15, byte >> 4]) {
            // An exception stays above all values until it is found.
            *place = match short {
                EXCEPTION => u8::MAX,
                short => least + short,
            };
            open += u32::from(short == EXCEPTION);
            if *place != u8::MAX && *place > VALUE_MAX {
                let allowed = "values up to 63";
                return Err(reader.bad_field("registers", at, format!("{place}"), allowed));
            }
        }
    }
    let compact = preamble.flags & COMPACT != 0;
    let entries = match exceptions {
        0 if compact => 0,
        // The table is there or not; without exceptions it is empty.
        0 => reader.remaining() / 4,
        count if compact => usize::try_from(count).unwrap_or(usize::MAX),
        _ if preamble.table > preamble.precision => {
            let value = format!("{}", preamble.table);
            return Err(reader.bad_field("table size", 4, value, "at most the precision"));
        }
        _ => 1 << preamble.table,
    };
    for _ in 0..entries {
        let at = reader.offset();
        let entry = reader.u32("exception")?;
        if entry == 0 && !compact {
            continue;
        }
        let mask = (1_u32 << preamble.precision) - 1;
        let place = usize::try_from(slot(entry) & mask).ok();
        match place.and_then(|place| values.get_mut(place)) {
            Some(place) if *place == u8::MAX && value(entry) >= least.saturating_add(EXCEPTION) => {
                *place = value(entry);
                open -= 1;
            }
            _ => {
                let allowed =
                    "each register that names one, once, 15 or more above the least value";
                return Err(reader.bad_field("exception", at, format!("{entry:#010x}"), allowed));
            }
        }
    }
    if open != 0 {
        let allowed = "one for each register that names one";
        return Err(reader.bad_field("exceptions", 36, format!("{exceptions}"), allowed));
    }
    Ok(values)
}

/// Sums of `2^-value` over values below 32, and over the others.
fn inverse_sums(values: &[u8]) -> (f64, f64) {
    let sum = |large: bool| {
        let part = values.iter().filter(|value| (**value < 32) == large);
        part.map(|value| inverse_power(*value)).sum()
    };
    (sum(true), sum(false))
}

serde_through_bytes!(ApacheHll);
