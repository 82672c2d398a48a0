//! The collective as its users hold it.

use super::config::CollectiveConfig;
use super::continuing::{Continuation, SimilarContext};
use super::desk::Desk;
use super::packing::Packed;
use super::pending::Pending;
use super::storing::StoredDocument;
use super::team::Team;
use crate::analysis::Analysis;
use crate::documents::Document;
use crate::error::NeurectomyError;
use crate::prefix::PrefixStats;
use agent_collective::{Report, Runtime, Task, TeamConfig};
use std::sync::Arc;
use std::time::Duration;

/// Longest wait for running tasks when a collective is closed.
const DRAIN_MAX: Duration = Duration::from_secs(60);

/// Five teams of agents over one engine and one vault.
///
/// Each method hands a job to its team and returns at once (or waits while the team's queue is
/// full); [`Pending::wait`] gives the result.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use neurectomy::{Collective, CollectiveConfig, ContentId, Document};
/// use std::sync::Arc;
/// let folder = tempfile::tempdir()?;
/// let collective = Collective::open(CollectiveConfig::new(folder.path().join("vault")))?;
/// let bytes = b"a context that agents share".to_vec();
/// let document = Arc::new(Document { path: "note".into(), id: ContentId::of(&bytes), bytes });
/// let analysis = Arc::new(collective.analyse(&document)?.wait()?);
/// let packed = collective.compress(&document)?.wait()?;
/// collective.store(&document, &analysis, packed)?.wait()?;
/// assert_eq!(analysis.words, 5);
/// collective.close()?;
/// # Ok(())
/// # }
/// ```
pub struct Collective {
    pub(crate) desk: Arc<Desk>,
    pub(crate) runtime: Runtime,
    /// Time that opening took, until a workflow run has booked it.
    pub(crate) opened: std::sync::Mutex<Option<crate::workflow::Span>>,
}

impl std::fmt::Debug for Collective {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Collective")
            .field("config", &self.desk.config)
            .finish_non_exhaustive()
    }
}

impl Collective {
    /// Loads the model, opens the vault, starts the workers.
    ///
    /// # Errors
    /// [`NeurectomyError::Config`], [`NeurectomyError::Model`], [`NeurectomyError::Vault`] (also
    /// where another process has the vault open), [`NeurectomyError::Runtime`].
    pub fn open(config: CollectiveConfig) -> Result<Self, NeurectomyError> {
        let span = crate::workflow::Span::begin();
        let desk = Desk::open(config)?;
        let runtime = start(&desk.config).map_err(|source| NeurectomyError::Runtime {
            team: "whole",
            operation: "start its workers",
            source: source.into(),
        })?;
        Ok(Self {
            desk: Arc::new(desk),
            runtime,
            opened: std::sync::Mutex::new(Some(span)),
        })
    }

    /// The analysis team: words, frequencies and the signature of a document.
    ///
    /// # Errors
    /// [`NeurectomyError::Runtime`] where the task is rejected.
    pub fn analyse(&self, document: &Arc<Document>) -> Result<Pending<Analysis>, NeurectomyError> {
        let document = Arc::clone(document);
        self.ask(Team::Analysis, move |desk| {
            let analysis = Analysis::of(&document)?;
            desk.traffic.add(Team::Analysis, document.bytes.len(), 0);
            Ok(analysis)
        })
    }

    /// The compression team: the document as a container.
    ///
    /// # Errors
    /// [`NeurectomyError::Runtime`] where the task is rejected.
    pub fn compress(&self, document: &Arc<Document>) -> Result<Pending<Packed>, NeurectomyError> {
        let document = Arc::clone(document);
        self.ask(Team::Compression, move |desk| desk.pack(&document))
    }

    /// The storage team: writes a document durably, reads it back and compares.
    ///
    /// # Errors
    /// [`NeurectomyError::Runtime`] where the task is rejected.
    pub fn store(
        &self,
        document: &Arc<Document>,
        analysis: &Arc<Analysis>,
        packed: Packed,
    ) -> Result<Pending<StoredDocument>, NeurectomyError> {
        let (document, analysis) = (Arc::clone(document), Arc::clone(analysis));
        self.ask(Team::Storage, move |desk| {
            desk.store(&document, &analysis, &packed)?;
            desk.stored(&document).map(|(stored, _)| stored)
        })
    }

    /// The inference team: the document's first tokens, continued by the model.
    ///
    /// # Errors
    /// [`NeurectomyError::Runtime`] where the task is rejected.
    pub fn generate(
        &self,
        document: &Arc<Document>,
    ) -> Result<Pending<Continuation>, NeurectomyError> {
        let document = Arc::clone(document);
        self.ask(Team::Inference, move |desk| {
            desk.continue_text(&document, |_| ())
        })
    }

    /// The storage team: stored contexts that begin much like `document`, best first; the limit is [`similarity_min`](CollectiveConfig::similarity_min).
    ///
    /// # Errors
    /// [`NeurectomyError::Runtime`] where the task is rejected.
    pub fn find_similar(
        &self,
        document: &Arc<Document>,
    ) -> Result<Pending<Vec<SimilarContext>>, NeurectomyError> {
        let document = Arc::clone(document);
        self.ask(Team::Storage, move |desk| desk.find_similar(&document))
    }

    /// Where the workers' time went since the collective was opened.
    #[must_use]
    pub fn statistics(&self) -> Report {
        self.runtime.report()
    }

    /// What the store of prompts did; `None` without [`CollectiveConfig::prefix`].
    #[must_use]
    pub fn prefix_statistics(&self) -> Option<PrefixStats> {
        self.desk.prefix.as_ref().map(|prefix| prefix.stats())
    }

    /// Finishes queued tasks, then closes the vault.
    ///
    /// # Errors
    /// [`NeurectomyError::Runtime`] where tasks do not end within a minute,
    /// [`NeurectomyError::Vault`] where the last sync fails.
    pub fn close(self) -> Result<(), NeurectomyError> {
        let Self { desk, runtime, .. } = self;
        runtime
            .shutdown_timeout(DRAIN_MAX)
            .map_err(|source| NeurectomyError::Runtime {
                team: "whole",
                operation: "finish its tasks",
                source: source.into(),
            })?;
        match Arc::try_unwrap(desk) {
            Ok(desk) => desk.close(),
            // A job that outlives the runtime still holds the desk; its drop closes the vault.
            Err(desk) => desk.vault.sync().map_err(desk.vault_error("sync it")),
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        team: Team,
        job: impl FnOnce(&Desk) -> Result<T, NeurectomyError> + Send + 'static,
    ) -> Result<Pending<T>, NeurectomyError> {
        let desk = Arc::clone(&self.desk);
        let task = Task::new(team.name(), move |_: &agent_collective::TaskContext<'_>| {
            job(&desk)
        });
        let handle = self
            .runtime
            .submit(task)
            .map_err(|source| NeurectomyError::Runtime {
                team: team.name(),
                operation: "take a task",
                source: source.reason().clone().into(),
            })?;
        Ok(Pending::new(team, handle))
    }
}

fn start(config: &CollectiveConfig) -> Result<Runtime, agent_collective::CollectiveError> {
    let runtime = Runtime::builder()
        .workers(config.workers)
        .queue_capacity(config.queue_capacity * Team::ALL.len())
        .thread_name("neurectomy");
    Team::ALL
        .into_iter()
        .fold(runtime, |runtime, team| {
            let settings = TeamConfig::new(team.name())
                .capability(team.name())
                .queue_capacity(config.queue_capacity);
            runtime.team(settings)
        })
        .build()
}
