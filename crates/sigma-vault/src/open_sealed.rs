//! Opening: the keys of an encrypted vault.

use crate::error::VaultError;
use crate::log::Manifest;
use crate::open::Opening;
use crate::seal::{SealHead, Sealer};

impl Opening<'_> {
    /// Makes ready to encrypt a new vault, where a key is given.
    pub(crate) fn seal_new(&self, vault_id: u64) -> Result<SealHead, VaultError> {
        let Some(key) = &self.key else {
            return Ok(SealHead::default());
        };
        let salt = self.medium.storage.random_u64().to_le_bytes();
        let (sealer, head) = Sealer::create(key, vault_id, salt, self.nonce_salt())?;
        self.medium.set_sealer(sealer);
        Ok(head)
    }

    /// Makes ready to decrypt, or says why that cannot be.
    pub(crate) fn unseal(&self, manifest: &Manifest) -> Result<(), VaultError> {
        let dir = self.medium.dir();
        match (&self.key, manifest.seal.is_some()) {
            (None, false) => {}
            (None, true) => return Err(VaultError::KeyNeeded { dir }),
            (Some(_), false) => return Err(VaultError::NotEncrypted { dir }),
            (Some(_), true) if self.medium.sealer().is_some() => {}
            (Some(key), true) => {
                let (vault_id, salt) = (manifest.vault_id, self.nonce_salt());
                let sealer = Sealer::open(key, dir, vault_id, manifest.seal, salt)?;
                self.medium.set_sealer(sealer);
            }
        }
        Ok(())
    }

    /// What makes the nonces of this opening differ from those of all others.
    fn nonce_salt(&self) -> [u8; 16] {
        let mut salt = [0; 16];
        for half in salt.as_chunks_mut::<8>().0 {
            *half = self.medium.storage.random_u64().to_le_bytes();
        }
        salt
    }
}
