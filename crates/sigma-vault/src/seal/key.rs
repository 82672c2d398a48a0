//! The key that the caller gives.

use std::fmt;

use argon2::{Algorithm, Argon2, Params, Version};
use zeroize::Zeroizing;

use super::SealHead;
use super::head::SealMethod;
use crate::error::VaultError;

/// What an encrypted vault is opened with: 32 bytes, or a passphrase.
///
/// Memory that held it is cleared when it is dropped, and it is never printed. There is no way to
/// read an encrypted vault without it, and none to change it but to write a new vault.
#[derive(Clone)]
pub struct EncryptionKey(Secret);

#[derive(Clone)]
enum Secret {
    Raw(Zeroizing<[u8; 32]>),
    Passphrase {
        text: Zeroizing<Vec<u8>>,
        cost: PassphraseCost,
    },
}

/// What it costs to try a passphrase (argon2id, one lane); chosen when the vault is created and
/// stored in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PassphraseCost {
    memory_mib: u16,
    passes: u8,
}

impl Default for PassphraseCost {
    fn default() -> Self {
        Self {
            memory_mib: 64,
            passes: 3,
        }
    }
}

impl PassphraseCost {
    /// Memory in MiB that every try takes. Default 64; 8 to 1,024.
    #[must_use]
    pub fn memory_mib(mut self, memory_mib: u16) -> Self {
        self.memory_mib = memory_mib;
        self
    }

    /// How often that memory is gone through. Default 3; 1 to 16.
    #[must_use]
    pub fn passes(mut self, passes: u8) -> Self {
        self.passes = passes;
        self
    }
}

impl EncryptionKey {
    /// A key of 32 bytes that nobody can guess, as from a key store.
    pub fn raw(bytes: [u8; 32]) -> Self {
        Self(Secret::Raw(Zeroizing::new(bytes)))
    }

    /// A passphrase, at the default cost: about 0.2 s at every opening.
    pub fn passphrase(text: &str) -> Self {
        Self::passphrase_at(text, PassphraseCost::default())
    }

    /// A passphrase; the cost counts when the vault is created, later the stored one does.
    pub fn passphrase_at(text: &str, cost: PassphraseCost) -> Self {
        let text = Zeroizing::new(text.as_bytes().to_vec());
        Self(Secret::Passphrase { text, cost })
    }

    pub(crate) fn validate(&self) -> Result<(), VaultError> {
        let Secret::Passphrase { text, cost } = &self.0 else {
            return Ok(());
        };
        let refused = |name, value: String, allowed| {
            Err(VaultError::InvalidArgument {
                name,
                value,
                allowed,
            })
        };
        if text.is_empty() {
            return refused(
                "passphrase",
                "empty".to_owned(),
                "1 byte or more is allowed",
            );
        }
        if !SealHead::MEMORY_MIB.contains(&cost.memory_mib) {
            let value = cost.memory_mib.to_string();
            return refused("memory_mib", value, "8 to 1024 MiB are allowed");
        }
        if !SealHead::PASSES.contains(&cost.passes) {
            return refused("passes", cost.passes.to_string(), "1 to 16 are allowed");
        }
        Ok(())
    }

    /// How a vault created with this key says it comes about.
    pub(super) fn method(&self) -> SealMethod {
        match &self.0 {
            Secret::Raw(_) => SealMethod::Raw,
            Secret::Passphrase { cost, .. } => SealMethod::Passphrase {
                passes: cost.passes,
                memory_mib: cost.memory_mib,
            },
        }
    }

    /// The secret from which a vault's keys are derived; `None` where the vault wants another
    /// method.
    pub(super) fn root(
        &self,
        method: SealMethod,
        salt: &[u8],
    ) -> Result<Option<Zeroizing<[u8; 32]>>, VaultError> {
        match (&self.0, method) {
            (Secret::Raw(bytes), SealMethod::Raw) => Ok(Some(bytes.clone())),
            (Secret::Passphrase { text, .. }, SealMethod::Passphrase { passes, memory_mib }) => {
                let memory_kib = u32::from(memory_mib) * 1024;
                let mut root = Zeroizing::new([0; 32]);
                Params::new(memory_kib, passes.into(), 1, Some(root.len()))
                    .and_then(|params| {
                        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                        argon2.hash_password_into(text, salt, &mut root[..])
                    })
                    .map_err(|error| VaultError::Derive {
                        reason: error.to_string(),
                    })?;
                Ok(Some(root))
            }
            _ => Ok(None),
        }
    }
}

impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Secret::Raw(_) => "EncryptionKey(32 bytes)",
            Secret::Passphrase { .. } => "EncryptionKey(passphrase)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_printed_and_costs_are_checked() {
        let key = EncryptionKey::passphrase("correct horse");
        assert_eq!(format!("{key:?}"), "EncryptionKey(passphrase)");
        assert!(!format!("{:?}", EncryptionKey::raw([77; 32])).contains("77"));
        key.validate().unwrap();
        let at = |cost| EncryptionKey::passphrase_at("x", cost).validate();
        let cost = PassphraseCost::default();
        for cost in [
            cost.memory_mib(7),
            cost.memory_mib(1025),
            cost.passes(0),
            cost.passes(17),
        ] {
            assert!(matches!(at(cost), Err(VaultError::InvalidArgument { .. })));
        }
        assert!(EncryptionKey::passphrase("").validate().is_err());
    }
}
