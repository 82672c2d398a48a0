//! Supervision: which agents are made anew when one of them fails.

use super::cell::AgentCell;
use super::{Agent, AgentConfig, AgentRef};
use crate::clock::duration_ns;
use crate::config::invalid;
use crate::error::CollectiveError;
use crate::primitive::{Mutex, lock};
use crate::runtime::RuntimeHandle;
use std::collections::VecDeque;
use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Most restarts within the window; each keeps a time stamp.
const RESTARTS_MAX: usize = 10_000;
/// Most levels of supervisors above an agent: a failure may pass through all of them.
const LEVELS_MAX: usize = 64;

/// Who is made anew when a child fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// The one that failed.
    OneForOne,
    /// All children.
    OneForAll,
    /// The one that failed and those that were added after it.
    RestForOne,
}

/// Agents, and supervisors of agents, whose failures concern each other.
///
/// When an agent panics, the supervisor's strategy says who is made anew by its factory. The one
/// that failed is made anew at once, the others before they handle their next message. Mailboxes
/// stay. More failures within the window than the restart intensity allows are the supervisor's own
/// failure: its parent decides, and without a parent all children stop.
///
/// ```
/// use agent_collective::{Agent, AgentConfig, Runtime, Strategy, Supervisor, TaskContext};
/// use std::time::Duration;
///
/// struct Sum(u64);
/// impl Agent for Sum {
///     type Message = u64;
///     type Reply = u64;
///     fn handle(&mut self, n: u64, _: &TaskContext<'_>) -> u64 {
///         assert!(n < 100, "too much");
///         self.0 += n;
///         self.0
///     }
/// }
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let supervisor =
///     Supervisor::new(&runtime, Strategy::OneForAll, 3, Duration::from_secs(5))?;
/// let left = supervisor.spawn_agent(AgentConfig::new("left", "sum"), || Sum(0))?;
/// let right = supervisor.spawn_agent(AgentConfig::new("right", "sum"), || Sum(0))?;
/// assert_eq!(right.ask(5)?.join()?, 5);
/// assert!(left.ask(100)?.join().is_err());
/// assert_eq!(right.ask(5)?.join()?, 5);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
#[derive(Clone)]
pub struct Supervisor {
    core: Arc<Core>,
    runtime: RuntimeHandle,
}

/// What a supervisor does with a child.
pub(super) trait Supervised: Send + Sync {
    /// Makes it anew before it does anything else.
    fn remake(&self);
    /// Stops it for good.
    fn halt(&self);
}

/// What becomes of a child that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Restart,
    Stop,
}

/// Where a child stands under its supervisor.
pub(super) struct Place {
    supervisor: Arc<Core>,
    index: usize,
}

struct Core {
    strategy: Strategy,
    restarts_max: usize,
    window_ns: u64,
    /// Levels of supervisors from here up.
    level: usize,
    parent: Option<Place>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By age; what is gone leaves its place empty.
    children: Vec<Option<Weak<dyn Supervised>>>,
    failed_ns: VecDeque<u64>,
    stopped: bool,
    restarts: u64,
}

impl Supervisor {
    /// Without children. At most `restarts_max` failures of children within `window` are answered
    /// by making agents anew: 0 to 10,000, and a window of more than zero.
    ///
    /// # Errors
    /// [`CollectiveError::InvalidConfig`].
    pub fn new(
        runtime: &RuntimeHandle,
        strategy: Strategy,
        restarts_max: usize,
        window: Duration,
    ) -> Result<Self, CollectiveError> {
        Self::build(runtime, strategy, (restarts_max, window), None)
    }

    fn build(
        runtime: &RuntimeHandle,
        strategy: Strategy,
        (restarts_max, window): (usize, Duration),
        parent: Option<Place>,
    ) -> Result<Self, CollectiveError> {
        if restarts_max > RESTARTS_MAX {
            let allowed = "0..=10000 restarts";
            return Err(invalid("supervisor restarts_max", restarts_max, allowed));
        }
        if window.is_zero() {
            return Err(invalid("supervisor window", "0 ns", "more than zero"));
        }
        let level = parent
            .as_ref()
            .map_or(1, |place| place.supervisor.level + 1);
        if level > LEVELS_MAX {
            return Err(invalid("supervisor level", level, "1..=64 levels"));
        }
        Ok(Self {
            core: Arc::new(Core {
                strategy,
                restarts_max,
                window_ns: duration_ns(window),
                level,
                parent,
                state: Mutex::new(State::default()),
            }),
            runtime: runtime.clone(),
        })
    }

    /// Starts an agent under this supervisor. The restart intensity of its own settings does not
    /// count.
    ///
    /// # Errors
    /// As [`RuntimeHandle::spawn_agent`].
    pub fn spawn_agent<A, F>(
        &self,
        config: AgentConfig,
        factory: F,
    ) -> Result<AgentRef<A>, CollectiveError>
    where
        A: Agent,
        F: FnMut() -> A + Send + 'static,
    {
        let place = self.core.reserve();
        let index = place.index;
        let cell = AgentCell::spawn(self.runtime.clone(), config, Box::new(factory), Some(place))?;
        let child: Arc<dyn Supervised> = cell.clone();
        self.core.fill(index, &child);
        Ok(AgentRef { cell })
    }

    /// A supervisor under this one; see [`new`](Self::new).
    ///
    /// # Errors
    /// [`CollectiveError::InvalidConfig`], also for more than 64 levels.
    pub fn supervisor(
        &self,
        strategy: Strategy,
        restarts_max: usize,
        window: Duration,
    ) -> Result<Self, CollectiveError> {
        let place = self.core.reserve();
        let index = place.index;
        let limits = (restarts_max, window);
        let child = Self::build(&self.runtime, strategy, limits, Some(place))?;
        let supervised: Arc<dyn Supervised> = child.core.clone();
        self.core.fill(index, &supervised);
        Ok(child)
    }

    /// Failures of children that were answered by making agents anew.
    pub fn restarts(&self) -> u64 {
        lock(&self.core.state).restarts
    }

    /// Whether it gave up, or was stopped.
    pub fn is_stopped(&self) -> bool {
        lock(&self.core.state).stopped
    }

    /// Stops all children.
    pub fn stop(&self) {
        self.core.halt();
    }
}

impl Core {
    fn reserve(self: &Arc<Self>) -> Place {
        let mut state = lock(&self.state);
        state.children.push(None);
        Place {
            supervisor: Arc::clone(self),
            index: state.children.len() - 1,
        }
    }

    fn fill(&self, index: usize, child: &Arc<dyn Supervised>) {
        let stopped = {
            let mut state = lock(&self.state);
            if let Some(place) = state.children.get_mut(index) {
                *place = Some(Arc::downgrade(child));
            }
            state.stopped
        };
        if stopped {
            child.halt();
        }
    }

    /// Living children from index `first` on but for `except`, oldest first. No lock is held while
    /// they are told, because they may fail meanwhile.
    fn children(&self, first: usize, except: Option<usize>) -> Vec<Arc<dyn Supervised>> {
        let state = lock(&self.state);
        let listed = state.children.iter().enumerate().skip(first);
        listed
            .filter(|&(index, _)| Some(index) != except)
            .filter_map(|(_, child)| child.as_ref()?.upgrade())
            .collect()
    }

    /// Whether one more failure at `now_ns` is within the intensity.
    fn is_allowed(&self, now_ns: u64) -> bool {
        let mut state = lock(&self.state);
        if state.stopped {
            return false;
        }
        while state
            .failed_ns
            .front()
            .is_some_and(|&at| now_ns.saturating_sub(at) >= self.window_ns)
        {
            state.failed_ns.pop_front();
        }
        let allowed = state.failed_ns.len() < self.restarts_max;
        if allowed {
            state.failed_ns.push_back(now_ns);
            state.restarts += 1;
        }
        allowed
    }

    fn failed(&self, index: usize, now_ns: u64) -> Verdict {
        if self.is_allowed(now_ns) {
            let first = match self.strategy {
                Strategy::OneForOne => return Verdict::Restart,
                Strategy::OneForAll => 0,
                Strategy::RestForOne => index,
            };
            for child in self.children(first, Some(index)) {
                child.remake();
            }
            return Verdict::Restart;
        }
        match &self.parent {
            Some(place) if place.failed(now_ns) == Verdict::Restart => {
                self.begin_anew();
                Verdict::Restart
            }
            _ => {
                self.halt();
                Verdict::Stop
            }
        }
    }

    /// All children are made anew, and what failed before is forgotten.
    fn begin_anew(&self) {
        lock(&self.state).failed_ns.clear();
        for child in self.children(0, None) {
            child.remake();
        }
    }
}

impl Supervised for Core {
    fn remake(&self) {
        self.begin_anew();
    }

    fn halt(&self) {
        let before = std::mem::replace(&mut lock(&self.state).stopped, true);
        if !before {
            for child in self.children(0, None) {
                child.halt();
            }
        }
    }
}

impl Place {
    /// The child at this place has failed.
    pub(super) fn failed(&self, now_ns: u64) -> Verdict {
        self.supervisor.failed(self.index, now_ns)
    }
}

/// A child that is gone leaves nothing behind.
impl Drop for Place {
    fn drop(&mut self) {
        let mut state = lock(&self.supervisor.state);
        if let Some(place) = state.children.get_mut(self.index) {
            *place = None;
        }
        while matches!(state.children.last(), Some(None)) {
            state.children.pop();
        }
    }
}

impl fmt::Debug for Supervisor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor")
            .field("strategy", &self.core.strategy)
            .field("restarts", &self.restarts())
            .field("stopped", &self.is_stopped())
            .finish_non_exhaustive()
    }
}
