//! Contexts restored from a vault: the same answers as computed ones, or a miss.

use neurectomy::prefix::{PrefixConfig, PrefixForm, VaultPrefixStore};
use ryot_inference::{
    BlockKey, Completion, Engine, EngineConfig, KvBlock, KvShape, KvState, KvValues, Model,
    PrefixStore, Request, Sampling,
};
use sigma_vault::io::{MemoryStorage, Storage};
use sigma_vault::{Durability, ManualClock, Options, UncertainReads, Vault};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

const BLOCK_TOKENS: usize = 16;
const PROMPT: &str =
    "Every agent reads this same long instruction before it starts to work on its task: be brief.";

fn engine(store: Option<Arc<VaultPrefixStore>>) -> Engine {
    let mut config = EngineConfig::new().prefix_block_tokens(BLOCK_TOKENS);
    if let Some(store) = store {
        config = config.prefix_store(store);
    }
    Engine::new(Model::toy(1).unwrap(), config).unwrap()
}

fn answer(engine: &Engine, prompt: &str) -> Completion {
    let request = Request::new(prompt)
        .max_tokens(6)
        .sampling(Sampling::greedy());
    engine.generate(request).unwrap().finish().unwrap()
}

fn store_over(storage: &MemoryStorage, config: PrefixConfig) -> Arc<VaultPrefixStore> {
    let options = Options::new().uncertain_reads(UncertainReads::Serve);
    let vault = Arc::new(Vault::open_with(Arc::new(storage.clone()), options).unwrap());
    Arc::new(VaultPrefixStore::open(vault, config).unwrap())
}

#[test]
fn a_restored_context_continues_as_a_computed_one() {
    let plain = answer(&engine(None), PROMPT);
    let storage = MemoryStorage::new();
    {
        let store = store_over(&storage, PrefixConfig::new());
        let first = answer(&engine(Some(store.clone())), PROMPT);
        assert_eq!(
            (first.metrics.restored_tokens, &first.tokens),
            (0, &plain.tokens)
        );
        store.flush().unwrap();
        let stats = store.stats();
        assert!(
            stats.written > 3 && stats.written == stats.held,
            "{stats:?}"
        );
        assert!(
            (stats.misses, stats.queued_bytes, stats.dropped) == (stats.written, 0, 0),
            "{stats:?}"
        );
        assert!(stats.packed_ratio().unwrap() < 1.1);
    }
    for (memory_bytes, threads) in [(0, 1), (0, 4), (64 << 20, 2)] {
        let config = PrefixConfig::new()
            .memory_bytes_max(memory_bytes)
            .restore_threads(threads);
        let store = store_over(&storage, config);
        let engine = engine(Some(store.clone()));
        let blocks = (plain.metrics.prompt_tokens - 1) / BLOCK_TOKENS;
        for _ in 0..2 {
            let restored = answer(&engine, PROMPT);
            assert_eq!(restored.tokens, plain.tokens);
            assert_eq!(restored.metrics.restored_tokens, blocks * BLOCK_TOKENS);
            assert_eq!(restored.metrics.prefix_errors, 0);
        }
        let (stats, blocks) = (store.stats(), blocks as u64);
        let memory = if memory_bytes == 0 { 0 } else { blocks };
        assert_eq!(
            (stats.memory_hits, stats.vault_hits),
            (memory, 2 * blocks - memory)
        );
        // Another ending of the same beginning shares what is whole of it.
        let other = answer(&engine, &format!("{}#", &PROMPT[..60]));
        assert_eq!(
            other.metrics.restored_tokens,
            60 / BLOCK_TOKENS * BLOCK_TOKENS
        );
    }
}

#[test]
fn int8_takes_less_than_a_third_and_still_restores() {
    lossy_form(PrefixForm::Int8, 0.33);
}

#[test]
fn steps_take_less_than_a_quarter_and_still_restore() {
    lossy_form(PrefixForm::Steps, 0.25);
}

/// The most that it may take of states in f32.
fn lossy_form(form: PrefixForm, ratio_max: f64) {
    let storage = MemoryStorage::new();
    let config = PrefixConfig::new().form(form);
    let store = store_over(&storage, config.clone());
    answer(&engine(Some(store.clone())), PROMPT);
    store.flush().unwrap();
    assert!(
        store.stats().packed_ratio().unwrap() < ratio_max,
        "{:?}",
        store.stats()
    );
    drop(store);
    // A store of the other form reads it.
    for config in [config, PrefixConfig::new()] {
        let restored = answer(&engine(Some(store_over(&storage, config))), PROMPT);
        assert!(restored.metrics.restored_tokens > 0);
    }
}

#[test]
fn a_changed_bit_anywhere_is_a_miss_and_never_another_answer() {
    let plain = answer(&engine(None), PROMPT);
    let storage = MemoryStorage::new();
    let store = store_over(&storage, PrefixConfig::new());
    answer(&engine(Some(store.clone())), PROMPT);
    store.flush().unwrap();
    drop(store);
    let files: Vec<(String, Vec<u8>)> = storage
        .list()
        .unwrap()
        .into_iter()
        .filter(|name| name != "LOCK")
        .map(|name| (name.clone(), storage.contents(&name).unwrap()))
        .collect();
    let (mut missed, mut trials) = (0, 0);
    for (name, bytes) in &files {
        // Every byte of small files, a hundred of large ones, up to where they were written.
        let end = bytes
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        for at in (0..end).step_by((end / 100).max(1)) {
            let copy = MemoryStorage::new();
            for (name, bytes) in &files {
                copy.set_contents(name, bytes.clone());
            }
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            copy.set_contents(name, changed);
            let options = Options::new().uncertain_reads(UncertainReads::Serve);
            // Damage of what names the files may keep the vault shut: an error, not an answer.
            let Ok(vault) = Vault::open_with(Arc::new(copy), options) else {
                continue;
            };
            let config = PrefixConfig::new().memory_bytes_max(0).restore_threads(1);
            let store = Arc::new(VaultPrefixStore::open(Arc::new(vault), config).unwrap());
            let restored = answer(&engine(Some(store)), PROMPT);
            assert_eq!(restored.tokens, plain.tokens, "byte {at} of {name}");
            let blocks = (plain.metrics.prompt_tokens - 1) / BLOCK_TOKENS;
            missed += u32::from(restored.metrics.restored_tokens < blocks * BLOCK_TOKENS);
            trials += 1;
        }
    }
    assert!(trials >= 100 && missed >= 10, "{missed} of {trials}");
}

#[test]
fn a_record_under_the_key_of_another_block_is_refused_and_replaced() {
    let storage = MemoryStorage::new();
    let [one, two] = [1, 2].map(|number| block(number, None));
    let put_first = |at: u8| {
        let vault = Vault::open_with(Arc::new(storage.clone()), Options::new()).unwrap();
        let key = |number: u128| [&b"kv/"[..], &number.to_le_bytes()].concat();
        let record = vault.get(&key(1)).unwrap().unwrap();
        vault
            .put(&key(u128::from(at)), &record, Durability::Synced)
            .unwrap();
    };
    let config = PrefixConfig::new().memory_bytes_max(0);
    let store = store_over(&storage, config.clone());
    store.put(std::slice::from_ref(&one)).unwrap();
    drop(store);
    put_first(2);
    let store = store_over(&storage, config);
    assert!(store.get(&[two.key]).unwrap().is_empty());
    assert_eq!((store.stats().refused, store.stats().misses), (1, 1));
    store.put(std::slice::from_ref(&two)).unwrap();
    store.flush().unwrap();
    assert_eq!(*store.get(&[two.key]).unwrap()[0], *two.state);
}

/// A block of 32 KiB of numbers that do not compress well.
fn block(number: u32, previous: Option<BlockKey>) -> KvBlock {
    let shape = KvShape {
        layers: 1,
        kv_heads: 1,
        head_dim: 256,
    };
    let mut state = u64::from(number);
    let values = (0..16 * 512).map(|_| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / 1e6
    });
    let tokens = vec![number; BLOCK_TOKENS];
    let state = KvState::from_parts(5, 0, tokens, shape, KvValues::F32(values.collect())).unwrap();
    let mut block = KvBlock::new(BlockKey(u128::from(number)), Arc::new(state));
    block.previous = previous;
    block
}

fn chain(first: u32, count: u32) -> Vec<KvBlock> {
    let blocks = (first..first + count).map(|number| {
        block(
            number,
            (number > first).then(|| BlockKey(u128::from(number - 1))),
        )
    });
    blocks.collect()
}

/// How many leading blocks of a chain are there; none may be there behind one that is not.
fn whole_run(store: &VaultPrefixStore, chain: &[KvBlock]) -> usize {
    let there: Vec<bool> = chain
        .iter()
        .map(|block| !store.get(&[block.key]).unwrap().is_empty())
        .collect();
    let run = there.iter().take_while(|there| **there).count();
    assert!(there[run..].iter().all(|there| !there), "{there:?}");
    run
}

#[test]
fn the_bytes_are_kept_to_by_taking_out_the_ends_of_unused_chains() {
    let storage = MemoryStorage::new();
    let config = PrefixConfig::new()
        .memory_bytes_max(0)
        .vault_bytes_max(1 << 20);
    let (a, b, c) = (chain(100, 15), chain(200, 15), chain(300, 15));
    let keys = |chain: &[KvBlock]| chain.iter().map(|block| block.key).collect::<Vec<_>>();
    {
        let store = store_over(&storage, config.clone());
        for chain in [&a, &b] {
            store.put(chain).unwrap();
            store.flush().unwrap();
        }
        assert_eq!(store.get(&keys(&a)).unwrap().len(), 15);
        store.put(&c).unwrap();
        store.flush().unwrap();
        let stats = store.stats();
        assert!(
            stats.evicted > 0 && stats.held_bytes <= 1 << 20,
            "{stats:?}"
        );
        // The one that was used since lost nothing.
        assert_eq!(whole_run(&store, &a), 15);
        assert_eq!(whole_run(&store, &c), 15);
        assert!(whole_run(&store, &b) < 15);
    }
    // Another process goes on with what is there.
    let store = store_over(&storage, config);
    store.put(&chain(400, 20)).unwrap();
    store.flush().unwrap();
    assert!(store.stats().held_bytes <= 1 << 20);
    for chain in [&a, &b, &c, &chain(400, 20)] {
        whole_run(&store, chain);
    }
}

#[test]
fn what_the_queue_cannot_take_is_counted_and_leaves_no_hole() {
    let storage = MemoryStorage::new();
    let config = PrefixConfig::new()
        .memory_bytes_max(0)
        .queue_bytes_max(1 << 20);
    let store = store_over(&storage, config);
    let blocks = chain(1, 200);
    store.put(&blocks).unwrap();
    let dropped = store.stats().dropped;
    assert!(dropped > 0 && store.stats().queued_bytes <= 1 << 20);
    // Behind a dropped block nothing is taken.
    store.put(&blocks[199..]).unwrap();
    assert_eq!(store.stats().dropped, dropped + 1);
    store.flush().unwrap();
    assert_eq!(whole_run(&store, &blocks) as u64, 200 - dropped);
}

#[test]
fn blocks_are_forgotten_after_their_time() {
    let clock = ManualClock::new(1_700_000_000_000);
    let options = Options::new().clock(Arc::new(clock.clone()));
    let vault = Vault::open_with(Arc::new(MemoryStorage::new()), options).unwrap();
    let config = PrefixConfig::new()
        .memory_bytes_max(0)
        .ttl(Duration::from_secs(60));
    let store = VaultPrefixStore::open(Arc::new(vault), config).unwrap();
    let one = block(1, None);
    store.put(std::slice::from_ref(&one)).unwrap();
    store.flush().unwrap();
    assert_eq!(store.get(&[one.key]).unwrap().len(), 1);
    clock.advance(Duration::from_secs(62));
    assert_eq!(store.get(&[one.key]).unwrap().len(), 0);
    store.put(std::slice::from_ref(&one)).unwrap();
    store.flush().unwrap();
    assert_eq!(
        (store.get(&[one.key]).unwrap().len(), store.stats().held),
        (1, 1)
    );
}

const CHILD_FOLDER: &str = "NEURECTOMY_PREFIX_CHILD";

fn prompt(number: usize) -> String {
    format!(
        "{PROMPT} Agent {number}, {}",
        "think again. ".repeat(number % 7)
    )
}

/// Not a test of its own: what the test below starts and kills.
#[test]
#[ignore = "runs until it is killed; the test of kills starts it"]
fn child_that_is_killed() {
    let Ok(folder) = std::env::var(CHILD_FOLDER) else {
        return;
    };
    let engine = engine(Some(store_in(Path::new(&folder))));
    for number in (0..).cycle() {
        answer(&engine, &prompt(number % 50));
    }
}

fn store_in(folder: &Path) -> Arc<VaultPrefixStore> {
    let options = Options::new().uncertain_reads(UncertainReads::Serve);
    let vault = Arc::new(Vault::open(folder, options).unwrap());
    let config = PrefixConfig::new()
        .memory_bytes_max(0)
        .vault_bytes_max(1 << 20);
    Arc::new(VaultPrefixStore::open(vault, config).unwrap())
}

/// Kills: 12, or as many as `NEURECTOMY_KILLS` says.
#[test]
fn killed_at_any_moment_the_store_answers_correctly_or_misses() {
    let kills = std::env::var("NEURECTOMY_KILLS").map_or(12, |kills| kills.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let plain: Vec<_> = (0..50)
        .map(|number| answer(&engine(None), &prompt(number)).tokens)
        .collect();
    let mut restored_tokens = 0;
    for kill in 0..kills {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "child_that_is_killed",
                "--ignored",
                "--nocapture",
            ])
            .env(CHILD_FOLDER, folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(20 + kill * 37 % 180));
        assert!(
            child.try_wait().unwrap().is_none(),
            "the child ended by itself"
        );
        child.kill().unwrap();
        child.wait().unwrap();
        let engine = engine(Some(store_in(folder.path())));
        for number in (0..3).map(|n| (usize::try_from(kill).unwrap() * 3 + n) % 50) {
            let found = answer(&engine, &prompt(number));
            assert_eq!(
                found.tokens, plain[number],
                "prompt {number} after kill {kill}"
            );
            restored_tokens += found.metrics.restored_tokens;
        }
    }
    assert!(restored_tokens > 0);
}

#[test]
fn a_collective_restores_what_an_earlier_one_read() {
    let folder = tempfile::tempdir().unwrap();
    let config = neurectomy::CollectiveConfig::new(folder.path().join("vault"))
        .workers(2)
        .prompt_tokens_max(200)
        .prefix(PrefixConfig::new());
    let documents = ["first", "second"].map(|ending| {
        let bytes = format!("{PROMPT} {PROMPT} {ending}").into_bytes();
        let id = neurectomy::ContentId::of(&bytes);
        let path = ending.into();
        Arc::new(neurectomy::Document { path, id, bytes })
    });
    let mut hits = Vec::new();
    for document in &documents {
        let collective = neurectomy::Collective::open(config.clone()).unwrap();
        collective.generate(document).unwrap().wait().unwrap();
        hits.push(collective.prefix_statistics().unwrap().vault_hits);
        collective.close().unwrap();
    }
    assert_eq!(hits[0], 0);
    assert!(hits[1] > 0, "{hits:?}");
}
