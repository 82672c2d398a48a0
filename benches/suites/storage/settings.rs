//! What the read cache gives and what encryption costs: ours with beside ours without.

use neurectomy_bench::corpus::SplitMix64;
use neurectomy_bench::{BenchError, Row, Suite};
use sigma_vault::{Compression, EncryptionKey, Options, Vault};

use crate::slices::{Outcome, Plan, run as run_slices};
use crate::stores::{Ours, Promise, Store, entry, key, value};

const VALUE_BYTES: usize = 16 << 10;

/// Makes the value of a number.
type Make = fn(u64) -> Vec<u8>;

/// Values of 16 KB by sigma-lang, read by Zipf's law through a cache for half of them. Half random
/// and half zeros they decode about as fast as they are copied; text does not.
pub(crate) fn cache(suite: &mut Suite) -> Result<(), BenchError> {
    cache_of(suite, "16 KB", |number| value(number, VALUE_BYTES))?;
    cache_of(suite, "16 KB of text", text)
}

fn cache_of(suite: &mut Suite, what: &str, make: Make) -> Result<(), BenchError> {
    let keys = suite.size(60, 4000);
    let options = || Options::new().compression(Compression::Fast);
    let with = options().read_cache_bytes(keys * VALUE_BYTES / 2);
    let dir = tempfile::tempdir()?;
    #[cfg_attr(not(feature = "peer-caches"), expect(unused_mut))]
    let mut stores = both(dir.path(), with, options(), keys, make)?;
    #[cfg(feature = "peer-caches")]
    {
        use crate::caches::{Fronted, Moka, Quick};
        let (values, bytes) = (keys / 2, keys * VALUE_BYTES / 2);
        let quick = filled(&dir.path().join("quick"), options(), keys, make)?;
        stores.push(Box::new(Fronted::<Quick>::new(quick, values, bytes)));
        let moka = filled(&dir.path().join("moka"), options(), keys, make)?;
        stores.push(Box::new(Fronted::<Moka>::new(moka, values, bytes)));
    }
    let outcomes = reads(suite, &stores, keys)?;
    let measure = format!("get {what} by Zipf, 2 threads, read cache");
    rows(suite, &measure, "without", &outcomes);
    if let [ours, _without, caches @ ..] = &outcomes[..] {
        for cache in caches {
            let row = Row::new(&measure, "op/s", ours.rate);
            suite.record(row.against(cache.name, cache.rate));
        }
    }
    Ok(())
}

/// Words in random order, each with its own number of occurrences, by Zipf's law.
fn text(number: u64) -> Vec<u8> {
    const WORDS: &str = "the agent reads a context and writes what it has found to the store so that \
        another one may go on from there without asking again for what was known before while most of \
        these words come often some like aardvark compaction durability segment checksum snapshot or \
        recovery do not";
    let words: Vec<&str> = WORDS.split(' ').collect();
    let mut seeded = SplitMix64::new(number);
    let mut text = Vec::with_capacity(VALUE_BYTES + 16);
    while text.len() < VALUE_BYTES {
        text.extend_from_slice(words[seeded.zipf(words.len())].as_bytes());
        text.push(b' ');
    }
    text.truncate(VALUE_BYTES);
    text
}

pub(crate) fn encryption(suite: &mut Suite) -> Result<(), BenchError> {
    let keys = suite.size(60, 4000);
    let options = || Options::new().compression(Compression::Lz4);
    let with = options().encryption(EncryptionKey::raw([7; 32]));
    let dir = tempfile::tempdir()?;
    let make: Make = |number| value(number, VALUE_BYTES);
    let stores = both(dir.path(), with, options(), keys, make)?;
    let outcomes = reads(suite, &stores, keys)?;
    rows(
        suite,
        "get 16 KB by Zipf, 2 threads, encrypted",
        "plain",
        &outcomes,
    );
    let plan = Plan {
        threads: 2,
        rounds: suite.size(1, 5),
        calls: suite.size(5, 1000),
        operations: 1,
    };
    let outcomes = run_slices(&stores, plan, &|store, thread, call| {
        store.put(&[entry((thread * 1_000_000 + call) as u64, VALUE_BYTES)])
    })?;
    rows(
        suite,
        "put 16 KB written, 2 threads, encrypted",
        "plain",
        &outcomes,
    );
    Ok(())
}

/// Two vaults with the same values: the one that is measured, and the one beside it.
fn both(
    dir: &std::path::Path,
    with: Options,
    without: Options,
    keys: usize,
    make: Make,
) -> Result<Vec<Box<dyn Store>>, BenchError> {
    let mut stores: Vec<Box<dyn Store>> = Vec::new();
    for (name, options) in [("with", with), ("without", without)] {
        stores.push(Box::new(filled(&dir.join(name), options, keys, make)?));
    }
    Ok(stores)
}

fn filled(
    dir: &std::path::Path,
    options: Options,
    keys: usize,
    make: Make,
) -> Result<Ours, BenchError> {
    let ours = Ours::of(Vault::open(dir, options)?, Promise::Written);
    for number in 0..keys as u64 {
        ours.put(&[(key(number).to_vec(), make(number))])?;
    }
    Ok(ours)
}

fn reads(
    suite: &Suite,
    stores: &[Box<dyn Store>],
    keys: usize,
) -> Result<Vec<Outcome>, BenchError> {
    let plan = Plan {
        threads: 2,
        rounds: suite.size(1, 5),
        calls: suite.size(10, 5000),
        operations: 1,
    };
    run_slices(stores, plan, &|store, thread, call| {
        let mut seeded = SplitMix64::new((thread * 10_000_000 + call) as u64);
        let chosen = key(seeded.zipf(keys) as u64);
        let mut bytes = 0;
        store.get(&[chosen], &mut |found| {
            bytes = std::hint::black_box(found).map_or(0, <[u8]>::len);
        })?;
        if bytes == VALUE_BYTES {
            Ok(())
        } else {
            Err(format!("a value of {bytes} bytes was found").into())
        }
    })
}

fn rows(suite: &mut Suite, measure: &str, beside: &str, outcomes: &[Outcome]) {
    if let [with, without, ..] = outcomes {
        let row = Row::new(measure, "op/s", with.rate);
        suite.record(row.against(beside, without.rate));
    }
}
