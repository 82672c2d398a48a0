//! The only door to time: a monotonic clock in nanoseconds and the CPU clock of a thread.
//!
//! A task is stamped three times, so a stamp has to be cheap. Where the processor promises a
//! counter of constant rate that never stops (x86-64 with an invariant time stamp counter), it is
//! read directly, about a third of the cost of asking the system (9 against 24 ns); its rate is
//! measured once per process against the system's clock. Everywhere else the system is asked.

use crate::primitive::{AtomicU64, Ordering};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Monotonic clock; stamps are nanoseconds since the clock was made.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    source: Source,
}

/// A stamp that no clock reaches: "no deadline".
pub(crate) const NEVER_NS: u64 = u64::MAX;

#[derive(Clone, Debug)]
enum Source {
    /// The processor's counter: a reading, and nanoseconds per tick times 2^32.
    Counter {
        origin_ticks: u64,
        tick_ns_shifted: u64,
    },
    System {
        origin: Instant,
    },
    /// Moves when it is told.
    Virtual(Arc<AtomicU64>),
}

impl Clock {
    /// The cheapest clock that follows real time.
    pub(crate) fn new() -> Self {
        let source = match counter::rate() {
            Some(tick_ns_shifted) => Source::Counter {
                origin_ticks: counter::ticks(),
                tick_ns_shifted,
            },
            None => Source::System {
                origin: Instant::now(),
            },
        };
        Self { source }
    }

    /// Stands at 0 until it is moved.
    pub(crate) fn virtual_time() -> Self {
        Self {
            source: Source::Virtual(Arc::new(AtomicU64::new(0))),
        }
    }

    /// The plain twin of the counter.
    #[cfg(test)]
    fn of_the_system() -> Self {
        let origin = Instant::now();
        Self {
            source: Source::System { origin },
        }
    }

    /// Nanoseconds since the clock was made. Does not go back on one thread; between threads it may
    /// differ by the skew of the processor's counters, so differences are taken saturating.
    pub(crate) fn now_ns(&self) -> u64 {
        match &self.source {
            Source::Counter {
                origin_ticks,
                tick_ns_shifted,
            } => {
                let ticks = counter::ticks().saturating_sub(*origin_ticks);
                let ns = (u128::from(ticks) * u128::from(*tick_ns_shifted)) >> 32;
                u64::try_from(ns).unwrap_or(NEVER_NS)
            }
            Source::System { origin } => duration_ns(origin.elapsed()),
            Source::Virtual(now_ns) => now_ns.load(Ordering::Relaxed),
        }
    }

    /// Whether it stands still until it is moved.
    pub(crate) fn is_virtual(&self) -> bool {
        matches!(self.source, Source::Virtual(_))
    }

    /// Moves a virtual clock; real ones move on their own.
    pub(crate) fn advance(&self, ns: u64) {
        if let Source::Virtual(now_ns) = &self.source {
            now_ns.fetch_add(ns, Ordering::Relaxed);
        }
    }

    /// Waits on a real clock, moves a virtual one.
    pub(crate) fn sleep(&self, time: Duration) {
        if self.is_virtual() {
            self.advance(duration_ns(time));
        } else {
            std::thread::sleep(time);
        }
    }
}

#[cfg(all(target_arch = "x86_64", not(miri), not(neurectomy_loom)))]
mod counter {
    use std::arch::x86_64::{__cpuid, _rdtsc};
    use std::sync::OnceLock;
    use std::time::{Duration, Instant};

    /// How long the rate is measured. A bracket is about 50 ns wide, so the rate is known to some
    /// 20 millionths.
    const MEASURED_FOR: Duration = Duration::from_millis(3);
    /// Readings from which the one with the narrowest bracket is taken.
    const READINGS: usize = 16;
    /// Slowest counter taken for one.
    const TICKS_PER_US_MIN: u64 = 100;

    /// Nanoseconds per tick times 2^32; none where the counter may stop or change its rate.
    pub(super) fn rate() -> Option<u64> {
        static RATE: OnceLock<Option<u64>> = OnceLock::new();
        *RATE.get_or_init(|| is_invariant().then(measure).flatten())
    }

    #[expect(unsafe_code, reason = "the counter can be read in no other way")]
    pub(super) fn ticks() -> u64 {
        // SAFETY: the instruction exists on every x86-64 processor and touches no memory.
        unsafe { _rdtsc() }
    }

    fn is_invariant() -> bool {
        const POWER_LEAF: u32 = 0x8000_0007;
        let highest = __cpuid(0x8000_0000).eax;
        highest >= POWER_LEAF && __cpuid(POWER_LEAF).edx & (1 << 8) != 0
    }

    fn measure() -> Option<u64> {
        let (first_ticks, first) = reading();
        while first.elapsed() < MEASURED_FOR {
            std::hint::spin_loop();
        }
        let (last_ticks, last) = reading();
        let ticks = last_ticks.checked_sub(first_ticks)?;
        let ns = u64::try_from(last.duration_since(first).as_nanos()).ok()?;
        let fast_enough = ticks >= ns / 1_000 * TICKS_PER_US_MIN;
        fast_enough.then(|| u64::try_from((u128::from(ns) << 32) / u128::from(ticks)).ok())?
    }

    /// Counter and system clock at nearly the same moment.
    fn reading() -> (u64, Instant) {
        let read = |_| {
            let (before, now, after) = (ticks(), Instant::now(), ticks());
            (after.wrapping_sub(before), before, now)
        };
        let narrowest = (0..READINGS).map(read).min_by_key(|&(width, ..)| width);
        let (width, before, now) = narrowest.unwrap_or_else(|| read(0));
        (before.wrapping_add(width / 2), now)
    }
}

#[cfg(not(all(target_arch = "x86_64", not(miri), not(neurectomy_loom))))]
mod counter {
    pub(super) fn rate() -> Option<u64> {
        None
    }

    pub(super) fn ticks() -> u64 {
        0
    }
}

/// Makes timed waits of the calling thread end on time, until this is dropped. Linux lets them end
/// up to 50 us late otherwise, to wake several threads at once; a wait of 10 ms on each of 32 threads
/// would be half a per cent longer for it. Does nothing elsewhere.
#[derive(Debug)]
pub(crate) struct OnTime {
    #[cfg(all(target_os = "linux", not(miri)))]
    before: Option<std::num::NonZeroU64>,
}

impl OnTime {
    #[cfg(all(target_os = "linux", not(miri)))]
    pub(crate) fn begin() -> Self {
        let before = rustix::thread::current_timer_slack().ok();
        // A system that refuses keeps its lateness.
        let _ = rustix::thread::set_current_timer_slack(Some(std::num::NonZeroU64::MIN));
        Self {
            before: before.and_then(std::num::NonZeroU64::new),
        }
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    pub(crate) fn begin() -> Self {
        Self {}
    }
}

impl Drop for OnTime {
    fn drop(&mut self) {
        #[cfg(all(target_os = "linux", not(miri)))]
        let _ = rustix::thread::set_current_timer_slack(self.before);
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
    fn all_clocks_only_go_forward() {
        for clock in [Clock::new(), Clock::of_the_system()] {
            let mut wall = clock.now_ns();
            let mut cpu = thread_cpu_ns();
            for _ in 0..1_000 {
                let (wall_next, cpu_next) = (clock.now_ns(), thread_cpu_ns());
                assert!(wall_next >= wall && cpu_next >= cpu);
                (wall, cpu) = (wall_next, cpu_next);
            }
            assert!(cfg!(miri) || cpu > 0);
        }
    }

    /// The system's clock is read around the counter's, so load on the machine cannot fail this.
    #[test]
    fn the_counter_goes_as_fast_as_the_clock_of_the_system() {
        let (system, counter) = (Clock::of_the_system(), Clock::new());
        let (from, start) = (system.now_ns(), counter.now_ns());
        let until = system.now_ns();
        std::thread::sleep(Duration::from_millis(100));
        let (least, end) = (system.now_ns() - until, counter.now_ns());
        let most = system.now_ns() - from;
        let took = end - start;
        assert!(took >= least - least / 1_000, "{took} ns of {least}");
        assert!(took <= most + most / 1_000, "{took} ns of {most}");
    }

    #[test]
    fn long_durations_saturate() {
        assert_eq!(duration_ns(Duration::MAX), NEVER_NS);
        assert_eq!(duration_ns(Duration::from_millis(3)), 3_000_000);
    }
}
