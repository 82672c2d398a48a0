//! Bytes of a [`Kll`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, string::String, vec::Vec};

use super::sketch::{Kll, LEVELS_MAX};
use crate::{
    codec::{Family, Reader, Writer, serde_through_bytes},
    error::SketchError,
    quantiles::ends::{Ends, open_unseeded},
};

impl Kll {
    /// Encodes the sketch: 61 bytes, 4 for each level and 8 for each number kept.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers: usize = self.levels.iter().map(Vec::len).sum();
        let mut writer = Writer::new(Family::Kll, 0, 37 + 4 * self.levels.len() + 8 * numbers);
        writer.u32(self.k);
        writer.u64(self.drawn);
        writer.u64(self.ignored);
        writer.f64(self.min);
        writer.f64(self.max);
        writer.u8(u8::try_from(self.levels.len()).unwrap_or(u8::MAX));
        for numbers in &self.levels {
            // The order inside a level decides nothing.
            let mut sorted = numbers.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            writer.u32(u32::try_from(sorted.len()).unwrap_or(u32::MAX));
            sorted.iter().for_each(|number| writer.f64(*number));
        }
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut reader = open_unseeded(bytes, Family::Kll)?;
        let at = reader.offset();
        let k = reader.u32("k")?;
        let Ok(mut sketch) = Self::new(k) else {
            return Err(reader.bad_field("k", at, format!("{k}"), "8 to 65535"));
        };
        sketch.drawn = reader.u64("drawn")?;
        sketch.ignored = reader.u64("ignored")?;
        let ends = Ends::read(&mut reader)?;
        (sketch.min, sketch.max) = (ends.min, ends.max);
        let at = reader.offset();
        let levels = usize::from(reader.u8("levels")?);
        if !(1..=LEVELS_MAX).contains(&levels) {
            return Err(reader.bad_field("levels", at, format!("{levels}"), "1 to 61"));
        }
        sketch.levels.clear();
        for level in 0..levels {
            let numbers = read_level(&mut reader, &sketch)?;
            let at = reader.offset();
            let weight = (numbers.len() as u64).checked_mul(1 << level);
            let Some(sum) = weight.and_then(|weight| sketch.count.checked_add(weight)) else {
                let (value, allowed) = (format!("{} numbers", numbers.len()), "a sum below 2^64");
                return Err(reader.bad_field("level", at, value, allowed));
            };
            sketch.count = sum;
            sketch.levels.push(numbers);
        }
        let at = reader.offset();
        if levels > 1 && sketch.levels.last().is_some_and(Vec::is_empty) {
            let (value, allowed) = (String::from("empty"), "a number in the last level");
            return Err(reader.bad_field("levels", at, value, allowed));
        }
        ends.check(&reader, sketch.count == 0)?;
        reader.finish()?;
        Ok(sketch)
    }
}

fn read_level(reader: &mut Reader<'_>, sketch: &Kll) -> Result<Vec<f64>, SketchError> {
    let most = usize::try_from(sketch.k).unwrap_or(usize::MAX);
    let len = reader.count("numbers", 0..=most, 8, "at most k")?;
    let mut numbers: Vec<f64> = Vec::with_capacity(len);
    for _ in 0..len {
        let at = reader.offset();
        let number = reader.f64("number")?;
        let inside = number >= sketch.min && number <= sketch.max;
        let ascending = numbers
            .last()
            .is_none_or(|last| last.total_cmp(&number).is_le());
        if !(inside && ascending) {
            let allowed = "ascending between least and greatest";
            return Err(reader.bad_field("number", at, format!("{number}"), allowed));
        }
        numbers.push(number);
    }
    Ok(numbers)
}

serde_through_bytes!(Kll);
