//! A thread from outside in the seat of a worker that sleeps: what it runs there is that worker's
//! work, in its place in the counts and on its books, and the worker sleeps on.
//!
//! Waking a thread and being woken by it costs more than most messages. Whoever waits for the
//! outcome anyway can do the work himself, as long as the number of seats stays the bound on how much
//! runs at a time.

use crate::clock::thread_cpu_ns;
use crate::ledger::GuestEntry;
use crate::runtime::RuntimeHandle;
use crate::worker::Worker;
use std::cell::Cell;
use std::rc::Rc;

/// A guest whose units are longer than this on average reads the CPU clock, two system calls; that
/// of shorter units is taken to be the time they run.
const MEASURED_NS: u64 = 20_000;

thread_local! {
    /// Moving average of the time of the units that this thread has run as a guest.
    static UNIT_NS: Cell<u64> = const { Cell::new(0) };
}

/// The right to work in a seat; given back when it is dropped.
pub(crate) struct Guest {
    worker: Rc<Worker>,
    entry: GuestEntry,
    cpu_from_ns: Option<u64>,
}

impl Guest {
    /// Takes the seat of a worker that sleeps; `None` if there is none, something is queued that
    /// workers should see to first, or the calling thread is a worker itself.
    pub(crate) fn sit_down(runtime: &RuntimeHandle) -> Option<Self> {
        let shared = runtime.shared();
        if !Worker::is_outside() || !shared.queues.is_empty() {
            return None;
        }
        let index = shared.sleepers.occupy()?;
        let worker = Rc::new(Worker::new(runtime.clone(), index, None));
        worker.set_unit_ns(UNIT_NS.get());
        Worker::set_current(Some(Rc::clone(&worker)));
        let is_long = worker.unit_ns() >= MEASURED_NS;
        Some(Self {
            entry: worker.ledger().admit_guest(),
            cpu_from_ns: is_long.then(thread_cpu_ns),
            worker,
        })
    }

    pub(crate) fn worker(&self) -> &Worker {
        &self.worker
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let worker = &*self.worker;
        let cpu_ns = self
            .cpu_from_ns
            .map(|from_ns| thread_cpu_ns().saturating_sub(from_ns));
        worker.ledger().dismiss_guest(&self.entry, cpu_ns);
        UNIT_NS.set(worker.unit_ns());
        Worker::set_current(None);
        let shared = worker.shared();
        let ready = || !shared.queues.is_empty() || shared.census.has_ended();
        shared.sleepers.vacate(worker.index(), ready);
    }
}
