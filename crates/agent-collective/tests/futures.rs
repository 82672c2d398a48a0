//! Asynchronous submission and joining, with a plain executor.
#![cfg(not(neurectomy_loom))]

use agent_collective::{CollectiveError, Rejection, Runtime, Task, TaskError};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Wake, Waker};

struct Unpark {
    thread: std::thread::Thread,
    wakes: AtomicUsize,
}

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
        self.thread.unpark();
    }
}

/// Polls on this thread; also returns how often it was woken.
fn block_on<T>(future: impl Future<Output = T>) -> (T, usize) {
    let mut future = pin!(future);
    let unpark = Arc::new(Unpark {
        thread: std::thread::current(),
        wakes: AtomicUsize::new(0),
    });
    let waker = Waker::from(Arc::clone(&unpark));
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return (value, unpark.wakes.load(Ordering::Relaxed)),
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn a_submission_waits_for_space_and_a_handle_for_its_value() {
    let runtime = Runtime::builder()
        .workers(1)
        .queue_capacity(1)
        .build()
        .unwrap();
    let (started, is_started) = channel();
    let (release, released) = channel::<()>();
    let holder = runtime.submit(Task::new("any", move |_| {
        started.send(()).unwrap();
        let _ = released.recv();
    }));
    is_started.recv().unwrap();
    runtime.submit(Task::new("any", |_| ())).unwrap().detach();

    let mut waiting = Box::pin(runtime.submit_async(Task::new("any", |_| 2)));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(context).is_pending());
    drop(release);
    let (value, wakes) = block_on(async { Ok::<i32, CollectiveError>(waiting.await?.await?) });
    assert_eq!(value.unwrap(), 2);
    assert!(wakes <= 4, "woken {wakes} times");
    holder.unwrap().join().unwrap();
}

#[test]
fn a_dropped_submission_passes_its_wake_up_on() {
    let runtime = Runtime::builder()
        .workers(1)
        .queue_capacity(1)
        .build()
        .unwrap();
    for _ in 0..200 {
        let (started, is_started) = channel();
        let (release, released) = channel::<()>();
        let holder = runtime.submit(Task::new("any", move |_| {
            started.send(()).unwrap();
            let _ = released.recv();
        }));
        is_started.recv().unwrap();
        runtime.submit(Task::new("any", |_| ())).unwrap().detach();
        let context = &mut Context::from_waker(Waker::noop());
        let mut dropped = Box::pin(runtime.submit_async(Task::new("any", |_| ())));
        assert!(dropped.as_mut().poll(context).is_pending());
        std::thread::scope(|scope| {
            let kept = runtime.submit_async(Task::new("any", |_| 7));
            let waiting = scope.spawn(|| block_on(kept).0.unwrap().join());
            drop(release);
            drop(dropped);
            assert_eq!(waiting.join().unwrap(), Ok(7));
        });
        holder.unwrap().join().unwrap();
    }
}

#[test]
fn a_submission_that_waits_learns_of_the_shutdown() {
    let runtime = Runtime::builder()
        .workers(1)
        .queue_capacity(1)
        .build()
        .unwrap();
    let (release, released) = channel::<()>();
    let holder = runtime
        .submit(Task::new("any", move |_| released.recv().is_err()))
        .unwrap();
    while runtime.queue_depth() > 0 {
        std::thread::yield_now();
    }
    runtime
        .submit(Task::new("any", |_| false))
        .unwrap()
        .detach();
    let mut waiting = Box::pin(runtime.submit_async(Task::new("any", |_| false)));
    let context = &mut Context::from_waker(Waker::noop());
    assert!(waiting.as_mut().poll(context).is_pending());
    let handle = runtime.handle();
    let stopping = std::thread::spawn(move || runtime.shutdown_now());
    while !handle.is_shutting_down() {
        std::thread::yield_now();
    }
    let rejected = block_on(waiting).0.unwrap_err();
    assert_eq!(rejected.reason(), &Rejection::ShuttingDown);
    drop(release);
    assert_eq!(block_on(holder).0, Ok(true));
    stopping.join().unwrap();
}

#[test]
fn a_waker_that_panics_harms_nobody() {
    struct Bomb;
    impl Wake for Bomb {
        fn wake(self: Arc<Self>) {
            panic!("waker");
        }
    }
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (release, released) = channel::<()>();
    let mut handle = Box::pin(
        runtime
            .submit(Task::new("any", move |_| released.recv().is_err()))
            .unwrap(),
    );
    let bomb = Waker::from(Arc::new(Bomb));
    assert!(
        handle
            .as_mut()
            .poll(&mut Context::from_waker(&bomb))
            .is_pending()
    );
    drop(release);
    assert_eq!(block_on(handle).0, Ok(true));
    assert_eq!(runtime.shutdown().teams[0].completed, 1);
}

#[test]
fn a_result_is_handed_out_once() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let mut handle = Box::pin(runtime.submit(Task::new("any", |_| 1)).unwrap());
    assert_eq!(block_on(handle.as_mut()).0, Ok(1));
    assert_eq!(block_on(handle.as_mut()).0, Err(TaskError::ResultTaken));
}
