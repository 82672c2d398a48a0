//! Settings of an agent.

use crate::config::invalid;
use crate::error::CollectiveError;
use crate::task::Capability;
use std::time::Duration;

/// Most messages that a mailbox may hold: bounds memory.
const MAILBOX_CAPACITY_MAX: usize = 1 << 20;
/// Default byte budget of an agent.
const MEMORY_BYTES_DEFAULT: usize = 512 << 20;
/// Most restarts within the window; each keeps a time stamp.
const RESTARTS_MAX: usize = 10_000;

/// Settings of an agent; checked by [`spawn_agent`](crate::RuntimeHandle::spawn_agent).
#[derive(Clone, Debug)]
pub struct AgentConfig {
    pub(super) name: String,
    pub(super) capability: Capability,
    pub(super) mailbox_capacity: usize,
    pub(super) restarts_max: usize,
    pub(super) restart_window: Duration,
    pub(super) memory_bytes_max: usize,
    pub(super) runs_on_caller: bool,
}

impl AgentConfig {
    /// An agent called `name` in the least loaded team with `capability`.
    pub fn new(name: impl Into<String>, capability: impl Into<Capability>) -> Self {
        Self {
            name: name.into(),
            capability: capability.into(),
            mailbox_capacity: 128,
            restarts_max: 3,
            restart_window: Duration::from_secs(5),
            memory_bytes_max: MEMORY_BYTES_DEFAULT,
            runs_on_caller: true,
        }
    }

    /// The most messages that wait. Default 128; 1 to 1,048,576.
    #[must_use]
    pub fn mailbox_capacity(mut self, messages: usize) -> Self {
        self.mailbox_capacity = messages;
        self
    }

    /// How often the agent may be restarted within `window`; one panic more stops it for good.
    /// Default 3 times within 5 s; 0 to 10,000 times, and a window of more than zero.
    #[must_use]
    pub fn restart_intensity(mut self, restarts_max: usize, window: Duration) -> Self {
        self.restarts_max = restarts_max;
        self.restart_window = window;
        self
    }

    /// The most bytes that the agent may reserve through its
    /// [`TaskContext::memory`](crate::TaskContext::memory) at a time; more is refused with
    /// [`MemoryExceeded`](crate::MemoryExceeded). Memory taken past it is not seen. Default
    /// 512 MiB; at least 1.
    #[must_use]
    pub fn memory_bytes_max(mut self, bytes: usize) -> Self {
        self.memory_bytes_max = bytes;
        self
    }

    /// Whether a [`call`](crate::AgentRef::call) from a thread that is no worker may handle its
    /// message on that thread, in the place of a worker that sleeps, so that nobody has to be woken.
    /// Default yes. No for handlers that need the stack of a worker
    /// ([`stack_bytes`](crate::RuntimeBuilder::stack_bytes)), or that must not meet the thread-local
    /// values of their callers.
    #[must_use]
    pub fn runs_on_caller(mut self, yes: bool) -> Self {
        self.runs_on_caller = yes;
        self
    }

    pub(super) fn validate(&self) -> Result<(), CollectiveError> {
        if !(1..=MAILBOX_CAPACITY_MAX).contains(&self.mailbox_capacity) {
            let allowed = "1..=1048576 messages";
            return Err(invalid(
                "agent mailbox_capacity",
                self.mailbox_capacity,
                allowed,
            ));
        }
        if self.memory_bytes_max == 0 {
            return Err(invalid("agent memory_bytes_max", 0, "at least 1 byte"));
        }
        if self.restarts_max > RESTARTS_MAX {
            return Err(invalid(
                "agent restarts_max",
                self.restarts_max,
                "0..=10000 restarts",
            ));
        }
        if self.restart_window.is_zero() {
            return Err(invalid("agent restart_window", "0 ns", "more than zero"));
        }
        Ok(())
    }
}
