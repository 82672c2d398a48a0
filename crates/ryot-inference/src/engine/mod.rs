//! The engine: requests in, pieces of text out.

mod cancel;
mod config;
mod generation;
mod handle;
mod metrics;
mod prefix;
mod request;
mod stop;

pub use cancel::CancelToken;
pub use config::EngineConfig;
pub use generation::{Completion, Generation, Piece};
pub use handle::Engine;
pub use metrics::{FinishReason, Metrics};
pub use request::{Prompt, Request};
