//! Reads that show values where they lie, one or many at a time.

use crate::error::VaultError;
use crate::index::{Files, SegmentFile, Word};
use crate::log::Space;
use crate::log::record::{self, FLAG_SEALED, Form, Parts, low_half};
use crate::read::touch;
use crate::vault::Vault;

/// Keys looked up together: as many as a processor fetches lines for at once, and some more.
const BLOCK: usize = 32;

impl Vault {
    /// Shows the value under `key` to `look`, or returns `None` where there is none. A value that
    /// is stored as it was written is verified and shown where it lies, without a copy; others are
    /// decoded first.
    ///
    /// `look` may use the vault; no lock is held.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use sigma_vault::{Durability, Options, Vault, io::MemoryStorage};
    /// # let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?;
    /// vault.put(b"key", b"a value", Durability::Buffered)?;
    /// assert_eq!(vault.get_with(b"key", |value| value.len())?, Some(7));
    /// assert_eq!(vault.get_with(b"other", |value| value.len())?, None);
    /// # Ok::<(), sigma_vault::VaultError>(())
    /// ```
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn get_with<T>(
        &self,
        key: &[u8],
        look: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, VaultError> {
        let mut look = Some(look);
        let mut result = Ok(None);
        self.get_many(&[key], |_, found| {
            result = match (found, look.take()) {
                (Ok(Some(value)), Some(look)) => Ok(Some(look(value))),
                (Ok(_), _) => Ok(None),
                (Err(error), _) => Err(error),
            };
        });
        result
    }

    /// Shows the value under each of `keys`, in their order, to `look` with the key's position;
    /// `None` where there is none, and the error of [`get`](Self::get) where damage leaves it open.
    /// As [`get_with`](Self::get_with), but what many keys need is fetched together: faster than
    /// one [`get`](Self::get) each where index and values are larger than the processor's caches.
    ///
    /// Every value is one that its key had during the call; those of different keys may be of
    /// different moments.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use sigma_vault::{Durability, Options, Vault, io::MemoryStorage};
    /// # let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?;
    /// vault.put(b"b", b"value", Durability::Buffered)?;
    /// let mut found = Vec::new();
    /// vault.get_many(&[b"a", b"b"], |_, value| {
    ///     found.push(value.map(|value| value.map(<[u8]>::to_vec)));
    /// });
    /// assert!(matches!(&found[0], Ok(None)));
    /// assert_eq!(found[1].as_ref().unwrap().as_deref(), Some(&b"value"[..]));
    /// # Ok::<(), sigma_vault::VaultError>(())
    /// ```
    pub fn get_many<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        mut look: impl FnMut(usize, Result<Option<&[u8]>, VaultError>),
    ) {
        let mut buffer = Vec::new();
        for (number, block) in keys.chunks(BLOCK).enumerate() {
            self.get_block(block, &mut buffer, |position, found| {
                look(number * BLOCK + position, found);
            });
        }
    }

    fn get_block<K: AsRef<[u8]>>(
        &self,
        keys: &[K],
        buffer: &mut Vec<u8>,
        mut look: impl FnMut(usize, Result<Option<&[u8]>, VaultError>),
    ) {
        let mut hashes = [0; BLOCK];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.index.hash(key.as_ref());
        }
        let hashes = hashes.get(..keys.len()).unwrap_or_default();
        let mut found = [Place::Absent; BLOCK];
        let files = {
            let seen = self.index.seen();
            let warm = hashes.iter().map(|hash| seen.warm(*hash));
            std::hint::black_box(warm.fold(0, |all, one| all ^ one));
            for (place, hash) in found.iter_mut().zip(hashes) {
                let words = seen.words(*hash);
                *place = match words.first {
                    None => Place::Absent,
                    Some(word) if words.rest.is_empty() => Place::At(word),
                    Some(_) => Place::Several,
                };
            }
            seen.files()
        };
        found.iter().for_each(|place| warm(&files, *place));
        let mut counts = (0, 0);
        let each = keys.iter().zip(hashes).zip(found).enumerate();
        for (position, ((key, hash), place)) in each {
            let key = key.as_ref();
            let parts = match place {
                Place::Absent if !self.any_losses => {
                    counts.1 += 1;
                    look(position, Ok(None));
                    continue;
                }
                Place::At(word) => self.parts_in_map(&files, word, *hash, key),
                Place::Absent | Place::Several => None,
            };
            let Some(parts) = parts else {
                let found = self.get_plain(key, buffer);
                look(position, found.map(|found| found.then_some(&buffer[..])));
                continue;
            };
            counts.0 += 1;
            match parts.header.form() {
                Some(Form::Plain) => look(position, Ok(Some(parts.stored))),
                _ => {
                    let unpacked = Self::unpack_plain(&parts, buffer);
                    look(position, unpacked.map(|()| Some(&buffer[..])));
                }
            }
        }
        let counted = self.index.counts();
        counted.hits.add(counts.0);
        counted.misses.add(counts.1);
    }

    /// The verified record of `key` in mapped memory; `None` where it has to be read, or reported,
    /// in another way.
    fn parts_in_map<'f>(
        &self,
        files: &'f Files,
        word: Word,
        hash: u64,
        key: &[u8],
    ) -> Option<Parts<'f>> {
        if self.cache.is_on() || self.medium.sealer().is_some() {
            return None;
        }
        let file = files.at(word.slot())?;
        let place = self.place(file.segment, word.offset());
        let bytes = mapped(file, word, word.bytes()?)?;
        let asked = Some((key, low_half(hash)));
        let parts = record::open_record(bytes, place, asked).ok()?;
        let is_asked = parts.key == key && parts.header.space == Space::Plain;
        let is_plain = parts.header.flags & FLAG_SEALED == 0;
        if !is_asked || !is_plain || self.has_expired(parts.header.expires_s) {
            return None;
        }
        let sequence = parts.header.sequence;
        self.admit_newest(Space::Plain, key, Some(sequence)).ok()?;
        Some(parts)
    }
}

/// What the index says of a key.
#[derive(Clone, Copy)]
enum Place {
    Absent,
    At(Word),
    Several,
}

/// The first `count` bytes of a record that is in its file.
fn mapped(file: &SegmentFile, word: Word, count: u64) -> Option<&[u8]> {
    let offset = word.offset();
    if file
        .tail
        .as_ref()
        .is_some_and(|tail| offset >= tail.written())
    {
        return None;
    }
    file.map.as_ref()?.bytes(offset, count)
}

/// Fetches the beginning of a record into the cache.
fn warm(files: &Files, place: Place) {
    if let Place::At(word) = place
        && let Some(file) = files.at(word.slot())
        && let Some(count) = word.bytes()
    {
        touch(mapped(file, word, count).unwrap_or_default());
    }
}
