//! Weights: where they come from and how they are checked.

mod folder;
pub mod gguf;
mod gguf_model;
mod hf_config;
mod load;
mod options;
mod reader;
mod safetensors;
mod source;

pub(crate) use load::{Loaded, load};
use load::{load_tokenizer_file, read_bounded};
pub use options::{Backend, LoadOptions};
pub(crate) use reader::BlockReader;
pub(crate) use source::{Matrix, Role, Totals, WeightSource};
