//! Bytes of a [`DdSketch`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};

use super::{builder::DdSketchBuilder, sketch::DdSketch, store::Store};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
    quantiles::ends::open_unseeded,
};

impl DdSketch {
    /// Encodes the sketch: 94 bytes and one to ten bytes for each bin.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bins = self.positive.counts().len() + self.negative.counts().len();
        let mut writer = Writer::new(Family::DdSketch, 0, 70 + 2 * bins);
        writer.f64(self.relative_error);
        writer.u32(self.bins_max);
        writer.u64(self.zeros);
        writer.u64(self.ignored);
        writer.f64(self.sum);
        writer.f64(self.min);
        writer.f64(self.max);
        for store in [&self.negative, &self.positive] {
            write_store(&mut writer, store);
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut reader = open_unseeded(bytes, Family::DdSketch)?;
        let at = reader.offset();
        let relative_error = reader.f64("relative_error")?;
        let bins_max = reader.u32("bins_max")?;
        let mut sketch = DdSketchBuilder::new()
            .relative_error(relative_error)
            .bins_max(bins_max)
            .build()
            .map_err(|_| {
                let value = format!("{relative_error} and {bins_max}");
                let allowed = "an error of 0.00001 to 0.5 and 16 to 131072 bins";
                reader.bad_field("relative_error and bins_max", at, value, allowed)
            })?;
        sketch.zeros = reader.u64("zeros")?;
        sketch.ignored = reader.u64("ignored")?;
        sketch.sum = reader.f64("sum")?;
        let at = reader.offset();
        sketch.min = reader.f64("min")?;
        sketch.max = reader.f64("max")?;
        sketch.negative = read_store(&mut reader, bins_max)?;
        sketch.positive = read_store(&mut reader, bins_max)?;
        sketch.count = [&sketch.negative, &sketch.positive]
            .into_iter()
            .flat_map(Store::counts)
            .fold(sketch.zeros, |sum, count| sum.saturating_add(*count));
        check_ends(&sketch).map_err(|allowed| {
            let value = format!("{} and {}", sketch.min, sketch.max);
            reader.bad_field("min and max", at, value, allowed)
        })?;
        reader.finish()?;
        Ok(sketch)
    }
}

fn write_store(writer: &mut Writer, store: &Store) {
    writer.u8(u8::from(store.is_folded()));
    writer.i32(if store.counts().is_empty() {
        0
    } else {
        store.first()
    });
    writer.u32(u32::try_from(store.counts().len()).unwrap_or(u32::MAX));
    for count in store.counts() {
        writer.varint(*count);
    }
}

fn read_store(reader: &mut Reader<'_>, bins_max: u32) -> Result<Store, SketchError> {
    let bins_max = usize::try_from(bins_max).unwrap_or(usize::MAX);
    let at = reader.offset();
    let folded = match reader.u8("folded")? {
        0 => false,
        1 => true,
        other => return Err(reader.bad_field("folded", at, format!("{other}"), "0 or 1")),
    };
    let at = reader.offset();
    let first = reader.i32("first bin")?;
    // The bins of the least and the greatest number at the smallest error are inside these.
    if !(-(1 << 27)..=(1 << 27)).contains(&first) {
        return Err(reader.bad_field("first bin", at, format!("{first}"), "within 2^27 of 0"));
    }
    let len = reader.count("bins", 0..=bins_max, 1, "at most bins_max")?;
    let mut counts = Vec::with_capacity(len);
    for _ in 0..len {
        counts.push(reader.varint("bin count")?);
    }
    let whole = match (counts.first(), counts.last()) {
        (Some(first), Some(last)) => *first > 0 && *last > 0,
        _ => first == 0 && !folded,
    };
    if !whole {
        let allowed = "a row that starts and ends with a count, or an empty one at bin 0";
        return Err(reader.bad_field("bins", at, format!("{len} bins at {first}"), allowed));
    }
    Ok(Store::from_parts(first, counts, bins_max, folded))
}

fn check_ends(sketch: &DdSketch) -> Result<(), &'static str> {
    if sketch.count == 0 {
        let clean = sketch.min == f64::INFINITY
            && sketch.max == f64::NEG_INFINITY
            && sketch.sum.to_bits() == 0;
        return if clean {
            Ok(())
        } else {
            Err("infinity and minus infinity while empty, sum 0")
        };
    }
    if !(sketch.min.is_finite() && sketch.max.is_finite() && sketch.min <= sketch.max) {
        return Err("finite, the first not above the second");
    }
    let negative = !sketch.negative.counts().is_empty();
    let positive = !sketch.positive.counts().is_empty();
    if negative != (sketch.min <= -f64::MIN_POSITIVE)
        || positive != (sketch.max >= f64::MIN_POSITIVE)
    {
        return Err("of the signs that have bins");
    }
    Ok(())
}

serde_through_bytes!(DdSketch);
