//! What every store under test can do, and sigma-vault's way of doing it.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

use neurectomy_bench::BenchError;
use neurectomy_bench::corpus::SplitMix64;
use sigma_vault::{Batch, Compression, Durability, Options, Vault};

/// A key and its value.
pub(crate) type Entry = (Vec<u8>, Vec<u8>);

/// When a write counts as done.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Promise {
    /// It may be lost with the process.
    Buffered,
    /// It survives the process.
    Written,
    /// It survives a power cut.
    Durable,
}

pub(crate) trait Store: Sync {
    fn name(&self) -> &'static str;
    /// Writes the entries as one.
    fn put(&self, entries: &[Entry]) -> Result<(), BenchError>;
    /// Shows a copy of each key's value, made into one buffer, to `seen`; `None` where absent.
    fn get(&self, keys: &[[u8; 16]], seen: &mut dyn FnMut(Option<&[u8]>))
    -> Result<(), BenchError>;
    /// As [`get`](Self::get), by the call for many keys where there is one.
    fn get_together(
        &self,
        keys: &[[u8; 16]],
        seen: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), BenchError> {
        self.get(keys, seen)
    }
}

pub(crate) struct Ours {
    pub(crate) vault: Vault,
    durability: Durability,
}

impl Ours {
    pub(crate) fn open(dir: &Path, promise: Promise) -> Result<Self, BenchError> {
        let options = Options::new().compression(Compression::Lz4);
        Ok(Self::of(Vault::open(dir.join("vault"), options)?, promise))
    }

    pub(crate) fn of(vault: Vault, promise: Promise) -> Self {
        let durability = match promise {
            Promise::Buffered => Durability::Buffered,
            Promise::Written => Durability::Written,
            Promise::Durable => Durability::Grouped,
        };
        Self { vault, durability }
    }
}

impl Store for Ours {
    fn name(&self) -> &'static str {
        "sigma-vault"
    }

    fn put(&self, entries: &[Entry]) -> Result<(), BenchError> {
        if let [(key, value)] = entries {
            return Ok(self.vault.put(key, value, self.durability)?);
        }
        let mut batch = Batch::new();
        for (key, value) in entries {
            batch.put(key, value);
        }
        Ok(self.vault.write(batch, self.durability)?)
    }

    fn get(
        &self,
        keys: &[[u8; 16]],
        seen: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), BenchError> {
        let mut value = Vec::new();
        for key in keys {
            let found = self.vault.get_into(key, &mut value)?;
            seen(found.then_some(&value));
        }
        Ok(())
    }

    fn get_together(
        &self,
        keys: &[[u8; 16]],
        seen: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), BenchError> {
        let mut copy = Vec::new();
        let mut failure = None;
        self.vault.get_many(keys, |_, found| match found {
            Ok(found) => seen(found.map(|value| crate::peers::copied(&mut copy, value))),
            Err(error) => failure = Some(error),
        });
        failure.map_or(Ok(()), |error| Err(error.into()))
    }
}

/// No store: a file whose blocks were written before, and into which the bytes that ours stores of
/// the entries are written and synced, one call at a time. What is left is the device.
pub(crate) struct Device {
    file: Mutex<(File, u64)>,
}

impl Device {
    pub(crate) const NAME: &str = "device alone";

    /// With room for half of `bytes`, and for what ours adds to 1 KB values.
    pub(crate) fn open(dir: &Path, bytes: usize) -> Result<Self, BenchError> {
        let mut file = File::create(dir.join("device"))?;
        let zeros = vec![0; 1 << 20];
        for _ in 0..=(bytes * 5 / 8) >> 20 {
            file.write_all(&zeros)?;
        }
        file.sync_all()?;
        let file = Mutex::new((file, 0));
        Ok(Self { file })
    }
}

impl Store for Device {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn put(&self, entries: &[Entry]) -> Result<(), BenchError> {
        let mut bytes = Vec::new();
        for (key, value) in entries {
            bytes.extend_from_slice(&[1; 64]);
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(&value[..value.len() / 2 + 16]);
        }
        let mut file = self.file.lock().map_err(|_| "a thread panicked")?;
        let (file, end) = &mut *file;
        file.write_all_at(&bytes, *end)?;
        *end += bytes.len() as u64;
        Ok(file.sync_data()?)
    }

    fn get(&self, _: &[[u8; 16]], _: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), BenchError> {
        Err("a device finds nothing".into())
    }
}

/// Those that a goal may be judged by.
pub(crate) const PEERS: &[&str] = &["fjall", "redb", "lmdb", "sled"];

/// All stores with this promise, each in its own folder of `dir`.
pub(crate) fn open_all(dir: &Path, promise: Promise) -> Result<Vec<Box<dyn Store>>, BenchError> {
    let mut stores: Vec<Box<dyn Store>> = vec![Box::new(Ours::open(dir, promise)?)];
    stores.extend(crate::peers::open(dir, promise)?);
    Ok(stores)
}

/// Made from its number wherever it is wanted, so that no list of keys has to be read.
pub(crate) fn key(number: u64) -> [u8; 16] {
    let mut seeded = SplitMix64::new(number);
    let mut key = [0; 16];
    key[..8].copy_from_slice(&seeded.bits().to_le_bytes());
    key[8..].copy_from_slice(&seeded.bits().to_le_bytes());
    key
}

pub(crate) fn value(number: u64, bytes: usize) -> Vec<u8> {
    let mut seeded = SplitMix64::new(!number);
    let mut value = vec![0; bytes];
    for word in value[..bytes / 2].chunks_mut(8) {
        word.copy_from_slice(&seeded.bits().to_le_bytes()[..word.len()]);
    }
    value
}

pub(crate) fn entry(number: u64, bytes: usize) -> Entry {
    (key(number).to_vec(), value(number, bytes))
}
