//! The compression team's work.

use super::desk::Desk;
use super::team::Team;
use crate::documents::Document;
use crate::error::NeurectomyError;
use sigma_lang::SigmaError;
use std::path::Path;

/// A packed document: a sigma-lang container of its bytes.
#[derive(Debug, Clone)]
pub struct Packed {
    /// The container.
    pub bytes: Vec<u8>,
}

impl Desk {
    pub(crate) fn pack(&self, document: &Document) -> Result<Packed, NeurectomyError> {
        let mut bytes = Vec::new();
        self.with_compressor(|compressor| compressor.compress_into(&document.bytes, &mut bytes))
            .map_err(codec_error("pack", &document.path))?;
        self.traffic
            .add(Team::Compression, document.bytes.len(), bytes.len());
        Ok(Packed { bytes })
    }

    pub(crate) fn unpack(&self, packed: &Packed, path: &Path) -> Result<Vec<u8>, NeurectomyError> {
        let mut bytes = Vec::new();
        self.with_decompressor(|decompressor| {
            decompressor.decompress_into(&packed.bytes, &mut bytes)
        })
        .map_err(codec_error("unpack", path))?;
        Ok(bytes)
    }
}

fn codec_error(operation: &'static str, path: &Path) -> impl FnOnce(SigmaError) -> NeurectomyError {
    move |source| NeurectomyError::Codec {
        operation,
        path: path.to_owned(),
        source: source.into(),
    }
}
