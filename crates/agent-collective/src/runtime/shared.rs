//! The state that workers and submitters share.

use super::spawned::Futures;
use crate::census::{Census, DRAINING, STOPPING};
use crate::clock::Clock;
use crate::config::{Settings, TeamConfig};
use crate::error::CollectiveError;
use crate::intake::Intake;
use crate::lanes::Lane;
use crate::latch::Latch;
use crate::latency::Latency;
use crate::ledger::Ledger;
use crate::park::{Choice, Parker, Sleepers};
use crate::primitive::{AtomicU64, AtomicUsize, Mutex, Ordering};
use crate::queue::{Entry, RunQueues};
use crate::team::{Routes, Team};
use crate::timer::Timer;
use crate::worker::{Worker, drop_quietly};
use crossbeam_deque::Worker as Deque;
use crossbeam_utils::CachePadded;

/// Everything behind a [`RuntimeHandle`](super::RuntimeHandle).
pub(crate) struct Shared {
    /// Tells runtimes of one process apart.
    pub(crate) id: u64,
    pub(crate) settings: Settings,
    pub(crate) clock: Clock,
    pub(crate) teams: Box<[Team]>,
    pub(crate) routes: Routes,
    /// Bounds all queues together.
    pub(crate) intake: Intake,
    pub(crate) queues: RunQueues,
    pub(crate) sleepers: Sleepers,
    pub(crate) ledgers: Box<[CachePadded<Ledger>]>,
    /// For rows of reports.
    pub(crate) no_latency: Latency,
    pub(crate) rejected_unrouted: AtomicU64,
    /// How long the unit that started last had been queued; kept for the age limit.
    pub(crate) wait_ns: CachePadded<AtomicU64>,
    pub(crate) opened_ns: AtomicU64,
    /// 0 until the threads are gone.
    pub(crate) closed_ns: AtomicU64,
    pub(crate) census: Census,
    pub(crate) timer: Timer,
    /// For [`Delay`](super::Delay); sleeping workers watch it, and it goes on while the runtime
    /// drains.
    pub(crate) delays: Timer,
    pub(super) futures: Mutex<Futures>,
    ready: AtomicUsize,
    all_ready: Latch,
    opening: Latch,
    exited: AtomicUsize,
    pub(super) all_exited: Latch,
}

/// What one worker thread is made of.
pub(super) struct Seat {
    pub(super) deque: Deque<Entry>,
    pub(super) parker: Parker,
}

impl Shared {
    pub(super) fn new(
        id: u64,
        settings: Settings,
        configs: &[TeamConfig],
        clock: Clock,
    ) -> Result<(Self, Vec<Seat>), CollectiveError> {
        let latency = Latency::new()?;
        let workers = settings.workers;
        let deques: Vec<_> = (0..workers).map(|_| Deque::new_fifo()).collect();
        let (sleepers, parkers) = Sleepers::with_workers(workers);
        let routes = Routes::new(id, configs);
        let teams = configs
            .iter()
            .enumerate()
            .map(|(index, config)| Team::new(config, workers, routes.is_shared(index)));
        let new_ledger = || Ledger::new(clock.now_ns(), configs.len(), &latency);
        let shared = Self {
            id,
            clock: clock.clone(),
            teams: teams.collect(),
            intake: Intake::new(settings.queue_capacity, workers),
            queues: RunQueues::new(&deques),
            sleepers,
            ledgers: (0..workers)
                .map(|_| CachePadded::new(new_ledger()))
                .collect(),
            rejected_unrouted: AtomicU64::new(0),
            wait_ns: CachePadded::new(AtomicU64::new(0)),
            opened_ns: AtomicU64::new(0),
            closed_ns: AtomicU64::new(0),
            census: Census::new(workers),
            timer: Timer::new(clock.clone()),
            delays: Timer::watched(clock.clone()),
            futures: Mutex::new(Futures::default()),
            ready: AtomicUsize::new(0),
            all_ready: Latch::new(),
            opening: Latch::new(),
            exited: AtomicUsize::new(0),
            all_exited: Latch::new(),
            no_latency: latency,
            routes,
            settings,
        };
        let seats = deques.into_iter().zip(parkers);
        Ok((
            shared,
            seats
                .map(|(deque, parker)| Seat { deque, parker })
                .collect(),
        ))
    }

    /// Waits for all worker threads and lets them begin, all timelines at one stamp.
    pub(super) fn open(&self) {
        self.all_ready.wait();
        let now_ns = self.clock.now_ns();
        self.opened_ns.store(now_ns, Ordering::Relaxed);
        for ledger in &self.ledgers {
            ledger.open_at(now_ns);
        }
        self.opening.set();
    }

    /// Begins without threads, at the stamp 0 of a virtual clock.
    pub(super) fn open_simulated(&self) {
        for ledger in &self.ledgers {
            ledger.open_at(0);
            ledger.start_cpu();
        }
    }

    /// Lets the threads that did start end, because one did not start.
    pub(super) fn abort_opening(&self) {
        self.stop();
        self.opening.set();
    }

    /// Called by each worker's thread first.
    pub(crate) fn wait_for_opening(&self, worker: usize) {
        if self.ready.fetch_add(1, Ordering::AcqRel) + 1 == self.settings.workers {
            self.all_ready.set();
        }
        self.opening.wait();
        self.ledgers[worker].start_cpu();
    }

    /// Called by each worker's thread last. The last one empties the queues of what is left of
    /// entries that were run or cancelled out of turn.
    pub(crate) fn note_exit(&self) {
        if self.exited.fetch_add(1, Ordering::AcqRel) + 1 < self.settings.workers {
            return;
        }
        while let Some(entry) = self.queues.take_any() {
            let team = entry.team();
            drop_quietly(entry);
            self.end_turn(team);
        }
        self.all_exited.set();
    }

    /// Announces a task or message. False, and nothing announced, if the runtime does not take it:
    /// while it drains it takes work from its own tasks only.
    pub(crate) fn announce(&self, from_task: bool) -> bool {
        let taken = self.census.announce(from_task);
        if !taken {
            self.end_one(Lane::Outside);
        }
        taken
    }

    /// An announced task or message has ended.
    pub(crate) fn end_one(&self, lane: Lane) {
        if self.census.end_one(lane) {
            self.sleepers.wake_all();
        }
    }

    /// Refuses new work from outside and lets the accepted work finish.
    pub(super) fn drain(&self) {
        self.close(DRAINING);
    }

    /// Refuses all new work and cancels what is queued, from the calling thread and the workers.
    pub(super) fn stop(&self) {
        self.close(STOPPING);
        while let Some(entry) = self.queues.take_any() {
            self.took_out(&entry, Lane::Outside);
            let team = entry.team();
            entry.discard(self);
            self.end_turn(team);
        }
        self.cancel_futures();
    }

    fn close(&self, state: u8) {
        self.census.close(state);
        self.timer.close();
        self.intake.space().wake_all();
        for team in &self.teams {
            team.intake.space().wake_all();
        }
        self.sleepers.wake_all();
    }

    /// Queues an entry that holds its places, at once or when its team has a turn for it.
    pub(crate) fn enqueue(&self, entry: Entry, worker: Option<&Worker>, notify: bool) {
        if let Some(choice) = self.push(entry, worker)
            && notify
        {
            self.sleepers.notify(choice);
        }
    }

    /// Queues an entry whose outcome the calling thread, which is no worker, will wait for.
    pub(crate) fn enqueue_awaited(&self, entry: Entry) {
        if let Some(choice) = self.push(entry, None) {
            self.sleepers.notify(match choice {
                Choice::Any => Choice::Here,
                worker => worker,
            });
        }
    }

    fn push(&self, entry: Entry, worker: Option<&Worker>) -> Option<Choice> {
        let entry = self.teams[entry.team()].ask_turn(entry)?;
        Some(match worker {
            Some(worker) => worker.push(entry),
            None => self.queues.push(entry),
        })
    }

    /// An entry has left the queues: its places are free.
    pub(crate) fn took_out(&self, entry: &Entry, lane: Lane) {
        if entry.holds_place() {
            self.teams[entry.team()]
                .intake
                .leave_with(&self.intake, lane);
        }
    }

    /// An entry that had a turn in its team is done.
    pub(crate) fn end_turn(&self, team: usize) {
        if let Some(next) = self.teams[team].end_turn() {
            let choice = self.queues.push(next);
            self.sleepers.notify(choice);
        }
    }
}
