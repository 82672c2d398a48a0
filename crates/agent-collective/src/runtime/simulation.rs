//! The deterministic test mode: one thread, a seeded scheduler and a clock that only moves when
//! told.

use super::handle::RuntimeHandle;
use super::owner::next_id;
use super::shared::{Seat, Shared};
use crate::clock::{Clock, duration_ns};
use crate::config::{Settings, TeamConfig};
use crate::error::{CollectiveError, TaskError};
use crate::lanes::Lane;
use crate::queue::Entry;
use crate::report::Report;
use crate::task::JoinHandle;
use crate::timer::Timer;
use crate::worker::Worker;
use std::fmt;
use std::ops::Deref;
use std::rc::Rc;
use std::time::Duration;

/// What one unit of work costs on the virtual clock besides the time that it waits.
const UNIT_NS: u64 = 1_000;

/// A runtime for tests whose schedule depends on its seed alone.
///
/// It has no threads: [`step`](Self::step) picks one of the entries that could run, by a random
/// number of the seed, and runs it on the calling thread. Time is virtual: each entry costs 1 us,
/// [`TaskContext::sleep`](crate::TaskContext::sleep) moves the clock instead of waiting, and when
/// nothing is left to run the clock goes to the next timer (of hedges, batches and delays). What a task
/// does by other means than this crate, such as threads of its own, is not simulated.
///
/// Submitting and asking work as ever, but a handle of this runtime is to be joined with
/// [`Simulation::join`]: nobody would run the task while the thread waits. For the same reason a
/// submission from outside should be [`try_submit`](RuntimeHandle::try_submit) where the queue may
/// be full.
///
/// ```
/// use agent_collective::{Runtime, Task};
/// use std::time::Duration;
///
/// let run = |seed| {
///     let mut simulation = Runtime::builder().simulate(seed)?;
///     let (sender, receiver) = std::sync::mpsc::channel();
///     for n in 0..10u64 {
///         let sender = sender.clone();
///         simulation.spawn(Task::new("any", move |context| {
///             context.sleep(Duration::from_secs(n));
///             let _ = sender.send(n);
///         }))?;
///     }
///     simulation.run_until_idle();
///     assert_eq!(simulation.now(), Duration::from_secs(45) + Duration::from_micros(10));
///     drop(sender);
///     Ok::<Vec<u64>, agent_collective::CollectiveError>(receiver.iter().collect())
/// };
/// assert_eq!(run(1)?, run(1)?);
/// assert_ne!(run(1)?, run(2)?);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
pub struct Simulation {
    handle: RuntimeHandle,
    worker: Rc<Worker>,
    runnable: Vec<Entry>,
    random: u64,
}

impl Simulation {
    pub(crate) fn start(
        mut settings: Settings,
        teams: &[TeamConfig],
        seed: u64,
    ) -> Result<Self, CollectiveError> {
        settings.workers = 1;
        let (shared, seats) = Shared::new(next_id(), settings, teams, Clock::virtual_time())?;
        let handle = RuntimeHandle::new(shared);
        let mut workers = seats.into_iter().enumerate();
        let worker = workers.next().map(|(index, Seat { deque, .. })| {
            Rc::new(Worker::new(handle.clone(), index, Some(deque)))
        });
        let Some(worker) = worker else {
            unreachable!("there is one seat per worker");
        };
        handle.shared().open_simulated();
        Ok(Self {
            handle,
            worker,
            runnable: Vec::new(),
            random: seed,
        })
    }

    /// Runs one of the entries that could run; false if there are none, not even after the next
    /// timer.
    pub fn step(&mut self) -> bool {
        loop {
            self.gather();
            if !self.runnable.is_empty() {
                break;
            }
            if !self.go_to_next_timer() {
                return false;
            }
        }
        let choices = self.runnable.len() as u64;
        let chosen = usize::try_from(self.next_random() % choices).unwrap_or(0);
        let entry = self.runnable.swap_remove(chosen);
        let shared = self.handle.shared();
        shared.clock.advance(UNIT_NS);
        let worker = &self.worker;
        Worker::with_current(worker, || worker.run_entry(entry));
        self.run_timers();
        true
    }

    /// Runs until nothing can run, and gives the number of steps. A task that submits itself for
    /// ever keeps this from returning.
    pub fn run_until_idle(&mut self) -> u64 {
        let mut steps = 0;
        while self.step() {
            steps += 1;
        }
        steps
    }

    /// Steps until the handle's task has ended.
    ///
    /// # Errors
    /// As [`JoinHandle::join`]; [`TaskError::WouldDeadlock`] if nothing can run and it has not
    /// ended.
    pub fn join<T>(&mut self, handle: JoinHandle<T>) -> Result<T, TaskError> {
        while !handle.is_finished() {
            if !self.step() {
                return Err(TaskError::WouldDeadlock);
            }
        }
        handle.join()
    }

    /// The virtual time since the start.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.handle.shared().clock.now_ns())
    }

    /// Moves the virtual clock and makes the calls that are due.
    pub fn advance(&mut self, time: Duration) {
        let shared = self.handle.shared();
        shared.clock.advance(duration_ns(time));
        self.run_timers();
    }

    /// Runs what is left, refuses new work and says where the virtual time went.
    pub fn shutdown(mut self) -> Report {
        self.handle.shared().drain();
        self.run_until_idle();
        self.handle.shared().report()
    }

    /// Takes everything out of the queues that could run.
    fn gather(&mut self) {
        while let Some(entry) = self.handle.shared().queues.take_any() {
            self.runnable.push(entry);
        }
    }

    fn go_to_next_timer(&self) -> bool {
        let shared = self.handle.shared();
        let calls = [&shared.timer, &shared.delays].map(Timer::next_ns);
        let Some(at_ns) = calls.into_iter().flatten().min() else {
            return false;
        };
        let now_ns = shared.clock.now_ns();
        shared.clock.advance(at_ns.saturating_sub(now_ns));
        self.run_timers();
        true
    }

    fn run_timers(&self) {
        let shared = self.handle.shared();
        shared.timer.run_due();
        shared.delays.run_due();
    }

    /// `SplitMix64`, Steele, Lea and Flood 2014.
    fn next_random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// What has not run is cancelled.
impl Drop for Simulation {
    fn drop(&mut self) {
        let shared = self.handle.shared();
        shared.stop();
        for entry in self.runnable.drain(..) {
            shared.took_out(&entry, Lane::Outside);
            let team = entry.team();
            entry.discard(shared);
            shared.end_turn(team);
        }
        shared.stop();
    }
}

impl Deref for Simulation {
    type Target = RuntimeHandle;

    fn deref(&self) -> &RuntimeHandle {
        &self.handle
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Simulation")
            .field("now", &self.now())
            .field("runnable", &self.runnable.len())
            .finish_non_exhaustive()
    }
}
