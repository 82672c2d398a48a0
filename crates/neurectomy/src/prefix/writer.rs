//! Writing blocks in the background: a queue bounded by bytes, and the thread behind it.

use super::record;
use super::store::{Shared, locked, vault_key};
use ryot_inference::{BlockKey, KvBlock};
use sigma_lang::{Compressor, Config};
use sigma_vault::{Durability, VaultError};
use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};

/// Blocks that wait for the thread.
#[derive(Debug, Default)]
pub(super) struct Queue {
    state: Mutex<Waiting>,
    /// Something to write, or the end.
    wake: Condvar,
    /// Nothing left to write.
    idle: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    blocks: VecDeque<KvBlock>,
    /// The keys of `blocks` and of the one that is being written.
    keys: HashSet<BlockKey>,
    bytes: usize,
    closing: bool,
}

impl Queue {
    /// Whether a block waits or is being written.
    pub(super) fn holds(&self, key: BlockKey) -> bool {
        locked(&self.state).keys.contains(&key)
    }

    /// Takes a block in; false where it would exceed the bytes. One that waits already is taken.
    pub(super) fn push(&self, block: &KvBlock, bytes_max: usize) -> bool {
        let mut state = locked(&self.state);
        if state.keys.contains(&block.key) {
            return true;
        }
        let bytes = state.bytes.saturating_add(block.state.bytes());
        if state.closing || bytes > bytes_max {
            return false;
        }
        state.bytes = bytes;
        state.keys.insert(block.key);
        state.blocks.push_back(block.clone());
        self.wake.notify_one();
        true
    }

    pub(super) fn bytes(&self) -> usize {
        locked(&self.state).bytes
    }

    /// Waits until everything pushed so far, and meanwhile, is written.
    pub(super) fn wait_until_idle(&self) {
        let mut state = locked(&self.state);
        while !state.keys.is_empty() {
            state = self
                .idle
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the thread end once the queue is empty.
    pub(super) fn close(&self) {
        locked(&self.state).closing = true;
        self.wake.notify_all();
    }

    fn is_closing(&self) -> bool {
        locked(&self.state).closing
    }

    /// The next block; `None` when the queue is closed and empty.
    fn next(&self) -> Option<KvBlock> {
        let mut state = locked(&self.state);
        loop {
            if let Some(block) = state.blocks.pop_front() {
                return Some(block);
            }
            if state.closing {
                return None;
            }
            state = self
                .wake
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, block: &KvBlock) {
        let mut state = locked(&self.state);
        state.keys.remove(&block.key);
        state.bytes = state.bytes.saturating_sub(block.state.bytes());
        if state.keys.is_empty() {
            self.idle.notify_all();
        }
    }
}

/// The thread: learns what the vault holds already, then writes what comes.
pub(super) fn run(shared: &Shared, mut compressor: Compressor) {
    look_through(shared);
    make_room(shared);
    while let Some(block) = shared.queue.next() {
        if let Err(error) = write(shared, &block, &mut compressor) {
            shared.counters.write_errors.add(1);
            tracing::warn!(%error, "prefix block not written");
        }
        shared.queue.done(&block);
    }
    if let Err(error) = shared.vault.sync() {
        shared.counters.write_errors.add(1);
        tracing::warn!(%error, "prefix blocks not synced");
    }
}

/// Settings of the containers in records: no seek table is needed.
pub(super) fn packing() -> Config {
    Config::new()
}

/// Notes the blocks that earlier processes wrote. Reads every record of the vault once.
fn look_through(shared: &Shared) {
    for entry in shared.vault.iter() {
        if shared.queue.is_closing() {
            return;
        }
        // A damaged record cannot say which block it is; asking for it will refuse it.
        let Ok((key, bytes)) = entry else { continue };
        let Ok(head) = record::head(&bytes) else {
            continue;
        };
        if key == vault_key(head.key) {
            locked(&shared.held).found(head.key, head.previous, bytes.len() as u64);
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum WriteError {
    #[error("packing: {0}")]
    Pack(#[from] sigma_lang::SigmaError),
    #[error("storing: {0}")]
    Store(#[from] VaultError),
}

fn write(shared: &Shared, block: &KvBlock, compressor: &mut Compressor) -> Result<(), WriteError> {
    let bytes = record::pack(block, shared.config.form, compressor)?;
    let key = vault_key(block.key);
    match shared.config.ttl {
        Some(ttl) => shared
            .vault
            .put_with_ttl(&key, &bytes, ttl, Durability::Buffered)?,
        None => shared.vault.put(&key, &bytes, Durability::Buffered)?,
    }
    shared.counters.written.add(1);
    shared.counters.written_bytes.add(block.state.bytes());
    shared.counters.packed_bytes.add(bytes.len());
    locked(&shared.held).written(block.key, block.previous, bytes.len() as u64);
    make_room(shared);
    Ok(())
}

/// Takes ends of chains out of the vault until what is held is within the setting.
fn make_room(shared: &Shared) {
    loop {
        let key = {
            let mut held = locked(&shared.held);
            if held.bytes() <= shared.config.vault_bytes_max {
                return;
            }
            let Some(key) = held.first_to_go() else {
                return;
            };
            held.remove(key);
            key
        };
        match shared.vault.delete(&vault_key(key), Durability::Buffered) {
            Ok(_) => shared.counters.evicted.add(1),
            Err(error) => {
                shared.counters.write_errors.add(1);
                tracing::warn!(%error, "prefix block not taken out");
            }
        }
    }
}
