//! One document: bytes and the id that follows from them.

use crate::error::NeurectomyError;
use std::fmt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// Id of a document's content: XXH3-128 of its bytes, so equal contents share one stored copy.
///
/// The hash is not meant against an adversary; whoever stores a document compares the stored bytes
/// with the original, so two contents with one id are an error and never a mix-up.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContentId(u128);

impl ContentId {
    /// The id of `bytes`. Cost: one pass.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(xxh3_128(bytes))
    }

    /// The id as a little-endian number's bytes, for use in keys.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_le_bytes()
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({self})")
    }
}

/// A document in memory.
#[derive(Debug, Clone)]
pub struct Document {
    /// Where it came from, as the user named it.
    pub path: PathBuf,
    /// The file's bytes, unchanged.
    pub bytes: Vec<u8>,
    /// Id of `bytes`.
    pub id: ContentId,
}

impl Document {
    /// Reads a document whole.
    ///
    /// # Errors
    /// [`NeurectomyError::Input`] where the file cannot be read or holds more than `bytes_max`.
    pub fn read(path: &Path, bytes_max: u64) -> Result<Self, NeurectomyError> {
        use std::io::Read as _;
        let failed =
            |error: std::io::Error| NeurectomyError::input(path, error, "a readable text file");
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut bytes = Vec::new();
        // One byte more than allowed tells a file that grew past the limit since it was found.
        file.take(bytes_max.saturating_add(1))
            .read_to_end(&mut bytes)
            .map_err(failed)?;
        if bytes.len() as u64 > bytes_max {
            let found = format!("more than {bytes_max} bytes");
            return Err(NeurectomyError::input(
                path,
                found,
                "a file within the size limit",
            ));
        }
        Ok(Self {
            id: ContentId::of(&bytes),
            path: path.to_owned(),
            bytes,
        })
    }

    /// The text, with bytes that are not UTF-8 replaced.
    #[must_use]
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_contents_share_an_id() {
        assert_eq!(ContentId::of(b"a"), ContentId::of(b"a"));
        assert_ne!(ContentId::of(b"a"), ContentId::of(b"b"));
        assert_eq!(ContentId::of(b"").to_string().len(), 32);
    }

    #[test]
    fn a_missing_or_large_file_is_named_with_what_was_expected() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Document::read(&dir.path().join("no.txt"), 10)
            .unwrap_err()
            .to_string();
        assert!(
            missing.contains("no.txt") && missing.contains("expected"),
            "{missing}"
        );
        let large = dir.path().join("large.txt");
        std::fs::write(&large, "eleven byte").unwrap();
        assert_eq!(Document::read(&large, 11).unwrap().bytes.len(), 11);
        let message = Document::read(&large, 10).unwrap_err().to_string();
        assert!(message.contains("more than 10 bytes"), "{message}");
    }
}
