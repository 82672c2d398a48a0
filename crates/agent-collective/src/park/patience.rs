//! How long a worker looks for work before it sleeps.
//!
//! Sleeping and being woken costs two system calls and tens of microseconds until the worker runs
//! again; looking costs the processor. A worker looks for as long as that paid off lately.

use std::cell::Cell;

/// Looks that are always made: they cost less than listing oneself as asleep.
const LOOKS_MIN: u32 = 3;
/// Looks after which the processor is offered to other threads in between.
const LOOKS_BEFORE_YIELD: u32 = 96;
/// The same for a patient searcher, who is so because work came within microseconds again and again:
/// whoever brings it, and waits for what this worker has just done, may be on the same processor.
///
/// Nobody else may do so early. Others count on a searcher, and one that gave its processor to a
/// thread that computes is away for milliseconds: with 8 looks for all, the p99 of tasks of 1 ms at
/// 0.7 load of both processors was 2.4 times the ideal one.
const LOOKS_BEFORE_YIELD_PATIENT: u32 = 8;
/// A searcher with at least this limit, in nanoseconds, is patient.
const PATIENT_NS: u64 = 16_000;
/// Below this time spent looking, in nanoseconds, only the looks that are always made are left.
const BUDGET_NS_LEAST: u64 = 1_000;
/// Longest time spent looking: about what a sleep of no length costs until the worker runs again.
const BUDGET_NS_MAX: u64 = 50_000;

/// The present time limit of one worker.
#[derive(Debug)]
pub(crate) struct Patience {
    budget_ns: Cell<u64>,
}

/// One search.
#[derive(Debug)]
pub(crate) struct Watch {
    budget_ns: u64,
    looks: u32,
    until_ns: Option<u64>,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            budget_ns: Cell::new(BUDGET_NS_LEAST),
        }
    }

    pub(crate) fn watch(&self) -> Watch {
        Watch {
            budget_ns: self.budget_ns.get(),
            looks: 0,
            until_ns: None,
        }
    }

    /// The search that `watch` timed found work: looking pays.
    pub(crate) fn found(&self, watch: &Watch) {
        if watch.until_ns.is_some() {
            let more = self.budget_ns.get() + self.budget_ns.get() / 2;
            self.budget_ns.set(more.min(BUDGET_NS_MAX));
        }
    }

    /// A sleep ended. If looking a little longer would have spared it, look longer next time.
    pub(crate) fn slept(&self, ns: u64) {
        let budget_ns = self.budget_ns.get();
        self.budget_ns.set(if ns < BUDGET_NS_MAX {
            (budget_ns * 2).clamp(BUDGET_NS_LEAST, BUDGET_NS_MAX)
        } else if budget_ns >= 2 * BUDGET_NS_LEAST {
            budget_ns / 2
        } else {
            0
        });
    }
}

impl Watch {
    /// Pauses after a look in vain and says whether to look once more. Several searchers find no
    /// more than one, so whoever is not `alone` stops.
    pub(crate) fn goes_on(&mut self, now_ns: impl FnOnce() -> u64, alone: bool) -> bool {
        self.looks += 1;
        if self.looks > LOOKS_MIN {
            let now_ns = now_ns();
            let until_ns = *self.until_ns.get_or_insert(now_ns + self.budget_ns);
            if !alone || now_ns >= until_ns {
                return false;
            }
        }
        let before_yield = if self.budget_ns >= PATIENT_NS {
            LOOKS_BEFORE_YIELD_PATIENT
        } else {
            LOOKS_BEFORE_YIELD
        };
        if self.looks > before_yield {
            std::thread::yield_now();
        } else {
            std::hint::spin_loop();
        }
        true
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    fn looks(patience: &Patience, ns_per_look: u64) -> u32 {
        let mut watch = patience.watch();
        let mut now_ns = 0;
        let mut clock = || {
            now_ns += ns_per_look;
            now_ns
        };
        while watch.goes_on(&mut clock, true) {}
        watch.looks
    }

    #[test]
    fn short_sleeps_make_patient_and_long_ones_impatient() {
        let patience = Patience::new();
        let at_first = looks(&patience, 500);
        for _ in 0..20 {
            patience.slept(2_000);
        }
        let patient = looks(&patience, 500);
        assert!(patient > 10 * at_first, "{patient} looks after {at_first}");
        for _ in 0..20 {
            patience.slept(10_000_000);
        }
        assert_eq!(looks(&patience, 500), LOOKS_MIN + 1);
    }

    #[test]
    fn whoever_is_not_alone_gives_up() {
        let patience = Patience::new();
        let mut watch = patience.watch();
        let mut looks = 0;
        while watch.goes_on(|| 0, false) {
            looks += 1;
        }
        assert_eq!(looks, LOOKS_MIN);
    }
}
