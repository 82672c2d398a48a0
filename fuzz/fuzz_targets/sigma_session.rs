//! Any bytes as the records of a session: the decoder and the plain twin agree on every record up to
//! the first that is refused. And any contents as a session: they come back.
#![no_main]

use std::sync::{Arc, OnceLock};

use libfuzzer_sys::fuzz_target;
use sigma_lang::{
    Dictionary, DictionaryRegistry, Limits, SessionConfig, SessionDecoder, SessionEncoder,
    SessionSnapshot, reference,
};

const LIMIT: u64 = 1 << 20;

fn registry() -> &'static DictionaryRegistry {
    static REGISTRY: OnceLock<DictionaryRegistry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let registry = DictionaryRegistry::new();
        registry.insert(dictionary());
        registry
    })
}

fn dictionary() -> Arc<Dictionary> {
    let words = b"{\"role\":\"assistant\",\"content\":\"the agent reads the context\"}".repeat(4);
    Arc::new(Dictionary::from_bytes(&words).expect("plain content is a dictionary"))
}

fn decoder() -> SessionDecoder {
    let limits = Limits::default()
        .output_bytes_max(LIMIT)
        .window_bytes_max(1 << 20);
    SessionDecoder::new(limits).with_dictionaries(registry().clone())
}

fuzz_target!(|input: &[u8]| {
    let Some((&flags, rest)) = input.split_first() else {
        return;
    };
    // Pieces of stated lengths.
    let mut pieces = Vec::new();
    let mut left = rest;
    while let Some((&length, behind)) = left.split_first() {
        let (piece, behind) = behind.split_at(usize::from(length).min(behind.len()));
        pieces.push(piece.to_vec());
        left = behind;
    }
    if flags & 1 == 0 {
        check_decoders(&pieces);
        if let Ok(snapshot) = SessionSnapshot::from_bytes(rest) {
            assert_eq!(snapshot.to_bytes(), rest);
        }
    } else {
        check_round_trip(&pieces, flags);
    }
});

fn check_decoders(records: &[Vec<u8>]) {
    let limits = Limits::default()
        .output_bytes_max(LIMIT)
        .window_bytes_max(1 << 20);
    let (contents, error) = reference::decompress_session(records, &limits, registry());
    let mut decoder = decoder();
    let mut accepted = 0;
    for record in records {
        let mut out = Vec::new();
        if decoder.decode_into(record, &mut out).is_err() {
            assert!(out.is_empty());
            break;
        }
        assert_eq!(Some(&out), contents.get(accepted));
        accepted += 1;
    }
    assert_eq!(accepted, contents.len(), "{error:?}");
}

fn check_round_trip(contents: &[Vec<u8>], flags: u8) {
    let mut config = SessionConfig::new()
        .window_bytes(1 << 17)
        .history_bytes(usize::from(flags) * 4)
        .checksum(flags & 2 != 0);
    if flags & 4 != 0 {
        config = config.dictionary(dictionary());
    }
    let mut encoder = SessionEncoder::new(&config).expect("settings are legal");
    let mut decoder = decoder();
    for content in contents {
        match content.first() {
            Some(0) => encoder.reset(),
            Some(1) => drop(encoder.checkpoint()),
            Some(2) if decoder.records() > 0 => {
                let bytes = encoder.checkpoint().to_bytes();
                let snapshot = SessionSnapshot::from_bytes(&bytes).expect("own bytes");
                decoder = self::decoder().resume(snapshot);
            }
            _ => {}
        }
        let (mut record, mut out) = (Vec::new(), Vec::new());
        encoder.encode_into(content, &mut record).expect("encodes");
        decoder.decode_into(&record, &mut out).expect("decodes");
        assert_eq!(&out, content);
    }
}
