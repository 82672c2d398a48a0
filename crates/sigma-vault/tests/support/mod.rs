//! What the crash and damage tests share: a seeded generator, operations, and the model.
#![allow(
    dead_code,
    unreachable_pub,
    reason = "every test binary uses a part of it"
)]

pub mod forgetful;
pub mod judge;
pub mod restarts;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
#[cfg(feature = "encryption")]
use std::sync::atomic::Ordering;

use sigma_vault::{Batch, Compression, Durability, Options, Vault, VaultError};

/// SplitMix64.
pub struct Rng(pub u64);

impl Rng {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.next().to_le_bytes()[0]).collect()
    }
}

/// Small segments, so that a short history rolls over several of them.
pub fn small() -> Options {
    let options = Options::new()
        .segment_bytes(4096)
        .write_buffer_bytes(700)
        .index_snapshot_bytes_min(3000)
        .check_at_open(true)
        .compression(Compression::None);
    #[cfg(feature = "encryption")]
    if ENCRYPTED.load(Ordering::Relaxed) {
        return options.encryption(sigma_vault::EncryptionKey::raw(
            *b"thirty-two bytes of a secret key",
        ));
    }
    options
}

/// Whether [`small`] and [`fast`] encrypt; set by tests that are about that.
pub static ENCRYPTED: AtomicBool = AtomicBool::new(false);

/// As [`small`], opened from the snapshot of the index.
pub fn fast() -> Options {
    small().check_at_open(false)
}

pub type State = BTreeMap<Vec<u8>, Vec<u8>>;
pub type Effect = (Vec<u8>, Option<Vec<u8>>);

#[derive(Clone, Debug)]
pub enum Op {
    Put(Vec<u8>, Vec<u8>, Durability),
    Delete(Vec<u8>, Durability),
    Write(Vec<Effect>, Durability),
    Sync,
    Compact,
}

const KEYS: u64 = 10;

pub fn key(number: u64) -> Vec<u8> {
    format!("key-{number}").into_bytes()
}

pub fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..KEYS).map(key)
}

fn value(rng: &mut Rng) -> Vec<u8> {
    let len = match rng.below(8) {
        0 => 0,
        1..=5 => rng.below(200),
        6 => rng.below(900),
        _ => rng.below(2500),
    };
    rng.bytes(len)
}

fn durability(rng: &mut Rng) -> Durability {
    match rng.below(6) {
        0 => Durability::Synced,
        1 => Durability::Grouped,
        2 | 3 => Durability::Written,
        _ => Durability::Buffered,
    }
}

pub fn ops(seed: u64, count: usize) -> Vec<Op> {
    let mut rng = Rng(seed);
    (0..count)
        .map(|_| match rng.below(12) {
            0..=6 => {
                let key = key(rng.below(KEYS));
                Op::Put(key, value(&mut rng), durability(&mut rng))
            }
            7..=8 => Op::Delete(key(rng.below(KEYS)), durability(&mut rng)),
            9..=10 => {
                let effects = (0..1 + rng.below(5))
                    .map(|_| {
                        let key = key(rng.below(KEYS));
                        let value = (rng.below(3) > 0).then(|| value(&mut rng));
                        (key, value)
                    })
                    .collect();
                Op::Write(effects, durability(&mut rng))
            }
            _ => Op::Sync,
        })
        .collect()
}

/// As [`ops`], with a compaction now and then.
pub fn ops_compacting(seed: u64, count: usize) -> Vec<Op> {
    let mut rng = Rng(!seed);
    let mut all = Vec::new();
    for op in ops(seed, count) {
        all.push(op);
        if rng.below(10) == 0 {
            all.push(Op::Compact);
        }
    }
    all.push(Op::Compact);
    all
}

/// The same operations with no write left to the process' memory.
pub fn written(ops: Vec<Op>) -> Vec<Op> {
    let through = |durability| match durability {
        Durability::Buffered => Durability::Written,
        other => other,
    };
    let mut ops = ops;
    for op in &mut ops {
        match op {
            Op::Put(_, _, durability) | Op::Delete(_, durability) | Op::Write(_, durability) => {
                *durability = through(*durability);
            }
            Op::Sync | Op::Compact => {}
        }
    }
    ops
}

impl Op {
    pub fn effects(&self) -> Vec<Effect> {
        match self {
            Self::Put(key, value, _) => vec![(key.clone(), Some(value.clone()))],
            Self::Delete(key, _) => vec![(key.clone(), None)],
            Self::Write(effects, _) => effects.clone(),
            Self::Sync | Self::Compact => Vec::new(),
        }
    }

    /// True when success means that this and everything before is durable.
    pub fn durable(&self) -> bool {
        match self {
            Self::Put(_, _, durability)
            | Self::Delete(_, durability)
            | Self::Write(_, durability) => {
                matches!(durability, Durability::Grouped | Durability::Synced)
            }
            Self::Sync => true,
            // It makes durable what it relies on, but promises nothing.
            Self::Compact => false,
        }
    }

    pub fn run(&self, vault: &Vault) -> Result<(), VaultError> {
        match self {
            Self::Put(key, value, durability) => vault.put(key, value, *durability),
            Self::Delete(key, durability) => vault.delete(key, *durability).map(|_| ()),
            Self::Write(effects, durability) => {
                let mut batch = Batch::new();
                for (key, value) in effects {
                    match value {
                        Some(value) => batch.put(key, value),
                        None => batch.delete(key),
                    };
                }
                vault.write(batch, *durability)
            }
            Self::Sync => vault.sync(),
            Self::Compact => vault.compact().map(|_| ()),
        }
    }
}

pub fn apply(state: &mut State, effects: &[Effect]) {
    for (key, value) in effects {
        match value {
            Some(value) => state.insert(key.clone(), value.clone()),
            None => state.remove(key),
        };
    }
}

/// What was asked of a vault and how it answered.
#[derive(Default)]
pub struct History {
    steps: Vec<(Vec<Effect>, bool)>,
    /// This many steps at least must survive.
    durable: usize,
}

impl History {
    pub fn add(&mut self, op: &Op, succeeded: bool) {
        self.steps.push((op.effects(), succeeded));
        if succeeded && op.durable() {
            self.durable = self.steps.len();
        }
    }

    /// The last step also happened to end with everything durable (a clean close).
    pub fn all_durable(&mut self) {
        self.durable = self.steps.len();
    }

    /// Everything up to the last success must survive (a killed process, nothing buffered).
    pub fn written_is_durable(&mut self) {
        let last = self.steps.iter().rposition(|(_, succeeded)| *succeeded);
        self.durable = self.durable.max(last.map_or(0, |last| last + 1));
    }

    /// What was asked for and failed, so that either state of it is right.
    pub fn failed(&self) -> impl Iterator<Item = &Effect> {
        let failed = self.steps.iter().filter(|(_, succeeded)| !succeeded);
        failed.flat_map(|(effects, _)| effects)
    }

    /// The state of everything that succeeded.
    pub fn state(&self) -> State {
        let mut state = State::new();
        for (effects, succeeded) in &self.steps {
            if *succeeded {
                apply(&mut state, effects);
            }
        }
        state
    }

    /// A step that was answered with an error may have happened or not, but only as the last one;
    /// otherwise the state must be that of a prefix of the steps, no shorter than the durable one.
    pub fn explains(&self, found: &State) -> bool {
        let mut state = State::new();
        for (position, (effects, succeeded)) in self.steps.iter().enumerate() {
            if position >= self.durable {
                if state == *found {
                    return true;
                }
                if !succeeded {
                    let mut with = state.clone();
                    apply(&mut with, effects);
                    if with == *found {
                        return true;
                    }
                }
            }
            if *succeeded {
                apply(&mut state, effects);
            }
        }
        state == *found
    }

    /// As [`explains`](Self::explains), for what a vault shows without a crash in between.
    pub fn shows(&self, found: &State) -> bool {
        let state = self.state();
        if state == *found {
            return true;
        }
        self.steps
            .iter()
            .filter(|(_, succeeded)| !succeeded)
            .any(|(effects, _)| {
                let mut with = state.clone();
                apply(&mut with, effects);
                with == *found
            })
    }
}

/// Everything a vault answers, key by key.
pub fn read_all(vault: &Vault) -> Result<State, VaultError> {
    let mut state = State::new();
    for key in keys() {
        if let Some(value) = vault.get(&key)? {
            state.insert(key, value);
        }
    }
    Ok(state)
}
