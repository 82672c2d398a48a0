//! Messages that `call` handles on a thread from outside, in the seat of a worker that sleeps.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    Agent, AgentConfig, AgentRef, CollectiveError, Rejection, Runtime, Task, TaskContext,
    TaskError, TeamConfig,
};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::{self, ThreadId};
use std::time::Duration;

/// What is sent runs in the handler.
type Errand<R> = Box<dyn FnOnce(&TaskContext<'_>) -> R + Send>;

/// Runs what it is sent and counts it.
struct Runner<R>(u64, std::marker::PhantomData<fn() -> R>);

impl<R: Send + 'static> Agent for Runner<R> {
    type Message = Errand<R>;
    type Reply = (u64, R);

    fn handle(&mut self, errand: Errand<R>, context: &TaskContext<'_>) -> (u64, R) {
        let result = errand(context);
        self.0 += 1;
        (self.0, result)
    }
}

fn runner<R: Send + 'static>(runtime: &Runtime, config: AgentConfig) -> AgentRef<Runner<R>> {
    runtime
        .spawn_agent(config, || Runner(0, std::marker::PhantomData))
        .unwrap()
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

/// Calls until a message is handled on this thread: workers fall asleep when they find nothing.
fn called_here<R: Send + 'static>(
    agent: &AgentRef<Runner<(ThreadId, R)>>,
    errand: impl Fn(&TaskContext<'_>) -> R + Clone + Send + 'static,
) -> R {
    loop {
        let errand = errand.clone();
        let here = move |context: &TaskContext<'_>| (thread::current().id(), errand(context));
        let (_, (thread, result)) = agent.call(Box::new(here)).unwrap();
        if thread == thread::current().id() {
            return result;
        }
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_call_is_handled_on_the_caller_while_a_worker_sleeps_unless_switched_off() {
    let runtime = runtime(2);
    let agent = runner(&runtime, AgentConfig::new("here", "any"));
    let worker = called_here(&agent, |context| context.worker_index());
    assert!(worker < 2);

    let config = AgentConfig::new("there", "any").runs_on_caller(false);
    let agent = runner::<ThreadId>(&runtime, config);
    for _ in 0..200 {
        let (_, thread) = agent.call(Box::new(|_| thread::current().id())).unwrap();
        assert_ne!(thread, thread::current().id());
    }
}

#[test]
fn a_handler_that_panics_on_the_caller_costs_its_message_and_not_the_caller() {
    let runtime = runtime(1);
    let config = AgentConfig::new("weak", "any").restart_intensity(10_000, Duration::from_secs(9));
    let agent = runner::<ThreadId>(&runtime, config);
    let (panicked_here, mut calls) = (Arc::new(AtomicBool::new(false)), 0);
    let caller = thread::current().id();
    while !panicked_here.load(Ordering::Relaxed) {
        let seen = Arc::clone(&panicked_here);
        let error = agent
            .call(Box::new(move |_| {
                seen.store(thread::current().id() == caller, Ordering::Relaxed);
                panic!("on purpose");
            }))
            .unwrap_err();
        let expected = TaskError::Panicked {
            message: "on purpose".to_owned(),
        };
        assert!(matches!(error, CollectiveError::Task(error) if error == expected));
        calls += 1;
        thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(agent.restarts(), calls);
    let (handled, _) = agent.call(Box::new(|_| thread::current().id())).unwrap();
    assert_eq!(handled, 1, "made anew");
    let report = runtime.shutdown();
    assert_eq!(
        (report.teams[0].failed, report.teams[0].completed),
        (calls, 1)
    );
}

#[test]
fn a_guest_may_ask_and_submit_like_a_worker_and_its_time_is_on_the_books() {
    let runtime = runtime(1);
    let outer = runner(&runtime, AgentConfig::new("outer", "any"));
    let inner = runner::<usize>(&runtime, AgentConfig::new("inner", "any"));
    let (me, other) = (outer.clone(), inner.clone());
    let depths = called_here(&outer, move |context| {
        // Joined in place: the only worker's seat is this one.
        let task = Task::new("any", |context: &TaskContext<'_>| context.depth());
        let depth = context.runtime().submit(task).unwrap().join().unwrap();
        let errand = Box::new(|context: &TaskContext<'_>| context.worker_index());
        let (_, worker) = other.call(errand).unwrap();
        let again = Box::new(|_: &TaskContext<'_>| unreachable!("nobody can handle it"));
        let circle = me.call(again).unwrap_err();
        assert!(matches!(
            circle,
            CollectiveError::Task(TaskError::WouldDeadlock)
        ));
        let at = std::time::Instant::now();
        while at.elapsed() < Duration::from_millis(20) {
            std::hint::spin_loop();
        }
        context.sleep(Duration::from_millis(5));
        (depth, worker)
    });
    assert_eq!(depths, (1, 0));
    outer.stop();
    let report = runtime.shutdown();
    assert!(report.running >= Duration::from_millis(20));
    assert!(report.blocked >= Duration::from_millis(5));
    assert!((0.99..1.01).contains(&report.accounted_fraction));
    let team = &report.teams[0];
    assert!(team.cpu <= team.running + Duration::from_millis(1));
    assert_eq!(
        team.submitted,
        team.completed + team.failed + team.cancelled
    );
}

#[test]
fn what_comes_while_the_only_seat_is_taken_runs_afterwards() {
    let runtime = runtime(1);
    let agent = runner(&runtime, AgentConfig::new("busy", "any"));
    for _ in 0..50 {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (from_inside, handle) = (sender.clone(), runtime.handle());
        called_here(&agent, move |context| {
            let (a, b) = (from_inside.clone(), from_inside.clone());
            let inside = Task::new("any", move |_| a.send("inside"));
            context.runtime().spawn(inside).unwrap();
            let outside = Task::new("any", move |_| b.send("outside"));
            let handle = handle.clone();
            thread::spawn(move || handle.spawn(outside).unwrap())
                .join()
                .unwrap();
        });
        drop(sender);
        assert!(receiver.recv().is_ok() && receiver.recv().is_ok());
    }
}

#[test]
fn guests_and_workers_together_are_never_more_than_workers_nor_than_a_team_allows() {
    let team = |name: &str| TeamConfig::new(name).capability(name);
    let runtime = Runtime::builder()
        .workers(2)
        .team(team("wide"))
        .team(team("narrow").concurrency_max(1))
        .build()
        .unwrap();
    let running = Arc::new([const { AtomicUsize::new(0) }; 2]);
    thread::scope(|scope| {
        for number in 0..6 {
            let (runtime, running) = (&runtime, Arc::clone(&running));
            scope.spawn(move || {
                let team = number % 2;
                let capability = ["wide", "narrow"][team];
                let agent = runner::<()>(runtime, AgentConfig::new("one", capability));
                for call in 0..300 {
                    let running = Arc::clone(&running);
                    let errand = Box::new(move |_: &TaskContext<'_>| {
                        let before = running[team].fetch_add(1, Ordering::AcqRel);
                        let elsewhere = running[1 - team].load(Ordering::Acquire);
                        assert!(before + 1 + elsewhere <= 2, "more than workers");
                        assert!(team == 0 || before == 0, "more than the team allows");
                        thread::yield_now();
                        running[team].fetch_sub(1, Ordering::AcqRel);
                    });
                    assert_eq!(agent.call(errand).unwrap().0, call + 1);
                    if call % 16 == 0 {
                        thread::sleep(Duration::from_micros(200));
                    }
                }
            });
        }
    });
    let report = runtime.shutdown();
    assert_eq!(
        report.teams.iter().map(|team| team.completed).sum::<u64>(),
        1_800
    );
}

#[test]
fn a_shutdown_waits_for_a_guest_and_refuses_the_next() {
    let runtime = runtime(2);
    let agent = runner(&runtime, AgentConfig::new("last", "any"));
    let inside = Arc::new(Barrier::new(2));
    let done = Arc::new(AtomicBool::new(false));
    let caller = thread::spawn({
        let (agent, inside, done) = (agent.clone(), Arc::clone(&inside), Arc::clone(&done));
        move || {
            called_here(&agent, |_| ());
            let errand = move |_: &TaskContext<'_>| {
                inside.wait();
                thread::sleep(Duration::from_millis(30));
                done.store(true, Ordering::Release);
                (thread::current().id(), ())
            };
            agent.call(Box::new(errand)).unwrap();
        }
    });
    inside.wait();
    runtime.shutdown();
    assert!(done.load(Ordering::Acquire), "accepted work is finished");
    caller.join().unwrap();
    let refused = agent.call(Box::new(|_| unreachable!("the runtime is closed")));
    assert!(matches!(
        refused,
        Err(CollectiveError::Rejected(Rejection::ShuttingDown))
    ));
}
