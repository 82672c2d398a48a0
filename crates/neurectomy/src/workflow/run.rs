//! The driver of a workflow run.

use super::account;
use super::journey::{self, Arrival, Finished, Route};
use super::observer::{Event, Observer};
use super::report::{Failure, Stage, WorkflowReport};
use super::span::{Span, Taken};
use crate::collective::{Collective, Digest, Synthesis, Team};
use crate::documents::{Scan, Source, scan};
use crate::error::NeurectomyError;
use agent_collective::{Report, Task, TaskContext};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};

/// Documents under way at most: this part of a team's queue, so that no queue is ever full ...
const QUEUE_SHARE: usize = 4;
/// ... and this many for each worker: enough that none runs dry and that durable writes share a sync.
const UNDER_WAY_PER_WORKER: usize = 8;

/// What came out of the teams.
#[derive(Default)]
struct Outcomes {
    digests: Vec<Digest>,
    failures: Vec<Failure>,
    stored: u64,
    verified: u64,
    resumed: u64,
    repaired: u64,
    tokens_generated: u64,
}

impl Collective {
    /// Sends every document in `inputs` (files, or folders that are walked) through the teams.
    ///
    /// Each document is analysed, packed, stored durably, read back and compared, continued by the
    /// model, and summed up in a report. What an earlier run on the same vault has done is checked
    /// and not done again. A document that fails does not stop the others: it is listed in
    /// [`WorkflowReport::failures`].
    ///
    /// The first run of a collective books the time since [`Collective::open`] began as `startup`.
    ///
    /// # Errors
    /// [`NeurectomyError::Input`] where an input is not there or holds no document;
    /// [`NeurectomyError::Runtime`] after the runtime was shut down; and what the synthesis of all
    /// documents can fail with.
    pub fn run_workflow(
        &self,
        inputs: &[PathBuf],
        observer: Arc<dyn Observer>,
    ) -> Result<WorkflowReport, NeurectomyError> {
        let opened = self
            .opened
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let begin = opened.unwrap_or_else(Span::begin);
        let found = scan(inputs, self.desk.config.document_bytes_max)?;
        let bytes = found.sources.iter().map(|source| source.bytes).sum();
        observer.event(Event::Found {
            documents: found.sources.len() as u64,
            bytes,
        });

        let before = self.runtime.report();
        let work = Span::begin();
        let mut outcomes = self.work_through(found.sources.clone(), observer)?;
        let synthesis = self.synthesise(&mut outcomes)?;
        // The report's reading of the books is part of the end, not of the work.
        let end = Span::begin();
        let after = self.runtime.report();

        let mut stages = account::rows(&before, &after, &self.desk.traffic);
        let startup = begin.until(&work);
        stages.insert(
            0,
            Stage::phase("startup", startup.wall_s, startup.thread_cpu_s),
        );
        let mut report = self.report(&found, &outcomes, synthesis, stages, &after);
        let finish = Span::begin();
        let finishing = end.until(&finish);
        report.stages.push(Stage::phase(
            "finish",
            finishing.wall_s,
            finishing.thread_cpu_s,
        ));
        book(&mut report, begin.until(&finish));
        Ok(report)
    }

    /// Feeds documents to the analysis team, few enough at a time, until all have arrived.
    fn work_through(
        &self,
        sources: Vec<Source>,
        observer: Arc<dyn Observer>,
    ) -> Result<Outcomes, NeurectomyError> {
        let (arrivals, inbox) = channel();
        let desk = Arc::clone(&self.desk);
        let route = Arc::new(Route {
            desk,
            observer,
            arrivals,
            stored_now: Mutex::default(),
        });
        let config = &self.desk.config;
        let under_way_max =
            (config.queue_capacity / QUEUE_SHARE).min(config.workers * UNDER_WAY_PER_WORKER);
        let mut outcomes = Outcomes::default();
        let mut under_way = 0;
        for source in sources {
            if under_way == under_way_max {
                outcomes.receive(&inbox);
                under_way -= 1;
            }
            let begun = self.runtime.submit(journey::begin(&route, source));
            let handle = begun.map_err(|rejected| NeurectomyError::Runtime {
                team: Team::Analysis.name(),
                operation: "take a document",
                source: rejected.reason().clone().into(),
            })?;
            // The ticket reports the journey's end, not this first task's handle.
            handle.detach();
            under_way += 1;
        }
        for _ in 0..under_way {
            outcomes.receive(&inbox);
        }
        outcomes.digests.sort_by(|a, b| a.path.cmp(&b.path));
        outcomes.failures.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(outcomes)
    }

    fn synthesise(&self, outcomes: &mut Outcomes) -> Result<Synthesis, NeurectomyError> {
        let digests = std::mem::take(&mut outcomes.digests);
        let desk = Arc::clone(&self.desk);
        let lost = |source: Box<dyn std::error::Error + Send + Sync>| NeurectomyError::Runtime {
            team: Team::Synthesis.name(),
            operation: "write the report",
            source,
        };
        let task = Task::new(Team::Synthesis.name(), move |_: &TaskContext<'_>| {
            let synthesis = desk.synthesise(&digests);
            let kept = synthesis
                .as_ref()
                .map_or(Ok(()), |synthesis| desk.store_report(synthesis));
            (synthesis, kept, digests)
        });
        let handle = self
            .runtime
            .submit(task)
            .map_err(|rejected| lost(rejected.reason().clone().into()))?;
        let (synthesis, kept, digests) = handle.join().map_err(|error| lost(error.into()))?;
        outcomes.digests = digests;
        if let Err(error) = kept {
            let path = self.desk.config.vault_dir.clone();
            outcomes.failures.push(Failure {
                path,
                error: error.chain(),
            });
        }
        synthesis
    }

    fn report(
        &self,
        found: &Scan,
        outcomes: &Outcomes,
        synthesis: Synthesis,
        stages: Vec<Stage>,
        runtime: &Report,
    ) -> WorkflowReport {
        let unreadable = found.unreadable.iter().map(|file| Failure {
            path: file.path.clone(),
            error: NeurectomyError::input(&file.path, &file.reason, "a readable file").to_string(),
        });
        let model = self.desk.engine.model().info();
        WorkflowReport {
            wall_s: 0.0,
            accounted_fraction: 0.0,
            process_cpu_s: 0.0,
            workers: runtime.workers,
            documents: (found.sources.len() + found.unreadable.len()) as u64,
            documents_stored: outcomes.stored,
            documents_verified: outcomes.verified,
            documents_resumed: outcomes.resumed,
            documents_repaired: outcomes.repaired,
            bytes: synthesis.bytes,
            bytes_packed: synthesis.packed_bytes,
            tokens_generated: outcomes.tokens_generated,
            model: model.name.clone(),
            model_trained: model.trained,
            vault: self.desk.config.vault_dir.clone(),
            skipped: found.skipped.len() as u64,
            failures: unreadable
                .chain(outcomes.failures.iter().cloned())
                .collect(),
            stages,
            synthesis: synthesis.markdown,
        }
    }
}

impl Outcomes {
    /// Waits for one journey to end.
    fn receive(&mut self, inbox: &Receiver<Arrival>) {
        // Every journey reports once, and the caller counts them, so one is due.
        let Ok(Arrival {
            path,
            stored,
            verified,
            outcome,
        }) = inbox.recv()
        else {
            return;
        };
        self.stored += u64::from(stored);
        self.verified += u64::from(verified);
        match outcome {
            Ok(Finished {
                digest,
                resumed,
                repaired,
                tokens_generated,
            }) => {
                self.digests.push(digest);
                self.resumed += u64::from(resumed);
                self.repaired += u64::from(repaired);
                self.tokens_generated += tokens_generated as u64;
            }
            Err(error) => self.failures.push(Failure {
                path,
                error: error.to_string(),
            }),
        }
    }
}

/// Enters the whole run's time and what share of it the rows account for.
fn book(report: &mut WorkflowReport, run: Taken) {
    let accounted_s: f64 = report.stages.iter().map(|stage| stage.wall_s).sum();
    report.wall_s = run.wall_s;
    report.process_cpu_s = run.process_cpu_s;
    report.accounted_fraction = accounted_s / run.wall_s.max(f64::MIN_POSITIVE);
}
