//! Maps over an iterator: results go to a sink while later items are still to come.

use super::config::Order;
use super::lanes::{LaneBook, LanePhase};
use super::map::{Batch, Halt, guarded};
use super::outcome::{BatchReport, ItemError};
use super::progress::Tracker;
use crate::error::CollectiveError;
use crate::task::TaskContext;
use std::any::Any;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Where items come from; one lane at a time takes the next one.
struct Source<It> {
    items: It,
    taken: usize,
    dry: bool,
}

/// Where results go to; one lane at a time hands over.
struct Delivery<O, E, S> {
    sink: S,
    /// Index of the result that is delivered next, in the order of the items.
    next: usize,
    /// Results that wait for an earlier one.
    early: BTreeMap<usize, Result<O, ItemError<E>>>,
    failed: usize,
}

/// What the lanes share.
struct Stream<'a, It, F, O, E, S> {
    call: F,
    order: Order,
    window_items: usize,
    source: Mutex<Source<It>>,
    delivery: Mutex<Delivery<O, E, S>>,
    delivered: Condvar,
    halt: Halt<'a>,
    broken: AtomicBool,
    panic: Mutex<Option<Box<dyn Any + Send>>>,
    tracker: Tracker<'a>,
}

impl Batch<'_> {
    /// Calls `call` for each item of an iterator and hands each result, with the index of its
    /// item, to `sink`: in the order of the items or as they become ready, one at a time, on
    /// whichever lane is at hand. In [`Mode::Sequential`](super::Mode::Sequential) everything
    /// happens on the calling thread.
    ///
    /// Memory is bounded: at most one item per lane is under way, and at most `window_items`
    /// results wait for an earlier one. Items that were not taken when the batch was
    /// cancelled or, with [`FailFast`](super::OnError::FailFast), an item failed, are not taken
    /// any more; every item that was taken is delivered.
    ///
    /// ```
    /// use agent_collective::Runtime;
    /// use agent_collective::batch::{Batch, BatchConfig};
    ///
    /// let runtime = Runtime::builder().workers(2).build()?;
    /// let batch = Batch::new(&runtime, BatchConfig::default())?;
    /// let mut squares = Vec::new();
    /// let report = batch.for_each(
    ///     1..=5_u32,
    ///     |item| Ok::<u32, String>(item * item),
    ///     |_, square| squares.extend(square),
    /// )?;
    /// assert_eq!((report.items, squares), (5, vec![1, 4, 9, 16, 25]));
    /// # Ok::<(), agent_collective::CollectiveError>(())
    /// ```
    ///
    /// # Errors
    /// As [`map`](Self::map).
    ///
    /// # Panics
    /// If the iterator or the sink panics, after all lanes have ended.
    pub fn for_each<It, O, E>(
        &self,
        items: It,
        call: impl Fn(It::Item) -> Result<O, E> + Sync,
        sink: impl FnMut(usize, Result<O, ItemError<E>>) + Send,
    ) -> Result<BatchReport, CollectiveError>
    where
        It: IntoIterator<IntoIter: Send>,
        O: Send,
        E: Send,
    {
        let items = items.into_iter();
        let total = match items.size_hint() {
            (least, Some(most)) if least == most => Some(most),
            _ => None,
        };
        let lanes = self.lanes(total.unwrap_or(usize::MAX));
        let stream = Stream {
            call,
            order: self.config.order,
            window_items: self.config.window_items,
            source: Mutex::new(Source {
                items,
                taken: 0,
                dry: false,
            }),
            delivery: Mutex::new(Delivery {
                sink,
                next: 0,
                early: BTreeMap::new(),
                failed: 0,
            }),
            delivered: Condvar::new(),
            halt: Halt::new(self),
            broken: AtomicBool::new(false),
            panic: Mutex::new(None),
            tracker: Tracker::new(self.observer, self.config.progress_interval, total, None),
        };
        let (_, times) =
            lanes.run(&|book, begun_ns, context| stream.work_off(book, begun_ns, context))?;
        if let Some(payload) = locked(&stream.panic).take() {
            resume_unwind(payload);
        }
        stream.tracker.finish();
        let source = locked(&stream.source);
        Ok(BatchReport {
            items: source.taken,
            failed: locked(&stream.delivery).failed,
            ended_early: !source.dry,
            times,
        })
    }
}

/// User code that runs under these locks is caught, so a poisoned one is as good as any.
fn locked<V: ?Sized>(mutex: &Mutex<V>) -> MutexGuard<'_, V> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<It, F, O, E, S> Stream<'_, It, F, O, E, S>
where
    It: Iterator,
    F: Fn(It::Item) -> Result<O, E>,
    S: FnMut(usize, Result<O, ItemError<E>>),
{
    /// One lane: takes items until none is left.
    fn work_off(&self, book: &mut LaneBook, begun_ns: u64, context: Option<&TaskContext<'_>>) {
        while !self.is_over(context) {
            let Some((index, item)) = self.take() else {
                return;
            };
            book.start_items(1, begun_ns);
            let result = guarded(|| (self.call)(item));
            book.switch(LanePhase::Overhead);
            if result.is_err() {
                self.halt.note_failure();
            }
            self.tracker.note(1, result.is_err());
            self.deliver(book, index, result);
        }
    }

    fn is_over(&self, context: Option<&TaskContext<'_>>) -> bool {
        self.broken.load(Ordering::Acquire) || self.halt.is_over(context)
    }

    fn take(&self) -> Option<(usize, It::Item)> {
        let mut source = locked(&self.source);
        if source.dry {
            return None;
        }
        let next = self.caught(|| source.items.next());
        match next.flatten() {
            Some(item) => {
                source.taken += 1;
                Some((source.taken - 1, item))
            }
            None => {
                source.dry = true;
                None
            }
        }
    }

    /// Hands a result over, or keeps it until the earlier ones are there. A lane whose result is
    /// too far ahead waits; the one with the next result never does, so somebody always goes on.
    fn deliver(&self, book: &mut LaneBook, index: usize, result: Result<O, ItemError<E>>) {
        let mut delivery = locked(&self.delivery);
        if self.order == Order::Ready {
            self.hand_over(&mut delivery, index, result);
            return;
        }
        let too_far = |delivery: &mut Delivery<O, E, S>| {
            index - delivery.next > self.window_items && !self.broken.load(Ordering::Acquire)
        };
        if too_far(&mut delivery) {
            book.switch(LanePhase::Idle);
            delivery = self
                .delivered
                .wait_while(delivery, too_far)
                .unwrap_or_else(PoisonError::into_inner);
            book.switch(LanePhase::Overhead);
        }
        delivery.early.insert(index, result);
        let before = delivery.next;
        loop {
            let index = delivery.next;
            let Some(result) = delivery.early.remove(&index) else {
                break;
            };
            delivery.next += 1;
            self.hand_over(&mut delivery, index, result);
        }
        if delivery.next != before {
            self.delivered.notify_all();
        }
    }

    fn hand_over(
        &self,
        delivery: &mut Delivery<O, E, S>,
        index: usize,
        result: Result<O, ItemError<E>>,
    ) {
        if result.is_err() {
            delivery.failed += 1;
        }
        if !self.broken.load(Ordering::Acquire) {
            self.caught(|| (delivery.sink)(index, result));
        }
    }

    /// Calls the caller's iterator or sink; a panic ends the batch.
    fn caught<R>(&self, call: impl FnOnce() -> R) -> Option<R> {
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(value) => Some(value),
            Err(payload) => {
                locked(&self.panic).get_or_insert(payload);
                self.broken.store(true, Ordering::Release);
                self.delivered.notify_all();
                None
            }
        }
    }
}
