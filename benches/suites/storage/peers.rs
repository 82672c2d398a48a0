//! The peers.

use std::path::Path;

use fjall::{Database as Fjall, Keyspace, KeyspaceCreateOptions, PersistMode, UserValue};
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
        peers.push(Box::new(sled::open(dir, promise)?));
    }
    Ok(peers)
}

/// Whether a peer takes part: all do unless the environment variable `STORAGE_PEERS` names some,
/// with commas between, because time is short.
fn wanted(peer: &str) -> bool {
    std::env::var("STORAGE_PEERS").map_or(true, |named| named.split(',').any(|name| name == peer))
}

/// A store that has calls for one entry and for several, and one of its own that makes what was
/// written durable.
pub(crate) trait Direct: Sync {
    const NAME: &'static str;
    type Value: AsRef<[u8]>;
    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), BenchError>;
    fn insert_all(&self, entries: &[Entry]) -> Result<(), BenchError>;
    fn persist(&self) -> Result<(), BenchError>;
    fn find(&self, key: &[u8]) -> Result<Option<Self::Value>, BenchError>;
}

/// [`Direct`] as a [`Store`].
pub(crate) struct Adapter<D> {
    direct: D,
    promise: Promise,
}

impl<D: Direct> Store for Adapter<D> {
    fn name(&self) -> &'static str {
        D::NAME
    }

    fn put(&self, entries: &[Entry]) -> Result<(), BenchError> {
        if let [(key, value)] = entries {
            self.direct.insert(key, value)?;
        } else {
            self.direct.insert_all(entries)?;
        }
        if self.promise == Promise::Durable {
            self.direct.persist()?;
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
            let found = self.direct.find(key)?;
            seen(found.map(|value| copied(&mut copy, value.as_ref())));
        }
        Ok(())
    }
}

pub(crate) type FjallStore = Adapter<FjallDirect>;

pub(crate) struct FjallDirect {
    database: Fjall,
    keyspace: Keyspace,
}

impl FjallStore {
    pub(crate) fn open(dir: &Path, promise: Promise) -> Result<Self, BenchError> {
        let database = Fjall::builder(dir.join("fjall"))
            .manual_journal_persist(promise == Promise::Buffered)
            .open()?;
        let options = || {
            KeyspaceCreateOptions::default().manual_journal_persist(promise == Promise::Buffered)
        };
        let keyspace = database.keyspace("t", options)?;
        let direct = FjallDirect { database, keyspace };
        Ok(Self { direct, promise })
    }
}

impl Direct for FjallDirect {
    const NAME: &'static str = "fjall";
    type Value = UserValue;

    fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), BenchError> {
        Ok(self.keyspace.insert(key, value)?)
    }

    fn insert_all(&self, entries: &[Entry]) -> Result<(), BenchError> {
        let mut batch = self.database.batch();
        for (key, value) in entries {
            batch.insert(&self.keyspace, key.as_slice(), value.as_slice());
        }
        Ok(batch.commit()?)
    }

    fn persist(&self) -> Result<(), BenchError> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }

    fn find(&self, key: &[u8]) -> Result<Option<UserValue>, BenchError> {
        Ok(self.keyspace.get(key)?)
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
    use sled::{Batch, Db, IVec};

    use super::{Adapter, Direct};
    use crate::stores::{Entry, Promise};

    pub(super) fn open(dir: &Path, promise: Promise) -> Result<Adapter<Db>, BenchError> {
        let direct = sled::open(dir.join("sled"))?;
        Ok(Adapter { direct, promise })
    }

    impl Direct for Db {
        const NAME: &'static str = "sled";
        type Value = IVec;

        fn insert(&self, key: &[u8], value: &[u8]) -> Result<(), BenchError> {
            sled::Tree::insert(self, key, value)?;
            Ok(())
        }

        fn insert_all(&self, entries: &[Entry]) -> Result<(), BenchError> {
            let mut batch = Batch::default();
            for (key, value) in entries {
                batch.insert(key.as_slice(), value.as_slice());
            }
            Ok(self.apply_batch(batch)?)
        }

        fn persist(&self) -> Result<(), BenchError> {
            self.flush()?;
            Ok(())
        }

        fn find(&self, key: &[u8]) -> Result<Option<IVec>, BenchError> {
            Ok(self.get(key)?)
        }
    }
}
