//! The engine: requests in, pieces of text out.

mod cancel;
mod config;
mod generation;
mod handle;
mod metrics;
mod piece;
mod prefix;
mod request;
mod sequence;
mod serve;
mod stop;

pub use cancel::CancelToken;
pub use config::EngineConfig;
pub use generation::Generation;
pub use handle::Engine;
pub use metrics::{FinishReason, Metrics};
pub use piece::{Completion, Piece};
pub use request::{Prompt, Request};
pub use serve::{PieceStream, ServeConfig, ServeStats, Server, Ticket};
