//! Reads that show values where they lie, one or many at a time.

use crate::compress::unpack_into;
use crate::error::VaultError;
use crate::index::{Files, Word};
use crate::log::record::{Form, Ordinary};
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
        let hash = self.index.hash(key);
        let mut buffer = Vec::new();
        if self.is_ordinary() {
            let seen = self.index.seen();
            let word = seen.first(hash);
            let Some(word) = word else {
                self.index.count(0, 1);
                return Ok(None);
            };
            let files = seen.files();
            drop(seen);
            if let Some(found) = self.ordinary_in(&files, word, hash, key) {
                self.index.count(1, 0);
                return shown(found, &mut buffer).map(|value| Some(look(value)));
            }
        }
        let found = self.get_otherwise(hash, key, &mut buffer)?;
        Ok(found.then(|| look(&buffer)))
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
        if !self.is_ordinary() {
            for (position, key) in keys.iter().enumerate() {
                let key = key.as_ref();
                let found = self.get_otherwise(self.index.hash(key), key, buffer);
                look(position, found.map(|found| found.then_some(&buffer[..])));
            }
            return;
        }
        let mut hashes = [0; BLOCK];
        for (hash, key) in hashes.iter_mut().zip(keys) {
            *hash = self.index.hash(key.as_ref());
        }
        let hashes = hashes.get(..keys.len()).unwrap_or_default();
        let mut words = [None; BLOCK];
        let files = {
            let seen = self.index.seen();
            let warm = hashes.iter().map(|hash| seen.warm(*hash));
            std::hint::black_box(warm.fold(0, |all, one| all ^ one));
            for (word, hash) in words.iter_mut().zip(hashes) {
                *word = seen.first(*hash);
            }
            seen.files()
        };
        words.iter().flatten().for_each(|word| warm(&files, *word));
        let mut counts = (0, 0);
        let each = keys.iter().zip(hashes).zip(words).enumerate();
        for (position, ((key, hash), word)) in each {
            let key = key.as_ref();
            let Some(word) = word else {
                counts.1 += 1;
                look(position, Ok(None));
                continue;
            };
            if let Some(found) = self.ordinary_in(&files, word, *hash, key) {
                counts.0 += 1;
                look(position, shown(found, buffer).map(Some));
            } else {
                let found = self.get_otherwise(*hash, key, buffer);
                look(position, found.map(|found| found.then_some(&buffer[..])));
            }
        }
        self.index.count(counts.0, counts.1);
    }

    /// The verified record of `key` in mapped memory; `None` where it has to be read, or reported,
    /// in another way.
    fn ordinary_in<'f>(
        &self,
        files: &'f Files,
        word: Word,
        hash: u64,
        key: &[u8],
    ) -> Option<Ordinary<'f>> {
        let file = files.at(word.slot())?;
        let bytes = file.mapped(word.offset(), word.bytes()?)?;
        self.ordinary(file, word, bytes, hash, key)
    }
}

/// A value where it lies, or decoded into `buffer`.
fn shown<'a>(found: Ordinary<'a>, buffer: &'a mut Vec<u8>) -> Result<&'a [u8], VaultError> {
    if found.form == Form::Plain {
        return Ok(found.stored);
    }
    unpack_into(found.form, found.stored, found.raw_bytes, buffer)?;
    Ok(buffer)
}

/// Fetches the beginning of a record into the cache.
fn warm(files: &Files, word: Word) {
    if let Some(file) = files.at(word.slot())
        && let Some(count) = word.bytes()
    {
        touch(file.mapped(word.offset(), count).unwrap_or_default());
    }
}
