//! The runtime: what is shared by all workers, how work gets in, how it ends.
//!
//! | file | concern |
//! |---|---|
//! | `owner.rs` | [`Runtime`]: starts and joins the threads, shutdown |
//! | `handle.rs` | [`RuntimeHandle`]: the submit methods |
//! | `admission.rs` | whether, where and when a task gets in |
//! | `future.rs` | [`SubmitFuture`] |
//! | `shared.rs` | the state behind a handle |
//! | `books.rs` | reports |

mod admission;
mod books;
mod future;
mod handle;
mod owner;
mod shared;

pub use future::SubmitFuture;
pub use handle::{BulkRejected, RuntimeHandle};
pub use owner::Runtime;
pub(crate) use shared::Shared;
