//! Asynchronous submission and joining, with a plain executor.
#![cfg(not(neurectomy_loom))]

use agent_collective::{CollectiveError, JoinHandle, Rejection, Runtime, Task, TaskError};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

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

/// Idle workers watch the delays themselves; while all of them are at work, a thread does.
#[test]
fn delays_are_over_in_their_order_and_not_early_also_when_all_workers_are_busy() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    for busy in [false, true] {
        let (release, released) = occupy(if busy { 2 } else { 0 }, &runtime);
        let (done, order) = channel();
        let start = Instant::now();
        let waits: Vec<_> = [30_u64, 10, 20, 0, 15]
            .into_iter()
            .map(|ms| {
                let (delay, done) = (runtime.delay(Duration::from_millis(ms)), done.clone());
                std::thread::spawn(move || {
                    block_on(delay);
                    done.send((ms, start.elapsed())).unwrap();
                })
            })
            .collect();
        for wait in waits {
            wait.join().unwrap();
        }
        drop(release);
        drop(done);
        for (ms, took) in order {
            assert!(took >= Duration::from_millis(ms), "{ms} ms took {took:?}");
        }
        for handle in released {
            assert_eq!(handle.join(), Ok(true));
        }
    }
}

/// Tasks that occupy so many workers until their senders are dropped.
fn occupy(workers: usize, runtime: &Runtime) -> (Vec<Sender<()>>, Vec<JoinHandle<bool>>) {
    let (started, is_started) = channel();
    let hold = |_| {
        let (release, released) = channel::<()>();
        let started = started.clone();
        let task = Task::new("any", move |_| {
            started.send(()).unwrap();
            released.recv().is_err()
        });
        let handle = runtime.submit(task).unwrap();
        is_started.recv().unwrap();
        (release, handle)
    };
    (0..workers).map(hold).unzip()
}

#[test]
fn futures_of_a_runtime_wait_for_delays_one_after_the_other() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let handle = runtime.handle();
    let start = Instant::now();
    let waits: Vec<_> = (0..100_u64)
        .map(|n| {
            let runtime = handle.clone();
            let future = async move {
                for _ in 0..3 {
                    runtime.delay(Duration::from_millis(2)).await;
                }
                n
            };
            handle.spawn_future("any", future).unwrap()
        })
        .collect();
    for (n, wait) in (0..).zip(waits) {
        assert_eq!(wait.join(), Ok(n));
    }
    assert!(start.elapsed() >= Duration::from_millis(6));
    assert!((runtime.shutdown().accounted_fraction - 1.0).abs() < 0.01);
}

#[test]
fn a_shutdown_waits_for_delays_and_a_stop_drops_what_waits() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let delay = runtime.delay(Duration::from_millis(20));
    let start = Instant::now();
    let waits = runtime
        .spawn_future("any", async move {
            delay.await;
            start.elapsed()
        })
        .unwrap();
    assert_eq!(runtime.shutdown().teams[0].failed, 0);
    assert!(waits.join().unwrap() >= Duration::from_millis(20));

    let runtime = Runtime::builder().workers(1).build().unwrap();
    let held = Arc::new(());
    let (delay, kept) = (runtime.delay(Duration::from_secs(3_600)), Arc::clone(&held));
    let waits = runtime
        .spawn_future("any", async move {
            delay.await;
            drop(kept);
        })
        .unwrap();
    runtime.shutdown_now();
    assert_eq!(waits.join(), Err(TaskError::Cancelled));
    assert_eq!(Arc::strong_count(&held), 1);
}

#[test]
fn a_delay_too_many_is_polled_until_it_is_over() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let context = &mut Context::from_waker(Waker::noop());
    let waiting: Vec<_> = (0..1 << 16)
        .map(|_| {
            let mut delay = Box::pin(runtime.delay(Duration::from_secs(3_600)));
            assert!(delay.as_mut().poll(context).is_pending());
            delay
        })
        .collect();
    let start = Instant::now();
    block_on(runtime.delay(Duration::from_millis(5)));
    assert!(start.elapsed() >= Duration::from_millis(5));
    drop(waiting);
    let (_, wakes) = block_on(runtime.delay(Duration::from_millis(5)));
    assert_eq!(wakes, 1);
}
