//! The unit itself.

use std::collections::BTreeMap;

use super::Signature;

/// A reusable semantic unit: token ids with what was computed from them.
///
/// ```
/// use std::sync::Arc;
/// use sigma_vault::{Durability, Options, Rsu, Vault, io::MemoryStorage};
///
/// let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?;
/// let tokens: Vec<u32> = (0..500).collect();
/// let rsu = Rsu::new(tokens).kv(vec![7; 64]).conversation("review-12");
/// vault.put_rsu(b"unit-1", &rsu, Durability::Grouped)?;
///
/// let similar: Vec<u32> = (10..510).collect();
/// let found = vault.find_similar_tokens(&similar, 0.5)?;
/// assert_eq!(found[0].0, b"unit-1");
/// assert_eq!(vault.get_rsu(b"unit-1")?.and_then(|rsu| rsu.kv), Some(vec![7; 64]));
/// # Ok::<(), sigma_vault::VaultError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Rsu {
    /// The token ids.
    pub tokens: Vec<u32>,
    /// Similarity signature; where `None`, one is computed from the tokens when the unit is
    /// stored.
    pub signature: Option<Signature>,
    /// The KV state, as opaque bytes.
    pub kv: Option<Vec<u8>>,
    /// The conversation it came from; empty if none.
    pub conversation: String,
    /// Anything else.
    pub metadata: BTreeMap<String, String>,
}

impl Rsu {
    /// A unit of these tokens and nothing else.
    pub fn new(tokens: Vec<u32>) -> Self {
        Self {
            tokens,
            ..Self::default()
        }
    }

    /// Sets the KV state.
    #[must_use]
    pub fn kv(mut self, kv: Vec<u8>) -> Self {
        self.kv = Some(kv);
        self
    }

    /// Sets the signature, instead of one computed from the tokens.
    #[must_use]
    pub fn signature(mut self, signature: Signature) -> Self {
        self.signature = Some(signature);
        self
    }

    /// Sets the conversation.
    #[must_use]
    pub fn conversation(mut self, conversation: impl Into<String>) -> Self {
        self.conversation = conversation.into();
        self
    }

    /// Adds one metadata entry.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }
}
