//! What streams and hostile input may cost in memory. One test, because the counter sees every
//! thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::io::{Read, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use sigma_lang::{Config, Decoder, Decompressor, Encoder, Limits, decompress};

mod data;

static NOW: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system allocator unchanged; the counters do not touch the memory.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let now = NOW.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(now, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        NOW.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, which is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Most bytes allocated at one time during `work`, beyond those before it.
fn peak_of(work: impl FnOnce()) -> usize {
    let before = NOW.load(Ordering::Relaxed);
    PEAK.store(before, Ordering::Relaxed);
    work();
    PEAK.load(Ordering::Relaxed) - before
}

#[test]
fn memory_is_bounded() {
    const FRAME: usize = 64 << 10;
    // Tables and samples of the choice of a transform and of the search for tokens, whatever the length of a frame.
    const TRIAL: usize = 448 << 10;
    let piece = data::mixed(100_000, 6);
    let pieces = 160;
    let mut packed = Vec::with_capacity(20 << 20);
    let writing = peak_of(|| {
        let mut encoder = Encoder::new(&mut packed, &Config::new().frame_bytes(FRAME)).unwrap();
        for _ in 0..pieces {
            encoder.write_all(&piece).unwrap();
        }
        encoder.finish().unwrap();
    });
    // Content, compressed frame, seek table; vectors grow by doubling.
    assert!(writing < 6 * FRAME + TRIAL, "encoder: {writing}");

    let mut buffer = vec![0; 5000];
    let mut total = 0;
    let reading = peak_of(|| {
        let mut decoder = Decoder::new(packed.as_slice());
        loop {
            match decoder.read(&mut buffer).unwrap() {
                0 => break,
                bytes => total += bytes,
            }
        }
    });
    assert_eq!(total, pieces * piece.len());
    assert!(reading < 6 * FRAME, "decoder: {reading}");

    // A frame that states 60 MiB and ends after a few bytes, to a stream that cannot know that yet.
    let stored = sigma_lang::compress(&data::noise(100, 1), &Config::new()).unwrap();
    let mut liar = stored[..22].to_vec();
    liar.extend_from_slice(&[0x80, 0x80, 0x80, 0x1E]);
    liar.extend_from_slice(&[0; 100]);
    let lying = peak_of(|| {
        let mut out = Vec::new();
        Decoder::new(liar.as_slice())
            .read_to_end(&mut out)
            .unwrap_err();
        assert!(decompress(&liar, &Limits::default()).is_err());
    });
    assert!(lying < 64 << 10, "declared 60 MiB: {lying}");

    // Over the limit: nothing is allocated for the content.
    let zeros = sigma_lang::compress(&vec![0; 50 << 20], &Config::new()).unwrap();
    let limits = Limits::default().output_bytes_max((50 << 20) - 1);
    let refusing = peak_of(|| {
        let mut out = Vec::new();
        Decompressor::new(limits)
            .decompress_into(&zeros, &mut out)
            .unwrap_err();
    });
    assert!(refusing < 64 << 10, "refused 50 MiB: {refusing}");
}
