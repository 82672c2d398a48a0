//! The faults of FAULTS.md that no other file of this folder tests: each has a defined outcome.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    Agent, AgentConfig, BatchConfig, CollectiveError, Hedge, HedgeConfig, MemoryBudget, Rejection,
    Runtime, Strategy, Supervisor, Task, TaskContext, TaskError, TeamConfig,
};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

struct Echo;

impl Agent for Echo {
    type Message = u64;
    type Reply = u64;

    fn handle(&mut self, message: u64, _: &TaskContext<'_>) -> u64 {
        message
    }
}

fn one_worker() -> Runtime {
    Runtime::builder().workers(1).build().unwrap()
}

/// Occupies the only worker until the sender is dropped.
fn hold(runtime: &Runtime) -> Sender<()> {
    let (sender, receiver) = channel::<()>();
    let (started, is_started) = channel();
    let task = Task::new("any", move |_: &TaskContext<'_>| {
        started.send(()).unwrap();
        let _ = receiver.recv();
    });
    runtime.submit(task).unwrap().detach();
    is_started.recv().unwrap();
    sender
}

fn ready<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[test]
fn every_way_in_is_closed_after_a_shutdown_and_gives_the_work_back() {
    let runtime = one_worker();
    let handle = runtime.handle();
    let agent = handle
        .spawn_agent(AgentConfig::new("echo", "any"), || Echo)
        .unwrap();
    let batcher = handle
        .batcher(BatchConfig::new("any"), |items: Vec<u64>, _| items)
        .unwrap();
    let hedge = Hedge::new(HedgeConfig::default()).unwrap();
    runtime.shutdown();

    let task = || Task::new("any", |_: &TaskContext<'_>| 7_u64);
    let over = Rejection::ShuttingDown;
    assert_eq!(handle.submit(task()).unwrap_err().reason(), &over);
    assert_eq!(handle.try_submit(task()).unwrap_err().reason(), &over);
    assert_eq!(handle.spawn(task()).unwrap_err().reason(), &over);
    assert_eq!(handle.try_spawn(task()).unwrap_err().reason(), &over);
    let bulk = Task::bulk("any", |index, _: &TaskContext<'_>| index);
    assert_eq!(handle.submit_bulk(3, bulk).unwrap_err().reason(), &over);
    let all = handle.submit_all([task(), task()]).unwrap_err();
    assert_eq!((all.accepted.len(), all.rest.len()), (0, 1));
    assert_eq!(all.rejected.reason(), &over);
    let later = ready(handle.submit_async(task())).unwrap();
    assert_eq!(later.unwrap_err().reason(), &over);
    let future = handle.spawn_future("any", async { 7 });
    assert_eq!(future.unwrap_err().reason(), &over);
    assert_eq!(agent.tell(1).unwrap_err().reason(), &over);
    assert_eq!(agent.try_tell(1).unwrap_err().reason(), &over);
    assert_eq!(agent.ask(1).unwrap_err().reason(), &over);
    assert!(ready(agent.tell_async(1)).unwrap().is_err());
    assert!(matches!(
        agent.call(1),
        Err(CollectiveError::Rejected(Rejection::ShuttingDown))
    ));
    assert_eq!(agent.tell(42).unwrap_err().into_parts().1, 42);
    assert!(batcher.submit(5).is_err());
    let twice = Task::repeatable("any", |_: &TaskContext<'_>| 7);
    assert!(handle.submit_hedged(&hedge, twice).is_err());
    assert_eq!(handle.report().teams[0].completed, 0);
}

#[test]
fn zero_is_refused_wherever_it_would_mean_a_hang() {
    let zero_team = TeamConfig::new("none").capability("none");
    for builder in [
        Runtime::builder().workers(0),
        Runtime::builder().queue_capacity(0),
        Runtime::builder().depth_max(0),
        Runtime::builder().team(zero_team.clone().queue_capacity(0)),
        Runtime::builder().team(zero_team.concurrency_max(0)),
    ] {
        assert!(matches!(
            builder.build(),
            Err(CollectiveError::InvalidConfig { .. })
        ));
    }
    let runtime = one_worker();
    let mailbox = AgentConfig::new("echo", "any").mailbox_capacity(0);
    assert!(runtime.spawn_agent(mailbox, || Echo).is_err());
    let batch = BatchConfig::new("any").items_max(0);
    assert!(
        runtime
            .batcher(batch, |items: Vec<u64>, _: &TaskContext<'_>| items)
            .is_err()
    );
    // No bytes are a budget like any other: nothing can be reserved.
    assert!(MemoryBudget::new("none", 0).reserve(1).is_err());
    // No restarts are an intensity like any other: the first failure is the last.
    assert!(Supervisor::new(&runtime, Strategy::OneForOne, 0, Duration::from_secs(1)).is_ok());
    // No items are a job like any other.
    let bulk = Task::bulk("any", |index, _: &TaskContext<'_>| index);
    let none = runtime.submit_bulk(0, bulk).unwrap().join();
    assert_eq!(none, Ok(Vec::new()));
}

/// Whoever lets go of a handle does not undo what it stands for.
#[test]
fn work_whose_handle_was_dropped_is_done_and_booked() {
    let runtime = one_worker();
    let agent = runtime
        .spawn_agent(AgentConfig::new("echo", "any"), || Echo)
        .unwrap();
    let ran = Arc::new(AtomicUsize::new(0));
    let release = hold(&runtime);
    let count = || {
        let ran = Arc::clone(&ran);
        move || ran.fetch_add(1, Ordering::Relaxed)
    };
    let (task, bulk, future) = (count(), count(), count());
    drop(runtime.submit(Task::new("any", move |_: &TaskContext<'_>| task())));
    drop(runtime.submit_bulk(10, Task::bulk("any", move |_, _: &TaskContext<'_>| bulk())));
    drop(runtime.spawn_future("any", async move { future() }));
    drop(agent.ask(1));
    drop(agent);
    drop(release);
    let report = runtime.shutdown();
    assert_eq!(ran.load(Ordering::Relaxed), 12);
    let team = &report.teams[0];
    // The one that held the worker, the task, ten items, one poll, one question.
    assert_eq!((team.submitted, team.completed), (14, 14));
}

/// A submission that nobody awaits any more is not made.
#[test]
fn a_submission_that_is_dropped_while_it_waits_is_not_made() {
    let runtime = Runtime::builder()
        .workers(1)
        .queue_capacity(1)
        .build()
        .unwrap();
    let release = hold(&runtime);
    let queued = runtime.submit(Task::new("any", |_: &TaskContext<'_>| 1));
    let waiting = runtime.submit_async(Task::new("any", |_: &TaskContext<'_>| 2));
    {
        let mut waiting = pin!(waiting);
        let polled = waiting
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    drop(release);
    assert_eq!(queued.unwrap().join(), Ok(1));
    assert_eq!(runtime.shutdown().teams[0].completed, 2);
}

/// A consumer that takes no answers holds up nobody but itself: answers wait in their handles, the
/// queue stays within its bound.
#[test]
fn a_slow_consumer_of_answers_holds_nothing_up() {
    const CAPACITY: usize = 8;
    let runtime = Runtime::builder()
        .workers(2)
        .queue_capacity(CAPACITY)
        .build()
        .unwrap();
    let answers: Vec<_> = (0..1_000_usize)
        .map(|n| {
            let task = Task::new("any", move |_: &TaskContext<'_>| n);
            runtime.submit(task).unwrap()
        })
        .collect();
    let report = runtime.shutdown();
    assert!(report.queue_depth_max <= CAPACITY);
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer.join(), Ok(n));
    }
}

/// An agent slower than its senders: the mailbox stays within its bound, and nothing is lost.
#[test]
fn a_slow_agent_slows_its_senders_down() {
    struct Slow(u64);
    impl Agent for Slow {
        type Message = u64;
        type Reply = u64;
        fn handle(&mut self, message: u64, context: &TaskContext<'_>) -> u64 {
            context.sleep(Duration::from_micros(200));
            self.0 += message;
            self.0
        }
    }
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let config = AgentConfig::new("slow", "any").mailbox_capacity(4);
    let agent = runtime.spawn_agent(config, || Slow(0)).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..40 {
                    agent.tell(1).unwrap();
                    assert!(agent.mailbox_depth() <= 4);
                }
            });
        }
    });
    assert_eq!(agent.ask(0).unwrap().join(), Ok(120));
}

/// Supervision runs on the worker of the child that failed. What can panic there is a factory, and
/// that counts as one more failure; the books stay right and others live on.
#[test]
fn a_supervisor_whose_children_cannot_be_made_ends_them_and_harms_nobody_else() {
    let runtime = one_worker();
    let supervisor =
        Supervisor::new(&runtime, Strategy::OneForAll, 2, Duration::from_secs(3_600)).unwrap();
    let bystander = runtime
        .spawn_agent(AgentConfig::new("bystander", "any"), || Echo)
        .unwrap();
    struct Failing;
    impl Agent for Failing {
        type Message = ();
        type Reply = ();
        fn handle(&mut self, (): (), _: &TaskContext<'_>) {
            panic!("asked to fail");
        }
    }
    let made = Arc::new(AtomicUsize::new(0));
    let factory = Arc::clone(&made);
    let child = supervisor
        .spawn_agent(AgentConfig::new("child", "any"), move || {
            assert_eq!(factory.fetch_add(1, Ordering::Relaxed), 0, "not again");
            Failing
        })
        .unwrap();
    let waiting = [child.ask(()).unwrap(), child.ask(()).unwrap()];
    let outcomes = waiting.map(|answer| answer.join());
    assert!(matches!(outcomes[0], Err(TaskError::Panicked { .. })));
    assert!(outcomes[1].is_err());
    assert!(child.is_stopped() && supervisor.is_stopped());
    assert!(matches!(
        child.tell(()).unwrap_err().reason(),
        Rejection::AgentStopped { .. }
    ));
    assert_eq!(bystander.ask(5).unwrap().join(), Ok(5));
    assert!((runtime.shutdown().accounted_fraction - 1.0).abs() < 0.01);
}
