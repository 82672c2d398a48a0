//! The storage together with what its failures mean: error mapping and the poison flag.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::error::VaultError;
use crate::io::{Storage, StorageFile};
use crate::seal::Sealer;

#[derive(Debug)]
pub(crate) struct Medium {
    pub(crate) storage: Arc<dyn Storage>,
    dir: PathBuf,
    poison: Mutex<Option<(PathBuf, String)>>,
    /// Whether there is poison.
    refuses: AtomicBool,
    /// Held during a sync of the log.
    syncing: Mutex<()>,
    /// Set while an encrypted vault is opened, before a value is read or written.
    sealer: OnceLock<Sealer>,
}

impl Medium {
    pub(crate) fn new(storage: Arc<dyn Storage>) -> Self {
        let dir = storage.dir();
        Self {
            storage,
            dir,
            poison: Mutex::new(None),
            refuses: AtomicBool::new(false),
            syncing: Mutex::new(()),
            sealer: OnceLock::new(),
        }
    }

    /// What encrypts values, where they are encrypted.
    pub(crate) fn sealer(&self) -> Option<&Sealer> {
        self.sealer.get()
    }

    pub(crate) fn set_sealer(&self, sealer: Sealer) {
        let _ = self.sealer.set(sealer);
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.dir.clone()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The error of a step whose failure leaves the state as it was.
    pub(crate) fn failed(
        &self,
        operation: &'static str,
        name: &str,
        bytes_wanted: u64,
        source: io::Error,
    ) -> VaultError {
        let file = self.path(name);
        if matches!(
            source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        ) {
            return VaultError::OutOfSpace {
                file,
                bytes_wanted,
                source,
            };
        }
        VaultError::Io {
            operation,
            file,
            source,
        }
    }

    /// The error of a step after whose failure the durable state is unknown: no more writes.
    pub(crate) fn poisoned_by(
        &self,
        operation: &'static str,
        name: &str,
        source: io::Error,
    ) -> VaultError {
        let file = self.path(name);
        let mut poison = self.poison.lock().unwrap_or_else(PoisonError::into_inner);
        if poison.is_none() {
            *poison = Some((file.clone(), format!("{operation}: {source}")));
            self.refuses.store(true, Ordering::Release);
            tracing::error!(file = %file.display(), %source, "{operation} failed; writes refused");
        }
        VaultError::Io {
            operation,
            file,
            source,
        }
    }

    /// Syncs the active segment; a failure is poison. Syncs of it come one after another: where two
    /// overlap, a system may tell only one of them that a write to the device failed.
    pub(crate) fn sync_segment(
        &self,
        file: &dyn StorageFile,
        name: &str,
    ) -> Result<(), VaultError> {
        let _alone = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_writable()?;
        file.sync()
            .map_err(|source| self.poisoned_by("sync", name, source))
    }

    /// Refuses when an earlier step poisoned the vault.
    pub(crate) fn check_writable(&self) -> Result<(), VaultError> {
        if !self.refuses.load(Ordering::Acquire) {
            return Ok(());
        }
        match &*self.poison.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some((file, reason)) => Err(VaultError::Poisoned {
                file: file.clone(),
                reason: reason.clone(),
            }),
        }
    }
}
