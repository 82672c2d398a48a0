//! Settings of a prefix store.

use crate::error::NeurectomyError;
use std::time::Duration;

/// How keys and values are kept in the vault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum PrefixForm {
    /// Every bit: what is restored continues exactly as if it had been computed.
    #[default]
    Lossless,
    /// One byte a number and a scale for each group of 64: about half of bf16. The answers of a
    /// restored context may differ from those of a computed one.
    Int8,
    /// About four bits a number, a step for each channel of a block, and entropy coding
    /// ([`sigma_lang::tensor::compress_kv`]): about a quarter of bf16 with blocks of 64 tokens, a little
    /// more with shorter ones. Restored answers differ more often than with int8.
    Steps,
}

/// Settings of a [`VaultPrefixStore`](super::VaultPrefixStore), checked when it is opened.
///
/// ```
/// use neurectomy::prefix::{PrefixConfig, PrefixForm};
/// let config = PrefixConfig::new().form(PrefixForm::Int8).vault_bytes_max(1 << 30);
/// assert_eq!(config.memory_bytes_max, 256 << 20);
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PrefixConfig {
    /// Decoded blocks kept in memory, in bytes. Default 256 MiB; 0 keeps none.
    pub memory_bytes_max: usize,
    /// Packed blocks kept in the vault, in bytes, 1 MiB to 1 PiB. Default 4 GiB. The least recently
    /// used ends of chains go first. The vault gives their space back when it compacts.
    pub vault_bytes_max: u64,
    /// Decoded blocks that may wait to be written, in bytes, 1 MiB to 64 GiB. Default 256 MiB. Blocks
    /// beyond it are not kept in the vault, and counted.
    pub queue_bytes_max: usize,
    /// Threads that decode one context's blocks, 1 to 64. Default: the hardware threads that the
    /// process may use, at most 8.
    pub restore_threads: usize,
    /// Time after which a block is forgotten, at least one second. Default none.
    pub ttl: Option<Duration>,
    /// Default [`PrefixForm::Lossless`]. Blocks of either form are read.
    pub form: PrefixForm,
}

impl Default for PrefixConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl PrefixConfig {
    /// All settings at their defaults.
    #[must_use]
    pub fn new() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            memory_bytes_max: 256 << 20,
            vault_bytes_max: 4 << 30,
            queue_bytes_max: 256 << 20,
            restore_threads: threads.min(8),
            ttl: None,
            form: PrefixForm::Lossless,
        }
    }

    /// Sets [`Self::memory_bytes_max`].
    #[must_use]
    pub fn memory_bytes_max(mut self, bytes: usize) -> Self {
        self.memory_bytes_max = bytes;
        self
    }

    /// Sets [`Self::vault_bytes_max`].
    #[must_use]
    pub fn vault_bytes_max(mut self, bytes: u64) -> Self {
        self.vault_bytes_max = bytes;
        self
    }

    /// Sets [`Self::queue_bytes_max`].
    #[must_use]
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.queue_bytes_max = bytes;
        self
    }

    /// Sets [`Self::restore_threads`].
    #[must_use]
    pub fn restore_threads(mut self, threads: usize) -> Self {
        self.restore_threads = threads;
        self
    }

    /// Sets [`Self::ttl`].
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Sets [`Self::form`].
    #[must_use]
    pub fn form(mut self, form: PrefixForm) -> Self {
        self.form = form;
        self
    }

    pub(crate) fn check(&self) -> Result<(), NeurectomyError> {
        let bytes = |bytes: usize| bytes as u64;
        let ttl_s = self.ttl.map_or(1, |ttl| ttl.as_secs());
        let settings = [
            (
                "vault_bytes_max",
                self.vault_bytes_max,
                1 << 20..=1 << 50,
                "1048576 bytes (1 MiB) to 2^50 (1 PiB)",
            ),
            (
                "queue_bytes_max",
                bytes(self.queue_bytes_max),
                1 << 20..=1 << 36,
                "1048576 bytes (1 MiB) to 2^36 (64 GiB)",
            ),
            (
                "restore_threads",
                bytes(self.restore_threads),
                1..=64,
                "1 to 64 threads",
            ),
            ("ttl", ttl_s, 1..=u64::MAX, "one second at least"),
        ];
        for (name, value, range, allowed) in settings {
            if !range.contains(&value) {
                return Err(NeurectomyError::Config {
                    name,
                    value: value.to_string(),
                    allowed,
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_setting_outside_its_range_is_named() {
        PrefixConfig::new().check().unwrap();
        PrefixConfig::new().memory_bytes_max(0).check().unwrap();
        let base = PrefixConfig::new;
        for (config, expected) in [
            (
                base().vault_bytes_max(5),
                "vault_bytes_max is 5; allowed: 1048576 bytes",
            ),
            (base().queue_bytes_max(0), "queue_bytes_max is 0"),
            (
                base().restore_threads(0),
                "restore_threads is 0; allowed: 1 to 64",
            ),
            (
                base().ttl(Duration::from_millis(900)),
                "ttl is 0; allowed: one second",
            ),
        ] {
            let message = config.check().unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
    }
}
