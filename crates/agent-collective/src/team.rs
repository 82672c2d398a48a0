//! Teams at run time: routing by capability, then load; limits on running tasks.

use crate::config::TeamConfig;
use crate::error::Rejection;
use crate::intake::Intake;
use crate::lanes::Lane;
use crate::primitive::{AtomicU64, AtomicUsize, Mutex, Ordering, lock};
use crate::queue::Entry;
use crate::task::{Capability, Priority};
use std::collections::VecDeque;

/// One team: its bounded share of the queue, its limit on running tasks, its counters.
pub(crate) struct Team {
    pub(crate) name: String,
    pub(crate) intake: Intake,
    /// Tasks that gave their place in `intake` back because they were refused elsewhere.
    retreated: AtomicU64,
    /// Accepted without a place: messages, tasks run in place, further items of bulk jobs.
    extra: AtomicU64,
    pub(crate) rejected: AtomicU64,
    /// Ended by somebody else than a worker.
    pub(crate) cancelled: AtomicU64,
    /// Only kept when another team has a capability in common.
    running: Option<AtomicUsize>,
    /// How many tasks can run at a time.
    width: usize,
    turns: Option<Mutex<Turns>>,
}

/// Who may run in a team with a limit on running tasks; the others wait in the backlog.
struct Turns {
    taken: usize,
    max: usize,
    backlog: [VecDeque<Entry>; 3],
}

impl Team {
    pub(crate) fn new(config: &TeamConfig, workers: usize, shared: bool) -> Self {
        let turns = config.concurrency_max.map(|max| {
            Mutex::new(Turns {
                taken: 0,
                max,
                backlog: std::array::from_fn(|_| VecDeque::new()),
            })
        });
        Self {
            name: config.name.clone(),
            // Without a limit of its own the team is bounded by the runtime's intake.
            intake: Intake::new(config.queue_capacity.unwrap_or(usize::MAX), workers),
            retreated: AtomicU64::new(0),
            extra: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            running: shared.then(|| AtomicUsize::new(0)),
            width: config
                .concurrency_max
                .map_or(workers, |max| max.min(workers)),
            turns,
        }
    }

    /// The entry if it may be queued for running now; otherwise it waits for a turn.
    pub(crate) fn ask_turn(&self, entry: Entry) -> Option<Entry> {
        let Some(turns) = &self.turns else {
            return Some(entry);
        };
        let mut turns = lock(turns);
        if turns.taken < turns.max {
            turns.taken += 1;
            return Some(entry);
        }
        turns.backlog[entry.priority() as usize].push_back(entry);
        None
    }

    /// Takes a turn if there is one now.
    pub(crate) fn try_turn(&self) -> bool {
        let Some(turns) = &self.turns else {
            return true;
        };
        let mut turns = lock(turns);
        let free = turns.taken < turns.max;
        turns.taken += usize::from(free);
        free
    }

    /// An entry that had a turn is done; the turn goes to the next one, which is returned.
    pub(crate) fn end_turn(&self) -> Option<Entry> {
        let mut turns = lock(self.turns.as_ref()?);
        let next = turns.backlog.iter_mut().rev().find_map(VecDeque::pop_front);
        if next.is_none() {
            turns.taken -= 1;
        }
        next
    }

    /// A task with a place in the queue is refused after all.
    pub(crate) fn retreat(&self) {
        self.retreated.fetch_add(1, Ordering::Relaxed);
        self.intake.leave(Lane::Outside);
    }

    /// Work was accepted that takes no place in the queue.
    pub(crate) fn accept_extra(&self, count: u64) {
        self.extra.fetch_add(count, Ordering::Relaxed);
    }

    /// Accepted tasks and messages.
    pub(crate) fn submitted(&self) -> u64 {
        let retreated = self.retreated.load(Ordering::Relaxed);
        self.intake.entered().saturating_sub(retreated) + self.extra.load(Ordering::Relaxed)
    }

    pub(crate) fn note_running(&self) {
        if let Some(running) = &self.running {
            running.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn note_ended(&self) {
        if let Some(running) = &self.running {
            running.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The rejection for a task that found this team's queue full.
    pub(crate) fn full(&self) -> Rejection {
        let capacity = self.intake.capacity();
        let depth = self.intake.depth();
        Rejection::TeamFull {
            team: self.name.clone(),
            depth,
            capacity,
        }
    }

    /// Tasks queued and running, and how many can run at a time.
    fn load(&self) -> (usize, usize) {
        let running = self
            .running
            .as_ref()
            .map_or(0, |count| count.load(Ordering::Relaxed));
        (self.intake.depth() + running, self.width)
    }
}

/// Which teams can do what.
pub(crate) struct Routes {
    runtime: u64,
    /// Sorted by capability.
    named: Vec<(String, Box<[usize]>)>,
    /// Teams that take every capability that no team names.
    any: Box<[usize]>,
}

impl Routes {
    pub(crate) fn new(runtime: u64, teams: &[TeamConfig]) -> Self {
        let mut names: Vec<&String> = teams.iter().flat_map(|team| &team.capabilities).collect();
        names.sort_unstable();
        names.dedup();
        let having = |name: &String| {
            let has = |(_, team): &(usize, &TeamConfig)| team.capabilities.contains(name);
            teams
                .iter()
                .enumerate()
                .filter(has)
                .map(|(index, _)| index)
                .collect()
        };
        let named = names
            .into_iter()
            .map(|name| (name.clone(), having(name)))
            .collect();
        let any = (0..teams.len())
            .filter(|&index| teams[index].any_capability)
            .collect();
        Self {
            runtime,
            named,
            any,
        }
    }

    /// Whether `team` has a capability that another team has too.
    pub(crate) fn is_shared(&self, team: usize) -> bool {
        let routes = self.named.iter().map(|(_, teams)| teams).chain([&self.any]);
        routes
            .into_iter()
            .any(|teams| teams.len() > 1 && teams.contains(&team))
    }

    /// The capability `name` with its look-up already done.
    pub(crate) fn resolve(&self, name: &str) -> Result<Capability, Rejection> {
        self.index(name)
            .map(|index| Capability::resolved(self.runtime, index))
    }

    fn index(&self, name: &str) -> Result<usize, Rejection> {
        match self
            .named
            .binary_search_by(|(known, _)| known.as_str().cmp(name))
        {
            Ok(index) => Ok(index),
            Err(_) if !self.any.is_empty() => Ok(self.named.len()),
            Err(_) => Err(Rejection::NoTeam {
                capability: name.to_owned(),
            }),
        }
    }

    /// Indexes of the teams with `capability`, at least one.
    pub(crate) fn teams(&self, capability: &Capability) -> Result<&[usize], Rejection> {
        let index = match capability.parts() {
            Ok((runtime, index)) if runtime == self.runtime => index,
            Ok(_) => return Err(Rejection::ForeignCapability),
            Err(name) => self.index(name)?,
        };
        Ok(self.named.get(index).map_or(&self.any, |(_, teams)| teams))
    }
}

/// The least loaded of `candidates` (the first of equals) that `accepts`; the least loaded one as
/// the error if none does.
pub(crate) fn choose(
    teams: &[Team],
    candidates: &[usize],
    mut accepts: impl FnMut(&Team) -> bool,
) -> Result<usize, usize> {
    if let [only] = *candidates {
        return if accepts(&teams[only]) {
            Ok(only)
        } else {
            Err(only)
        };
    }
    let mut order: Vec<(usize, usize, usize)> = Vec::with_capacity(candidates.len());
    order.extend(candidates.iter().map(|&index| {
        let (load, width) = teams[index].load();
        (load, width, index)
    }));
    order.sort_by_key(|&(load, width, _)| load * crate::park::WORKERS_MAX / width.max(1));
    let accepting = order.iter().find(|&&(_, _, index)| accepts(&teams[index]));
    match accepting {
        Some(&(_, _, index)) => Ok(index),
        None => Err(order.first().map_or(0, |&(_, _, index)| index)),
    }
}

const _: () = assert!(
    Priority::High as usize == 2,
    "backlogs are indexed by priority"
);
