//! The one door to the time of day: only expiry asks for it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What a vault takes for the time of day, see [`Options::clock`](crate::Options::clock).
///
/// A clock that is set back shows values again that had expired, as long as they were not
/// compacted.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Milliseconds since the beginning of 1970, UTC.
    fn unix_time_ms(&self) -> u64;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_time_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let ms = since.unwrap_or_default().as_millis();
        u64::try_from(ms).unwrap_or(u64::MAX)
    }
}

/// A clock that stands still until it is moved, for tests and simulations; clones share the time.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use sigma_vault::{Durability, ManualClock, Options, Vault, io::MemoryStorage};
///
/// let clock = ManualClock::new(1_000_000);
/// let options = Options::new().clock(Arc::new(clock.clone()));
/// let vault = Vault::open_with(Arc::new(MemoryStorage::new()), options)?;
/// vault.put_with_ttl(b"key", b"value", Duration::from_secs(60), Durability::Buffered)?;
/// assert!(vault.contains(b"key")?);
/// clock.advance(Duration::from_secs(61));
/// assert!(!vault.contains(b"key")?);
/// # Ok::<(), sigma_vault::VaultError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// A clock that shows this many milliseconds since the beginning of 1970.
    pub fn new(unix_time_ms: u64) -> Self {
        Self(Arc::new(AtomicU64::new(unix_time_ms)))
    }

    /// Moves the time on.
    pub fn advance(&self, by: Duration) {
        let ms = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the time, to whatever side.
    pub fn set(&self, unix_time_ms: u64) {
        self.0.store(unix_time_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn unix_time_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
