//! Dictionaries by id and by version.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::prepared::Dictionary;
use crate::error::SigmaError;

/// The dictionaries that a decoder may use, by id and by version, and the one that encoders use now.
///
/// Clones share one map, so a dictionary that is registered later is seen by compressors and
/// decompressors made earlier. A look-up takes a read lock.
///
/// An id is a hash of the dictionary and holds everywhere. A version is a small number that the
/// writers and readers of one registry agree on: in a record it takes 1 byte instead of 8 (2 from
/// version 128 on). Publish on one side, [`DictionaryRegistry::adopt`] the same bytes under the same
/// version on the others.
///
/// ```
/// use std::sync::Arc;
/// use sigma_lang::{Compressor, Config, Decompressor, Dictionary, DictionaryRegistry, Limits};
/// let registry = DictionaryRegistry::new();
/// let mut compressor = Compressor::new(&Config::new().record_dictionaries(registry.clone()))?;
/// let (mut first, mut second) = (Vec::new(), Vec::new());
/// let record = br#"{"agent":7,"state":"waiting","reason":"no work"}"#;
///
/// registry.publish(Arc::new(Dictionary::from_bytes(br#"{"agent":"state":"waiting","reason":""#)?))?;
/// compressor.compress_record_into(record, &mut first)?;
/// registry.publish(Arc::new(Dictionary::from_bytes(record)?))?;
/// compressor.compress_record_into(record, &mut second)?;
/// assert!(second.len() < first.len());
///
/// // The retired version still decodes.
/// let mut decompressor = Decompressor::new(Limits::default()).with_dictionaries(registry);
/// for packed in [first, second] {
///     let mut out = Vec::new();
///     decompressor.decompress_record_into(&packed, &mut out)?;
///     assert_eq!(out, record);
/// }
/// # Ok::<(), sigma_lang::SigmaError>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct DictionaryRegistry {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    shelves: RwLock<Shelves>,
    /// Goes up with every change of the current version, so that followers need no lock to see that
    /// nothing changed.
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct Shelves {
    by_id: HashMap<u64, Arc<Dictionary>>,
    by_version: BTreeMap<u32, Arc<Dictionary>>,
    current: Option<u32>,
    /// The highest version ever given; a forgotten version is not given again.
    highest: u32,
}

/// One version in a [`DictionaryRegistry`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DictionaryVersion {
    /// The version number, from 1.
    pub version: u32,
    /// Id of the dictionary.
    pub id: u64,
    /// Length of the dictionary in bytes.
    pub dictionary_bytes: usize,
    /// Whether records are made with it now; the others are retired.
    pub current: bool,
}

impl DictionaryRegistry {
    /// An empty registry.
    pub fn new() -> Self {
        DictionaryRegistry::default()
    }

    /// Registers a dictionary under its id only; gives back the one that had this id.
    pub fn insert(&self, dictionary: Arc<Dictionary>) -> Option<Arc<Dictionary>> {
        self.write().by_id.insert(dictionary.id(), dictionary)
    }

    /// The dictionary with this id.
    pub fn get(&self, id: u64) -> Option<Arc<Dictionary>> {
        self.read().by_id.get(&id).cloned()
    }

    /// Takes a dictionary out, with every version that it has. Decoders that hold it keep it.
    pub fn remove(&self, id: u64) -> Option<Arc<Dictionary>> {
        let mut shelves = self.write();
        shelves
            .by_version
            .retain(|_, dictionary| dictionary.id() != id);
        let gone = shelves.by_id.remove(&id);
        if shelves
            .current
            .is_some_and(|current| !shelves.by_version.contains_key(&current))
        {
            self.set_current(&mut shelves, None);
        }
        gone
    }

    /// Registers a dictionary under the next version and makes it the current one; gives the version.
    /// The version before is retired.
    ///
    /// # Errors
    /// [`SigmaError::LimitExceeded`] after 2^32 - 1 versions.
    pub fn publish(&self, dictionary: Arc<Dictionary>) -> Result<u32, SigmaError> {
        let mut shelves = self.write();
        let Some(version) = shelves.highest.checked_add(1) else {
            return Err(SigmaError::LimitExceeded {
                what: "dictionary version",
                value: u64::from(u32::MAX) + 1,
                allowed: u64::from(u32::MAX),
                unit: "versions",
            });
        };
        shelves.highest = version;
        shelves.place(version, dictionary);
        self.set_current(&mut shelves, Some(version));
        Ok(version)
    }

    /// Registers a dictionary under the version that its publisher gave it. The current version stays.
    ///
    /// # Errors
    /// [`SigmaError::DictionaryVersionTaken`] if the version is that of another dictionary, was
    /// forgotten, or is 0.
    pub fn adopt(&self, version: u32, dictionary: Arc<Dictionary>) -> Result<(), SigmaError> {
        let mut shelves = self.write();
        let held = shelves.by_version.get(&version);
        if held.is_some_and(|held| held.hash() == dictionary.hash()) {
            return Ok(());
        }
        if version == 0 || held.is_some() {
            return Err(SigmaError::DictionaryVersionTaken { version });
        }
        shelves.highest = shelves.highest.max(version);
        shelves.place(version, dictionary);
        Ok(())
    }

    /// Makes a registered version the current one, for instance an earlier one that served better.
    ///
    /// # Errors
    /// [`SigmaError::DictionaryVersionMissing`] if it is not registered.
    pub fn make_current(&self, version: u32) -> Result<(), SigmaError> {
        let mut shelves = self.write();
        if !shelves.by_version.contains_key(&version) {
            return Err(SigmaError::DictionaryVersionMissing { version });
        }
        self.set_current(&mut shelves, Some(version));
        Ok(())
    }

    /// Forgets a version: records that name it decode no more, and the number is not given again by
    /// [`DictionaryRegistry::publish`]. Without a current version, records are made without dictionary.
    pub fn forget(&self, version: u32) -> Option<Arc<Dictionary>> {
        let mut shelves = self.write();
        let gone = shelves.by_version.remove(&version)?;
        if !shelves
            .by_version
            .values()
            .any(|other| other.id() == gone.id())
        {
            shelves.by_id.remove(&gone.id());
        }
        if shelves.current == Some(version) {
            self.set_current(&mut shelves, None);
        }
        Some(gone)
    }

    /// The current version and its dictionary.
    pub fn current(&self) -> Option<(u32, Arc<Dictionary>)> {
        let shelves = self.read();
        let version = shelves.current?;
        let dictionary = shelves.by_version.get(&version)?;
        Some((version, Arc::clone(dictionary)))
    }

    /// The dictionary with this version.
    pub fn version(&self, version: u32) -> Option<Arc<Dictionary>> {
        self.read().by_version.get(&version).cloned()
    }

    /// All versions, ascending.
    pub fn versions(&self) -> Vec<DictionaryVersion> {
        let shelves = self.read();
        let describe = |(version, dictionary): (&u32, &Arc<Dictionary>)| DictionaryVersion {
            version: *version,
            id: dictionary.id(),
            dictionary_bytes: dictionary.as_bytes().len(),
            current: shelves.current == Some(*version),
        };
        shelves.by_version.iter().map(describe).collect()
    }

    /// The registered ids, ascending.
    pub fn ids(&self) -> Vec<u64> {
        let mut ids: Vec<u64> = self.read().by_id.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    /// Number of dictionaries.
    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Watches the current version.
    pub(crate) fn follow(&self) -> Follower {
        Follower {
            registry: self.clone(),
            seen: None,
        }
    }

    fn set_current(&self, shelves: &mut Shelves, version: Option<u32>) {
        shelves.current = version;
        self.shared.changes.fetch_add(1, Ordering::Release);
    }

    fn read(&self) -> RwLockReadGuard<'_, Shelves> {
        let shelves = &self.shared.shelves;
        shelves.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Shelves> {
        let shelves = &self.shared.shelves;
        shelves.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelves {
    fn place(&mut self, version: u32, dictionary: Arc<Dictionary>) {
        self.by_id.insert(dictionary.id(), Arc::clone(&dictionary));
        self.by_version.insert(version, dictionary);
    }
}

/// Sees when the current version of a registry changes.
#[derive(Debug)]
pub(crate) struct Follower {
    registry: DictionaryRegistry,
    seen: Option<u64>,
}

impl Follower {
    /// `Some` with the current version if it changed since the last call; the first call counts as a
    /// change. One atomic load where nothing changed.
    pub(crate) fn changed(&mut self) -> Option<Option<(u32, Arc<Dictionary>)>> {
        let changes = self.registry.shared.changes.load(Ordering::Acquire);
        if self.seen == Some(changes) {
            return None;
        }
        self.seen = Some(changes);
        Some(self.registry.current())
    }
}
