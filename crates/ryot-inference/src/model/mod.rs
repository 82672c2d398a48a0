//! Models: immutable weights behind a cheap handle, and the state they advance.

mod config;
mod handle;
mod info;
mod llama;
mod logits;
mod rope;
mod state;
mod toy;

pub use config::Architecture;
pub(crate) use config::{ModelConfig, RopeConfig, RopePairs, RopeScaling};
pub use handle::Model;
pub use info::ModelInfo;
pub(crate) use llama::Rows;
pub use logits::Logits;
pub use state::State;
