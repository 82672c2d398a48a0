//! Iteration over a snapshot.

use crate::error::VaultError;
use crate::index::{Files, Word};
use crate::vault::{Vault, held};

/// The live keys of a vault and their values as of [`Vault::iter`]; an item whose value is damaged
/// is an error, and iteration goes on behind it.
#[derive(Debug)]
pub struct Iter<'a> {
    vault: &'a Vault,
    files: Files,
    words: std::vec::IntoIter<Word>,
}

impl<'a> Iter<'a> {
    pub(crate) fn new(vault: &'a Vault) -> Self {
        // Without the log's lock a write could show in one shard and not in another.
        let _log = held(&vault.log);
        let (words, files) = vault.index.plain_words();
        Self {
            vault,
            files,
            words: words.into_iter(),
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        let word = self.words.next()?;
        let item = self.vault.entry_at(&self.files, word);
        match &item {
            Ok(_) => self.vault.counters.reads.add(1),
            Err(_) => self.vault.counters.reads_refused.add(1),
        }
        Some(item)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.words.size_hint()
    }
}
