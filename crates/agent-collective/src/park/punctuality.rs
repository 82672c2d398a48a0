//! How much earlier than wanted a worker ends a sleep that has an end.
//!
//! The system ends such a sleep late: on an idle processor it first has to wake, which took some 70 us
//! of a sleep of 10 ms and 120 us one time in ten. So a worker sleeps shorter by one and a half times
//! what it came late lately, and looks for work in the rest, as it does before any sleep.

use std::cell::Cell;

/// How late the first sleep is taken to end.
const LATE_NS_FIRST: u64 = 60_000;
/// Most nanoseconds that a worker gets up earlier.
const LEAD_NS_MAX: u64 = 150_000;
/// It gets up earlier by at most this part of the sleep, and stays up for what is due by the same
/// time afterwards, which bounds the processor time spent on it to twice this part.
const SLEEP_PARTS: u64 = 64;

/// The lateness of one worker's sleeps, and what it does about it.
#[derive(Debug)]
pub(crate) struct Punctuality {
    /// Moving average.
    late_ns: Cell<u64>,
    /// By how much the last sleep was to end earlier.
    lead_ns: Cell<u64>,
    /// Until when the worker stays up for what is due within that time.
    until_ns: Cell<u64>,
}

impl Punctuality {
    pub(crate) fn new() -> Self {
        Self {
            late_ns: Cell::new(LATE_NS_FIRST),
            lead_ns: Cell::new(0),
            until_ns: Cell::new(0),
        }
    }

    /// How long to sleep at `now_ns` when there is something to do at `due_ns`.
    pub(crate) fn set_out(&self, now_ns: u64, due_ns: u64) -> u64 {
        let ns = due_ns.saturating_sub(now_ns);
        let late_ns = self.late_ns.get();
        let lead_ns = (late_ns + late_ns / 2)
            .min(LEAD_NS_MAX)
            .min(ns / SLEEP_PARTS);
        self.lead_ns.set(lead_ns);
        self.until_ns.set(due_ns.saturating_add(lead_ns));
        ns - lead_ns
    }

    /// A sleep took `late_ns` longer than it should have.
    pub(crate) fn came_late(&self, late_ns: u64) {
        let late_ns = late_ns.min(2 * LEAD_NS_MAX);
        self.late_ns.set((self.late_ns.get() * 3 + late_ns) / 4);
    }

    /// Whether what is due at `due_ns` is so near that another sleep would end late.
    pub(crate) fn stays_up(&self, now_ns: u64, due_ns: u64) -> bool {
        now_ns < self.until_ns.get() && due_ns <= now_ns.saturating_add(self.lead_ns.get())
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_came_late_sets_out_earlier_within_bounds() {
        let punctuality = Punctuality::new();
        let sleep_ns = |ns: u64| punctuality.set_out(500, 500 + ns);
        for _ in 0..20 {
            punctuality.came_late(60_000);
        }
        let early_ns = 10_000_000 - sleep_ns(10_000_000);
        assert!((80_000..100_000).contains(&early_ns), "{early_ns} ns");
        let due_ns = 10_000_500;
        assert!(punctuality.stays_up(due_ns - early_ns, due_ns));
        assert!(!punctuality.stays_up(due_ns - 2 * early_ns, due_ns));
        // What is due shortly afterwards too, but not one thing after the other for ever.
        assert!(punctuality.stays_up(due_ns + 1, due_ns + 1_000));
        assert!(!punctuality.stays_up(due_ns + early_ns, due_ns + early_ns + 1));
        assert_eq!(sleep_ns(640_000), 630_000);
        for _ in 0..20 {
            punctuality.came_late(1_000_000_000);
        }
        assert_eq!(sleep_ns(1_000_000_000), 999_850_000);
        for _ in 0..60 {
            punctuality.came_late(0);
        }
        assert_eq!(sleep_ns(10_000_000), 10_000_000);
    }
}
