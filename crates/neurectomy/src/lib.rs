//! The wiring: five teams of agents over one engine and one vault.
//!
//! [`Collective::open`] loads a model, opens a vault and starts the workers; its methods hand single
//! jobs to the teams, and [`Collective::run_workflow`] sends whole folders through all of them.
//!
//! | module | holds |
//! |---|---|
//! | [`collective`] | the five teams, their settings, their work |
//! | [`documents`] | finding and reading text files |
//! | [`analysis`] | words, frequencies and signature of a document |
//! | [`prefix`] | contexts that were read once, kept in memory and in the vault |
//! | [`workflow`] | documents through the teams, and where every second went |
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use neurectomy::{Collective, CollectiveConfig};
//! use std::sync::Arc;
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("note.txt"), "what one agent has read, all have read")?;
//! let config = CollectiveConfig::new(folder.path().join("vault")).workers(2);
//! let collective = Collective::open(config)?;
//! let report = collective.run_workflow(&[folder.path().join("note.txt")], Arc::new(()))?;
//! assert_eq!(report.documents_verified, 1);
//! println!("{}", report.table());
//! collective.close()?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

pub mod analysis;
pub mod collective;
pub mod documents;
mod error;
pub mod prefix;
pub mod workflow;

pub use analysis::{Analysis, TopWord};
pub use collective::{
    Collective, CollectiveConfig, Continuation, ModelSource, NearDuplicates, Packed, Pending,
    SimilarContext, StoredDocument, Synthesis, Team,
};
pub use documents::{ContentId, Document};
pub use error::NeurectomyError;
pub use workflow::{Event, Observer, WorkflowReport};

#[cfg(doctest)]
mod readme {
    #[doc = include_str!("../README.md")]
    mod of_this_crate {}
    #[doc = include_str!("../../../README.md")]
    mod of_the_workspace {}
}
