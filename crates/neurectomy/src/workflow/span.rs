//! Wall and CPU time of a part of a run.

use rustix::time::{ClockId, Timespec, clock_gettime};
use std::time::{Duration, Instant};

/// A part of a run, from its beginning to a later reading, on one thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    wall: Instant,
    thread_cpu: Duration,
    process_cpu: Duration,
}

/// What a [`Span`] took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) wall_s: f64,
    /// CPU time of the thread that read it, which must be the thread that began it.
    pub(crate) thread_cpu_s: f64,
    pub(crate) process_cpu_s: f64,
}

impl Span {
    pub(crate) fn begin() -> Self {
        Self {
            wall: Instant::now(),
            thread_cpu: cpu(ClockId::ThreadCPUTime),
            process_cpu: cpu(ClockId::ProcessCPUTime),
        }
    }

    /// Time since the beginning of this span until the beginning of `next`.
    pub(crate) fn until(&self, next: &Self) -> Taken {
        let seconds = |later: Duration, earlier| later.saturating_sub(earlier).as_secs_f64();
        Taken {
            wall_s: next.wall.duration_since(self.wall).as_secs_f64(),
            thread_cpu_s: seconds(next.thread_cpu, self.thread_cpu),
            process_cpu_s: seconds(next.process_cpu, self.process_cpu),
        }
    }
}

fn cpu(clock: ClockId) -> Duration {
    let Timespec { tv_sec, tv_nsec } = clock_gettime(clock);
    Duration::new(
        u64::try_from(tv_sec).unwrap_or(0),
        u32::try_from(tv_nsec).unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeping_costs_wall_time_and_working_costs_cpu() {
        let begin = Span::begin();
        std::thread::sleep(Duration::from_millis(20));
        let slept = Span::begin();
        let mut sum = 0_u64;
        // Ends when both clocks have moved; some systems advance them only every few milliseconds.
        let worked = loop {
            sum = sum.wrapping_mul(31).wrapping_add(1);
            let taken = slept.until(&Span::begin());
            if taken.thread_cpu_s >= 0.02 && taken.process_cpu_s >= 0.02 {
                break taken;
            }
        };
        assert!(begin.until(&slept).wall_s >= 0.02);
        assert!(
            begin.until(&slept).thread_cpu_s < 0.02,
            "sleep burned CPU ({sum})"
        );
        assert!(worked.wall_s > 0.0);
    }
}
