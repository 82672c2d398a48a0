//! Tasks: what is submitted ([`Task`]), what runs (`TaskCell`), what the running code sees
//! ([`TaskContext`]) and what the submitter keeps ([`JoinHandle`]).

mod cell;
mod context;
mod handle;
mod header;
mod inline;
#[cfg_attr(not(neurectomy_loom), allow(unreachable_pub))]
mod slot;
mod spec;

pub(crate) use cell::TaskCell;
pub use context::{Interruption, TaskContext};
pub(crate) use context::{panic_message, task_error, unwind_with};
pub use handle::JoinHandle;
pub(crate) use handle::{Awaited, join_awaited};
pub(crate) use header::Header;
pub(crate) use inline::{InlineTask, Job};
#[cfg(neurectomy_loom)]
pub use slot::{Gone, Slot};
pub use spec::{Capability, Priority, Task};
