//! The thread that owns the batch.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::channel::Outlet;
use super::config::Limits;
use super::share::share;
use super::waiting::{Closing, Desk, Job};
use crate::engine::sequence::Sequence;
use crate::engine::{Engine, FinishReason, Metrics, Piece};
use crate::error::{InferError, Result};
use crate::model::{Model, State};

/// The batch and what is needed to run it.
pub(super) struct Scheduler {
    engine: Engine,
    limits: Limits,
    desk: Arc<Desk>,
    /// In the order of admission.
    running: Vec<Running>,
    admitted: u64,
    /// Of the call before; memory that every call uses again.
    logits: Vec<f32>,
    counts: Counts,
}

/// What the steps since the last report did.
#[derive(Default)]
struct Counts {
    prompt_tokens: u64,
    restored_tokens: u64,
    generated_tokens: u64,
    batch: usize,
    busy: Duration,
    steps: u64,
}

/// A request in the batch.
struct Running {
    job: Job,
    id: u64,
    stage: Stage,
    /// Set when it is over.
    outcome: Option<Result<FinishReason>>,
}

/// How far a request in the batch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Has not looked into the prefix store; may wait for the request with this number, which is
    /// reading a prompt that begins alike.
    Fresh { behind: Option<u64> },
    /// Reads its prompt.
    Prompt,
    /// Has its first token; its prompt is not in the prefix store yet.
    Read,
    /// Generates.
    Decode,
}

/// The last of a request, to be given out when it is counted.
struct Farewell {
    outlet: Outlet,
    pieces: VecDeque<Piece>,
    metrics: Metrics,
    outcome: Result<FinishReason>,
}

impl Running {
    fn fail(&mut self, error: InferError) {
        self.job.sequence.flush();
        self.outcome = Some(Err(error));
    }

    /// Takes the logits after all of its tokens.
    fn accept(&mut self, logits: &[f32]) {
        if let Err(error) = self.job.sequence.accept(logits) {
            return self.fail(error);
        }
        self.outcome = self.job.sequence.finish_reason().map(Ok);
    }

    /// Ends it if it was cancelled or is late.
    fn interrupt(&mut self) {
        if let Some(reason) = self.job.interrupted() {
            self.job.sequence.end(reason);
            self.outcome = Some(Ok(reason));
        }
    }

    /// Has its sequence forget what a full window asks for.
    fn make_way(&mut self) {
        if let Err(error) = self.job.sequence.make_way() {
            self.fail(error);
        }
    }

    fn reads_prompt(&self) -> bool {
        self.stage == Stage::Prompt && self.outcome.is_none()
    }
}

impl Farewell {
    /// Frees keys and values.
    fn new(job: Job, outcome: Result<FinishReason>) -> Self {
        let Job {
            mut sequence,
            outlet,
            ..
        } = job;
        let mut metrics = Metrics::default();
        sequence.update(&mut metrics);
        Self {
            outlet,
            pieces: std::mem::take(&mut sequence.ready),
            metrics,
            outcome,
        }
    }

    fn say(mut self) {
        let metrics = self.metrics;
        self.outlet.publish(&mut self.pieces, |m| *m = metrics);
        self.outlet.close(self.outcome);
    }
}

impl Scheduler {
    pub(super) fn new(engine: Engine, limits: Limits, desk: Arc<Desk>) -> Self {
        Self {
            engine,
            limits,
            desk,
            running: Vec::new(),
            admitted: 0,
            logits: Vec::new(),
            counts: Counts::default(),
        }
    }

    pub(super) fn run(mut self) {
        while self.admit() {
            let step = catch_unwind(AssertUnwindSafe(|| self.step()));
            if let Err(panic) = step {
                let message = panic_message(&*panic);
                tracing::error!(message, "a step of the server panicked");
                self.fail_all(|| InferError::StepPanicked {
                    message: message.to_owned(),
                });
            }
        }
        self.fail_all(|| InferError::ServerClosed);
    }

    /// Lets in what fits, waiting for work if there is none; false when the server is to end.
    fn admit(&mut self) -> bool {
        let desk = Arc::clone(&self.desk);
        let mut inbox = desk.lock();
        loop {
            if inbox.closing == Closing::Now {
                return false;
            }
            let gone = inbox.sweep();
            if !gone.is_empty() {
                let gone: Vec<_> = gone
                    .into_iter()
                    .map(|(mut job, reason)| {
                        job.sequence.end(reason);
                        inbox.stats.count(&Ok(reason));
                        Farewell::new(job, Ok(reason))
                    })
                    .collect();
                drop(inbox);
                gone.into_iter().for_each(Farewell::say);
                inbox = desk.lock();
                continue;
            }
            let mut reserved = self.reserved();
            while self.running.len() < self.limits.batch_max {
                let room = self.limits.kv_bytes_max - reserved;
                let Some(job) = inbox.pop(|bytes| bytes <= room) else {
                    break;
                };
                reserved += job.kv_bytes;
                self.enter(job);
            }
            inbox.stats.running = self.running.len();
            inbox.stats.kv_bytes_reserved = reserved;
            let peak = inbox.stats.kv_bytes_reserved_peak.max(reserved);
            inbox.stats.kv_bytes_reserved_peak = peak;
            if !self.running.is_empty() {
                return true;
            }
            // nothing runs, and whatever was let in fits an empty batch: nothing waits either
            if inbox.closing == Closing::Drain {
                return false;
            }
            let woken = desk.arrived.wait(inbox);
            inbox = woken.unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn enter(&mut self, mut job: Job) {
        job.sequence.admitted();
        self.running.push(Running {
            job,
            id: self.admitted,
            stage: Stage::Fresh { behind: None },
            outcome: None,
        });
        self.admitted += 1;
    }

    /// Prompts, then one token of everybody.
    fn step(&mut self) {
        let started = Instant::now();
        self.running.iter_mut().for_each(Running::interrupt);
        self.open();
        if self.read_prompts() {
            // first tokens do not wait for the others' next ones, nor for the store
            self.publish();
            self.keep_prompts();
        }
        self.decode();
        self.counts.busy += started.elapsed();
        self.counts.steps += 1;
        self.publish();
    }

    /// Restores prompts from the store, except those whose beginning is being read right now.
    fn open(&mut self) {
        let block_tokens = self.block_tokens();
        for at in 0..self.running.len() {
            let (older, rest) = self.running.split_at_mut(at);
            let Some(new) = rest.first_mut().filter(|new| new.outcome.is_none()) else {
                continue;
            };
            let Stage::Fresh { behind } = new.stage else {
                continue;
            };
            let reading = |id| older.iter().any(|o| o.id == id && o.reads_prompt());
            if behind.is_some_and(reading) {
                continue;
            }
            let ahead = block_tokens.and_then(|tokens| reader_of(older, new, tokens));
            new.stage = match ahead {
                Some(id) => Stage::Fresh { behind: Some(id) },
                None => {
                    new.job.sequence.make_room();
                    new.job.sequence.restore();
                    self.counts.restored_tokens += new.job.sequence.restored_tokens() as u64;
                    Stage::Prompt
                }
            };
        }
    }

    /// Tokens of a prefix block, if there is a store.
    fn block_tokens(&self) -> Option<usize> {
        let prefix = self.engine.shared().settings.prefix.as_ref();
        prefix.map(|p| p.block_tokens)
    }

    /// Evaluates a step's worth of prompts; whether there was any.
    fn read_prompts(&mut self) -> bool {
        for running in self.running.iter_mut().filter(|r| r.reads_prompt()) {
            running.make_way();
        }
        let mut reading: Vec<&mut Running> = self
            .running
            .iter_mut()
            .filter(|r| r.reads_prompt())
            .collect();
        let left: Vec<usize> = reading
            .iter()
            .map(|r| r.job.sequence.prompt_left().min(r.job.sequence.room()))
            .collect();
        let shares = share(self.limits.prefill_chunk_tokens, &left);
        let mut batch: Vec<(&mut Running, usize)> =
            reading.drain(..).zip(shares).filter(|b| b.1 > 0).collect();
        if batch.is_empty() {
            return false;
        }
        let (model, logits) = (self.engine.model(), &mut self.logits);
        let results = forward(model, &mut batch, true, logits);
        let mut done = Vec::new();
        let rows = logits.chunks_exact(model.info().vocab);
        for (((running, count), result), row) in batch.into_iter().zip(results).zip(rows) {
            match result {
                Err(error) => running.fail(error),
                Ok(()) => {
                    self.counts.prompt_tokens += count as u64;
                    if running.job.sequence.prompt_left() == 0 {
                        running.stage = Stage::Read;
                        done.push((running, row));
                    }
                }
            }
        }
        self.counts.generated_tokens += accept_all(model, done);
        true
    }

    /// Puts the prompts that were just read into the store.
    fn keep_prompts(&mut self) {
        for running in &mut self.running {
            if running.stage == Stage::Read {
                running.job.sequence.keep();
                running.stage = Stage::Decode;
            }
        }
    }

    /// One token of every request that has read its prompt.
    fn decode(&mut self) {
        let ready = |r: &&mut Running| r.stage == Stage::Decode && r.outcome.is_none();
        self.running
            .iter_mut()
            .filter(ready)
            .for_each(Running::make_way);
        let mut batch: Vec<(&mut Running, usize)> = self
            .running
            .iter_mut()
            .filter(ready)
            .map(|r| (r, 1))
            .collect();
        self.counts.batch = batch.len();
        if batch.is_empty() {
            return;
        }
        let (model, logits) = (self.engine.model(), &mut self.logits);
        let results = forward(model, &mut batch, false, logits);
        let mut done = Vec::new();
        let rows = logits.chunks_exact(model.info().vocab);
        for (((running, _), result), row) in batch.into_iter().zip(results).zip(rows) {
            match result {
                Err(error) => running.fail(error),
                Ok(()) => done.push((running, row)),
            }
        }
        self.counts.generated_tokens += accept_all(model, done);
    }

    /// Gives out new pieces, and counts and dismisses those that are over. An end is counted before
    /// its ticket hears of it.
    fn publish(&mut self) {
        for running in self.running.iter_mut().filter(|r| r.outcome.is_some()) {
            if !matches!(running.outcome, Some(Err(_))) {
                running.job.sequence.keep();
            }
        }
        self.dismiss();
    }

    fn dismiss(&mut self) {
        let mut over = Vec::new();
        for mut running in std::mem::take(&mut self.running) {
            match running.outcome.take() {
                Some(outcome) => over.push(Farewell::new(running.job, outcome)),
                None => self.running.push(running),
            }
        }
        self.report(&over);
        for running in &mut self.running {
            let sequence = &mut running.job.sequence;
            let mut pieces = std::mem::take(&mut sequence.ready);
            running
                .job
                .outlet
                .publish(&mut pieces, |m| sequence.update(m));
        }
        over.into_iter().for_each(Farewell::say);
    }

    /// Brings the counters up to now.
    fn report(&mut self, over: &[Farewell]) {
        let counts = std::mem::take(&mut self.counts);
        let mut inbox = self.desk.lock();
        let stats = &mut inbox.stats;
        over.iter().for_each(|end| stats.count(&end.outcome));
        stats.running = self.running.len();
        stats.kv_bytes = self
            .running
            .iter()
            .map(|r| r.job.sequence.state.kv_bytes())
            .sum();
        stats.kv_bytes_reserved = self.reserved();
        stats.steps += counts.steps;
        stats.busy += counts.busy;
        stats.prompt_tokens += counts.prompt_tokens;
        stats.restored_tokens += counts.restored_tokens;
        stats.generated_tokens += counts.generated_tokens;
        stats.count_batch(counts.batch);
    }

    fn reserved(&self) -> usize {
        self.running.iter().map(|r| r.job.kv_bytes).sum()
    }

    /// Ends everything in the batch.
    fn fail_all(&mut self, error: impl Fn() -> InferError) {
        let alive = self.running.iter_mut().filter(|r| r.outcome.is_none());
        alive.for_each(|running| running.fail(error()));
        self.dismiss();
    }
}

/// Whatever ends the thread: nobody is let in after it, and those that wait hear of it.
impl Drop for Scheduler {
    fn drop(&mut self) {
        let mut inbox = self.desk.lock();
        inbox.closing = Closing::Now;
        let left = inbox.clear();
        for _ in &left {
            inbox.stats.count(&Err(InferError::ServerClosed));
        }
        drop(inbox);
        drop(left);
    }
}

/// The older request whose reading would give `new` more blocks than the store had for it.
fn reader_of(older: &[Running], new: &Running, block_tokens: usize) -> Option<u64> {
    let prompt = new.job.sequence.prompt();
    // the last token of a prompt is always evaluated
    let reusable = prompt.len().saturating_sub(1);
    let gives = |other: &&Running| {
        let pairs = prompt.iter().zip(other.job.sequence.prompt());
        let common = pairs.take_while(|(a, b)| a == b).count().min(reusable);
        let whole = common - common % block_tokens;
        whole > other.job.sequence.restored_tokens()
    };
    let reading = older.iter().filter(|o| o.reads_prompt());
    reading.clone().find(gives).map(|o| o.id)
}

/// Chooses the next token of every request by its row of logits, on the model's threads; gives how
/// many tokens that were.
fn accept_all(model: &Model, requests: Vec<(&mut Running, &[f32])>) -> u64 {
    let generated = |r: &Running| r.job.sequence.generated_tokens() as u64;
    let requests: Vec<_> = requests.into_iter().map(Mutex::new).collect();
    let new = AtomicU64::new(0);
    model.share(requests.len(), &|index| {
        // every request is one piece of the work, so nobody waits
        let mut request = requests[index]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (running, row) = &mut *request;
        let before = generated(running);
        running.accept(row);
        new.fetch_add(generated(running) - before, Ordering::Relaxed);
    });
    new.into_inner()
}

/// Evaluates the next tokens, at most as many as stand beside it, of every request in one call, and
/// fills `logits` with a row for each. When that fails, evaluates them one by one, so that only
/// those fail that have to; the rows of these mean nothing.
fn forward(
    model: &Model,
    batch: &mut [(&mut Running, usize)],
    prompt: bool,
    logits: &mut Vec<f32>,
) -> Vec<Result<()>> {
    let mut sequences: Vec<(&mut Sequence, usize)> = batch
        .iter_mut()
        .map(|(running, count)| (&mut running.job.sequence, *count))
        .collect();
    let held: Vec<usize> = sequences.iter().map(|(s, _)| s.state.len()).collect();
    let mut parts: Vec<(&mut State, &[u32])> = sequences
        .iter_mut()
        .map(|(sequence, count)| sequence.part(*count))
        .collect();
    match model.forward_batch(&mut parts, prompt, logits) {
        Ok(()) => (0..parts.len()).map(|_| Ok(())).collect(),
        Err(error) if parts.len() == 1 => {
            logits.resize(model.info().vocab, 0.0);
            vec![Err(error)]
        }
        Err(_) => {
            drop(parts);
            let vocab = model.info().vocab;
            logits.resize(sequences.len() * vocab, 0.0);
            let mut own = Vec::new();
            let rows = logits.chunks_exact_mut(vocab);
            let sequences = sequences.iter_mut().zip(held).zip(rows);
            let alone = sequences.map(|(((sequence, count), held), row)| {
                sequence.state.truncate(held);
                model.forward_batch(&mut [sequence.part(*count)], prompt, &mut own)?;
                row.copy_from_slice(&own);
                Ok(())
            });
            alone.collect()
        }
    }
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    if let Some(message) = panic.downcast_ref::<&str>() {
        return message;
    }
    panic
        .downcast_ref::<String>()
        .map_or("no message", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{EngineConfig, Request};

    fn running(engine: &Engine, prompt: &str) -> Running {
        let (outlet, _) = Outlet::new();
        Running {
            job: Job {
                sequence: engine.prepare(Request::new(prompt)).unwrap(),
                outlet,
                kv_bytes: 0,
            },
            id: 0,
            stage: Stage::Prompt,
            outcome: None,
        }
    }

    #[test]
    fn one_bad_sequence_does_not_fail_the_others_of_a_call() {
        let engine = |seed| Engine::new(Model::toy(seed).unwrap(), EngineConfig::new()).unwrap();
        let (ours, other) = (engine(1), engine(2));
        let mut all = [
            running(&ours, "ab"),
            running(&other, "cd"),
            running(&ours, "ef"),
        ];
        let mut batch: Vec<_> = all.iter_mut().map(|r| (r, 9)).collect();
        let mut logits = Vec::new();
        let together = forward(ours.model(), &mut batch, true, &mut logits);
        assert!(together[0].is_ok() && together[2].is_ok());
        let error = together[1].as_ref().err();
        assert!(
            matches!(error, Some(InferError::ModelMismatch { .. })),
            "{error:?}"
        );
        let mut alone = running(&ours, "ef");
        let mut expected = Vec::new();
        let results = forward(ours.model(), &mut [(&mut alone, 9)], true, &mut expected);
        assert!(results[0].is_ok());
        assert_eq!(logits[2 * expected.len()..], expected);
    }

    #[test]
    fn reserved_bytes_are_enough() {
        let model = Model::toy(1).unwrap();
        for tokens in [1, 15, 63, 64, 65, 100, 500, 513, 1000, 1024] {
            let reserved = model.new_state().kv_bytes_for(tokens);
            // grown at once, and step by step
            for chunk in [tokens, 37] {
                let mut state = model.new_state();
                while state.len() < tokens {
                    let part = vec![7; chunk.min(tokens - state.len())];
                    model.forward(&mut state, &part).unwrap();
                }
                assert!(state.kv_bytes() <= reserved, "{tokens} tokens by {chunk}");
                assert!(reserved <= 2 * 64.max(tokens) * 512, "{tokens} tokens");
            }
        }
    }
}
