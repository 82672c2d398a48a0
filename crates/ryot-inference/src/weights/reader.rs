//! Reading byte ranges of a file and counting what was read.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use candle_core::quantized::GgmlDType;
use xxhash_rust::xxh3::Xxh3;

use super::Totals;
use crate::error::{InferError, Result};
use crate::model::ModelConfig;

/// Alignment that tensor blocks get in memory; the largest any block type asks for is 4.
const ALIGN: usize = 64;

/// An open file that ranges are read from.
#[derive(Debug)]
pub(super) struct RangeReader {
    file: File,
    path: PathBuf,
}

impl RangeReader {
    pub(super) fn open(path: &Path) -> Result<(Self, u64)> {
        let file = File::open(path).map_err(InferError::io("open", path))?;
        let metadata = file.metadata().map_err(InferError::io("stat", path))?;
        Ok((
            Self {
                file,
                path: path.to_path_buf(),
            },
            metadata.len(),
        ))
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Reads `len` bytes from `start`; the caller has checked them against the file's size.
    pub(super) fn read(&mut self, start: u64, len: u64) -> Result<AlignedBytes> {
        let fail = InferError::io("read", &self.path);
        let len =
            usize::try_from(len).map_err(|_| fail(std::io::ErrorKind::FileTooLarge.into()))?;
        let mut storage = vec![0; len.saturating_add(ALIGN)];
        let offset = storage.as_ptr().align_offset(ALIGN).min(ALIGN);
        let target = storage.get_mut(offset..offset + len).unwrap_or_default();
        self.fill(start, target)?;
        Ok(AlignedBytes {
            storage,
            offset,
            len,
        })
    }

    /// Fills `target` from `start` on; the caller has checked both against the file's size.
    fn fill(&mut self, start: u64, target: &mut [u8]) -> Result<()> {
        let fail = || InferError::io("read", &self.path);
        self.file.seek(SeekFrom::Start(start)).map_err(fail())?;
        self.file.read_exact(target).map_err(fail())
    }
}

/// The stored blocks of one tensor, read and counted from the first to the last.
pub(crate) struct BlockReader<'a> {
    kind: GgmlDType,
    reader: &'a mut RangeReader,
    tally: &'a mut Tally,
    /// What is not read yet.
    left: std::ops::Range<u64>,
}

impl<'a> BlockReader<'a> {
    /// `left` is checked against the file's size; the tensor is counted.
    pub(super) fn new(
        kind: GgmlDType,
        reader: &'a mut RangeReader,
        tally: &'a mut Tally,
        left: std::ops::Range<u64>,
    ) -> Self {
        Self {
            kind,
            reader,
            tally,
            left,
        }
    }

    pub(crate) fn kind(&self) -> GgmlDType {
        self.kind
    }

    /// Fills `buffer` with the bytes that follow; the caller asks for no more than there are.
    pub(crate) fn fill(&mut self, buffer: &mut [u8]) -> Result<()> {
        let end = self.left.start.saturating_add(buffer.len() as u64);
        debug_assert!(end <= self.left.end, "bytes of the tensor");
        self.reader.fill(self.left.start, buffer)?;
        self.tally.hash.update(buffer);
        self.left.start = end;
        Ok(())
    }
}

/// Bytes whose first is aligned for every block type.
pub(super) struct AlignedBytes {
    storage: Vec<u8>,
    offset: usize,
    len: usize,
}

impl AlignedBytes {
    pub(super) fn as_slice(&self) -> &[u8] {
        self.storage
            .get(self.offset..self.offset + self.len)
            .unwrap_or_default()
    }
}

/// Adds up what was read, for [`Totals`].
pub(super) struct Tally {
    hash: Xxh3,
    parameters: u64,
    bytes_by_type: Vec<(&'static str, u64)>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            hash: Xxh3::new(),
            parameters: 0,
            bytes_by_type: Vec::new(),
        }
    }

    /// Counts a tensor. Tensors must come in the same order for the same model.
    pub(super) fn add(&mut self, name: &str, kind: &'static str, shape: &[u64], bytes: &[u8]) {
        self.begin(name, kind, shape, bytes.len() as u64);
        self.hash.update(bytes);
    }

    /// Counts a tensor of `len` bytes, which are to be hashed next.
    pub(super) fn begin(&mut self, name: &str, kind: &'static str, shape: &[u64], len: u64) {
        self.hash
            .update(format!("{name} {kind} {shape:?} ").as_bytes());
        self.parameters += shape.iter().product::<u64>();
        match self.bytes_by_type.iter_mut().find(|(k, _)| *k == kind) {
            Some((_, sum)) => *sum += len,
            None => self.bytes_by_type.push((kind, len)),
        }
    }

    pub(super) fn finish(&mut self, config: &ModelConfig) -> Totals {
        self.hash.update(config.canonical().as_bytes());
        let most = self.bytes_by_type.iter().max_by_key(|(_, bytes)| *bytes);
        Totals {
            parameters: self.parameters,
            weight_bytes: self.bytes_by_type.iter().map(|(_, bytes)| bytes).sum(),
            weight_type: most.map_or("none", |(kind, _)| *kind).to_owned(),
            fingerprint: self.hash.digest128(),
        }
    }
}
