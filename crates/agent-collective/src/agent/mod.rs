//! Agents: state with a bounded mailbox, handling one message at a time, restarted when it panics.
//!
//! | file | concern |
//! |---|---|
//! | `config.rs` | [`AgentConfig`] and its checks |
//! | `cell.rs` | mailbox, who may handle messages now, restarts |
//! | `reference.rs` | [`AgentRef`]: tell, ask, stop |
//! | `send.rs` | sending without blocking the thread |
//! | `supervisor.rs` | agents that are made anew together |
//! | `reply.rs` | waiting for an answer |

mod cell;
mod config;
mod reference;
mod reply;
mod send;
mod supervisor;

use crate::task::TaskContext;
pub use config::AgentConfig;
pub use reference::AgentRef;
pub use send::{AskFuture, TellFuture};
pub use supervisor::{Strategy, Supervisor};

/// State that handles messages one at a time.
///
/// A message runs as a task of the agent's team: it shows in the report, it may submit tasks, and
/// a panic costs that one message. After a panic the agent is made anew by its factory; the
/// messages in its mailbox stay.
///
/// ```
/// use agent_collective::{Agent, AgentConfig, Runtime, TaskContext};
///
/// struct Counter(u64);
///
/// impl Agent for Counter {
///     type Message = u64;
///     type Reply = u64;
///     fn handle(&mut self, message: u64, _: &TaskContext<'_>) -> u64 {
///         self.0 += message;
///         self.0
///     }
/// }
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let counter = runtime.spawn_agent(AgentConfig::new("counter", "count"), || Counter(0))?;
/// counter.tell(40)?;
/// assert_eq!(counter.ask(2)?.join()?, 42);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
pub trait Agent: Send + 'static {
    /// What it is sent.
    type Message: Send + 'static;
    /// What it answers.
    type Reply: Send + 'static;

    /// Handles one message. The answer goes to whoever asked; for a message that was told it is
    /// dropped.
    fn handle(&mut self, message: Self::Message, context: &TaskContext<'_>) -> Self::Reply;
}
