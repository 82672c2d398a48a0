//! Every decoder gives the same content as the plain twin that follows the format page.

use std::io::Write;

use proptest::prelude::*;
use sigma_lang::{
    Compressor, Config, Encoder, Limits, SigmaError, compress, compress_with_base, reference,
};

mod data;
mod decoders;

use decoders::DECODERS;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn on_any_container(
        content in data::content(20_000),
        frame_bytes in 1024usize..8_000,
        plain in any::<bool>(),
        with_dictionary in any::<bool>(),
        cut in any::<prop::sample::Index>(),
        streamed in any::<bool>(),
    ) {
        let mut config = Config::new().frame_bytes(frame_bytes).plain_frames_only(plain);
        if with_dictionary {
            config = config.dictionary(data::dictionary());
        }
        let packed = if streamed {
            let mut encoder = Encoder::new(Vec::new(), &config).unwrap();
            let (front, back) = content.split_at(cut.index(content.len() + 1));
            encoder.write_all(front).unwrap();
            encoder.flush().unwrap();
            encoder.write_all(back).unwrap();
            encoder.finish().unwrap()
        } else {
            compress(&content, &config).unwrap()
        };
        for (name, decode) in DECODERS {
            let out = decode(&packed, &Limits::default()).unwrap();
            prop_assert!(out == content, "{name}");
            let exact = Limits::default().output_bytes_max(content.len() as u64);
            prop_assert!(decode(&packed, &exact).is_ok(), "{name} at the very limit");
            if !content.is_empty() {
                let short = Limits::default().output_bytes_max(content.len() as u64 - 1);
                let result = decode(&packed, &short);
                let limited = matches!(result, Err(SigmaError::LimitExceeded { .. }));
                prop_assert!(limited, "{name} one byte below: {result:?}");
            }
        }
    }

    #[test]
    fn on_any_record(
        content in data::content(5_000),
        checksum in any::<bool>(),
        with_dictionary in any::<bool>(),
    ) {
        let dictionary = data::dictionary();
        let mut config = Config::new().record_checksum(checksum);
        if with_dictionary {
            config = config.dictionary(dictionary.clone());
        }
        let mut record = Vec::new();
        Compressor::new(&config).unwrap().compress_record_into(&content, &mut record).unwrap();
        let out = reference::decompress_record(&record, &Limits::default(), Some(&dictionary));
        prop_assert!(out.unwrap() == content);
    }

    #[test]
    fn on_any_base(base in data::content(9_000), own in data::content(3_000)) {
        let content = [base.as_slice(), &own].concat();
        let config = Config::new().frame_bytes(4000);
        let packed = compress_with_base(&base, &content, &config).unwrap();
        let (limits, none) = (Limits::default(), decoders::registry());
        let out = reference::decompress(&packed, &limits, &none, Some(&base)).unwrap();
        prop_assert!(out == content);
        for (name, decode) in DECODERS {
            let refused = matches!(decode(&packed, &limits), Err(SigmaError::BaseRequired { .. }));
            prop_assert!(refused, "{name}");
        }
    }
}
