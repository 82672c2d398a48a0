//! Frames that copy the beginning of a base: any growth comes back, by both decoders; anything else in their
//! place is refused.

use proptest::prelude::*;
use sigma_lang::{
    Compressor, Config, DictionaryRegistry, FrameTag, Level, Limits, SigmaError,
    compress_with_base, decompress, decompress_with_base, inspect, reference,
};

mod data;

fn both(base: &[u8], packed: &[u8]) -> Result<Vec<u8>, SigmaError> {
    let limits = Limits::default();
    let twin = reference::decompress(packed, &limits, &DictionaryRegistry::new(), Some(base));
    let fast = decompress_with_base(base, packed, &limits);
    assert_eq!(fast.is_ok(), twin.is_ok(), "{fast:?} {twin:?}");
    if let (Ok(fast), Ok(twin)) = (&fast, twin) {
        assert!(*fast == twin);
    }
    fast
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_growth_comes_back(
        base in data::content(30_000),
        kept in 0.0..=1.0,
        more in data::content(20_000),
        level in 1i32..10,
        frame_bytes in 4_000usize..60_000,
    ) {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let kept = (base.len() as f64 * kept) as usize;
        let content = [&base[..kept], more.as_slice()].concat();
        let config = Config::new().level(Level::Zstd(level)).frame_bytes(frame_bytes);
        let packed = compress_with_base(&base, &content, &config).unwrap();
        prop_assert!(both(&base, &packed).unwrap() == content);
        // A compressor that is kept makes the same bytes, again and again.
        let mut compressor = Compressor::new(&config).unwrap();
        for _ in 0..2 {
            let mut again = Vec::new();
            compressor.compress_with_base_into(&base, &content, &mut again).unwrap();
            prop_assert!(again == packed);
        }
        let plain = config.plain_frames_only(true);
        let packed = compress_with_base(&base, &content, &plain).unwrap();
        prop_assert!(inspect(&packed).unwrap().frames.iter().all(|frame| frame.tag == FrameTag::Plain));
        prop_assert!(both(&base, &packed).unwrap() == content);
    }
}

#[test]
fn a_grown_context_costs_what_was_added() {
    let base = data::noise(200_000, 1);
    let content = [base.as_slice(), &data::noise(100, 2)].concat();
    let packed = compress_with_base(&base, &content, &Config::new()).unwrap();
    assert_eq!(inspect(&packed).unwrap().frames[0].tag, FrameTag::Grown);
    assert!(packed.len() < 180, "{}", packed.len());
    // The same content, and the same without its end.
    for content in [base.as_slice(), &base[..150_000]] {
        let packed = compress_with_base(&base, content, &Config::new()).unwrap();
        assert!(packed.len() < 100, "{}", packed.len());
        assert!(both(&base, &packed).unwrap() == content);
    }
}

/// The container of `content` against `base`, and where its frame's payload begins.
fn made(base: &[u8], content: &[u8]) -> (Vec<u8>, usize) {
    let packed = compress_with_base(base, content, &Config::new()).unwrap();
    let frame = usize::try_from(inspect(&packed).unwrap().frames[0].offset).unwrap();
    assert_eq!(packed[frame + 4], 5);
    let mut payload = frame + 5;
    for _ in 0..2 {
        while packed[payload] & 0x80 != 0 {
            payload += 1;
        }
        payload += 1;
    }
    (packed, payload)
}

#[test]
fn other_bytes_in_its_place_are_refused() {
    let base = data::text(3000);
    let content = [base.as_slice(), &data::messages(3, 8).concat()].concat();
    let (packed, payload) = made(&base, &content);
    assert!(both(&base, &packed).unwrap() == content);
    assert!(matches!(
        decompress(&packed, &Limits::default()),
        Err(SigmaError::BaseRequired { .. })
    ));
    for place in payload..packed.len() {
        for bit in 0..8 {
            let mut damaged = packed.clone();
            damaged[place] ^= 1 << bit;
            if let Ok(out) = both(&base, &damaged) {
                // Some bits of zstd's tables say nothing.
                assert!(out == content, "byte {place}, bit {bit}");
            }
        }
    }
    for end in payload..packed.len() {
        both(&base, &packed[..end]).unwrap_err();
    }
}

#[test]
fn parts_behind_the_end_of_the_base_are_refused_before_anything_is_made() {
    let base = data::text(3000);
    let (packed, payload) = made(&base, &base);
    // Start and length of the copy, each replaced by a varint of ten bytes.
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for (at, bytes) in [(payload, 1), (payload + 1, 2)] {
        let mut hostile = packed.clone();
        hostile.splice(at..at + bytes, huge);
        // Length of the payload: one byte, right in front of it.
        hostile[payload - 1] += u8::try_from(huge.len() - bytes).unwrap();
        let error = both(&base, &hostile).unwrap_err();
        assert!(error.to_string().contains("base"), "{error}");
    }
    // A frame that copies from a base in a container that names none.
    let frame = usize::try_from(inspect(&packed).unwrap().frames[0].offset).unwrap();
    let plain = sigma_lang::compress(b"x", &Config::new()).unwrap();
    let alone = [&plain[..17], &packed[frame..]].concat();
    let error = decompress(&alone, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("names none"), "{error}");
}
