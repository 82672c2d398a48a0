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
    /// What expires later is shown.
    now_ms: u64,
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
            now_ms: vault.options.now_ms(),
        }
    }
}

impl Iterator for Iter<'_> {
    type Item = Result<(Vec<u8>, Vec<u8>), VaultError>;

    fn next(&mut self) -> Option<Self::Item> {
        for word in self.words.by_ref() {
            let item = self.vault.entry_at(&self.files, word, self.now_ms);
            match item {
                Ok(None) => {}
                Ok(Some(item)) => {
                    self.vault.counters.reads.add(1);
                    return Some(Ok(item));
                }
                Err(error) => {
                    self.vault.counters.reads_refused.add(1);
                    return Some(Err(error));
                }
            }
        }
        None
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // What has expired is left out.
        (0, self.words.size_hint().1)
    }
}
