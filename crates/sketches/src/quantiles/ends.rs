//! The fields that the encodings of the rank sketches share.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::format;

use crate::{
    codec::{Family, Reader},
    error::SketchError,
};

/// Opens an encoding without a hash seed.
pub(super) fn open_unseeded(bytes: &[u8], family: Family) -> Result<Reader<'_>, SketchError> {
    let (reader, seed) = Reader::open(bytes, family)?;
    if seed != 0 {
        return Err(reader.bad_field("seed", 8, format!("{seed}"), "0"));
    }
    Ok(reader)
}

/// Least and greatest number, and where they stand.
pub(super) struct Ends {
    pub(super) min: f64,
    pub(super) max: f64,
    at: usize,
}

impl Ends {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, SketchError> {
        let at = reader.offset();
        let (min, max) = (reader.f64("min")?, reader.f64("max")?);
        Ok(Self { min, max, at })
    }

    /// Refuses ends that are not those of a sketch.
    pub(super) fn check(&self, reader: &Reader<'_>, is_empty: bool) -> Result<(), SketchError> {
        let legal = if is_empty {
            self.min == f64::INFINITY && self.max == f64::NEG_INFINITY
        } else {
            self.min.is_finite() && self.max.is_finite()
        };
        if legal {
            return Ok(());
        }
        let value = format!("{} and {}", self.min, self.max);
        let allowed = "finite; infinity and minus infinity while empty";
        Err(reader.bad_field("min and max", self.at, value, allowed))
    }
}
