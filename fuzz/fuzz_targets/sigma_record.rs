//! Any bytes as a record, with and without a dictionary: an error or what the plain twin gives.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use sigma_lang::{Decompressor, Dictionary, Limits, reference};

const LIMIT: u64 = 1 << 20;

fn dictionary() -> &'static Dictionary {
    static DICTIONARY: OnceLock<Dictionary> = OnceLock::new();
    let words = b"{\"role\":\"assistant\",\"content\":\"the agent reads the context\"}".repeat(4);
    DICTIONARY
        .get_or_init(|| Dictionary::from_bytes(&words).expect("plain content is a dictionary"))
}

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits::default().output_bytes_max(LIMIT);
    let mut decompressor = Decompressor::new(limits);
    for dictionary in [None, Some(dictionary())] {
        let twin = reference::decompress_record(bytes, &limits, dictionary);
        let mut out = Vec::new();
        let result = match dictionary {
            None => decompressor.decompress_record_into(bytes, &mut out),
            Some(own) => decompressor.decompress_record_with_dictionary(bytes, own, &mut out),
        };
        assert_eq!(result.is_ok(), twin.is_ok(), "{result:?} {twin:?}");
        assert_eq!(out, twin.unwrap_or_default());
    }
});
