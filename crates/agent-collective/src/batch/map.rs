//! Maps over a slice: every item once, results in place.

use super::config::{BatchConfig, Mode, OnError};
use super::lanes::{Grain, LaneBook, LanePhase, Lanes};
use super::outcome::{BatchReport, ItemError, Mapped};
use super::progress::{Observer, Tracker};
use crate::cancel::CancelToken;
use crate::error::CollectiveError;
use crate::runtime::RuntimeHandle;
use crate::task::{TaskContext, panic_message};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Maps a function over many items on the workers of a runtime.
///
/// Each lane is one task of the runtime that takes items until none is left, so a batch of any
/// length takes only as many places in the queue as it has lanes. Called from inside a task, lanes
/// that no other worker takes run on the calling one.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::batch::{Batch, BatchConfig, Mode};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let words = ["1", "2", "x", "4"];
/// let parallel = Batch::new(&runtime, BatchConfig::default())?;
/// let mapped = parallel.map(&words, |word| word.parse::<u32>())?;
/// assert_eq!(mapped.results[3], Ok(4));
/// assert_eq!(mapped.first_failure().map(|(index, _)| index), Some(2));
/// assert!((mapped.report.times.accounted_fraction() - 1.0).abs() < 0.01);
///
/// let sequential = Batch::new(&runtime, BatchConfig::default().mode(Mode::Sequential))?;
/// assert_eq!(sequential.map(&words, |word| word.parse::<u32>())?.results, mapped.results);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
#[derive(Clone)]
pub struct Batch<'a> {
    pub(super) runtime: &'a RuntimeHandle,
    pub(super) config: BatchConfig,
    pub(super) observer: Option<&'a dyn Observer>,
    pub(super) token: CancelToken,
}

/// Why lanes stop before the items are used up.
pub(super) struct Halt<'a> {
    token: &'a CancelToken,
    fail_fast: bool,
    failed: AtomicBool,
}

impl<'a> Halt<'a> {
    pub(super) fn new(batch: &'a Batch<'_>) -> Self {
        Self {
            token: &batch.token,
            fail_fast: batch.config.on_error == OnError::FailFast,
            failed: AtomicBool::new(false),
        }
    }

    /// An item failed.
    pub(super) fn note_failure(&self) {
        if self.fail_fast {
            self.failed.store(true, Ordering::Release);
        }
    }

    /// Whether no further item may start.
    pub(super) fn is_over(&self, context: Option<&TaskContext<'_>>) -> bool {
        self.failed.load(Ordering::Acquire)
            || self.token.is_cancelled()
            || context.is_some_and(TaskContext::is_cancelled)
    }

    /// What an item that never started gets.
    pub(super) fn error<E>(&self) -> ItemError<E> {
        if self.failed.load(Ordering::Acquire) {
            ItemError::NotRun
        } else {
            ItemError::Cancelled
        }
    }
}

/// Runs one item; a panic becomes its error.
pub(super) fn guarded<O, E>(call: impl FnOnce() -> Result<O, E>) -> Result<O, ItemError<E>> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(result) => result.map_err(ItemError::Failed),
        Err(payload) => Err(ItemError::Panicked {
            message: panic_message(payload),
        }),
    }
}

/// What the lanes of one map share.
struct Work<'a, F> {
    call: F,
    count: usize,
    lanes: usize,
    /// Position to index; none where they are the same.
    order: Option<&'a [usize]>,
    weights: Option<&'a [u64]>,
    next: AtomicUsize,
    halt: Halt<'a>,
    tracker: Tracker<'a>,
}

impl<'a> Batch<'a> {
    /// A batch on `runtime`.
    ///
    /// # Errors
    /// [`CollectiveError::InvalidSetting`] for a setting out of range, among them a number of
    /// workers of zero or above that of the runtime.
    pub fn new(runtime: &'a RuntimeHandle, config: BatchConfig) -> Result<Self, CollectiveError> {
        config.validate(runtime.workers())?;
        Ok(Self {
            runtime,
            config,
            observer: None,
            token: CancelToken::new(),
        })
    }

    /// Tells `observer` how far the batch is. Default: nobody.
    #[must_use]
    pub fn observer(mut self, observer: &'a dyn Observer) -> Self {
        self.observer = Some(observer);
        self
    }

    /// Starts no further item once `token` is cancelled; running ones end. Default: no token.
    #[must_use]
    pub fn cancel_token(mut self, token: &CancelToken) -> Self {
        self.token = token.clone();
        self
    }

    /// Calls `call` for each item and gives the results in the order of the items.
    ///
    /// Items start in order. A panic costs one item. Cost per item: a few nanoseconds for tiny
    /// items, which are taken many at a time; two clock readings otherwise.
    ///
    /// # Errors
    /// [`CollectiveError::Rejected`] if the runtime accepts none of the lanes,
    /// [`CollectiveError::Task`] if none of them starts. Failed items are not errors.
    pub fn map<I, O, E>(
        &self,
        items: &[I],
        call: impl Fn(&I) -> Result<O, E> + Sync,
    ) -> Result<Mapped<O, E>, CollectiveError>
    where
        I: Sync,
        O: Send,
        E: Send,
    {
        self.run(items.len(), None, |index| call(&items[index]))
    }

    /// As [`map`](Self::map) for items of different weight: on several lanes the heaviest start
    /// first, so that the lanes end together, and progress counts weight instead of items.
    ///
    /// # Errors
    /// As [`map`](Self::map).
    pub fn map_weighted<I, O, E>(
        &self,
        items: &[I],
        weight: impl Fn(&I) -> u64,
        call: impl Fn(&I) -> Result<O, E> + Sync,
    ) -> Result<Mapped<O, E>, CollectiveError>
    where
        I: Sync,
        O: Send,
        E: Send,
    {
        let weights: Vec<u64> = items.iter().map(weight).collect();
        self.run(items.len(), Some(&weights), |index| call(&items[index]))
    }

    /// How many lanes `items` items get, and the runtime if they are tasks.
    pub(super) fn lanes(&self, items: usize) -> Lanes<'_> {
        let (runtime, lanes) = match self.config.mode {
            Mode::Sequential => (None, 1),
            Mode::Parallel => (Some(self.runtime), self.runtime.workers()),
            Mode::Workers(lanes) => (Some(self.runtime), lanes),
        };
        Lanes {
            runtime: runtime.filter(|_| items > 0),
            capability: &self.config.capability,
            count: lanes.min(items.max(1)),
        }
    }

    fn run<O: Send, E: Send>(
        &self,
        count: usize,
        weights: Option<&[u64]>,
        call: impl Fn(usize) -> Result<O, E> + Sync,
    ) -> Result<Mapped<O, E>, CollectiveError> {
        let lanes = self.lanes(count);
        let heaviest_first = weights.filter(|_| lanes.count > 1).map(|weights| {
            let mut order: Vec<usize> = (0..count).collect();
            order.sort_by_key(|&index| std::cmp::Reverse(weights[index]));
            order
        });
        let total = weights.map(|weights| weights.iter().fold(0, |a: u64, w| a.saturating_add(*w)));
        let work = Work {
            call,
            count,
            lanes: lanes.count,
            order: heaviest_first.as_deref(),
            weights,
            next: AtomicUsize::new(0),
            halt: Halt::new(self),
            tracker: Tracker::new(
                self.observer,
                self.config.progress_interval,
                Some(count),
                total,
            ),
        };
        let (parts, times) =
            lanes.run(&|book, begun_ns, context| work.work_off(book, begun_ns, context))?;
        let mut results: Vec<Option<Result<O, ItemError<E>>>> = Vec::new();
        results.resize_with(count, || None);
        for (index, result) in parts.into_iter().flatten() {
            results[index] = Some(result);
        }
        let ended_early = results.iter().any(Option::is_none);
        let fill = |result: Option<_>| result.unwrap_or_else(|| Err(work.halt.error()));
        let results: Vec<_> = results.into_iter().map(fill).collect();
        let failed = results.iter().filter(|result| result.is_err()).count();
        work.tracker.finish();
        Ok(Mapped {
            report: BatchReport {
                items: count,
                failed,
                ended_early,
                times,
            },
            results,
        })
    }
}

impl<F> Work<'_, F> {
    /// One lane: takes items until none is left.
    fn work_off<O, E>(
        &self,
        book: &mut LaneBook,
        begun_ns: u64,
        context: Option<&TaskContext<'_>>,
    ) -> Vec<(usize, Result<O, ItemError<E>>)>
    where
        F: Fn(usize) -> Result<O, E>,
    {
        let share = self.count / self.lanes;
        let mut done = Vec::with_capacity((share + share / 2).min(1 << 16));
        // Weighted items are taken one by one: the first ones are the longest.
        let items_max = self.order.map_or(share / 8, |_| 1);
        let mut grain = Grain::new(items_max);
        while !self.halt.is_over(context) {
            let first = self.next.fetch_add(grain.items(), Ordering::Relaxed);
            if first >= self.count {
                break;
            }
            let end = (first + grain.items()).min(self.count);
            let started_ns = book.start_items(end - first, begun_ns);
            for position in first..end {
                if position > first && self.halt.is_over(context) {
                    break;
                }
                let index = self.order.map_or(position, |order| order[position]);
                let result = guarded(|| (self.call)(index));
                if result.is_err() {
                    self.halt.note_failure();
                }
                let weight = self.weights.map_or(1, |weights| weights[index]);
                self.tracker.note(weight, result.is_err());
                done.push((index, result));
            }
            grain.note(book.switch(LanePhase::Overhead) - started_ns);
        }
        done
    }
}

impl fmt::Debug for Batch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("config", &self.config)
            .field("observed", &self.observer.is_some())
            .finish_non_exhaustive()
    }
}
