//! The peers.

use std::path::Path;

use fjall::{Database as Fjall, Keyspace, KeyspaceCreateOptions, PersistMode};
use neurectomy_bench::BenchError;
use redb::{Database as Redb, Durability, ReadableDatabase as _, TableDefinition};

use crate::stores::{Entry, Promise, Store};

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("t");

pub(crate) fn open(dir: &Path, promise: Promise) -> Result<Vec<Box<dyn Store>>, BenchError> {
    let mut peers: Vec<Box<dyn Store>> = Vec::new();
    if wanted("fjall") {
        peers.push(Box::new(FjallStore::open(dir, promise)?));
    }
    if wanted("redb") {
        peers.push(Box::new(RedbStore::open(dir, promise)?));
    }
    #[cfg(feature = "peer-lmdb")]
    if wanted("lmdb") {
        peers.push(Box::new(lmdb::LmdbStore::open(dir, promise)?));
    }
    #[cfg(feature = "peer-sled")]
    if wanted("sled") {
        peers.push(Box::new(sled::SledStore::open(dir, promise)?));
    }
    Ok(peers)
}

/// Whether a peer takes part: all do unless the environment variable `STORAGE_PEERS` names some,
/// with commas between, because time is short.
fn wanted(peer: &str) -> bool {
    std::env::var("STORAGE_PEERS").map_or(true, |named| named.split(',').any(|name| name == peer))
}

pub(crate) struct FjallStore {
    database: Fjall,
    keyspace: Keyspace,
    promise: Promise,
}

impl FjallStore {
    pub(crate) fn open(dir: &Path, promise: Promise) -> Result<Self, BenchError> {
        let database = Fjall::builder(dir.join("fjall"))
            .manual_journal_persist(promise == Promise::Buffered)
            .open()?;
        let options = || {
            KeyspaceCreateOptions::default().manual_journal_persist(promise == Promise::Buffered)
        };
        Ok(Self {
            keyspace: database.keyspace("t", options)?,
            database,
            promise,
        })
    }
}

impl Store for FjallStore {
    fn name(&self) -> &'static str {
        "fjall"
    }

    fn put(&self, entries: &[Entry]) -> Result<(), BenchError> {
        if let [(key, value)] = entries {
            self.keyspace.insert(key.as_slice(), value.as_slice())?;
        } else {
            let mut batch = self.database.batch();
            for (key, value) in entries {
                batch.insert(&self.keyspace, key.as_slice(), value.as_slice());
            }
            batch.commit()?;
        }
        if self.promise == Promise::Durable {
            self.database.persist(PersistMode::SyncAll)?;
        }
        Ok(())
    }

    fn get(
        &self,
        keys: &[[u8; 16]],
        seen: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), BenchError> {
        let mut copy = Vec::new();
        for key in keys {
            let found = self.keyspace.get(key)?;
            seen(found.map(|value| copied(&mut copy, &value)));
        }
        Ok(())
    }
}

pub(crate) fn copied<'a>(copy: &'a mut Vec<u8>, value: &[u8]) -> &'a [u8] {
    copy.clear();
    copy.extend_from_slice(value);
    copy
}

struct RedbStore {
    database: Redb,
    promise: Promise,
}

impl RedbStore {
    fn open(dir: &Path, promise: Promise) -> Result<Self, BenchError> {
        let database = Redb::create(dir.join("redb"))?;
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self { database, promise })
    }
}

impl Store for RedbStore {
    fn name(&self) -> &'static str {
        "redb"
    }

    fn put(&self, entries: &[Entry]) -> Result<(), BenchError> {
        let mut transaction = self.database.begin_write()?;
        if self.promise != Promise::Durable {
            transaction.set_durability(Durability::None)?;
        }
        {
            let mut table = transaction.open_table(TABLE)?;
            for (key, value) in entries {
                table.insert(key.as_slice(), value.as_slice())?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn get(
        &self,
        keys: &[[u8; 16]],
        seen: &mut dyn FnMut(Option<&[u8]>),
    ) -> Result<(), BenchError> {
        let transaction = self.database.begin_read()?;
        let table = transaction.open_table(TABLE)?;
        let mut copy = Vec::new();
        for key in keys {
            let found = table.get(key.as_slice())?;
            seen(found.map(|value| copied(&mut copy, value.value())));
        }
        Ok(())
    }
}

#[cfg(feature = "peer-lmdb")]
mod lmdb {
    //! LMDB through heed, with 16 GiB of address space.

    use std::path::Path;

    use heed::types::Bytes;
    use heed::{CommitOrAbort, Database, Env, EnvFlags, EnvOpenOptions};
    use neurectomy_bench::BenchError;

    use super::copied;
    use crate::stores::{Entry, Promise, Store};

    pub(super) struct LmdbStore {
        environment: Env,
        table: Database<'static, Bytes, Bytes>,
    }

    impl LmdbStore {
        pub(super) fn open(dir: &Path, promise: Promise) -> Result<Self, BenchError> {
            let dir = dir.join("lmdb");
            std::fs::create_dir_all(&dir)?;
            let mut options = EnvOpenOptions::new();
            options.map_size(16 << 30).max_readers(256);
            if promise != Promise::Durable {
                // SAFETY: without syncs a power cut may damage the file, which is thrown away.
                unsafe { options.flags(EnvFlags::NO_SYNC) };
            }
            // SAFETY: the folder is this run's own, and nothing else opens or changes the file.
            let environment = unsafe { options.open(&dir)? };
            let transaction = environment.write_txn()?;
            let create =
                environment.create_databases_and_commit(transaction, |opener, created| {
                    opener
                        .create_database(created, None)
                        .map(CommitOrAbort::<_, ()>::Commit)
                })?;
            let table = create.unwrap_commit();
            Ok(Self { environment, table })
        }
    }

    impl Store for LmdbStore {
        fn name(&self) -> &'static str {
            "lmdb"
        }

        fn put(&self, entries: &[Entry]) -> Result<(), BenchError> {
            let mut transaction = self.environment.write_txn()?;
            for (key, value) in entries {
                self.table.put(&mut transaction, key, value)?;
            }
            transaction.commit()?;
            Ok(())
        }

        fn get(
            &self,
            keys: &[[u8; 16]],
            seen: &mut dyn FnMut(Option<&[u8]>),
        ) -> Result<(), BenchError> {
            let transaction = self.environment.read_txn()?;
            let mut copy = Vec::new();
            for key in keys {
                let found = self.table.get(&transaction, key.as_slice())?;
                seen(found.map(|value| copied(&mut copy, value)));
            }
            Ok(())
        }
    }
}

#[cfg(feature = "peer-sled")]
mod sled {
    //! sled, which has no checksum setting and writes behind unless flushed.

    use std::path::Path;

    use neurectomy_bench::BenchError;
    use sled::{Batch, Db};

    use super::copied;
    use crate::stores::{Entry, Promise, Store};

    pub(super) struct SledStore {
        database: Db,
        promise: Promise,
    }

    impl SledStore {
        pub(super) fn open(dir: &Path, promise: Promise) -> Result<Self, BenchError> {
            let database = sled::open(dir.join("sled"))?;
            Ok(Self { database, promise })
        }
    }

    impl Store for SledStore {
        fn name(&self) -> &'static str {
            "sled"
        }

        fn put(&self, entries: &[Entry]) -> Result<(), BenchError> {
            if let [(key, value)] = entries {
                self.database.insert(key, value.as_slice())?;
            } else {
                let mut batch = Batch::default();
                for (key, value) in entries {
                    batch.insert(key.as_slice(), value.as_slice());
                }
                self.database.apply_batch(batch)?;
            }
            if self.promise == Promise::Durable {
                self.database.flush()?;
            }
            Ok(())
        }

        fn get(
            &self,
            keys: &[[u8; 16]],
            seen: &mut dyn FnMut(Option<&[u8]>),
        ) -> Result<(), BenchError> {
            let mut copy = Vec::new();
            for key in keys {
                let found = self.database.get(key)?;
                seen(found.map(|value| copied(&mut copy, &value)));
            }
            Ok(())
        }
    }
}
