//! All ways to decode a container, for tables that hold them to the same answer.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::io::{self, Cursor, Read};

use sigma_lang::{
    Decoder, Decompressor, DictionaryRegistry, Limits, Reader, SigmaError, reference,
};

pub(crate) type Decode = fn(&[u8], &Limits) -> Result<Vec<u8>, SigmaError>;

/// Every decoder of containers, the plain twin first.
pub(crate) const DECODERS: [(&str, Decode); 6] = [
    ("reference", by_reference),
    ("decompress", |bytes, limits| whole(bytes, limits, 1)),
    ("decompress on 3 threads", |bytes, limits| {
        whole(bytes, limits, 3)
    }),
    ("stream", |bytes, limits| stream(bytes, limits, usize::MAX)),
    ("stream of single bytes", |bytes, limits| {
        stream(bytes, limits, 1)
    }),
    ("range", by_range),
];

/// The dictionaries that every decoder knows.
pub(crate) fn registry() -> DictionaryRegistry {
    let registry = DictionaryRegistry::new();
    registry.insert(crate::data::dictionary());
    registry
}

fn decompressor(limits: &Limits) -> Decompressor {
    Decompressor::new(*limits).with_dictionaries(registry())
}

fn by_reference(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, SigmaError> {
    reference::decompress(bytes, limits, &registry(), None)
}

fn whole(bytes: &[u8], limits: &Limits, threads: usize) -> Result<Vec<u8>, SigmaError> {
    let mut out = Vec::new();
    let mut decompressor = decompressor(limits).with_threads(threads);
    decompressor
        .decompress_into(bytes, &mut out)
        .inspect_err(|_| assert!(out.is_empty()))?;
    Ok(out)
}

fn stream(bytes: &[u8], limits: &Limits, step: usize) -> Result<Vec<u8>, SigmaError> {
    let steps = Steps { rest: bytes, step };
    let mut decoder = Decoder::with_decompressor(steps, decompressor(limits));
    let mut out = Vec::new();
    decoder.read_to_end(&mut out).map_err(typed)?;
    // A stream leaves what follows the container to the caller.
    match decoder.into_inner().rest {
        [] => Ok(out),
        _ => Err(SigmaError::Corrupt {
            what: "test",
            offset: 0,
            detail: "bytes follow the end",
        }),
    }
}

fn by_range(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, SigmaError> {
    let mut reader = Reader::open_with(Cursor::new(bytes), decompressor(limits))?;
    let content_bytes = reader.content_bytes();
    reader.read_range(0..content_bytes)
}

/// The error inside an I/O error.
pub(crate) fn typed(error: io::Error) -> SigmaError {
    let inner = error
        .into_inner()
        .expect("an error of a decoder has a cause");
    *inner
        .downcast::<SigmaError>()
        .expect("the cause is a sigma-lang error")
}

/// A reader that gives at most `step` bytes at a time.
pub(crate) struct Steps<'a> {
    pub(crate) rest: &'a [u8],
    pub(crate) step: usize,
}

impl Read for Steps<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let bytes = self.step.min(out.len()).min(self.rest.len());
        let (head, rest) = self.rest.split_at(bytes);
        out[..bytes].copy_from_slice(head);
        self.rest = rest;
        Ok(bytes)
    }
}
