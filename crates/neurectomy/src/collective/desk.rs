//! What the teams share.

use super::config::{CollectiveConfig, ModelSource};
use super::team::Team;
use crate::error::NeurectomyError;
use crate::prefix::VaultPrefixStore;
use ryot_inference::{Engine, EngineConfig, LoadOptions, Model};
use sigma_lang::{Compressor, Config, Decompressor, Limits};
use sigma_vault::{Options, UncertainReads, Vault};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes that went into and came out of each team.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    bytes_in: [AtomicU64; Team::ALL.len()],
    bytes_out: [AtomicU64; Team::ALL.len()],
}

impl Traffic {
    pub(crate) fn add(&self, team: Team, bytes_in: usize, bytes_out: usize) {
        self.bytes_in[team as usize].fetch_add(bytes_in as u64, Ordering::Relaxed);
        self.bytes_out[team as usize].fetch_add(bytes_out as u64, Ordering::Relaxed);
    }

    /// `(in, out)` of a team so far.
    pub(crate) fn of(&self, team: Team) -> (u64, u64) {
        let load = |bytes: &[AtomicU64]| bytes[team as usize].load(Ordering::Relaxed);
        (load(&self.bytes_in), load(&self.bytes_out))
    }
}

/// Vault, engine and codec contexts of a collective.
pub(crate) struct Desk {
    pub(crate) config: CollectiveConfig,
    pub(crate) vault: Arc<Vault>,
    pub(crate) engine: Engine,
    pub(crate) prefix: Option<Arc<VaultPrefixStore>>,
    pub(crate) traffic: Traffic,
    compressors: Mutex<Vec<Compressor>>,
    decompressors: Mutex<Vec<Decompressor>>,
}

impl Desk {
    pub(crate) fn open(config: CollectiveConfig) -> Result<Self, NeurectomyError> {
        config.check()?;
        // Keys of documents are content hashes, so an old value is never an outdated one.
        let options = Options::new().uncertain_reads(UncertainReads::Serve);
        let vault = Vault::open(&config.vault_dir, options).map_err(|source| {
            let path = config.vault_dir.clone();
            NeurectomyError::Vault {
                operation: "open it",
                path,
                source: source.into(),
            }
        })?;
        let vault = Arc::new(vault);
        let open = |config| VaultPrefixStore::open(Arc::clone(&vault), config);
        let prefix = config.prefix.clone().map(open).transpose()?.map(Arc::new);
        let engine = open_engine(&config.model, prefix.clone())?;
        Ok(Self {
            config,
            vault,
            engine,
            prefix,
            traffic: Traffic::default(),
            compressors: Mutex::new(Vec::new()),
            decompressors: Mutex::new(Vec::new()),
        })
    }

    /// Writes what waits and closes the vault.
    pub(crate) fn close(self) -> Result<(), NeurectomyError> {
        let Self {
            config,
            vault,
            engine,
            prefix,
            ..
        } = self;
        // Both hold the vault.
        drop((engine, prefix));
        let closed = match Arc::try_unwrap(vault) {
            Ok(vault) => vault.close(),
            Err(vault) => vault.sync(),
        };
        closed.map_err(|source| NeurectomyError::Vault {
            operation: "close it",
            path: config.vault_dir,
            source: source.into(),
        })
    }

    pub(crate) fn vault_error(
        &self,
        operation: &'static str,
    ) -> impl Fn(sigma_vault::VaultError) -> NeurectomyError + '_ {
        move |source| NeurectomyError::Vault {
            operation,
            path: self.config.vault_dir.clone(),
            source: source.into(),
        }
    }

    /// Lends a compressor; contexts are kept, since building one costs more than a small document.
    pub(crate) fn with_compressor<T, E: From<sigma_lang::SigmaError>>(
        &self,
        job: impl FnOnce(&mut Compressor) -> Result<T, E>,
    ) -> Result<T, E> {
        let kept = self
            .compressors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut compressor = match kept {
            Some(compressor) => compressor,
            None => Compressor::new(&Config::new())?,
        };
        let result = job(&mut compressor);
        self.compressors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(compressor);
        result
    }

    /// Lends a decompressor whose output is limited to the largest document.
    pub(crate) fn with_decompressor<T>(&self, job: impl FnOnce(&mut Decompressor) -> T) -> T {
        let kept = self
            .decompressors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut decompressor = kept.unwrap_or_else(|| {
            Decompressor::new(Limits::new().output_bytes_max(self.config.document_bytes_max))
        });
        let result = job(&mut decompressor);
        self.decompressors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(decompressor);
        result
    }
}

fn open_engine(
    source: &ModelSource,
    prefix: Option<Arc<VaultPrefixStore>>,
) -> Result<Engine, NeurectomyError> {
    let mut config = EngineConfig::new();
    if let Some(prefix) = prefix {
        config = config.prefix_store(prefix);
    }
    let (name, model) = match source {
        ModelSource::Toy { seed } => (format!("toy, seed {seed}"), Model::toy(*seed)),
        ModelSource::Path(path) => (
            path.display().to_string(),
            Model::load(path, LoadOptions::new()),
        ),
    };
    model
        .and_then(|model| Engine::new(model, config))
        .map_err(|source| NeurectomyError::Model {
            operation: "start",
            model: name,
            source: source.into(),
        })
}
