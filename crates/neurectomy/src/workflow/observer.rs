//! What a caller can watch while a workflow runs.

use crate::collective::Team;
use crate::documents::ContentId;
use std::path::Path;

/// Something that happened. Events come from several threads at once.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The scan is through.
    Found {
        /// Documents that will be processed.
        documents: u64,
        /// Their size in bytes.
        bytes: u64,
    },
    /// A team finished its part of a document.
    Done {
        /// The team.
        team: Team,
        /// The document.
        path: &'a Path,
    },
    /// A document's content is durable in the vault; killing the process now does not lose it.
    Acknowledged {
        /// The document.
        path: &'a Path,
        /// Id of its content.
        id: ContentId,
        /// Whether an earlier run had stored it.
        resumed: bool,
    },
    /// The model wrote a piece of a document's continuation.
    Text {
        /// The document.
        path: &'a Path,
        /// The piece; pieces of one document come in order.
        piece: &'a str,
    },
    /// A document could not be processed.
    Failed {
        /// The document.
        path: &'a Path,
        /// What went wrong, one line.
        error: &'a str,
    },
}

/// Receives the events of a workflow run. Calls happen inside the teams' tasks: return quickly.
pub trait Observer: Send + Sync {
    /// Called for each event.
    fn event(&self, event: Event<'_>);
}

/// Watches nothing.
impl Observer for () {
    fn event(&self, _event: Event<'_>) {}
}
