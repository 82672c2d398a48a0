//! Dictionary versions: published, rotated, retired, forgotten.

use std::sync::Arc;

use sigma_lang::{
    Compressor, Config, Decompressor, Dictionary, DictionaryRegistry, DictionarySampler, Limits,
    SigmaError, reference,
};

mod data;

fn record(compressor: &mut Compressor, content: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    compressor.compress_record_into(content, &mut out).unwrap();
    out
}

#[test]
fn records_follow_the_current_version_and_old_ones_decode() {
    let registry = DictionaryRegistry::new();
    let config = Config::new().record_dictionaries(registry.clone());
    let mut compressor = Compressor::new(&config).unwrap();
    let message = data::messages(1, 99).remove(0);
    let without = record(&mut compressor, &message);
    let first = Arc::new(Dictionary::train(&data::messages(2000, 1), 2048).unwrap());
    assert_eq!(registry.publish(first.clone()).unwrap(), 1);
    let old = record(&mut compressor, &message);
    assert_eq!(registry.publish(data::dictionary()).unwrap(), 2);
    let new = record(&mut compressor, &message);
    assert!(old.len() < without.len() && new.len() < without.len());
    assert_eq!((old[0] & 0x70, old[1]), (0x50, 1));
    assert_eq!((new[0] & 0x70, new[1]), (0x50, 2));
    let versions = registry.versions();
    assert_eq!(versions.len(), 2);
    assert!(!versions[0].current && versions[1].current);
    assert_eq!(versions[0].id, first.id());

    let mut decompressor = Decompressor::new(Limits::default()).with_dictionaries(registry.clone());
    for packed in [&without, &old, &new] {
        let mut out = Vec::new();
        decompressor
            .decompress_record_into(packed, &mut out)
            .unwrap();
        assert_eq!(out, message);
    }
    let twin = reference::decompress_record(&old, &Limits::default(), Some(&first));
    assert_eq!(twin.unwrap(), message);

    registry.make_current(1).unwrap();
    assert_eq!(record(&mut compressor, &message), old);
    assert_eq!(registry.forget(1).unwrap().id(), first.id());
    assert_eq!(record(&mut compressor, &message), without);
    let mut out = Vec::new();
    let error = decompressor
        .decompress_record_into(&old, &mut out)
        .unwrap_err();
    assert!(
        matches!(error, SigmaError::DictionaryVersionMissing { version: 1 }),
        "{error}"
    );
    assert!(registry.get(first.id()).is_none());
    // A forgotten number is not given again.
    assert_eq!(registry.publish(first).unwrap(), 3);
}

#[test]
fn a_reader_adopts_versions_and_clashes_are_refused() {
    let reader = DictionaryRegistry::new();
    let other = Arc::new(Dictionary::from_bytes(b"some other content").unwrap());
    reader.adopt(7, data::dictionary()).unwrap();
    reader.adopt(7, data::dictionary()).unwrap();
    assert!(reader.current().is_none());
    for version in [0, 7] {
        let error = reader.adopt(version, other.clone()).unwrap_err();
        assert!(matches!(error, SigmaError::DictionaryVersionTaken { version: v } if v == version));
    }
    assert_eq!(reader.publish(other.clone()).unwrap(), 8);
    assert_eq!(reader.current().unwrap().0, 8);
    reader.remove(other.id());
    assert!(reader.current().is_none() && reader.version(8).is_none());
    assert!(matches!(
        reader.make_current(8),
        Err(SigmaError::DictionaryVersionMissing { version: 8 })
    ));
}

#[test]
fn a_sampled_dictionary_serves_the_records_to_come() {
    let mut sampler = DictionarySampler::new(256 << 10).unwrap();
    for message in data::messages(5000, 21) {
        sampler.observe(&message);
    }
    let registry = DictionaryRegistry::new();
    registry
        .publish(Arc::new(sampler.train(8 << 10).unwrap()))
        .unwrap();
    let mut plain = Compressor::new(&Config::new()).unwrap();
    let mut shared = Compressor::new(&Config::new().record_dictionaries(registry)).unwrap();
    let (mut alone, mut with) = (0, 0);
    for message in data::messages(100, 22) {
        alone += record(&mut plain, &message).len();
        with += record(&mut shared, &message).len();
    }
    assert!(with * 2 < alone, "{with} of {alone}");
}
