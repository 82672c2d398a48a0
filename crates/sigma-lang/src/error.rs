//! The one error type of the crate.

use std::io;

/// What can go wrong while compressing, decompressing, reading or training.
///
/// Offsets count bytes from the start of the container (or record) that was given.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum SigmaError {
    /// A setting is outside its legal range.
    #[error("setting {name} is {value}, allowed is {allowed}")]
    InvalidConfig {
        /// Name of the setting.
        name: &'static str,
        /// Value that was given.
        value: i64,
        /// Legal values, with unit.
        allowed: &'static str,
    },
    /// The bytes do not begin with a sigma-lang header.
    #[error("not a sigma-lang container: magic missing at offset {offset}")]
    NotSigma {
        /// Where the magic was expected.
        offset: u64,
    },
    /// The container was written by a later version of the format.
    #[error("container has format version {version}, supported is {supported}")]
    UnsupportedVersion {
        /// Version found.
        version: u8,
        /// Latest version that this crate reads.
        supported: u8,
    },
    /// The bytes end too early.
    #[error("{what} at offset {offset} needs {needed} bytes, {available} are left")]
    Truncated {
        /// Part of the format that was being read.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// Bytes that it needs.
        needed: u64,
        /// Bytes that are there.
        available: u64,
    },
    /// A field has a value that the format forbids, or a part contradicts another.
    #[error("{what} at offset {offset} is corrupt: {detail}")]
    Corrupt {
        /// Part of the format.
        what: &'static str,
        /// Where it begins.
        offset: u64,
        /// What is wrong with it.
        detail: &'static str,
    },
    /// A stored checksum does not match the bytes that it covers.
    #[error("{what} at offset {offset}: checksum {computed:#x} does not match stored {stored:#x}")]
    ChecksumMismatch {
        /// What the checksum covers.
        what: &'static str,
        /// Where the covered part begins.
        offset: u64,
        /// Checksum in the bytes.
        stored: u64,
        /// Checksum of what was found.
        computed: u64,
    },
    /// A section or record uses a transform that this version does not know.
    #[error("{what} at offset {offset} has unknown tag {tag}")]
    UnknownTag {
        /// Section or record.
        what: &'static str,
        /// Where the tag is.
        offset: u64,
        /// The tag found.
        tag: u8,
    },
    /// A declared or measured size is over a limit of [`Limits`](crate::Limits).
    #[error("{what} is {value} {unit}, limit is {allowed} {unit}")]
    LimitExceeded {
        /// What was counted.
        what: &'static str,
        /// Its value.
        value: u64,
        /// The limit.
        allowed: u64,
        /// Unit of both.
        unit: &'static str,
    },
    /// The dictionary that the bytes name is not registered.
    #[error("dictionary {id:#018x} is not registered")]
    DictionaryMissing {
        /// Id of the dictionary, as [`Dictionary::id`](crate::Dictionary::id) gives it.
        id: u64,
    },
    /// The dictionary version that a record names is not registered.
    #[error("dictionary version {version} is not registered")]
    DictionaryVersionMissing {
        /// The version.
        version: u32,
    },
    /// A dictionary version is that of another dictionary, or not a legal one.
    #[error("dictionary version {version} is taken by another dictionary or is 0")]
    DictionaryVersionTaken {
        /// The version.
        version: u32,
    },
    /// A record was made with a dictionary that it does not name, and none was given.
    #[error("record needs the dictionary that it was made with, and names none")]
    DictionaryRequired,
    /// A record of a session is not the one that comes next: one is missing, or came twice.
    #[error("session record {found} came, record {expected} is next")]
    SessionOutOfStep {
        /// Number of the record that comes next.
        expected: u64,
        /// Number of the record that came; for a record that is no start, the nearest that its low 8
        /// bits allow.
        found: u64,
    },
    /// A record of a session came where only a start can be decoded: at first, after damage, or after
    /// a restore.
    #[error(
        "session record cannot be decoded: a start must come first (record {expected} is next)"
    )]
    SessionStartRequired {
        /// Number of the record that comes next.
        expected: u64,
    },
    /// A start goes on from another history than the decoder has.
    #[error("session record {number} goes on from another history")]
    SessionHistoryMismatch {
        /// Number of the start record.
        number: u64,
    },
    /// The bytes are not a usable dictionary.
    #[error("dictionary of {bytes} bytes is not usable: {detail}")]
    DictionaryInvalid {
        /// Length of the dictionary in bytes.
        bytes: u64,
        /// Why.
        detail: &'static str,
    },
    /// A dictionary could not be trained from the samples.
    #[error("cannot train a dictionary from {samples} samples of {bytes} bytes in all: {detail}")]
    DictionaryTraining {
        /// Number of samples.
        samples: u64,
        /// Their total length in bytes.
        bytes: u64,
        /// Why.
        detail: &'static str,
    },
    /// The container was made against a base, and none was given.
    #[error("container needs base {expected:#034x}")]
    BaseRequired {
        /// Hash of the base.
        expected: u128,
    },
    /// The base that was given is not the one that the container was made against.
    #[error("base has hash {found:#034x}, container needs {expected:#034x}")]
    BaseMismatch {
        /// Hash of the base that the container needs.
        expected: u128,
        /// Hash of the base that was given.
        found: u128,
    },
    /// The similarity index of a [`BaseFinder`](crate::BaseFinder) refused an operation.
    #[error("similarity index cannot {operation}")]
    SimilarityFailed {
        /// The operation.
        operation: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A range is not inside the content.
    #[error("range {start}..{end} is not inside the content of {content_bytes} bytes")]
    RangeOutside {
        /// First byte asked for.
        start: u64,
        /// First byte not asked for.
        end: u64,
        /// Length of the content in bytes.
        content_bytes: u64,
    },
    /// The path of an archive entry is not a plain relative one, or is there already.
    #[error("archive path {path:?} is refused: {detail}")]
    ArchivePathRefused {
        /// The path.
        path: String,
        /// Why.
        detail: &'static str,
    },
    /// An archive has no entry with this number.
    #[error("archive entry {index} does not exist, the archive has {entries} entries")]
    ArchiveEntryMissing {
        /// Number that was asked for, from 0.
        index: usize,
        /// Number of entries.
        entries: usize,
    },
    /// A value that is to be quantised is not a number or infinite.
    #[error("value {index} of the tensor is not finite")]
    TensorNotFinite {
        /// Its place, from 0.
        index: usize,
    },
    /// The bytes of a tensor are not whole elements.
    #[error("tensor of {bytes} bytes is not a whole number of elements of {width} bytes")]
    TensorLength {
        /// Length of the tensor in bytes.
        bytes: usize,
        /// Width of an element in bytes.
        width: usize,
    },
    /// The values of a state are not whole tensors of its shape, or the shape has none.
    #[error(
        "state of {values} values is not whole tensors of {tokens} tokens and {channels} channels (1..=65536)"
    )]
    TensorShape {
        /// Number of values.
        values: usize,
        /// Tokens of a tensor.
        tokens: usize,
        /// Channels of a tensor.
        channels: usize,
    },
    /// Memory for a buffer was refused by the allocator.
    #[error("cannot allocate {bytes} bytes for {what}")]
    AllocationFailed {
        /// What the buffer is for.
        what: &'static str,
        /// Its length in bytes.
        bytes: u64,
    },
    /// The zstd library refused an operation that should not fail.
    #[error("zstd failed to {operation}: {detail}")]
    CodecFailed {
        /// The operation.
        operation: &'static str,
        /// The library's own words.
        detail: &'static str,
    },
    /// The reader or writer underneath failed.
    #[error("cannot {operation}")]
    Io {
        /// The operation.
        operation: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A stream was used again after an error.
    #[error("cannot {operation}: the stream failed before")]
    StreamFailed {
        /// The operation.
        operation: &'static str,
    },
}

impl SigmaError {
    pub(crate) fn codec(operation: &'static str, code: usize) -> Self {
        SigmaError::CodecFailed {
            operation,
            detail: zstd_safe::get_error_name(code),
        }
    }
}

impl From<SigmaError> for io::Error {
    fn from(error: SigmaError) -> Self {
        match error {
            SigmaError::Io { source, .. } => source,
            SigmaError::Truncated { .. } => io::Error::new(io::ErrorKind::UnexpectedEof, error),
            SigmaError::AllocationFailed { .. } => {
                io::Error::new(io::ErrorKind::OutOfMemory, error)
            }
            SigmaError::StreamFailed { .. } => io::Error::other(error),
            _ => io::Error::new(io::ErrorKind::InvalidData, error),
        }
    }
}
