//! The only door to time: a monotonic clock in nanoseconds and the CPU clock of a thread.

use std::time::{Duration, Instant};

/// Monotonic clock; stamps are nanoseconds since the clock was made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    origin: Instant,
}

/// A stamp that no clock reaches: "no deadline".
pub(crate) const NEVER_NS: u64 = u64::MAX;

impl Clock {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
        }
    }

    /// Nanoseconds since the clock was made; does not go back.
    pub(crate) fn now_ns(&self) -> u64 {
        duration_ns(self.origin.elapsed())
    }
}

/// `duration` in nanoseconds, at most [`NEVER_NS`] (584 years).
pub(crate) fn duration_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER_NS)
}

/// Miri has no CPU clock of threads; its stands still.
#[cfg(miri)]
pub(crate) fn thread_cpu_ns() -> u64 {
    0
}

/// CPU time in nanoseconds that the calling thread has used; a system call (about 0.2 us).
#[cfg(not(miri))]
pub(crate) fn thread_cpu_ns() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u64::try_from(time.tv_nsec).unwrap_or(0);
    seconds.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_only_go_forward() {
        let clock = Clock::new();
        let mut wall = clock.now_ns();
        let mut cpu = thread_cpu_ns();
        for _ in 0..1_000 {
            let (wall_next, cpu_next) = (clock.now_ns(), thread_cpu_ns());
            assert!(wall_next >= wall && cpu_next >= cpu);
            (wall, cpu) = (wall_next, cpu_next);
        }
        assert!(cfg!(miri) || cpu > 0);
    }

    #[test]
    fn long_durations_saturate() {
        assert_eq!(duration_ns(Duration::MAX), NEVER_NS);
        assert_eq!(duration_ns(Duration::from_millis(3)), 3_000_000);
    }
}
