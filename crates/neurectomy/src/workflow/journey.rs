//! One document's way from team to team.
//!
//! Each step is a task of its team and hands the document to the next team's queue. A journey that
//! ends in any way (a result, an error, a panic, a cancelled task) reports exactly once, because
//! the [`Ticket`] reports when it is dropped.

use super::observer::{Event, Observer};
use crate::analysis::Analysis;
use crate::collective::{Desk, Digest, Packed, StoredDocument, Team};
use crate::documents::{ContentId, Document, Source};
use crate::error::NeurectomyError;
use agent_collective::{Priority, Task, TaskContext};
use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How a journey ended.
pub(super) struct Arrival {
    pub(super) path: PathBuf,
    /// Whether its content is durable in the vault.
    pub(super) stored: bool,
    /// Whether its content was read back in this run and equals the file.
    pub(super) verified: bool,
    pub(super) outcome: Result<Finished, NeurectomyError>,
}

/// A journey that reached its end.
pub(super) struct Finished {
    pub(super) digest: Digest,
    /// Whether an earlier run had stored the document.
    pub(super) resumed: bool,
    /// Whether an earlier run's copy was unreadable and was written again.
    pub(super) repaired: bool,
    /// Tokens that the model wrote in this run.
    pub(super) tokens_generated: usize,
}

/// What all journeys of a run share.
pub(super) struct Route {
    pub(super) desk: Arc<Desk>,
    pub(super) observer: Arc<dyn Observer>,
    pub(super) arrivals: Sender<Arrival>,
    /// Contents that this run has stored: what finds one of them again is a copy, not resumed.
    pub(super) stored_now: Mutex<HashSet<ContentId>>,
}

/// Reports the end of a journey, once, also when the task that holds it is lost.
struct Ticket {
    route: Arc<Route>,
    path: PathBuf,
    stored: bool,
    verified: bool,
    reported: bool,
}

impl Ticket {
    fn report(&mut self, outcome: Result<Finished, NeurectomyError>) {
        if let Err(error) = &outcome {
            self.route.observer.event(Event::Failed {
                path: &self.path,
                error: &error.to_string(),
            });
        }
        self.reported = true;
        // The driver waits for every journey; if it is gone, nobody wants the outcome.
        let (path, stored, verified) = (self.path.clone(), self.stored, self.verified);
        let _ = self.route.arrivals.send(Arrival {
            path,
            stored,
            verified,
            outcome,
        });
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.reported {
            self.report(Err(NeurectomyError::Runtime {
                team: "working",
                operation: "finish a document",
                source: format!("the task of {} ended early", self.path.display()).into(),
            }));
        }
    }
}

/// A document under way, with its content in memory.
struct Journey {
    ticket: Ticket,
    document: Document,
    /// Whether what an earlier run stored could not be read back and is written again.
    repaired: bool,
}

impl Journey {
    fn desk(&self) -> &Desk {
        &self.ticket.route.desk
    }

    fn stored_now(&self) -> MutexGuard<'_, HashSet<ContentId>> {
        self.ticket
            .route
            .stored_now
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, event: Event<'_>) {
        self.ticket.route.observer.event(event);
    }

    fn done(&self, team: Team) {
        self.event(Event::Done {
            team,
            path: &self.ticket.path,
        });
    }

    /// Does a part of the work; reports and ends the journey where it fails.
    fn attempt<T>(
        mut self,
        work: impl FnOnce(&Self) -> Result<T, NeurectomyError>,
    ) -> Option<(Self, T)> {
        match work(&self) {
            Ok(value) => Some((self, value)),
            Err(error) => {
                self.ticket.report(Err(error));
                None
            }
        }
    }

    /// Hands the document to the next team. Later steps go first, so few documents are under way.
    fn hand_on(
        self,
        context: &TaskContext<'_>,
        team: Team,
        step: impl FnOnce(&TaskContext<'_>, Self) + Send + 'static,
    ) {
        let task = Task::new(team.name(), move |context: &TaskContext<'_>| {
            step(context, self)
        });
        // A rejected task is dropped, and its ticket reports.
        let _ = context.runtime().submit(task.priority(Priority::High));
    }
}

/// The first task of a document's journey, for the analysis team.
pub(super) fn begin(
    route: &Arc<Route>,
    source: Source,
) -> Task<impl FnOnce(&TaskContext<'_>) + Send + 'static> {
    let ticket = Ticket {
        route: Arc::clone(route),
        path: source.path,
        stored: false,
        verified: false,
        reported: false,
    };
    Task::new(Team::Analysis.name(), move |context: &TaskContext<'_>| {
        read(context, ticket)
    })
}

fn read(context: &TaskContext<'_>, mut ticket: Ticket) {
    let desk = Arc::clone(&ticket.route.desk);
    let document =
        context.blocking(|| Document::read(&ticket.path, desk.config.document_bytes_max));
    let document = match document {
        Ok(document) => document,
        Err(error) => return ticket.report(Err(error)),
    };
    desk.traffic.add(Team::Analysis, document.bytes.len(), 0);
    let journey = Journey {
        ticket,
        document,
        repaired: false,
    };
    let Some((journey, held)) = journey.attempt(|j| j.desk().holds(j.document.id)) else {
        return;
    };
    if held {
        journey.hand_on(context, Team::Storage, resume);
    } else {
        analyse(context, journey);
    }
}

fn analyse(context: &TaskContext<'_>, journey: Journey) {
    let Some((journey, analysis)) = journey.attempt(|j| Analysis::of(&j.document)) else {
        return;
    };
    journey.done(Team::Analysis);
    journey.hand_on(context, Team::Compression, |context, journey| {
        compress(context, journey, analysis);
    });
}

fn compress(context: &TaskContext<'_>, journey: Journey, analysis: Analysis) {
    let Some((journey, packed)) = journey.attempt(|j| j.desk().pack(&j.document)) else {
        return;
    };
    journey.done(Team::Compression);
    journey.hand_on(context, Team::Storage, move |context, journey| {
        store(context, journey, &analysis, &packed);
    });
}

fn store(context: &TaskContext<'_>, journey: Journey, analysis: &Analysis, packed: &Packed) {
    let written =
        journey.attempt(|j| context.blocking(|| j.desk().store(&j.document, analysis, packed)));
    let Some((mut journey, ())) = written else {
        return;
    };
    journey.ticket.stored = true;
    let (path, id) = (&journey.ticket.path, journey.document.id);
    journey.stored_now().insert(id);
    journey.event(Event::Acknowledged {
        path,
        id,
        resumed: false,
    });
    let read = journey.attempt(|j| j.desk().stored(&j.document));
    if let Some((mut journey, (stored, analysis))) = read {
        journey.ticket.verified = true;
        journey.done(Team::Storage);
        infer(context, journey, stored, analysis, false);
    }
}

/// Takes up a document whose content is in the vault: an earlier run stored it, or it is a copy of
/// another document of this run.
fn resume(context: &TaskContext<'_>, mut journey: Journey) {
    match journey.desk().read_back(&journey.document) {
        Ok(Some((stored, analysis))) => {
            journey.ticket.stored = true;
            journey.ticket.verified = true;
            let (path, id) = (&journey.ticket.path, journey.document.id);
            let resumed = !journey.stored_now().contains(&id);
            journey.event(Event::Acknowledged { path, id, resumed });
            for team in [Team::Analysis, Team::Compression, Team::Storage] {
                journey.done(team);
            }
            infer(context, journey, stored, analysis, resumed);
        }
        unreadable => {
            // The file is at hand, so what the vault lost is written again; the count is reported.
            let reason = unreadable.err().map(|error| error.to_string());
            tracing::warn!(path = %journey.ticket.path.display(), reason, "stored again");
            journey.repaired = true;
            journey.hand_on(context, Team::Analysis, analyse);
        }
    }
}

/// Ends the journey, or hands it to the inference team where a continuation is wanted and none of
/// an earlier run is stored.
fn infer(
    context: &TaskContext<'_>,
    journey: Journey,
    stored: StoredDocument,
    analysis: Analysis,
    resumed: bool,
) {
    let known = journey.attempt(|j| j.desk().stored_continuation(j.document.id));
    let Some((journey, known)) = known else {
        return;
    };
    let path = journey.ticket.path.clone();
    let digest = Digest {
        path,
        stored,
        analysis: Arc::new(analysis),
        continuation: known,
    };
    if digest.continuation.is_some() || journey.desk().config.continuation_tokens_max == 0 {
        journey.done(Team::Inference);
        return arrive(journey, digest, resumed, 0);
    }
    journey.hand_on(context, Team::Inference, move |context, journey| {
        continue_text(context, journey, digest, resumed);
    });
}

fn continue_text(context: &TaskContext<'_>, journey: Journey, mut digest: Digest, resumed: bool) {
    let continuation = journey.attempt(|j| {
        j.desk().continue_text(&j.document, |piece| {
            j.event(Event::Text {
                path: &j.ticket.path,
                piece,
            });
        })
    });
    let Some((journey, continuation)) = continuation else {
        return;
    };
    journey.done(Team::Inference);
    journey.hand_on(context, Team::Storage, move |context, journey| {
        let kept = journey.attempt(|j| {
            let desk = j.desk();
            context.blocking(|| desk.store_continuation(&j.document, &continuation))
        });
        if let Some((journey, ())) = kept {
            let tokens = continuation.tokens.len();
            digest.continuation = Some(continuation);
            arrive(journey, digest, resumed, tokens);
        }
    });
}

fn arrive(mut journey: Journey, digest: Digest, resumed: bool, tokens_generated: usize) {
    let repaired = journey.repaired;
    journey.ticket.report(Ok(Finished {
        digest,
        resumed,
        repaired,
        tokens_generated,
    }));
}
