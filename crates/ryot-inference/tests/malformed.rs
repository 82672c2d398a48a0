//! GGUF files that are cut, flipped or absurd: a typed error, no panic, no big allocation.

mod fixture;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::path::Path;

use candle_core::quantized::GgmlDType;
use fixture::{Family, Noise};
use ryot_inference::gguf::GgufHeader;
use ryot_inference::{InferError, LoadOptions, Model};

/// Remembers the largest single allocation of each thread.
struct Watching;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system allocator with the same arguments.
unsafe impl GlobalAlloc for Watching {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = LARGEST.try_with(|l| l.set(l.get().max(layout.size())));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Watching = Watching;

/// Parses a header and checks that no allocation was larger than four times the bytes plus 64 KiB.
fn parse(bytes: &[u8]) -> Result<GgufHeader, InferError> {
    LARGEST.with(|l| l.set(0));
    let result = GgufHeader::read(bytes, bytes.len() as u64);
    let largest = LARGEST.with(Cell::get);
    assert!(
        largest <= 4 * bytes.len() + 65_536,
        "{largest} bytes for {} bytes",
        bytes.len()
    );
    result
}

fn load(path: &Path) -> Result<Model, InferError> {
    Model::load(path, LoadOptions::new())
}

fn message(path: &Path) -> String {
    load(path)
        .map(|m| format!("{m:?}"))
        .unwrap_err()
        .to_string()
}

/// A header byte by byte.
#[derive(Clone, Default)]
struct Raw(Vec<u8>);

impl Raw {
    fn start(tensors: u64, metadata: u64) -> Self {
        Self(b"GGUF".to_vec()).u32(3).u64(tensors).u64(metadata)
    }

    fn u32(mut self, v: u32) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }

    fn u64(mut self, v: u64) -> Self {
        self.0.extend(v.to_le_bytes());
        self
    }

    fn text(self, v: &str) -> Self {
        let mut raw = self.u64(v.len() as u64);
        raw.0.extend(v.as_bytes());
        raw
    }

    fn tensor(self, name: &str, dims: &[u64], kind: u32, offset: u64) -> Self {
        let raw = self.text(name).u32(u32::try_from(dims.len()).unwrap());
        dims.iter()
            .fold(raw, |raw, d| raw.u64(*d))
            .u32(kind)
            .u64(offset)
    }

    fn zeros(mut self, n: usize) -> Self {
        self.0.resize(self.0.len() + n, 0);
        self
    }

    fn error(&self) -> String {
        parse(&self.0).unwrap_err().to_string()
    }
}

#[test]
fn absurd_headers_are_refused_by_name() {
    let huge = u64::MAX;
    let cases: Vec<(Raw, &str)> = vec![
        (Raw(Vec::new()), "magic at byte 0 needs 4 bytes, only 0"),
        (Raw(b"GGML\x03\0\0\0".to_vec()), "magic bytes"),
        (
            Raw(b"GGUF".to_vec()).u32(1),
            "version 1 is not supported, allowed: 2, 3",
        ),
        // big-endian files show a version of 3 << 24
        (Raw(b"GGUF".to_vec()).u32(0x0300_0000), "version 50331648"),
        (Raw::start(huge, 0), "tensor count is 18446744073709551615"),
        (
            Raw::start(0, huge),
            "metadata count is 18446744073709551615",
        ),
        (
            Raw::start(60_000, 0),
            "tensor count at byte 16 needs 1440000 bytes",
        ),
        (
            Raw::start(0, 60_000),
            "metadata count at byte 24 needs 780000 bytes",
        ),
        (
            Raw::start(0, 1).u64(huge).zeros(64),
            "metadata key is 18446744073709551615",
        ),
        (
            Raw::start(0, 1).u64(60_000).zeros(64),
            "metadata key at byte 32 needs 60000",
        ),
        (
            Raw::start(0, 1).text("k").u32(13).zeros(64),
            "metadata `k` has unknown type id 13",
        ),
        (
            Raw::start(0, 1).text("k").u32(8).u64(huge),
            "metadata value is 18446744073709551615",
        ),
        (
            Raw::start(0, 1).text("k").u32(7).u32(2),
            "bool value is 2, allowed: 0, 1",
        ),
        (
            Raw::start(0, 1).text("k").u32(9).u32(4).u64(huge),
            "array length is",
        ),
        (
            Raw::start(0, 1).text("k").u32(9).u32(4).u64(1 << 22),
            "array length at byte",
        ),
        (
            Raw::start(0, 1).text("k").u32(9).u32(8).u64(1000),
            "array length at byte",
        ),
        (
            Raw::start(0, 1).text("k").u32(9).u32(77).u64(1),
            "unknown type id 77",
        ),
        (
            (0..9)
                .fold(Raw::start(0, 1).text("k").u32(9), |r, _| r.u32(9).u64(1))
                .zeros(64),
            "array nesting is 5, allowed: at most 4",
        ),
        (
            Raw::start(0, 2)
                .text("k")
                .u32(0)
                .zeros(1)
                .text("k")
                .u32(0)
                .zeros(1),
            "metadata key `k` appears twice",
        ),
        (Raw::start(0, 1).text("\u{e9}").u32(0).zeros(1), ""),
        (
            Raw::start(1, 0).u64(300).zeros(400),
            "tensor name is 300, allowed: at most 256",
        ),
        (
            Raw::start(1, 0).tensor("t", &[1; 5], 0, 0),
            "dimension count is 5",
        ),
        (
            Raw::start(1, 0).tensor("t", &[0], 0, 0),
            "dimension of tensor `t` is 0",
        ),
        (
            Raw::start(1, 0).tensor("t", &[1 << 30, 1 << 30], 0, 0),
            "numbers in a tensor",
        ),
        (
            Raw::start(1, 0).tensor("t", &[huge, huge], 0, 0),
            "numbers in a tensor",
        ),
        (
            Raw::start(1, 0).tensor("t", &[33], 8, 0),
            "row length of tensor `t` is 33",
        ),
        (
            Raw::start(1, 0).tensor("t", &[32], 4, 0),
            "tensor `t` has unknown type id 4",
        ),
        (
            Raw::start(1, 0).tensor("t", &[32], 16, 0),
            "tensor `t` has type IQ2_XXS",
        ),
        (
            Raw::start(1, 0).tensor("t", &[8], 0, 7),
            "offset of tensor `t` is 7",
        ),
        (
            Raw::start(1, 0).tensor("t", &[8], 0, 32),
            "tensor `t` spans bytes",
        ),
        (
            Raw::start(1, 0).tensor("t", &[8], 0, huge - 31),
            "tensor `t` spans bytes",
        ),
        (
            Raw::start(2, 0)
                .tensor("a", &[16], 0, 0)
                .tensor("b", &[8], 0, 32)
                .zeros(128),
            "tensors `a` and `b` overlap",
        ),
        (
            Raw::start(2, 0)
                .tensor("a", &[8], 0, 0)
                .tensor("a", &[8], 0, 32)
                .zeros(128),
            "tensor `a` appears twice",
        ),
        (
            Raw::start(0, 1).text("general.alignment").u32(4).u32(24),
            "general.alignment is U32(24), allowed: a power of two from 8",
        ),
        (
            Raw::start(0, 1).text("general.alignment").u32(4).u32(0),
            "general.alignment",
        ),
    ];
    for (raw, expected) in cases {
        if expected.is_empty() {
            assert!(parse(&raw.0).is_ok());
            continue;
        }
        let message = raw.error();
        assert!(
            message.contains(expected),
            "expected `{expected}`, got `{message}`"
        );
        assert!(!message.contains('\n'));
    }
    let mut invalid = Raw::start(0, 1).text("kk").u32(0).zeros(1);
    invalid.0[32] = 0xff;
    assert!(
        invalid
            .error()
            .contains("metadata key is not UTF-8 from byte 32")
    );
}

fn small_file() -> (tempfile::TempDir, Vec<u8>, usize) {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture::gguf(folder.path(), Family::Llama, GgmlDType::Q8_0);
    let bytes = std::fs::read(&path).unwrap();
    let header = parse(&bytes).unwrap();
    let data = header.tensors().iter().map(|t| t.start).min().unwrap();
    (folder, bytes, usize::try_from(data).unwrap())
}

#[test]
fn every_truncation_is_an_error() {
    let (folder, bytes, data) = small_file();
    for len in 0..data {
        assert!(parse(&bytes[..len]).is_err(), "cut at {len}");
    }
    let path = folder.path().join("cut.gguf");
    for len in [data, data + 1, bytes.len() / 2, bytes.len() - 40] {
        std::fs::write(&path, &bytes[..len]).unwrap();
        let message = message(&path);
        assert!(message.contains("spans bytes"), "{len}: {message}");
    }
    // a file that is shorter than it says it is
    let lied = GgufHeader::read(&bytes[..500], bytes.len() as u64).unwrap_err();
    assert!(matches!(lied, InferError::Truncated { .. }), "{lied}");
}

#[test]
fn flipped_bits_never_panic_and_never_allocate_much() {
    let (folder, bytes, data) = small_file();
    let mut noise = Noise(3);
    let mut bad = bytes.clone();
    let mut refused = 0u32;
    // every bit of the fixed part and of the first entries, then random ones
    let first = (0..2048).collect::<Vec<usize>>();
    let random = (0..4000).map(|_| noise.below(data * 8));
    for bit in first.into_iter().chain(random) {
        bad[bit / 8] ^= 1 << (bit % 8);
        refused += u32::from(parse(&bad).is_err());
        bad[bit / 8] ^= 1 << (bit % 8);
    }
    assert!(refused > 500, "{refused}");
    assert!(parse(&bad).is_ok());
    // and through the whole loader
    let path = folder.path().join("flipped.gguf");
    let mut loaded = 0u32;
    for _ in 0..60 {
        let mut bad = bytes.clone();
        for _ in 0..2 {
            let bit = noise.below(data * 8);
            bad[bit / 8] ^= 1 << (bit % 8);
        }
        std::fs::write(&path, &bad).unwrap();
        if let Ok(model) = load(&path) {
            loaded += 1;
            let _ = model.forward(&mut model.new_state(), &[1, 2, 3]);
        }
    }
    assert!(loaded < 60, "all 60 flipped files were loaded");
}
