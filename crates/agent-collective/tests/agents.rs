//! Agents: asking, telling, restarts, bounds.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    Agent, AgentConfig, AgentRef, CollectiveError, Rejection, Runtime, Task, TaskContext, TaskError,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

const FOREVER: Duration = Duration::from_secs(100_000);

/// Adds up; panics on 13.
struct Adder {
    sum: u64,
}

impl Agent for Adder {
    type Message = u64;
    type Reply = u64;

    fn handle(&mut self, message: u64, _: &TaskContext<'_>) -> u64 {
        assert!(message != 13, "thirteen");
        self.sum += message;
        self.sum
    }
}

fn adder(runtime: &Runtime, config: AgentConfig) -> AgentRef<Adder> {
    runtime.spawn_agent(config, || Adder { sum: 0 }).unwrap()
}

fn config() -> AgentConfig {
    AgentConfig::new("adder", "any")
}

/// Waits at each message until it may go on.
struct Waiter {
    started: Sender<u32>,
    released: Receiver<()>,
}

impl Agent for Waiter {
    type Message = u32;
    type Reply = u32;

    fn handle(&mut self, message: u32, _: &TaskContext<'_>) -> u32 {
        self.started.send(message).unwrap();
        let _ = self.released.recv();
        message
    }
}

fn waiter(runtime: &Runtime, capacity: usize) -> (AgentRef<Waiter>, Receiver<u32>, Sender<()>) {
    let (started, is_started) = channel();
    let (release, released) = channel();
    let mut parts = Some((started, released));
    let agent = runtime.spawn_agent(
        AgentConfig::new("waiter", "any").mailbox_capacity(capacity),
        move || {
            let (started, released) = parts.take().unwrap();
            Waiter { started, released }
        },
    );
    (agent.unwrap(), is_started, release)
}

#[test]
fn messages_of_many_senders_are_handled_one_at_a_time_and_exactly_once() {
    let runtime = Runtime::builder().workers(3).build().unwrap();
    let agent = adder(&runtime, config().mailbox_capacity(8));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    agent.tell(1).unwrap();
                    assert!(agent.mailbox_depth() <= 8);
                }
            });
        }
    });
    assert_eq!(agent.ask(0).unwrap().join(), Ok(20_000));
    assert_eq!(runtime.shutdown().teams[0].completed, 20_001);
}

#[test]
fn a_panic_costs_one_message_and_the_mailbox_survives() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let agent = adder(&runtime, config().restart_intensity(1, FOREVER));
    let answers: Vec<_> = [1, 2, 13, 5, 6]
        .map(|message| agent.ask(message).unwrap())
        .into_iter()
        .collect();
    let answers: Vec<_> = answers.into_iter().map(|answer| answer.join()).collect();
    let panicked = TaskError::Panicked {
        message: "thirteen".into(),
    };
    assert_eq!(answers, [Ok(1), Ok(3), Err(panicked), Ok(5), Ok(11)]);
    assert_eq!((agent.restarts(), agent.is_stopped()), (1, false));
    assert_eq!(runtime.report().teams[0].failed, 1);
}

#[test]
fn too_many_restarts_stop_the_agent() {
    // Asked from a task on the only worker, so all four are in the mailbox before the first one is
    // handled.
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let agent = adder(&runtime, config().restart_intensity(2, FOREVER));
    let asks = agent.clone();
    let task = Task::new("any", move |_| {
        [13, 13, 13, 1].map(|message| asks.ask(message).unwrap())
    });
    let answers = runtime.submit(task).unwrap().join().unwrap();
    let answers = answers.map(|answer| answer.join());
    assert!(
        answers[..3]
            .iter()
            .all(|a| matches!(a, Err(TaskError::Panicked { .. })))
    );
    assert_eq!(
        answers[3],
        Err(TaskError::AgentStopped {
            agent: "adder".into()
        })
    );
    assert!(agent.is_stopped());
    assert_eq!(agent.restarts(), 2);
    let rejected = agent.tell(1).unwrap_err();
    assert_eq!(
        rejected.to_string(),
        "send to agent `adder`: it has stopped"
    );
    assert_eq!(rejected.into_inner(), 1);
}

#[test]
fn restarts_outside_the_window_do_not_count() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let agent = adder(
        &runtime,
        config().restart_intensity(1, Duration::from_nanos(1)),
    );
    for _ in 0..20 {
        assert!(agent.ask(13).unwrap().join().is_err());
    }
    assert_eq!((agent.restarts(), agent.is_stopped()), (20, false));
}

#[test]
fn a_factory_that_panics_counts_as_a_restart() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let mut calls = 0;
    let config_twice = config().restart_intensity(2, FOREVER);
    let agent = runtime
        .spawn_agent(config_twice, move || {
            calls += 1;
            assert!(calls == 1, "no second one");
            Adder { sum: 0 }
        })
        .unwrap();
    assert!(agent.ask(13).unwrap().join().is_err());
    let stopped = TaskError::AgentStopped {
        agent: "adder".into(),
    };
    match agent.ask(1) {
        Ok(answer) => assert_eq!(answer.join(), Err(stopped)),
        Err(rejected) => assert!(matches!(rejected.reason(), Rejection::AgentStopped { .. })),
    }
    assert_eq!(agent.restarts(), 2);

    let never = runtime.spawn_agent(config(), || -> Adder { panic!("not today") });
    assert_eq!(
        never.unwrap_err().to_string(),
        "spawn agent `adder`: its factory panicked: not today"
    );
}

#[test]
fn a_full_mailbox_rejects_or_waits() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (agent, is_started, release) = waiter(&runtime, 2);
    agent.tell(0).unwrap();
    assert_eq!(is_started.recv(), Ok(0));
    agent.tell(1).unwrap();
    agent.tell(2).unwrap();
    let full = agent.try_tell(3).unwrap_err();
    assert_eq!(
        full.to_string(),
        "send to agent `waiter`: mailbox holds 2 messages, capacity is 2"
    );
    assert!(agent.try_ask(3).is_err());
    let waiting = agent.clone();
    let answer = std::thread::spawn(move || waiting.ask(4).unwrap().join());
    for message in [1, 2, 4] {
        release.send(()).unwrap();
        assert_eq!(is_started.recv(), Ok(message));
    }
    release.send(()).unwrap();
    assert_eq!(answer.join().unwrap(), Ok(4));
}

#[test]
fn a_slow_agent_does_not_hold_the_shutdown_of_its_senders() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (agent, is_started, release) = waiter(&runtime, 1);
    agent.tell(0).unwrap();
    is_started.recv().unwrap();
    let queued = agent.ask(1).unwrap();
    let waiting = agent.clone();
    let sender = std::thread::spawn(move || waiting.tell(2).unwrap_err().into_parts());
    std::thread::sleep(Duration::from_millis(20));
    let handle = runtime.handle();
    let stopping = std::thread::spawn(move || runtime.shutdown_now());
    while !handle.is_shutting_down() {
        std::thread::yield_now();
    }
    drop(release);
    assert_eq!(queued.join(), Err(TaskError::Cancelled));
    assert_eq!(sender.join().unwrap(), (Rejection::ShuttingDown, 2));
    stopping.join().unwrap();
    assert_eq!(
        agent.tell(3).unwrap_err().reason(),
        &Rejection::ShuttingDown
    );
}

#[test]
fn stopping_answers_the_waiting_and_refuses_the_new() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (agent, is_started, release) = waiter(&runtime, 8);
    let handled = agent.ask(0).unwrap();
    is_started.recv().unwrap();
    let waiting = agent.ask(1).unwrap();
    agent.stop();
    assert_eq!(
        waiting.join(),
        Err(TaskError::AgentStopped {
            agent: "waiter".into()
        })
    );
    assert!(agent.is_stopped() && agent.tell(2).is_err());
    drop(release);
    assert_eq!(handled.join(), Ok(0));
    assert_eq!(agent.mailbox_depth(), 0);
}

#[test]
fn a_question_can_be_cancelled_while_it_waits() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (agent, is_started, release) = waiter(&runtime, 8);
    agent.tell(0).unwrap();
    is_started.recv().unwrap();
    let question = agent.ask(1).unwrap();
    question.cancel();
    drop(release);
    assert_eq!(question.join(), Err(TaskError::Cancelled));
    drop(runtime);
    assert!(
        is_started.try_recv().is_err(),
        "the cancelled message was handled"
    );
}

#[test]
fn a_task_may_ask_and_join_on_the_only_worker() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let agent = adder(&runtime, config().mailbox_capacity(4));
    let asks = agent.clone();
    let task = Task::new("any", move |_| {
        for _ in 0..1_000 {
            asks.tell(1).unwrap();
        }
        asks.ask(1).unwrap().join()
    });
    assert_eq!(runtime.submit(task).unwrap().join().unwrap(), Ok(1_001));
}

#[test]
fn tasks_on_all_workers_may_ask_one_agent() {
    let runtime = Runtime::builder().workers(3).build().unwrap();
    let agent = adder(&runtime, config().mailbox_capacity(2));
    let answered = Arc::new(AtomicUsize::new(0));
    let handles: Vec<_> = (0..300)
        .map(|_| {
            let (agent, answered) = (agent.clone(), Arc::clone(&answered));
            let task = Task::new("any", move |_| {
                for _ in 0..20 {
                    agent.tell(1).unwrap();
                    agent.ask(1).unwrap().join().unwrap();
                    answered.fetch_add(1, Ordering::Relaxed);
                }
            });
            runtime.submit(task).unwrap()
        })
        .collect();
    for handle in handles {
        handle.join().unwrap();
    }
    assert_eq!(answered.load(Ordering::Relaxed), 6_000);
    assert_eq!(agent.ask(0).unwrap().join(), Ok(12_000));
}

/// Asks the next one in a ring, which for a ring of one is itself.
struct Ring {
    next: Option<AgentRef<Ring>>,
}

enum RingMessage {
    Next(AgentRef<Ring>),
    Ask,
}

impl Agent for Ring {
    type Message = RingMessage;
    type Reply = Result<(), TaskError>;

    fn handle(&mut self, message: RingMessage, _: &TaskContext<'_>) -> Self::Reply {
        match (message, &self.next) {
            (RingMessage::Next(next), _) => {
                self.next = Some(next);
                Ok(())
            }
            (RingMessage::Ask, Some(next)) => next.ask(RingMessage::Ask).unwrap().join()?,
            (RingMessage::Ask, None) => Ok(()),
        }
    }
}

#[test]
fn asking_in_a_circle_on_one_worker_is_an_error_and_not_a_hang() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let spawn = || {
        let config = AgentConfig::new("ring", "any");
        runtime.spawn_agent(config, || Ring { next: None }).unwrap()
    };
    let (first, second) = (spawn(), spawn());
    first
        .ask(RingMessage::Next(second.clone()))
        .unwrap()
        .join()
        .unwrap()
        .unwrap();
    second
        .ask(RingMessage::Next(first.clone()))
        .unwrap()
        .join()
        .unwrap()
        .unwrap();
    let answer = first.ask(RingMessage::Ask).unwrap().join().unwrap();
    assert_eq!(answer, Err(TaskError::WouldDeadlock));
    first.stop();
    second.stop();
}

#[test]
fn bad_settings_are_typed_errors() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    for (config, text) in [
        (
            config().mailbox_capacity(0),
            "agent mailbox_capacity is 0, allowed is 1..=1048576",
        ),
        (
            config().restart_intensity(10_001, FOREVER),
            "agent restarts_max is 10001",
        ),
        (
            config().restart_intensity(1, Duration::ZERO),
            "agent restart_window is 0 ns",
        ),
    ] {
        let error = runtime
            .spawn_agent(config, || Adder { sum: 0 })
            .unwrap_err();
        assert!(matches!(error, CollectiveError::InvalidConfig { .. }));
        assert!(error.to_string().contains(text), "{error}");
    }
}

#[test]
fn an_agent_is_dropped_with_its_last_reference() {
    struct Gone(Sender<()>);
    impl Drop for Gone {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    impl Agent for Gone {
        type Message = ();
        type Reply = ();
        fn handle(&mut self, (): (), _: &TaskContext<'_>) {}
    }
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (gone, is_gone) = channel();
    let agent = runtime
        .spawn_agent(config(), move || Gone(gone.clone()))
        .unwrap();
    agent.tell(()).unwrap();
    drop(agent);
    is_gone.recv().unwrap();
    drop(runtime);
}
