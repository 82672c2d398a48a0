//! Validation of items that wait: what overlaps, what is dropped, who may wake.

use crate::support::{LONG, SHORT, assert_adds_up, runtime};
use agent_collective::pipeline::{ItemContext, Pipeline, Validate};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

/// What overlaps is counted, not timed: all items are under way before the first one ends.
#[test]
fn waiting_candidates_overlap_beyond_the_number_of_workers() {
    let runtime = runtime(1);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let enter = {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        move || {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        }
    };
    let (blocking_enter, blocking_now, blocking_most) =
        (enter.clone(), Arc::clone(&now), Arc::clone(&most));
    let blocking = Validate::blocking("wait", LONG, move |_: u32, item: &ItemContext| {
        blocking_enter();
        while blocking_most.load(Ordering::SeqCst) < 32 && !item.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        blocking_now.fetch_sub(1, Ordering::SeqCst);
        Ok::<(), String>(())
    });
    let run = Pipeline::new("waits")
        .then(blocking)
        .run(&runtime, 0..32)
        .unwrap();
    assert_eq!((run.report.passed, most.load(Ordering::SeqCst)), (32, 32));
    assert_adds_up(&run);

    most.store(0, Ordering::SeqCst);
    let future_most = Arc::clone(&most);
    let futures = Validate::futures("wait", LONG, move |_: u32, item: ItemContext| {
        let (enter, now, most) = (enter.clone(), Arc::clone(&now), Arc::clone(&future_most));
        async move {
            enter();
            while most.load(Ordering::SeqCst) < 500 {
                item.sleep(Duration::from_millis(1)).await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<(), String>(())
        }
    });
    let run = Pipeline::new("waits")
        .then(futures)
        .run(&runtime, 0..500)
        .unwrap();
    assert_eq!((run.report.passed, most.load(Ordering::SeqCst)), (500, 500));
    assert!(run.report.stages[0].times.lanes <= 64);
    assert_adds_up(&run);
}

#[test]
fn no_more_items_are_under_way_than_allowed() {
    let runtime = runtime(1);
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&most);
    let stage = Validate::futures("wait", LONG, move |_: u32, item: ItemContext| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&counted));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            item.sleep(Duration::from_millis(1)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            Ok::<(), String>(())
        }
    });
    let run = Pipeline::new("waits")
        .then(stage.concurrency_max(7))
        .run(&runtime, 0..70)
        .unwrap();
    assert_eq!((run.report.passed, most.load(Ordering::SeqCst)), (70, 7));
}

/// Never ready; notes that it was dropped.
struct Never(Arc<AtomicUsize>);

impl Future for Never {
    type Output = Result<u32, String>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Pending
    }
}

impl Drop for Never {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn futures_that_never_get_ready_are_dropped_at_their_deadline() {
    let dropped = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&dropped);
    let stage = Validate::futures("check", SHORT, move |_: u32, _| Never(Arc::clone(&count)));
    let run = Pipeline::new("never")
        .then(stage)
        .run(&runtime(1), 0..40)
        .unwrap();
    assert_eq!(run.report.stages[0].timed_out, 40);
    assert_eq!(dropped.load(Ordering::SeqCst), 40);
    assert_adds_up(&run);
}

/// Wakers that are used from other threads, more than once, and after the end.
#[test]
fn futures_can_be_woken_from_anywhere() {
    #[derive(Default)]
    struct Foreign {
        done: Arc<AtomicBool>,
        started: bool,
    }
    impl Future for Foreign {
        type Output = Result<(), String>;
        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
            if self.done.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
            if !self.started {
                self.started = true;
                let (waker, done) = (context.waker().clone(), Arc::clone(&self.done));
                std::thread::spawn(move || {
                    waker.wake_by_ref();
                    done.store(true, Ordering::Release);
                    waker.wake_by_ref();
                    std::thread::sleep(Duration::from_millis(5));
                    waker.wake();
                });
            }
            Poll::Pending
        }
    }
    let stage = Validate::futures("wake", LONG, |_: u32, _| Foreign::default());
    let run = Pipeline::new("wakes")
        .then(stage)
        .run(&runtime(1), 0..64)
        .unwrap();
    assert_eq!(run.report.passed, 64);
}
