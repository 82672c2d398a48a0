//! Stages in a row.

use super::report::{PipelineReport, StageReport};
use super::stage::{Items, Stage, StageRun};
use super::verdict::{Stop, Verdict};
use crate::batch::lanes::check_range;
use crate::cancel::CancelToken;
use crate::clock::Clock;
use crate::error::CollectiveError;
use crate::runtime::RuntimeHandle;
use crate::task::Capability;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Most items of one run: bounds the bookkeeping to about 1 GiB.
const ITEMS_MAX: usize = 1 << 24;

/// A row of stages: items of type `I` go in, verdicts over `O` come out.
///
/// The whole batch goes through one stage after the other; within a stage, items run in
/// parallel. Verdicts come in the order of the items and do not depend on the number of workers.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::pipeline::{Dedupe, Filter, Pipeline, Transform, Validate};
/// use std::time::Duration;
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let pipeline = Pipeline::new("numbers")
///     .then(Filter::new("not empty", |text: &&str| !text.is_empty()))
///     .then(Transform::new("parse", |text: &str| text.parse::<u64>()))
///     .then(Dedupe::new("distinct", |number: &u64| *number))
///     .then(Validate::computing("even", Duration::from_secs(1), |number: u64, _| {
///         if number % 2 == 0 { Ok(number) } else { Err("odd") }
///     }));
/// let run = pipeline.run(&runtime, ["8", "", "x", "8", "7", "6"])?;
///
/// assert_eq!(run.passed().collect::<Vec<_>>(), [&8, &6]);
/// let stages: Vec<_> = run.verdicts.iter().map(|verdict| verdict.stopped()).collect();
/// assert_eq!(stages[3].map(|(stage, stop)| (stage, stop.to_string())),
///     Some(("distinct", "duplicate of item 0".into())));
/// assert!((run.report.accounted_fraction() - 1.0).abs() < 0.01);
/// print!("{}", run.report);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
pub struct Pipeline<'env, I, O> {
    name: Arc<str>,
    capability: Capability,
    token: CancelToken,
    items_max: usize,
    stages: Vec<Arc<str>>,
    chain: Box<dyn Chain<I, O> + Send + Sync + 'env>,
}

/// What came out of a run.
#[derive(Debug)]
#[non_exhaustive]
pub struct PipelineRun<O> {
    /// One verdict per item, in the order of the items.
    pub verdicts: Vec<Verdict<O>>,
    /// Where the time went.
    pub report: PipelineReport,
}

impl<O> PipelineRun<O> {
    /// What went through all stages, in the order of the items.
    pub fn passed(&self) -> impl Iterator<Item = &O> {
        self.verdicts.iter().filter_map(Verdict::passed)
    }
}

/// The stages so far, as one.
trait Chain<I, O> {
    fn run(&self, items: Items<I>, books: &mut RunBooks<'_>) -> Result<Items<O>, CollectiveError>;
}

struct Start;

struct Link<A, S, M> {
    before: A,
    stage: S,
    name: Arc<str>,
    between: std::marker::PhantomData<fn(M) -> M>,
}

/// What a run has recorded so far.
struct RunBooks<'a> {
    runtime: &'a RuntimeHandle,
    capability: &'a Capability,
    token: &'a CancelToken,
    clock: Clock,
    /// End of the last stage.
    mark_ns: u64,
    between_ns: u64,
    stages: Vec<StageReport>,
    stopped: Vec<(usize, Arc<str>, Stop)>,
}

impl<I> Chain<I, I> for Start {
    fn run(&self, items: Items<I>, _: &mut RunBooks<'_>) -> Result<Items<I>, CollectiveError> {
        Ok(items)
    }
}

impl<I, M, A, S> Chain<I, S::Output> for Link<A, S, M>
where
    A: Chain<I, M>,
    S: Stage<M>,
{
    fn run(
        &self,
        items: Items<I>,
        books: &mut RunBooks<'_>,
    ) -> Result<Items<S::Output>, CollectiveError> {
        let items = self.before.run(items, books)?;
        books.stage(&self.stage, &self.name, items)
    }
}

impl RunBooks<'_> {
    fn stage<M, S: Stage<M>>(
        &mut self,
        stage: &S,
        name: &Arc<str>,
        items: Items<M>,
    ) -> Result<Items<S::Output>, CollectiveError> {
        let started_ns = self.leave_between();
        let run = StageRun::new(
            self.runtime,
            self.capability,
            self.token,
            self.clock.clone(),
            started_ns,
        );
        let count = items.len();
        let passing = stage.run(items, &run)?;
        let books = run.finish();
        let mut row = StageReport {
            name: Arc::clone(name),
            items: count,
            passed: passing.len(),
            timed_out: 0,
            abandoned: 0,
            panicked: 0,
            wall: Duration::ZERO,
            serial: books.serial,
            times: books.times,
            waiting: books.waiting,
        };
        self.mark_ns = books.ended_ns;
        row.wall = Duration::from_nanos(self.mark_ns - started_ns);
        for (index, stop) in books.stopped {
            match stop {
                Stop::TimedOut { .. } => row.timed_out += 1,
                Stop::Abandoned { .. } => row.abandoned += 1,
                Stop::Panicked { .. } => row.panicked += 1,
                _ => {}
            }
            self.stopped.push((index, Arc::clone(name), stop));
        }
        self.stages.push(row);
        Ok(passing)
    }

    fn leave_between(&mut self) -> u64 {
        let now_ns = self.clock.now_ns();
        self.between_ns += now_ns - self.mark_ns;
        now_ns
    }
}

impl<I> Pipeline<'static, I, I> {
    /// A pipeline without stages, through which every item passes.
    pub fn new(name: impl Into<Arc<str>>) -> Self {
        Self {
            name: name.into(),
            capability: Capability::from("pipeline"),
            token: CancelToken::new(),
            items_max: 1 << 20,
            stages: Vec::new(),
            chain: Box::new(Start),
        }
    }
}

impl<'env, I: 'env, O: 'env> Pipeline<'env, I, O> {
    /// Adds a stage.
    #[must_use]
    pub fn then<S>(self, stage: S) -> Pipeline<'env, I, S::Output>
    where
        S: Stage<O> + Send + Sync + 'env,
    {
        let name: Arc<str> = stage.name().into();
        let mut stages = self.stages;
        stages.push(Arc::clone(&name));
        Pipeline {
            name: self.name,
            capability: self.capability,
            token: self.token,
            items_max: self.items_max,
            stages,
            chain: Box::new(Link {
                before: self.chain,
                stage,
                name,
                between: std::marker::PhantomData,
            }),
        }
    }

    /// Which team of the runtime runs the lanes. Default `pipeline`, which a runtime without
    /// configured teams has, like every other capability.
    #[must_use]
    pub fn capability(mut self, capability: impl Into<Capability>) -> Self {
        self.capability = capability.into();
        self
    }

    /// Ends the run when `token` is cancelled: items that have not got through then are stopped
    /// as cancelled, and running validations are told. Default: no token.
    #[must_use]
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.token = token.clone();
        self
    }

    /// The most items of one run; more are an error before any stage starts. Default 1,048,576;
    /// 1 to 16,777,216. All items of a run are in memory at the same time.
    #[must_use]
    pub fn items_max(mut self, items: usize) -> Self {
        self.items_max = items;
        self
    }

    /// Names of the stages, in order.
    pub fn stages(&self) -> impl Iterator<Item = &str> {
        self.stages.iter().map(|name| &**name)
    }

    /// Sends `items` through all stages and waits.
    ///
    /// # Errors
    /// [`CollectiveError::InvalidSetting`] for a setting of the pipeline or a stage out of range,
    /// [`CollectiveError::TooManyItems`], [`CollectiveError::Rejected`] if the runtime accepts no
    /// lane, [`CollectiveError::StageThread`] if the system refuses every thread. Items that fail
    /// are verdicts, not errors.
    pub fn run(
        &self,
        runtime: &RuntimeHandle,
        items: impl IntoIterator<Item = I>,
    ) -> Result<PipelineRun<O>, CollectiveError> {
        let clock = Clock::new();
        let begun_ns = clock.now_ns();
        check_range("pipeline", "items_max", self.items_max, 1..=ITEMS_MAX)?;
        let taken: Items<I> = items
            .into_iter()
            .take(self.items_max.saturating_add(1))
            .enumerate()
            .collect();
        if taken.len() > self.items_max {
            return Err(CollectiveError::TooManyItems {
                operation: "pipeline",
                items_max: self.items_max,
            });
        }
        let count = taken.len();
        let mut books = RunBooks {
            runtime,
            capability: &self.capability,
            token: &self.token,
            clock,
            mark_ns: begun_ns,
            between_ns: 0,
            stages: Vec::with_capacity(self.stages.len()),
            stopped: Vec::new(),
        };
        let passing = self.chain.run(taken, &mut books)?;
        let passed = passing.len();
        let (verdicts, cancelled) = in_order(count, passing, &mut books);
        let ended_ns = books.leave_between();
        let report = PipelineReport {
            name: Arc::clone(&self.name),
            wall: Duration::from_nanos(ended_ns - begun_ns),
            between: Duration::from_nanos(books.between_ns),
            items: count,
            passed,
            cancelled,
            stages: books.stages,
        };
        Ok(PipelineRun { verdicts, report })
    }
}

/// All verdicts by index, and whether one of them is a cancellation.
fn in_order<O>(
    count: usize,
    passing: Items<O>,
    books: &mut RunBooks<'_>,
) -> (Vec<Verdict<O>>, bool) {
    let mut verdicts: Vec<Option<Verdict<O>>> = Vec::new();
    verdicts.resize_with(count, || None);
    let mut cancelled = false;
    for (index, value) in passing {
        verdicts[index] = Some(Verdict::Passed(value));
    }
    for (index, stage, stop) in books.stopped.drain(..) {
        cancelled |= matches!(stop, Stop::Cancelled);
        verdicts[index] = Some(Verdict::Stopped { stage, stop });
    }
    debug_assert!(
        verdicts.iter().all(Option::is_some),
        "every item passes or is stopped"
    );
    (verdicts.into_iter().flatten().collect(), cancelled)
}

impl<I, O> Chain<I, O> for Box<dyn Chain<I, O> + Send + Sync + '_> {
    fn run(&self, items: Items<I>, books: &mut RunBooks<'_>) -> Result<Items<O>, CollectiveError> {
        (**self).run(items, books)
    }
}

impl<I, O> fmt::Debug for Pipeline<'_, I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pipeline")
            .field("name", &self.name)
            .field("stages", &self.stages)
            .finish_non_exhaustive()
    }
}
