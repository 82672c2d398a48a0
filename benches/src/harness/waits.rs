//! What the threads of a suite wait for, by samples of `/proc`: off-CPU time without a privilege.
//!
//! A sample of a thread is its state and the kernel function in which it sleeps (`wchan`). A thread
//! of a pool that has nothing to do sleeps on a futex like one that waits for a lock: samples do not
//! tell them apart.

use serde::{Deserialize, Serialize};

/// Thread samples by what the thread did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// On a core, or ready for one.
    pub running: u64,
    /// In a futex: locks, condition variables, parked threads, joins.
    pub locks: u64,
    /// For a disk.
    pub disk: u64,
    /// For sockets, pipes and other events.
    pub events: u64,
    /// For a time to pass.
    pub timers: u64,
    /// In another kernel function, or in one that the system does not name.
    pub other: u64,
}

/// Parts of names of kernel functions in which threads wait for a disk.
const DISK: [&str; 7] = [
    "io_schedule",
    "blk_",
    "bio_",
    "jbd2",
    "folio_wait",
    "wait_on_page",
    "fsync",
];
/// The same for events.
const EVENTS: [&str; 7] = ["poll", "pipe", "sock", "skb", "inet", "unix_", "do_wait"];

impl Waits {
    /// Counts one sample: the state as `/proc` names it, and the kernel function.
    pub(super) fn count(&mut self, state: char, function: &str) {
        let is_any = |names: &[&str]| names.iter().any(|name| function.contains(name));
        let place = if state == 'R' {
            &mut self.running
        } else if function.contains("futex") {
            &mut self.locks
        } else if state == 'D' || is_any(&DISK) {
            &mut self.disk
        } else if function.contains("nanosleep") {
            &mut self.timers
        } else if is_any(&EVENTS) {
            &mut self.events
        } else {
            &mut self.other
        };
        *place += 1;
    }

    /// All samples.
    #[must_use]
    pub fn samples(&self) -> u64 {
        self.running + self.locks + self.disk + self.events + self.timers + self.other
    }

    /// Parts of all samples in per cent: running, locks, disk, events, timers, other; none without
    /// samples.
    #[must_use]
    pub fn percent(&self) -> Option<[f64; 6]> {
        let all = self.samples();
        let counts = [
            self.running,
            self.locks,
            self.disk,
            self.events,
            self.timers,
            self.other,
        ];
        (all > 0).then(|| counts.map(|count| 100.0 * float(count) / float(all)))
    }

    /// Both together.
    #[must_use]
    pub fn plus(self, more: Self) -> Self {
        Self {
            running: self.running + more.running,
            locks: self.locks + more.locks,
            disk: self.disk + more.disk,
            events: self.events + more.events,
            timers: self.timers + more.timers,
            other: self.other + more.other,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of samples below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_fall_into_their_classes() {
        let mut waits = Waits::default();
        for (state, function) in [
            ('R', "0"),
            ('S', "futex_wait_queue"),
            ('D', "rq_qos_wait"),
            ('S', "jbd2_log_wait_commit"),
            ('S', "ep_poll"),
            ('S', "pipe_read"),
            ('S', "hrtimer_nanosleep"),
            ('S', "do_sys_something"),
        ] {
            waits.count(state, function);
        }
        let expected = Waits {
            running: 1,
            locks: 1,
            disk: 2,
            events: 2,
            timers: 1,
            other: 1,
        };
        assert_eq!(waits, expected);
        assert_eq!(waits.plus(waits).samples(), 16);
        assert_eq!(waits.percent().map(|percent| percent[2]), Some(25.0));
        assert_eq!(Waits::default().percent(), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_thread_that_waits_for_a_lock_is_seen() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let waiter = std::thread::spawn(move || receiver.recv().is_ok());
        let mut sampler = super::super::resources::Sampler::new(std::process::id());
        let start = std::time::Instant::now();
        let mut seen = 0;
        while seen == 0 && start.elapsed().as_secs() < 30 {
            sampler.sample(start.elapsed());
            seen = sampler.waits().locks;
        }
        drop(sender);
        assert_eq!(waiter.join().ok(), Some(false));
        // A system that hides the names of kernel functions counts the thread as `other`.
        assert!(seen > 0 || sampler.waits().other > 0);
    }
}
