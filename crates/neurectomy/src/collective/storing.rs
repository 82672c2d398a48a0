//! The storage team's work: documents in, documents back, verified.
//!
//! Keys of the vault, all under the document's content id (32 hexadecimal digits):
//!
//! | key | value |
//! |---|---|
//! | `document/ID/content` | the sigma-lang container |
//! | `document/ID/analysis` | [`StoredDocument`] as JSON |
//! | `document/ID/distinct` | the distinct counter's bytes |
//! | `document/ID/signature` | the signature's bytes |
//! | `path/PATH` | the content id that the path had when it was last stored |
//! | `text/ID/SETTINGS` | a continuation as JSON, by model and sampling settings |
//! | `report/latest` | the last synthesis report |
//!
//! The first five are one atomic batch: a document is stored whole or not at all.

use super::desk::Desk;
use super::packing::Packed;
use super::team::Team;
use crate::analysis::{Analysis, TopWord};
use crate::documents::{ContentId, Document};
use crate::error::NeurectomyError;
use serde::{Deserialize, Serialize};
use sigma_vault::{Batch, Durability};
use sketches::{HyperLogLog, Signature};
use std::os::unix::ffi::OsStrExt as _;

/// What the vault keeps about a document beside its content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredDocument {
    /// Path under which it was stored first.
    pub path: String,
    /// Size of the content in bytes.
    pub bytes: u64,
    /// Size of the container in bytes.
    pub packed_bytes: u64,
    /// Words in it.
    pub words: u64,
    /// Its most frequent words.
    pub top: Vec<TopWord>,
}

fn key(id: ContentId, part: &str) -> Vec<u8> {
    format!("document/{id}/{part}").into_bytes()
}

impl Desk {
    /// Whether the vault holds a document with this content; a look at the index.
    pub(crate) fn holds(&self, id: ContentId) -> Result<bool, NeurectomyError> {
        self.vault
            .contains(&key(id, "content"))
            .map_err(self.vault_error("look up a document"))
    }

    /// Writes a document in one atomic batch; when this returns, it survives a power cut.
    pub(crate) fn store(
        &self,
        document: &Document,
        analysis: &Analysis,
        packed: &Packed,
    ) -> Result<(), NeurectomyError> {
        let stored = StoredDocument {
            path: document.path.display().to_string(),
            bytes: document.bytes.len() as u64,
            packed_bytes: packed.bytes.len() as u64,
            words: analysis.words,
            top: analysis.top.clone(),
        };
        let mut batch = Batch::new();
        batch.put(&key(document.id, "content"), &packed.bytes);
        batch.put(&key(document.id, "analysis"), &to_json(&stored));
        batch.put(&key(document.id, "distinct"), &analysis.distinct.to_bytes());
        batch.put(
            &key(document.id, "signature"),
            &analysis.signature.to_bytes(),
        );
        let path = [b"path/", document.path.as_os_str().as_bytes()].concat();
        batch.put(&path, document.id.to_string().as_bytes());
        self.vault
            .write(batch, Durability::Grouped)
            .map_err(self.vault_error("store a document"))?;
        self.traffic.add(Team::Storage, packed.bytes.len(), 0);
        Ok(())
    }

    /// [`Desk::read_back`] of a document that has just been stored, so it must be there.
    pub(crate) fn stored(
        &self,
        document: &Document,
    ) -> Result<(StoredDocument, Analysis), NeurectomyError> {
        self.read_back(document)?
            .ok_or_else(|| NeurectomyError::Mismatch {
                path: document.path.clone(),
                detail: "it is not there".to_owned(),
            })
    }

    /// Reads a document back, unpacks it, and compares it with `document`.
    ///
    /// Returns what the vault keeps about it, or none where the vault does not hold all of it.
    pub(crate) fn read_back(
        &self,
        document: &Document,
    ) -> Result<Option<(StoredDocument, Analysis)>, NeurectomyError> {
        let part = |name| {
            self.vault
                .get(&key(document.id, name))
                .map_err(self.vault_error("read a document back"))
        };
        let (Some(content), Some(stored), Some(distinct), Some(signature)) = (
            part("content")?,
            part("analysis")?,
            part("distinct")?,
            part("signature")?,
        ) else {
            return Ok(None);
        };
        let packed = Packed { bytes: content };
        let bytes = self.unpack(&packed, &document.path)?;
        self.traffic.add(Team::Storage, 0, packed.bytes.len());
        if bytes != document.bytes {
            return Err(NeurectomyError::Mismatch {
                path: document.path.clone(),
                detail: difference(&document.bytes, &bytes),
            });
        }
        let sketch_error = |source: sketches::SketchError| NeurectomyError::Sketch {
            what: format!("{}, as stored", document.path.display()),
            source: source.into(),
        };
        let stored: StoredDocument =
            serde_json::from_slice(&stored).map_err(|source| NeurectomyError::Mismatch {
                path: document.path.clone(),
                detail: format!("its stored analysis is not readable: {source}"),
            })?;
        let analysis = Analysis {
            words: stored.words,
            distinct: HyperLogLog::from_bytes(&distinct).map_err(sketch_error)?,
            top: stored.top.clone(),
            signature: Signature::from_bytes(&signature).map_err(sketch_error)?,
        };
        Ok(Some((stored, analysis)))
    }
}

/// The JSON of our own plain records, which always have one.
pub(super) fn to_json<T: Serialize>(record: &T) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

fn difference(expected: &[u8], found: &[u8]) -> String {
    let offset = expected.iter().zip(found).position(|(a, b)| a != b);
    match offset {
        Some(offset) => format!("first difference at byte {offset}"),
        None => format!("{} bytes instead of {}", found.len(), expected.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_its_place() {
        assert_eq!(difference(b"abc", b"abd"), "first difference at byte 2");
        assert_eq!(difference(b"abc", b"ab"), "2 bytes instead of 3");
    }
}
