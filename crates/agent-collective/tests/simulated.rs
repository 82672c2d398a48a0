//! The deterministic test mode, futures as tasks, and batches.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    BatchConfig, CollectiveError, Hedge, HedgeConfig, Rejection, Runtime, RuntimeHandle, Task,
    TaskContext, TaskError,
};
use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

fn grow(runtime: &RuntimeHandle, log: &Sender<u64>, name: u64) {
    let log = log.clone();
    let task = Task::new("any", move |context: &TaskContext<'_>| {
        let _ = log.send(name);
        context.sleep(Duration::from_micros(name % 7));
        if name < 500 {
            grow(context.runtime(), &log, 2 * name);
            grow(context.runtime(), &log, 2 * name + 1);
        }
    });
    runtime.spawn(task).unwrap();
}

/// The order in which a tree of tasks ran, and the virtual time it took.
fn schedule(seed: u64) -> (Vec<u64>, Duration) {
    let mut simulation = Runtime::builder().simulate(seed).unwrap();
    let (log, order) = channel();
    grow(&simulation, &log, 1);
    assert_eq!(simulation.run_until_idle(), 999);
    let took = simulation.now();
    let report = simulation.shutdown();
    assert_eq!(report.teams[0].completed, 999);
    assert!((report.accounted_fraction - 1.0).abs() < 1e-9);
    drop(log);
    (order.iter().collect(), took)
}

#[test]
fn the_same_seed_gives_the_same_schedule() {
    let (order, took) = schedule(7);
    assert_eq!((order.clone(), took), schedule(7));
    let (other, _) = schedule(8);
    assert_ne!(order, other);
    let sorted = |mut order: Vec<u64>| {
        order.sort_unstable();
        order
    };
    assert_eq!(sorted(order), sorted(other));
}

#[test]
fn delays_are_over_in_virtual_time() {
    let mut simulation = Runtime::builder().simulate(3).unwrap();
    let hour = Duration::from_secs(3_600);
    let waits: Vec<_> = [2, 1, 3]
        .map(|hours| {
            let delay = simulation.delay(hour * hours);
            simulation.spawn_future("any", delay).unwrap()
        })
        .into_iter()
        .collect();
    for wait in waits {
        simulation.join(wait).unwrap();
    }
    assert!(simulation.now() >= 3 * hour);
    assert!(simulation.now() < 3 * hour + Duration::from_secs(1));
}

#[test]
fn time_is_virtual() {
    let mut simulation = Runtime::builder().simulate(1).unwrap();
    let late = Task::new("any", |_: &TaskContext<'_>| ()).deadline(Duration::from_secs(60));
    let handle = simulation.submit(late).unwrap();
    simulation.advance(Duration::from_secs(61));
    let outcome = simulation.join(handle);
    assert!(matches!(outcome, Err(TaskError::DeadlineExceeded { .. })));
    let hedge = Hedge::new(HedgeConfig::default().requests_min(1).extra_max(1.0)).unwrap();
    let quick = Task::repeatable("any", |_: &TaskContext<'_>| 1);
    let quick = simulation.submit_hedged(&hedge, quick).unwrap();
    simulation.run_until_idle();
    assert_eq!(quick.join(), Ok(1));
}

#[test]
fn what_cannot_go_on_is_an_error_and_what_is_left_is_cancelled() {
    let mut simulation = Runtime::builder().simulate(1).unwrap();
    let stuck = simulation
        .spawn_future("any", std::future::pending::<()>())
        .unwrap();
    assert_eq!(simulation.join(stuck), Err(TaskError::WouldDeadlock));
    let never = simulation.submit(Task::new("any", |_| ())).unwrap();
    drop(simulation);
    assert_eq!(never.join(), Err(TaskError::Cancelled));
}

/// Something that a future waits for.
#[derive(Default)]
struct Signal(Mutex<(bool, Option<Waker>)>);

impl Signal {
    fn set(&self) {
        let waker = {
            let mut state = self.0.lock().unwrap();
            state.0 = true;
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait(&self) {
        poll_fn(|context| {
            let mut state = self.0.lock().unwrap();
            if state.0 {
                return Poll::Ready(());
            }
            state.1 = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

#[test]
fn futures_wait_without_a_worker() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let signals: Vec<_> = (0..100).map(|_| Arc::new(Signal::default())).collect();
    let handles: Vec<_> = signals
        .iter()
        .enumerate()
        .map(|(n, signal)| {
            let signal = Arc::clone(signal);
            let future = async move {
                signal.wait().await;
                n
            };
            runtime.spawn_future("any", future).unwrap()
        })
        .collect();
    assert_eq!(
        runtime.submit(Task::new("any", |_| 1)).unwrap().join(),
        Ok(1)
    );
    for signal in signals.iter().rev() {
        signal.set();
    }
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join(), Ok(n));
    }
    let team = &runtime.shutdown().teams[0];
    assert_eq!(team.finished(), team.submitted);
    assert!(team.completed >= 101);
}

#[test]
fn a_future_that_wakes_itself_and_one_that_panics() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let mut polls = 0;
    let own = poll_fn(move |context| {
        polls += 1;
        if polls == 1_000 {
            return Poll::Ready(polls);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    });
    assert_eq!(runtime.spawn_future("any", own).unwrap().join(), Ok(1_000));
    let failing = runtime.spawn_future("any", async { panic!("in a future") });
    let message = "in a future".to_owned();
    assert_eq!(
        failing.unwrap().join(),
        Err(TaskError::Panicked { message })
    );
}

#[test]
fn futures_are_cancelled_by_handle_and_by_shutdown() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let pending = || {
        runtime
            .spawn_future("any", std::future::pending::<u8>())
            .unwrap()
    };
    let (first, second) = (pending(), pending());
    first.cancel();
    assert_eq!(first.join(), Err(TaskError::Cancelled));
    let outside = runtime.handle();
    runtime.shutdown_now();
    assert_eq!(second.join(), Err(TaskError::Cancelled));
    let late = outside.spawn_future("any", async {});
    assert_eq!(*late.unwrap_err().reason(), Rejection::ShuttingDown);
}

#[test]
fn a_task_may_join_a_future_on_the_only_worker() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let task = Task::new("any", |context: &TaskContext<'_>| {
        let signal = Arc::new(Signal::default());
        let waits = Arc::clone(&signal);
        let future = context.runtime().spawn_future("any", async move {
            waits.wait().await;
            3
        });
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(5));
            signal.set();
        });
        future.unwrap().join()
    });
    assert_eq!(runtime.submit(task).unwrap().join(), Ok(Ok(3)));
}

#[test]
fn batches_go_by_number_by_time_and_by_flush() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let groups = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&groups);
    let batcher = |config: BatchConfig| {
        let counted = Arc::clone(&counted);
        runtime.batcher(config, move |items: Vec<usize>, _| {
            counted.fetch_add(1, Ordering::SeqCst);
            items.into_iter().map(|item| item * 2).collect()
        })
    };
    let hour = Duration::from_secs(3_600);
    let config = || BatchConfig::new("any").items_max(10);
    let by_number = batcher(config().wait_max(hour)).unwrap();
    let handles: Vec<_> = (0..100).map(|n| by_number.submit(n).unwrap()).collect();
    for (n, handle) in handles.into_iter().enumerate() {
        assert_eq!(handle.join(), Ok(2 * n));
    }
    assert_eq!(groups.load(Ordering::SeqCst), 10);
    let by_time = batcher(config().wait_max(Duration::from_millis(1))).unwrap();
    assert_eq!(by_time.submit(4).unwrap().join(), Ok(8));
    let one = by_number.submit(1).unwrap();
    by_number.flush();
    assert_eq!(one.join(), Ok(2));
    assert_eq!(groups.load(Ordering::SeqCst), 12);
    let left = by_number.submit(1).unwrap();
    runtime.shutdown();
    assert_eq!(left.join(), Err(TaskError::Cancelled));
    assert!(by_number.submit(1).is_err());
}

#[test]
fn a_task_may_join_an_item_of_its_own_batch_on_the_only_worker() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let config = BatchConfig::new("any").wait_max(Duration::from_secs(3_600));
    let batcher = runtime.batcher(config, |items: Vec<u8>, _| items).unwrap();
    let task = Task::new("any", move |_| batcher.submit(9).unwrap().join());
    assert_eq!(runtime.submit(task).unwrap().join(), Ok(Ok(9)));
}

#[test]
fn a_batch_that_fails_answers_all_its_items() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let config = BatchConfig::new("any").items_max(2);
    let short = runtime
        .batcher(config.clone(), |_: Vec<u8>, _| vec![1u8])
        .unwrap();
    let (a, b) = (short.submit(1).unwrap(), short.submit(2).unwrap());
    let mismatch = TaskError::BatchMismatch {
        items: 2,
        results: 1,
    };
    assert_eq!((a.join(), b.join()), (Err(mismatch.clone()), Err(mismatch)));
    let failing = runtime
        .batcher(config, |_: Vec<u8>, _| -> Vec<u8> { panic!("whole batch") })
        .unwrap();
    let (a, b) = (failing.submit(1).unwrap(), failing.submit(2).unwrap());
    assert!(matches!(a.join(), Err(TaskError::Panicked { .. })));
    assert!(matches!(b.join(), Err(TaskError::Panicked { .. })));
    let zero: Result<_, CollectiveError> = runtime
        .batcher(BatchConfig::new("any").items_max(0), |items: Vec<u8>, _| {
            items
        });
    let text = zero.unwrap_err().to_string();
    assert!(text.contains("batch items_max is 0, allowed is 1..=1048576 items"));
    assert_eq!(runtime.shutdown().teams[0].failed, 2);
}
