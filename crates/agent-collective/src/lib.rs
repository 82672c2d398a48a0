//! Bounded task runtime for teams of agents, with every microsecond accounted
//!
//! A [`Runtime`] is a fixed set of worker threads with bounded queues. A [`Task`] is a closure with
//! a capability, which decides the team that runs it, and conditions: priority, deadline,
//! affinity, cancellation. An [`Agent`] is state with a bounded mailbox. A [`Report`] says where
//! the time of all workers went, and adds up.
//!
//! ```
//! use agent_collective::{Runtime, Task, TeamConfig};
//!
//! let runtime = Runtime::builder()
//!     .workers(2)
//!     .team(TeamConfig::new("analysis").capability("count"))
//!     .build()?;
//! let tasks = ["a b c", "d e"].map(|text| Task::new("count", move |_| text.split(' ').count()));
//! let counts: Result<Vec<usize>, _> =
//!     runtime.submit_all(tasks)?.into_iter().map(|handle| handle.join()).collect();
//! assert_eq!(counts?, [3, 2]);
//! # Ok::<(), agent_collective::CollectiveError>(())
//! ```
//!
//! # When the queue is full
//!
//! | call | from outside | from inside a task |
//! |---|---|---|
//! | [`submit`](RuntimeHandle::submit), [`submit_all`](RuntimeHandle::submit_all) | waits | runs the new task in place |
//! | [`try_submit`](RuntimeHandle::try_submit) | rejects | rejects |
//! | [`submit_async`](RuntimeHandle::submit_async) | the future waits | the future waits |
//! | [`AgentRef::tell`], [`AgentRef::ask`] | waits | handles the agent's messages in place; inside a handler rejects |
//!
//! # Waiting inside a task
//!
//! [`JoinHandle::join`] runs the awaited task in place if it has not started, and waits if it
//! runs elsewhere. It never runs some other task meanwhile: that one could wait for the one
//! it interrupts, which could not go on before it. So what lies nested on a worker's stack is
//! always a chain of tasks of which each waits for the next, and workers can only stand still in a
//! circle if tasks wait in a circle.
//!
//! # Time
//!
//! | phase | what |
//! |---|---|
//! | running | inside tasks and message handlers |
//! | blocked | inside [`TaskContext::blocking`], joins that wait, sends that wait |
//! | overhead | finding, stealing and handing over work, bookkeeping |
//! | idle | parked |
//!
//! Each phase is the sum of its own intervals, each between two readings of one clock.

#![deny(unsafe_code)]

mod agent;
pub mod batch;
mod batcher;
mod cancel;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod census;
mod clock;
mod config;
mod error;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod gate;
mod guest;
mod hedge;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod intake;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod lanes;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod latch;
mod latency;
mod ledger;
mod memory;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod park;
mod phase;
pub mod pipeline;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod primitive;
mod queue;
mod report;
mod runtime;
mod scope;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod space;
mod task;
mod team;
mod timer;
mod waiters;
mod worker;

pub use agent::{Agent, AgentConfig, AgentRef, AskFuture, Strategy, Supervisor, TellFuture};
pub use batcher::{BatchConfig, Batcher};
pub use cancel::CancelToken;
pub use config::{RuntimeBuilder, TeamConfig};
pub use error::{CollectiveError, Rejected, Rejection, TaskError};
pub use hedge::{Hedge, HedgeConfig, HedgeStats, HedgedHandle};
pub use latency::Quantiles;
pub use memory::{MemoryBudget, MemoryExceeded, PooledBuffer, Reservation};
pub use report::{Report, TeamReport, WorkerReport};
pub use runtime::{
    BulkHandle, BulkRejected, Delay, Runtime, RuntimeHandle, Simulation, SubmitFuture,
};
pub use scope::{Scope, ScopedHandle};
pub use task::{Capability, Interruption, JoinHandle, Priority, Task, TaskContext};

/// The parts that `tests/loom.rs` checks.
#[cfg(neurectomy_loom)]
pub mod model {
    pub use crate::census::Census;
    pub use crate::gate::Gate;
    pub use crate::intake::Intake;
    pub use crate::lanes::Lane;
    pub use crate::latch::Latch;
    pub use crate::park::{Choice, Parker, Sleepers, park_until};
    pub use crate::primitive::thread::current as current_thread;
    pub use crate::task::{Gone, Slot};
}

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
