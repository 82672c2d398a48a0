//! The one error type of the crate.

use crate::log::FORMAT_VERSION;
use std::io;
use std::path::PathBuf;

/// Why a vault could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Another handle, here or in another process, has the directory open.
    #[error("open vault {}: in use by {}", dir.display(), holder_text(*holder))]
    InUse {
        /// The vault's directory.
        dir: PathBuf,
        /// The process that holds it, where it could be read.
        holder: Option<u32>,
    },

    /// A checkpoint is to be made where something is already.
    #[error("checkpoint {}: there is something already", path.display())]
    Exists {
        /// The directory asked for.
        path: PathBuf,
    },

    /// The directory holds a checkpoint that was interrupted; it can be deleted.
    #[error("open vault {}: a checkpoint that was not finished", dir.display())]
    Unfinished {
        /// The directory.
        dir: PathBuf,
    },

    /// The vault is encrypted and no key was given (or the crate is built without the feature
    /// `encryption`).
    #[error("open vault {}: it is encrypted and needs a key", dir.display())]
    KeyNeeded {
        /// The vault's directory.
        dir: PathBuf,
    },

    /// A key was given and the vault was created without one.
    #[error("open vault {}: a key was given and it is not encrypted", dir.display())]
    NotEncrypted {
        /// The vault's directory.
        dir: PathBuf,
    },

    /// The vault was created with another key or passphrase.
    #[error("open vault {}: encrypted under another key", dir.display())]
    WrongKey {
        /// The vault's directory.
        dir: PathBuf,
    },

    /// The key could not be derived from the passphrase.
    #[error("derive the key from the passphrase: {reason}")]
    Derive {
        /// Why, in words.
        reason: String,
    },

    /// The [`AsyncVault`](crate::AsyncVault) was closed before it came to this.
    #[cfg(feature = "async")]
    #[error("not done: the async vault was closed before")]
    Closed,

    /// The medium failed; the operation had no effect that will be visible later, unless the vault
    /// is also poisoned.
    #[error("{operation} {}", file.display())]
    Io {
        /// What was being done.
        operation: &'static str,
        /// The file or directory it was done to.
        file: PathBuf,
        /// The error of the medium.
        source: io::Error,
    },

    /// No space left; the record was taken back, everything acknowledged before stays, and later
    /// writes may succeed when space returns.
    #[error("write {}: no space left for {bytes_wanted} bytes", file.display())]
    OutOfSpace {
        /// The file that could not grow.
        file: PathBuf,
        /// The number of bytes that the operation wanted to write.
        bytes_wanted: u64,
        /// The error of the medium.
        source: io::Error,
    },

    /// Stored bytes are not what was written. The value is lost; no older value is returned in its
    /// place.
    #[error("read {} at byte {offset}: {reason}", file.display())]
    Corrupt {
        /// The damaged file.
        file: PathBuf,
        /// Where the damaged record starts, in bytes.
        offset: u64,
        /// What did not match.
        reason: &'static str,
    },

    /// Records were lost whose keys cannot be told, and the newest known state of this key is
    /// older than they are, so it may be out of date. Returned only under
    /// [`UncertainReads::Refuse`](crate::UncertainReads::Refuse).
    #[error(
        "read: the newest known state of this key is older than lost records in {} at byte {offset}",
        file.display()
    )]
    Uncertain {
        /// The file with the newest unattributed damage.
        file: PathBuf,
        /// Where that damage starts, in bytes.
        offset: u64,
    },

    /// An earlier sync (or another step whose outcome is unknown) failed; this handle accepts no
    /// more writes. Reads go on. Reopen the vault to continue from what the disk holds.
    #[error("write refused: {} failed earlier: {reason}", file.display())]
    Poisoned {
        /// The file or directory concerned.
        file: PathBuf,
        /// The first failure, in words.
        reason: String,
    },

    /// A key exceeds the limit.
    #[error("key of {bytes} bytes: at most {bytes_max} bytes are allowed")]
    KeyTooLong {
        /// The key's length in bytes.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },

    /// A value exceeds the limit.
    #[error("value of {bytes} bytes: at most {bytes_max} bytes are allowed")]
    ValueTooLong {
        /// The value's length in bytes.
        bytes: usize,
        /// The limit in bytes.
        bytes_max: usize,
    },

    /// A batch's records together exceed the limit.
    #[error("batch of {bytes} bytes: at most {bytes_max} bytes are allowed")]
    BatchTooLong {
        /// The encoded length in bytes.
        bytes: u64,
        /// The limit in bytes.
        bytes_max: u64,
    },

    /// The vault has as many segments as it can tell apart; larger ones, or compaction, help.
    #[error("write: at most {segments_max} segments are allowed")]
    TooManySegments {
        /// The limit.
        segments_max: usize,
    },

    /// An option or argument is outside its legal range.
    #[error("{name} is {value}: {allowed}")]
    InvalidArgument {
        /// The option or argument.
        name: &'static str,
        /// The value given.
        value: String,
        /// The legal values.
        allowed: &'static str,
    },

    /// A file was written by a later version of this crate.
    #[error(
        "open {}: {what} {found} is none that format version {FORMAT_VERSION} has", file.display()
    )]
    UnsupportedVersion {
        /// The file.
        file: PathBuf,
        /// Which field is unknown.
        what: &'static str,
        /// Its value.
        found: u32,
    },

    /// A value could not be compressed or decompressed.
    #[error("{operation} value of {bytes} bytes")]
    Codec {
        /// `compress` or `decompress`.
        operation: &'static str,
        /// The length given to the codec, in bytes.
        bytes: usize,
        /// The codec's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A similarity structure refused its input.
    #[error("similarity index: {operation}")]
    Similarity {
        /// What was being done.
        operation: &'static str,
        /// The structure's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

fn holder_text(holder: Option<u32>) -> String {
    match holder {
        Some(pid) => format!("process {pid}"),
        None => "another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_operation_value_and_limit() {
        let error = VaultError::KeyTooLong {
            bytes: 70_000,
            bytes_max: 65_535,
        };
        assert_eq!(
            error.to_string(),
            "key of 70000 bytes: at most 65535 bytes are allowed"
        );
        let error = VaultError::OutOfSpace {
            file: PathBuf::from("v/0000000000000001.seg"),
            bytes_wanted: 4096,
            source: io::ErrorKind::StorageFull.into(),
        };
        assert_eq!(
            error.to_string(),
            "write v/0000000000000001.seg: no space left for 4096 bytes"
        );
        let error = VaultError::InUse {
            dir: PathBuf::from("v"),
            holder: Some(17),
        };
        assert_eq!(error.to_string(), "open vault v: in use by process 17");
    }
}
