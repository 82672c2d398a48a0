//! The stage for code that may compute for long, wait, crash, or never end.

use super::context::ItemContext;
use super::crew::Crew;
use super::lane::{self, LaneSettings, Make};
use super::stage::{Items, Stage, StageRun, sealed::Sealed};
use super::verdict::BoxError;
use crate::batch::lanes::{check_duration, check_range};
use crate::error::CollectiveError;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Most threads of one stage.
const THREADS_MAX: usize = 1_024;
/// Most items of one stage that may be under way.
const IN_FLIGHT_MAX: usize = 1 << 20;
/// Threads for functions that wait.
const BLOCKING_THREADS: usize = 64;
/// Futures that may be under way.
const FUTURES_IN_FLIGHT: usize = 1_024;

/// Runs a function on each item with a deadline per item, on threads of its own.
///
/// | made by | for items that | runs at a time |
/// |---|---|---|
/// | [`computing`](Self::computing) | compute | one per hardware thread |
/// | [`blocking`](Self::blocking) | block their thread: sleep, wait for a process or a socket | 64 |
/// | [`futures`](Self::futures) | wait asynchronously | 1,024, on one thread per hardware thread |
///
/// The deadline counts from the start of the item. What happens at it:
///
/// - An item that looks ([`ItemContext::checkpoint`], [`is_cancelled`](ItemContext::is_cancelled),
///   [`wait`](ItemContext::wait)) ends there, and so does a future that waits: it is dropped. A
///   result that comes late does not count. Verdict: [`Stop::TimedOut`](super::Stop::TimedOut).
/// - An item that has not ended when the grace time is over as well is left behind with
///   its thread, and another thread takes that one's place, so the others go on. Verdict:
///   [`Stop::Abandoned`](super::Stop::Abandoned). The thread is free when the item ends, and what the
///   item then returns is dropped.
/// - Never more than `threads_max + abandoned_max` threads work for a run. When all of them are
///   left behind, the remaining items are [`Stop::NotRun`](super::Stop::NotRun): the run ends in
///   any case.
///
/// Threads are started when items need them and stay asleep for later runs, at most as many as
/// items run at a time, until the stage and its clones are dropped.
///
/// A panic costs one item. CPU time of an item that is left behind is not known to the report.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::pipeline::{Pipeline, Stop, Validate};
/// use std::time::Duration;
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let limit = Duration::from_millis(20);
/// let pipeline = Pipeline::new("candidates").then(Validate::computing(
///     "halts",
///     limit,
///     |steps: u64, item| {
///         let mut left = steps;
///         while left > 0 {
///             item.checkpoint(); // unwinds once the deadline has passed
///             left = if steps == u64::MAX { left } else { left - 1 };
///         }
///         Ok::<u64, String>(steps)
///     },
/// ));
/// let run = pipeline.run(&runtime, [3, u64::MAX, 5])?;
/// assert_eq!(run.passed().collect::<Vec<_>>(), [&3, &5]);
/// assert!(matches!(run.verdicts[1].stopped(), Some((_, Stop::TimedOut { .. }))));
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
pub struct Validate<I, O> {
    name: String,
    make: Make<I, O>,
    settings: LaneSettings,
    abandoned: Arc<AtomicUsize>,
    crew: Arc<Crew>,
}

impl<I, O> Validate<I, O>
where
    I: Send + 'static,
    O: Send + 'static,
{
    /// For functions that compute.
    pub fn computing<E>(
        name: impl Into<String>,
        deadline: Duration,
        check: impl Fn(I, &ItemContext) -> Result<O, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<BoxError>,
    {
        Self::function(name, deadline, hardware_threads(), check)
    }

    /// For functions that block their thread while they wait.
    pub fn blocking<E>(
        name: impl Into<String>,
        deadline: Duration,
        check: impl Fn(I, &ItemContext) -> Result<O, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<BoxError>,
    {
        Self::function(name, deadline, BLOCKING_THREADS, check)
    }

    /// For functions that give a future. Wakers work from anywhere, so futures of other runtimes
    /// can be awaited; [`ItemContext::sleep`] needs none.
    ///
    /// ```
    /// use agent_collective::Runtime;
    /// use agent_collective::pipeline::{Pipeline, Validate};
    /// use std::time::Duration;
    ///
    /// let runtime = Runtime::builder().workers(1).build()?;
    /// let pipeline = Pipeline::new("requests").then(Validate::futures(
    ///     "answer",
    ///     Duration::from_secs(1),
    ///     |question: u32, item| async move {
    ///         item.sleep(Duration::from_millis(5)).await;
    ///         Ok::<u32, String>(question * 2)
    ///     },
    /// ));
    /// let run = pipeline.run(&runtime, 0..100)?;
    /// assert_eq!(run.report.passed, 100);
    /// // 100 waits of 5 ms, side by side.
    /// assert!(run.report.stages[0].waiting > run.report.wall);
    /// # Ok::<(), agent_collective::CollectiveError>(())
    /// ```
    pub fn futures<E, F>(
        name: impl Into<String>,
        deadline: Duration,
        check: impl Fn(I, ItemContext) -> F + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Result<O, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let make: Make<I, O> = Arc::new(move |item, context| {
            let future = check(item, context);
            Box::pin(async move { future.await.map_err(Into::into) })
        });
        Self::new(
            name.into(),
            deadline,
            make,
            hardware_threads(),
            FUTURES_IN_FLIGHT,
        )
    }

    fn function<E>(
        name: impl Into<String>,
        deadline: Duration,
        threads: usize,
        check: impl Fn(I, &ItemContext) -> Result<O, E> + Send + Sync + 'static,
    ) -> Self
    where
        E: Into<BoxError>,
    {
        let check = Arc::new(check);
        let make: Make<I, O> = Arc::new(move |item, context| {
            let check = Arc::clone(&check);
            Box::pin(async move { check(item, &context).map_err(Into::into) })
        });
        Self::new(name.into(), deadline, make, threads, threads)
    }

    fn new(
        name: String,
        deadline: Duration,
        make: Make<I, O>,
        threads_max: usize,
        in_flight_max: usize,
    ) -> Self {
        Self {
            name,
            make,
            settings: LaneSettings {
                threads_max,
                in_flight_max,
                deadline,
                grace: Duration::from_millis(50),
                abandoned_max: 16,
                stack_bytes: 2 << 20,
            },
            abandoned: Arc::default(),
            crew: Arc::default(),
        }
    }

    /// The most items under way at a time. A function holds a thread while it is under way, so
    /// for functions this is the number of threads, too. Defaults: see the table above; 1 to
    /// 1,024, for futures to 1,048,576.
    #[must_use]
    pub fn concurrency_max(mut self, items: usize) -> Self {
        let functions = self.settings.threads_max == self.settings.in_flight_max;
        self.settings.in_flight_max = items;
        if functions {
            self.settings.threads_max = items;
        }
        self
    }

    /// How long an item that is past its deadline may take to notice that before it is left behind.
    /// Default 50 ms; more than zero.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.settings.grace = time;
        self
    }

    /// How many threads that were left behind are made up for by others. Counts those of all runs
    /// of this stage and its clones that still run. Default 16; 0 to 1,024.
    #[must_use]
    pub fn abandoned_max(mut self, threads: usize) -> Self {
        self.settings.abandoned_max = threads;
        self
    }

    /// Stack of a thread of the stage in bytes. Default 2 MiB; 64 KiB to 1 GiB.
    #[must_use]
    pub fn stack_bytes(mut self, bytes: usize) -> Self {
        self.settings.stack_bytes = bytes;
        // Threads of clones have the stack that they were started with.
        self.crew = Arc::default();
        self
    }

    /// Threads of this stage and its clones that were left behind and still run.
    pub fn abandoned_threads(&self) -> usize {
        self.abandoned.load(Ordering::Acquire)
    }

    fn check(&self) -> Result<(), CollectiveError> {
        let settings = &self.settings;
        let operation = "validation stage";
        check_duration(operation, "deadline", settings.deadline)?;
        check_duration(operation, "grace", settings.grace)?;
        check_range(
            operation,
            "concurrency_max",
            settings.threads_max,
            1..=THREADS_MAX,
        )?;
        check_range(
            operation,
            "concurrency_max",
            settings.in_flight_max,
            1..=IN_FLIGHT_MAX,
        )?;
        check_range(
            operation,
            "abandoned_max",
            settings.abandoned_max,
            0..=THREADS_MAX,
        )?;
        check_range(
            operation,
            "stack_bytes",
            settings.stack_bytes,
            (64 << 10)..=(1 << 30),
        )
    }
}

fn hardware_threads() -> usize {
    std::thread::available_parallelism()
        .map_or(1, std::num::NonZero::get)
        .min(THREADS_MAX)
}

impl<I, O> Stage<I> for Validate<I, O>
where
    I: Send + 'static,
    O: Send + 'static,
{
    type Output = O;

    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, items: Items<I>, run: &StageRun<'_>) -> Result<Items<O>, CollectiveError> {
        self.check()?;
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let outcome = run.parallel(|clock, begun_ns| {
            lane::validate(
                &self.name,
                items,
                &self.make,
                (&self.settings, &self.crew),
                run.token(),
                &self.abandoned,
                (clock, begun_ns),
            )
        })?;
        run.add_waiting(outcome.waiting_ns);
        Ok(run.sort_out(outcome.ended))
    }
}

impl<I, O> Clone for Validate<I, O> {
    fn clone(&self) -> Self {
        Self {
            name: self.name.clone(),
            make: Arc::clone(&self.make),
            settings: self.settings.clone(),
            abandoned: Arc::clone(&self.abandoned),
            crew: Arc::clone(&self.crew),
        }
    }
}

impl<I, O> Sealed for Validate<I, O> {}

impl<I, O> fmt::Debug for Validate<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Validate")
            .field("name", &self.name)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
