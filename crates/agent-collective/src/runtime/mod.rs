//! The runtime: what is shared by all workers, how work gets in, how it ends.
//!
//! | file | concern |
//! |---|---|
//! | `owner.rs` | [`Runtime`]: starts and joins the threads, shutdown |
//! | `handle.rs` | [`RuntimeHandle`]: the submit methods |
//! | `admission.rs` | whether, where and when a task gets in |
//! | `bulk.rs` | [`BulkHandle`]: one job of many items, run in shares |
//! | `delay.rs` | [`Delay`]: a future that is ready after a time |
//! | `future.rs` | [`SubmitFuture`] |
//! | `shared.rs` | the state behind a handle |
//! | `spawned.rs` | futures as tasks |
//! | `simulation.rs` | [`Simulation`]: the deterministic test mode |
//! | `books.rs` | reports |

mod admission;
mod books;
mod bulk;
mod delay;
mod future;
mod handle;
mod owner;
mod shared;
mod simulation;
mod spawned;

pub use bulk::BulkHandle;
pub use delay::Delay;
pub use future::SubmitFuture;
pub use handle::{BulkRejected, RuntimeHandle};
pub use owner::Runtime;
pub(crate) use shared::Shared;
pub use simulation::Simulation;
