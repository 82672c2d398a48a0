//! Threads that stay for the next job.
//!
//! Starting a thread costs tens of microseconds, waking one that sleeps a few. A validation stage
//! that waits on 32 threads would otherwise spend more time starting the last ones than a short
//! wait takes.

use crate::clock::OnTime;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::Thread;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that end when the last owner lets go of the crew and their job is done.
#[derive(Default)]
pub(super) struct Crew {
    idle: Mutex<Vec<Arc<Berth>>>,
}

/// What one sleeping thread is to do.
struct Berth {
    thread: Thread,
    order: Mutex<Order>,
}

enum Order {
    Wait,
    Run(Job),
    End,
}

/// No user code runs under the locks of this file.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crew {
    /// Runs `job`, which must not unwind, on a sleeping thread, or on a new one with that stack. A
    /// thread whose job is done stays unless `idle_max` sleep already.
    pub(super) fn run(
        self: &Arc<Self>,
        stack_bytes: usize,
        idle_max: usize,
        job: impl FnOnce() + Send + 'static,
    ) -> io::Result<()> {
        let sleeping = lock(&self.idle).pop();
        if let Some(berth) = sleeping {
            berth.give(Order::Run(Box::new(job)));
            return Ok(());
        }
        let crew = Arc::downgrade(self);
        std::thread::Builder::new()
            .name("validate".to_owned())
            .stack_size(stack_bytes)
            .spawn(move || live(&crew, idle_max, job))
            .map(drop)
    }

    /// How many threads sleep.
    #[cfg(test)]
    fn sleeping(&self) -> usize {
        lock(&self.idle).len()
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for berth in std::mem::take(&mut *lock(&self.idle)) {
            berth.give(Order::End);
        }
    }
}

impl Berth {
    fn give(&self, order: Order) {
        *lock(&self.order) = order;
        self.thread.unpark();
    }

    /// Sleeps until there is something to do; `None` is the end.
    fn next(&self) -> Option<Job> {
        loop {
            match std::mem::replace(&mut *lock(&self.order), Order::Wait) {
                Order::Run(job) => return Some(job),
                Order::End => return None,
                Order::Wait => {}
            }
            std::thread::park();
        }
    }
}

/// The body of a thread.
fn live(crew: &Weak<Crew>, idle_max: usize, first: impl FnOnce()) {
    let _on_time = OnTime::begin();
    first();
    let berth = Arc::new(Berth {
        thread: std::thread::current(),
        order: Mutex::new(Order::Wait),
    });
    loop {
        {
            let Some(crew) = crew.upgrade() else {
                return;
            };
            let mut idle = lock(&crew.idle);
            if idle.len() >= idle_max {
                return;
            }
            idle.push(Arc::clone(&berth));
        }
        match berth.next() {
            Some(job) => job(),
            None => return,
        }
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn sleeps(crew: &Crew, threads: usize) {
        while crew.sleeping() != threads {
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_thread_serves_one_job_after_the_other() {
        let crew = Arc::new(Crew::default());
        let (sender, receiver) = channel();
        let mut threads = Vec::new();
        for _ in 0..20 {
            let sender = sender.clone();
            let job = move || sender.send(std::thread::current().id()).unwrap();
            crew.run(1 << 16, 1, job).unwrap();
            threads.push(receiver.recv().unwrap());
            sleeps(&crew, 1);
        }
        threads.dedup();
        assert_eq!(threads.len(), 1);
    }

    #[test]
    fn no_more_threads_stay_than_wanted_and_none_when_the_crew_is_gone() {
        let crew = Arc::new(Crew::default());
        let gate = Arc::new(std::sync::Barrier::new(4));
        let alive = Arc::new(());
        for _ in 0..3 {
            let (gate, alive) = (Arc::clone(&gate), Arc::clone(&alive));
            let job = move || {
                gate.wait();
                drop(alive);
            };
            crew.run(1 << 16, 2, job).unwrap();
        }
        gate.wait();
        sleeps(&crew, 2);
        let berths: Vec<Weak<Berth>> = lock(&crew.idle).iter().map(Arc::downgrade).collect();
        drop(crew);
        // A berth lives as long as its thread.
        while berths.iter().any(|berth| berth.strong_count() > 0) {
            std::thread::yield_now();
        }
        assert_eq!(Arc::strong_count(&alive), 1);
    }
}
