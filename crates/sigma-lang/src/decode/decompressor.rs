//! Whole buffers.

use std::sync::Arc;

use super::frame::FrameDecoder;
use super::record;
use super::room::append_filled;
use crate::config::THREADS_MAX;
use crate::dictionary::{Dictionary, DictionaryRegistry};
use crate::error::SigmaError;
use crate::frame::{Header, Layout, Placed, hash128};
use crate::limits::Limits;
use crate::parallel;

/// Decompresses one whole container.
///
/// All sizes are checked against `limits` before the output is allocated.
///
/// ```
/// use sigma_lang::{Config, Limits, SigmaError};
/// let packed = sigma_lang::compress(&[0; 100_000], &Config::new())?;
/// let limits = Limits::default().output_bytes_max(99_999);
/// assert!(matches!(sigma_lang::decompress(&packed, &limits), Err(SigmaError::LimitExceeded { .. })));
/// # Ok::<(), SigmaError>(())
/// ```
///
/// # Errors
/// Any variant but `InvalidConfig`: the bytes are not trusted. `DictionaryMissing` if the container
/// needs a dictionary: use a [`Decompressor`] with a registry.
pub fn decompress(bytes: &[u8], limits: &Limits) -> Result<Vec<u8>, SigmaError> {
    let mut out = Vec::new();
    Decompressor::new(*limits).decompress_into(bytes, &mut out)?;
    Ok(out)
}

/// Decompresses many containers and records with one context. See [`Compressor`](crate::Compressor)
/// for an example.
#[derive(Debug)]
pub struct Decompressor {
    pub(crate) context: Context,
    frames: Vec<FrameDecoder<'static>>,
    scratch: Vec<u8>,
}

/// What a decoder is allowed and what it knows.
#[derive(Debug, Clone)]
pub(crate) struct Context {
    pub(crate) limits: Limits,
    pub(crate) dictionaries: DictionaryRegistry,
    pub(crate) dictionary: Option<Arc<Dictionary>>,
    pub(crate) threads: usize,
}

impl Context {
    /// The dictionary that a container's header names.
    pub(crate) fn dictionary_of(
        &self,
        header: &Header,
    ) -> Result<Option<Arc<Dictionary>>, SigmaError> {
        let Some(hash) = header.dictionary else {
            return Ok(None);
        };
        if let Some(dictionary) = self.dictionary.as_ref().filter(|own| own.hash() == hash) {
            return Ok(Some(Arc::clone(dictionary)));
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the id is the low half of the hash"
        )]
        let id = hash as u64;
        match self
            .dictionaries
            .get(id)
            .filter(|found| found.hash() == hash)
        {
            Some(dictionary) => Ok(Some(dictionary)),
            None => Err(SigmaError::DictionaryMissing { id }),
        }
    }
}

impl Decompressor {
    /// A decompressor with these limits, no dictionaries, one thread.
    pub fn new(limits: Limits) -> Decompressor {
        Decompressor {
            context: Context {
                limits,
                dictionaries: DictionaryRegistry::new(),
                dictionary: None,
                threads: 1,
            },
            frames: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Looks dictionaries up in `dictionaries`.
    pub fn with_dictionaries(mut self, dictionaries: DictionaryRegistry) -> Self {
        self.context.dictionaries = dictionaries;
        self
    }

    /// Uses `dictionary` for records that name none, and for containers that name it.
    pub fn with_dictionary(mut self, dictionary: Arc<Dictionary>) -> Self {
        self.context.dictionary = Some(dictionary);
        self
    }

    /// Decodes frames on at most `threads` threads: the calling one, and others of the current rayon pool.
    /// Default 1, held within 1..=1024.
    pub fn with_threads(mut self, threads: usize) -> Self {
        self.context.threads = threads.clamp(1, THREADS_MAX);
        self
    }

    /// The limits.
    pub fn limits(&self) -> &Limits {
        &self.context.limits
    }

    /// Appends the content of one whole container to `out`. On an error `out` is as before.
    ///
    /// # Errors
    /// As [`decompress`].
    pub fn decompress_into(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), SigmaError> {
        let layout = Layout::parse(bytes, &self.context.limits)?;
        if let Some(expected) = layout.header.base {
            return Err(SigmaError::BaseRequired { expected });
        }
        decompress_layout(&self.context, &mut self.frames, None, &layout, bytes, out)
    }

    /// Appends the content of one record to `out`. On an error `out` is as before.
    ///
    /// The dictionary is the registered one that the record names, or else the one of
    /// [`Decompressor::with_dictionary`].
    ///
    /// # Errors
    /// As [`decompress`], and [`SigmaError::DictionaryRequired`].
    pub fn decompress_record_into(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        self.decompress_record(bytes, None, out)
    }

    /// As [`Decompressor::decompress_record_into`], with the dictionary of this very record. A
    /// record that names another dictionary is refused with [`SigmaError::DictionaryMissing`].
    ///
    /// # Errors
    /// As [`decompress`].
    pub fn decompress_record_with_dictionary(
        &mut self,
        bytes: &[u8],
        dictionary: &Dictionary,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        self.decompress_record(bytes, Some(dictionary), out)
    }

    fn decompress_record(
        &mut self,
        bytes: &[u8],
        dictionary: Option<&Dictionary>,
        out: &mut Vec<u8>,
    ) -> Result<(), SigmaError> {
        let start = out.len();
        let decoder = first_decoder(&mut self.frames, None)?;
        let result = record::decode(
            &self.context,
            decoder,
            &mut self.scratch,
            bytes,
            dictionary,
            out,
        );
        if result.is_err() {
            out.truncate(start);
        }
        result
    }

    /// The context for one frame at a time, made if missing.
    pub(crate) fn frame_decoder(&mut self) -> Result<&mut FrameDecoder<'static>, SigmaError> {
        first_decoder(&mut self.frames, None)
    }
}

fn first_decoder<'d, 'b>(
    decoders: &'d mut Vec<FrameDecoder<'b>>,
    base: Option<&'b [u8]>,
) -> Result<&'d mut FrameDecoder<'b>, SigmaError> {
    if decoders.is_empty() {
        decoders.push(FrameDecoder::new(base)?);
    }
    match decoders.first_mut() {
        Some(decoder) => Ok(decoder),
        None => Err(SigmaError::AllocationFailed {
            what: "a zstd context",
            bytes: 0,
        }),
    }
}

/// Appends the content of a container that was taken apart. `base`, if given, is held to the
/// header's.
pub(crate) fn decompress_layout<'b>(
    context: &Context,
    decoders: &mut Vec<FrameDecoder<'b>>,
    base: Option<&'b [u8]>,
    layout: &Layout,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let base = match (layout.header.base, base) {
        (None, _) => None,
        (Some(expected), None) => return Err(SigmaError::BaseRequired { expected }),
        (Some(expected), Some(base)) => {
            let found = hash128(base);
            if found != expected {
                return Err(SigmaError::BaseMismatch { expected, found });
            }
            Some(base)
        }
    };
    context.limits.check_output(layout.content_bytes)?;
    for Placed { info, .. } in &layout.frames {
        let content_bytes = u64::from(info.content_bytes);
        context
            .limits
            .check_frame(content_bytes, info.window_bytes, info.frame_bytes as u64)?;
    }
    let dictionary = context.dictionary_of(&layout.header)?;
    let refused = |bytes| SigmaError::AllocationFailed {
        what: "content",
        bytes,
    };
    let content_bytes =
        usize::try_from(layout.content_bytes).map_err(|_| refused(layout.content_bytes))?;
    out.try_reserve(content_bytes)
        .map_err(|_| refused(layout.content_bytes))?;
    let start = out.len();
    let dictionary = dictionary.as_deref();
    let result = if context.threads > 1 && layout.frames.len() > 1 {
        append_parallel(
            context.threads,
            decoders,
            base,
            dictionary,
            layout,
            bytes,
            out,
        )
    } else {
        first_decoder(decoders, base).and_then(|decoder| {
            layout.frames.iter().try_for_each(|placed| {
                let frame = frame_of(bytes, placed);
                decoder.append(frame, &placed.info, placed.offset as u64, dictionary, out)
            })
        })
    };
    if result.is_err() {
        out.truncate(start);
    }
    result
}

fn append_parallel<'b>(
    threads: usize,
    decoders: &mut Vec<FrameDecoder<'b>>,
    base: Option<&'b [u8]>,
    dictionary: Option<&Dictionary>,
    layout: &Layout,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), SigmaError> {
    let lengths: Vec<usize> = layout
        .frames
        .iter()
        .map(|placed| placed.info.content_bytes as usize)
        .collect();
    let appended = append_filled(out, &lengths, |rooms| {
        let make = || FrameDecoder::new(base);
        let items = layout.frames.iter().zip(rooms).collect();
        parallel::map(items, threads, decoders, make, |decoder, (placed, room)| {
            let frame = frame_of(bytes, placed);
            decoder.fill(frame, &placed.info, placed.offset as u64, dictionary, room)
        })?;
        Ok(())
    })?;
    appended.ok_or(SigmaError::AllocationFailed {
        what: "content",
        bytes: layout.content_bytes,
    })
}

fn frame_of<'b>(bytes: &'b [u8], placed: &Placed) -> &'b [u8] {
    bytes
        .get(placed.offset..placed.offset + placed.info.frame_bytes)
        .unwrap_or_default()
}
