//! Admission: state, depth, route, age, bounds. Either a task gets places in the queues, or the
//! reason why not, and where to wait if waiting helps.

use super::shared::Shared;
use crate::clock::{NEVER_NS, duration_ns};
use crate::error::Rejection;
use crate::lanes::Lane;
use crate::primitive::{AtomicBool, Ordering};
use crate::space::Space;
use crate::task::{Capability, Header, Task};
use crate::team::{Team, choose};
use crate::worker::Worker;
use std::task::{Poll, Waker};
use std::time::Duration;

/// A task's right to run: announced, routed, and holding its places in the queues.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Admission {
    pub(crate) team: usize,
    pub(crate) depth: usize,
}

/// A bounded queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    Runtime,
    Team(usize),
}

/// Why a task did not get in.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) rejection: Rejection,
    /// The full queue, if space in it would help.
    pub(crate) full: Option<Bound>,
    /// The team that the rejection is booked on.
    pub(crate) team: Option<usize>,
    pub(crate) depth: usize,
}

/// Where a waiter is listed.
pub(crate) type Listing = Option<(Bound, u64)>;

impl Refusal {
    fn for_good(rejection: Rejection, depth: usize) -> Self {
        Self {
            rejection,
            full: None,
            team: None,
            depth,
        }
    }
}

impl Shared {
    fn space_of(&self, bound: Bound) -> &Space {
        match bound {
            Bound::Runtime => self.intake.space(),
            Bound::Team(team) => self.teams[team].intake.space(),
        }
    }

    /// Tries to get a task in. `worker` is the calling worker if it is one of this runtime.
    pub(crate) fn admit(
        &self,
        capability: &Capability,
        worker: Option<&Worker>,
    ) -> Result<Admission, Refusal> {
        let depth = worker.map_or(0, Worker::depth_of_child);
        if !self.announce(worker.is_some()) {
            return Err(Refusal::for_good(Rejection::ShuttingDown, depth));
        }
        let admitted = self.place(capability, depth, worker.is_some());
        if admitted.is_err() {
            self.end_one(Lane::Outside);
        }
        admitted
    }

    fn place(
        &self,
        capability: &Capability,
        depth: usize,
        from_task: bool,
    ) -> Result<Admission, Refusal> {
        let depth_max = self.settings.depth_max;
        if depth > depth_max {
            let rejection = Rejection::DelegationTooDeep { depth, depth_max };
            return Err(Refusal::for_good(rejection, depth));
        }
        let candidates = self.routes.teams(capability);
        let candidates = candidates.map_err(|rejection| Refusal::for_good(rejection, depth))?;
        let enter = |team: &Team| team.intake.try_enter().is_ok();
        let team = choose(&self.teams, candidates, enter).map_err(|team| Refusal {
            rejection: self.teams[team].full(),
            full: Some(Bound::Team(team)),
            team: Some(team),
            depth,
        })?;
        let refused = match self.check_age(from_task) {
            Err(rejection) => Some((rejection, None)),
            Ok(()) => self.intake.try_enter().err().map(|inside| {
                let capacity = self.intake.capacity();
                (
                    Rejection::QueueFull {
                        depth: inside,
                        capacity,
                    },
                    Some(Bound::Runtime),
                )
            }),
        };
        match refused {
            None => Ok(Admission { team, depth }),
            Some((rejection, full)) => {
                self.teams[team].retreat();
                Err(Refusal {
                    rejection,
                    full,
                    team: Some(team),
                    depth,
                })
            }
        }
    }

    /// Like [`admit`](Self::admit), and lists the waker where space is missing. Once it is ready
    /// nothing is listed.
    pub(crate) fn poll_admit(
        &self,
        listing: &mut Listing,
        waker: &Waker,
        capability: &Capability,
        worker: Option<&Worker>,
    ) -> Poll<Result<Admission, Refusal>> {
        let mut tried_while_listed_at = None;
        loop {
            let refusal = match self.admit(capability, worker) {
                Ok(admission) => {
                    if let Some((bound, key)) = listing.take() {
                        self.space_of(bound).served(key);
                    }
                    return Poll::Ready(Ok(admission));
                }
                Err(refusal) => refusal,
            };
            let Some(bound) = refusal.full else {
                self.unlist(listing);
                return Poll::Ready(Err(refusal));
            };
            if tried_while_listed_at == Some(bound) {
                return Poll::Pending;
            }
            if listing.is_some_and(|(at, _)| at != bound) {
                self.unlist(listing);
            }
            let mut key = listing.map(|(_, key)| key);
            self.space_of(bound).register(&mut key, waker);
            *listing = key.map(|key| (bound, key));
            tried_while_listed_at = Some(bound);
        }
    }

    /// Withdraws a waiter that has no use for the space it waited for.
    pub(crate) fn unlist(&self, listing: &mut Listing) {
        if let Some((bound, key)) = listing.take() {
            self.space_of(bound).forget(key);
        }
    }

    /// The wait of the unit that started last stands for the age of the queue.
    fn check_age(&self, from_task: bool) -> Result<(), Rejection> {
        let Some(age_max) = self.settings.queue_age_max else {
            return Ok(());
        };
        let age = Duration::from_nanos(self.wait_ns.load(Ordering::Relaxed));
        if from_task || age <= age_max || self.intake.depth() == 0 {
            return Ok(());
        }
        Err(Rejection::AgeExceeded { age, age_max })
    }

    /// The least loaded team with a capability, for an agent to live in.
    pub(crate) fn route_agent(&self, capability: &Capability) -> Result<usize, Rejection> {
        let candidates = self.routes.teams(capability)?;
        let (Ok(team) | Err(team)) = choose(&self.teams, candidates, |_| true);
        Ok(team)
    }

    /// Books a task that is given back for good.
    pub(crate) fn count_rejection(&self, refusal: &Refusal) {
        let counter = match refusal.team {
            Some(team) => &self.teams[team].rejected,
            None => &self.rejected_unrouted,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// The header of an admitted task.
    pub(crate) fn header<F>(
        &self,
        admission: Admission,
        called_ns: u64,
        accepted_ns: u64,
        task: &mut Task<F>,
    ) -> Header {
        let after = |deadline| called_ns.saturating_add(duration_ns(deadline));
        Header {
            runtime: self.id,
            team: admission.team,
            priority: task.priority,
            preferred: task.affinity.map(|key| self.queues.worker_of(key)),
            // Checked against `depth_max`, which is far below.
            depth: u16::try_from(admission.depth).unwrap_or(u16::MAX),
            accepted_ns,
            deadline_ns: task.deadline.map_or(NEVER_NS, after),
            token: task.token.take(),
            cancelled: AtomicBool::new(false),
        }
    }
}
