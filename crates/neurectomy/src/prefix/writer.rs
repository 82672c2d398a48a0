//! Writing blocks in the background: a queue bounded by bytes, and the thread behind it.

use super::record;
use super::store::{Shared, locked, vault_key};
use ryot_inference::{BlockKey, KvBlock};
use sigma_lang::{Compressor, Config};
use sigma_vault::{Durability, VaultError};
use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

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

/// What a look at the queue gave.
enum Next {
    Block(KvBlock),
    /// Nothing came in time.
    Nothing,
    /// The queue is closed and empty.
    End,
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

    /// The next block; waits for one, `pause` at most where it is set.
    fn next(&self, pause: Option<Duration>) -> Next {
        let mut state = locked(&self.state);
        loop {
            if let Some(block) = state.blocks.pop_front() {
                return Next::Block(block);
            }
            if state.closing {
                return Next::End;
            }
            let Some(pause) = pause else {
                state = self
                    .wake
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let (woken, result) = self
                .wake
                .wait_timeout(state, pause)
                .unwrap_or_else(PoisonError::into_inner);
            if result.timed_out() {
                return Next::Nothing;
            }
            state = woken;
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

/// The thread: writes what comes, and learns meanwhile what the vault holds already.
pub(super) fn run(shared: &Shared, mut compressor: Compressor) {
    let mut unseen = Some(shared.vault.iter());
    make_room(shared);
    loop {
        if let Some(entries) = &mut unseen {
            let step = if is_room_short(shared) {
                None
            } else {
                Some(LOOK)
            };
            if look_through(shared, entries, step) {
                unseen = None;
                make_room(shared);
            }
        }
        match shared.queue.next(unseen.as_ref().map(|_| PAUSE)) {
            Next::Block(block) => {
                if let Err(error) = write(shared, &block, &mut compressor) {
                    shared.counters.write_errors.add(1);
                    tracing::warn!(%error, "prefix block not written");
                }
                shared.queue.done(&block);
            }
            Next::Nothing => {}
            Next::End => break,
        }
    }
    if let Err(error) = shared.vault.sync() {
        shared.counters.write_errors.add(1);
        tracing::warn!(%error, "prefix blocks not synced");
    }
}

/// The vault is looked through so long at once, and left alone so long in between: requests need the
/// processor and the disk more.
const LOOK: Duration = Duration::from_millis(1);
const PAUSE: Duration = Duration::from_millis(9);

/// Whether what waits may need the room of blocks that have not been seen yet.
fn is_room_short(shared: &Shared) -> bool {
    let held = shared.vault.stats().live_bytes;
    held.saturating_add(shared.queue.bytes() as u64) >= shared.config.vault_bytes_max
}

/// Settings of the containers in records: no seek table is needed.
pub(super) fn packing() -> Config {
    Config::new()
}

/// Notes the blocks that earlier processes wrote, for about as long as `limit`; whether that was all.
fn look_through(
    shared: &Shared,
    entries: &mut impl Iterator<Item = Result<(Vec<u8>, Vec<u8>), VaultError>>,
    limit: Option<Duration>,
) -> bool {
    let start = Instant::now();
    while !shared.queue.is_closing() && limit.is_none_or(|limit| start.elapsed() < limit) {
        // A damaged record cannot say which block it is; asking for it will refuse it.
        let (key, bytes) = match entries.next() {
            Some(Ok(entry)) => entry,
            Some(Err(_)) => continue,
            None => return true,
        };
        let Ok(head) = record::head(&bytes) else {
            continue;
        };
        if key == vault_key(head.key) {
            locked(&shared.held).found(head.key, head.previous, bytes.len() as u64);
        }
    }
    shared.queue.is_closing()
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
