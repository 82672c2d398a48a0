//! What the examples share; they themselves lie beside this folder, one per idea.

use std::path::{Path, PathBuf};

/// The trained model that ships with the repository; every example that needs a model uses it by
/// default. `examples/train_tiny` made it, its card is beside it.
pub fn shipped_model() -> PathBuf {
    shipped("target.gguf")
}

/// The smaller model of the pair, for speculation.
pub fn shipped_draft() -> PathBuf {
    shipped("draft.gguf")
}

fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../models/tiny")
        .join(name)
}
