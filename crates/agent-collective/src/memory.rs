//! Byte budgets, and buffers that are taken from them and used again.

use crate::primitive::{AtomicUsize, Mutex, Ordering, lock};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Buffers that a budget keeps for the next user.
const KEPT_MAX: usize = 64;

/// A number of bytes that one owner may hold at a time. Clones share it.
///
/// It counts what is reserved through it and no other memory: a vector that an agent grows on its
/// own is not seen.
///
/// ```
/// use agent_collective::MemoryBudget;
///
/// let budget = MemoryBudget::new("parser", 1_000);
/// let mut buffer = budget.buffer(600)?;
/// buffer.extend_from_slice(b"some bytes")?;
/// assert!(budget.reserve(500).is_err());
/// drop(buffer);
/// assert_eq!(budget.bytes_in_use(), 600, "kept for the next user");
/// assert!(budget.reserve(900).is_ok(), "what is kept makes room");
/// # Ok::<(), agent_collective::MemoryExceeded>(())
/// ```
#[derive(Clone)]
pub struct MemoryBudget {
    inner: Arc<Inner>,
}

struct Inner {
    owner: String,
    bytes_max: usize,
    in_use: AtomicUsize,
    in_use_max: AtomicUsize,
    kept: Mutex<Vec<Vec<u8>>>,
}

/// A reservation that would pass the budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("reserve memory of `{owner}`: {bytes} bytes, {in_use} of at most {bytes_max} are in use")]
#[non_exhaustive]
pub struct MemoryExceeded {
    /// Whose budget it is.
    pub owner: String,
    /// What was asked for.
    pub bytes: usize,
    /// What is reserved.
    pub in_use: usize,
    /// The limit.
    pub bytes_max: usize,
}

/// Bytes of a budget; given back when dropped.
#[derive(Debug)]
pub struct Reservation {
    budget: MemoryBudget,
    bytes: usize,
}

/// A buffer of bytes that grows within a budget. Dropped, it is kept for the next user.
pub struct PooledBuffer {
    budget: MemoryBudget,
    data: Vec<u8>,
}

impl MemoryBudget {
    /// `bytes_max` bytes for `owner`, whose name is for errors.
    pub fn new(owner: impl Into<String>, bytes_max: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                owner: owner.into(),
                bytes_max,
                in_use: AtomicUsize::new(0),
                in_use_max: AtomicUsize::new(0),
                kept: Mutex::new(Vec::new()),
            }),
        }
    }

    /// The limit.
    pub fn bytes_max(&self) -> usize {
        self.inner.bytes_max
    }

    /// Reserved now, buffers kept for the next user included.
    pub fn bytes_in_use(&self) -> usize {
        self.inner.in_use.load(Ordering::Relaxed)
    }

    /// The most that was ever reserved.
    pub fn bytes_in_use_max(&self) -> usize {
        self.inner.in_use_max.load(Ordering::Relaxed)
    }

    /// Reserves bytes for memory that the caller takes itself. Kept buffers are freed if that makes
    /// the room.
    ///
    /// # Errors
    /// [`MemoryExceeded`].
    pub fn reserve(&self, bytes: usize) -> Result<Reservation, MemoryExceeded> {
        self.take(bytes)?;
        let budget = self.clone();
        Ok(Reservation { budget, bytes })
    }

    /// An empty buffer with room for `capacity` bytes: a kept one if there is one, else a new one.
    ///
    /// # Errors
    /// [`MemoryExceeded`].
    pub fn buffer(&self, capacity: usize) -> Result<PooledBuffer, MemoryExceeded> {
        let kept = {
            let mut kept = lock(&self.inner.kept);
            let fitting = kept.iter().position(|data| data.capacity() >= capacity);
            fitting.map(|at| kept.swap_remove(at))
        };
        let data = match kept {
            Some(data) => data,
            None => {
                self.take(capacity)?;
                Vec::with_capacity(capacity)
            }
        };
        let budget = self.clone();
        Ok(PooledBuffer { budget, data })
    }

    fn take(&self, bytes: usize) -> Result<(), MemoryExceeded> {
        if self.try_take(bytes).is_ok() {
            return Ok(());
        }
        let freed = std::mem::take(&mut *lock(&self.inner.kept));
        for data in freed {
            self.give(data.capacity());
        }
        self.try_take(bytes).map_err(|in_use| MemoryExceeded {
            owner: self.inner.owner.clone(),
            bytes,
            in_use,
            bytes_max: self.inner.bytes_max,
        })
    }

    fn try_take(&self, bytes: usize) -> Result<(), usize> {
        let more = |in_use: usize| {
            let sum = in_use.checked_add(bytes)?;
            (sum <= self.inner.bytes_max).then_some(sum)
        };
        let before = self
            .inner
            .in_use
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)?;
        self.inner
            .in_use_max
            .fetch_max(before + bytes, Ordering::Relaxed);
        Ok(())
    }

    fn give(&self, bytes: usize) {
        self.inner.in_use.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Reservation {
    /// How many bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.give(self.bytes);
    }
}

impl PooledBuffer {
    /// Appends `bytes`.
    ///
    /// # Errors
    /// [`MemoryExceeded`], and nothing is appended, if the buffer would have to grow past the
    /// budget.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) -> Result<(), MemoryExceeded> {
        let room = self.data.capacity() - self.data.len();
        if bytes.len() > room {
            let missing = bytes.len() - room;
            self.grow(missing.max(self.data.capacity()))
                .or_else(|_| self.grow(missing))?;
        }
        self.data.extend_from_slice(bytes);
        Ok(())
    }

    fn grow(&mut self, more: usize) -> Result<(), MemoryExceeded> {
        self.budget.take(more)?;
        let before = self.data.capacity();
        let wanted = before + more - self.data.len();
        self.data.reserve_exact(wanted);
        // The allocator may give a little more than was asked for; the count follows it.
        let got = self.data.capacity() - before;
        if got > more {
            self.budget
                .inner
                .in_use
                .fetch_add(got - more, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Forgets the content and keeps the room.
    pub fn clear(&mut self) {
        self.data.clear();
    }

    /// Bytes that fit without growing.
    pub fn capacity(&self) -> usize {
        self.data.capacity()
    }
}

impl Deref for PooledBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let mut data = std::mem::take(&mut self.data);
        data.clear();
        let mut kept = lock(&self.budget.inner.kept);
        if kept.len() < KEPT_MAX && data.capacity() > 0 {
            kept.push(data);
        } else {
            self.budget.give(data.capacity());
        }
    }
}

impl fmt::Debug for MemoryBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryBudget")
            .field("owner", &self.inner.owner)
            .field("bytes_in_use", &self.bytes_in_use())
            .field("bytes_max", &self.inner.bytes_max)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PooledBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PooledBuffer")
            .field("bytes", &self.data.len())
            .field("capacity", &self.capacity())
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn the_budget_is_never_passed_and_the_error_says_by_what() {
        let budget = MemoryBudget::new("a", 100);
        let first = budget.reserve(60).unwrap();
        let error = budget.reserve(41).unwrap_err();
        assert_eq!(
            error.to_string(),
            "reserve memory of `a`: 41 bytes, 60 of at most 100 are in use"
        );
        assert!(budget.reserve(usize::MAX).is_err());
        drop(first);
        assert_eq!((budget.bytes_in_use(), budget.bytes_in_use_max()), (0, 60));
    }

    #[test]
    fn buffers_are_used_again_and_freed_when_room_is_needed() {
        let budget = MemoryBudget::new("a", 1_000);
        let mut buffer = budget.buffer(200).unwrap();
        buffer.extend_from_slice(&[7; 300]).unwrap();
        assert_eq!(buffer.len(), 300);
        assert!(buffer.extend_from_slice(&[7; 800]).is_err());
        assert_eq!(buffer.len(), 300);
        let capacity = buffer.capacity();
        assert_eq!(budget.bytes_in_use(), capacity);
        drop(buffer);
        let again = budget.buffer(100).unwrap();
        assert_eq!((again.capacity(), again.len()), (capacity, 0));
        drop(again);
        assert_eq!(budget.reserve(1_000).unwrap().bytes(), 1_000);
        assert_eq!(budget.bytes_in_use(), 0);
    }
}
