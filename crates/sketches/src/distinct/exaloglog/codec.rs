//! Bytes of a [`LogLogSketch`]; the byte map is in `docs/formats/sketches.md`.
#![deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used)]

use alloc::{format, vec::Vec};
use core::marker::PhantomData;

use super::{register::is_register, shape::Shape, sketch::LogLogSketch};
use crate::{
    codec::{Reader, Writer, serde_through_bytes},
    error::SketchError,
};

impl<S: Shape> LogLogSketch<S> {
    /// Encodes the sketch: 25 bytes and its registers.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::new(Self::family(), self.seed, 1 + self.bytes.len());
        writer.u8(self.precision);
        writer.raw(&self.bytes);
        writer.finish()
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// The codec variants of [`SketchError`]; the allocation is bounded by the bytes given.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let (mut reader, seed) = Reader::open(bytes, Self::family())?;
        let at = reader.offset();
        let precision = reader.u8("precision")?;
        if !(Self::PRECISION_MIN..=Self::PRECISION_MAX).contains(&precision) {
            return Err(reader.bad_field("precision", at, format!("{precision}"), "4 to 18"));
        }
        let at = reader.offset();
        let bytes = reader.raw("registers", S::bytes_for(1 << precision))?;
        let bad = (0..1 << precision)
            .map(|register| S::get(bytes, register))
            .find(|register| !is_register::<S>(*register, precision));
        if let Some(register) = bad {
            let allowed = "registers that some stream gives";
            return Err(reader.bad_field("registers", at, format!("{register:#x}"), allowed));
        }
        reader.finish()?;
        Ok(Self {
            seed,
            precision,
            bytes: bytes.to_vec(),
            shape: PhantomData,
        })
    }
}

serde_through_bytes!(LogLogSketch<K>, K: Shape);
