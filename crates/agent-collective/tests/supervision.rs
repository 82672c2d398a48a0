//! Supervision trees, memory budgets of agents, sending without blocking.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    Agent, AgentConfig, AgentRef, CollectiveError, Runtime, Strategy, Supervisor, Task,
    TaskContext, TaskError,
};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3_600);

/// Counts messages since it was made; 0 makes it panic.
struct Count(u64);

impl Agent for Count {
    type Message = u64;
    type Reply = u64;

    fn handle(&mut self, message: u64, _: &TaskContext<'_>) -> u64 {
        assert!(message != 0, "asked to fail");
        self.0 += message;
        self.0
    }
}

fn runtime() -> Runtime {
    Runtime::builder().workers(2).build().unwrap()
}

fn children(supervisor: &Supervisor, names: &[&str]) -> Vec<AgentRef<Count>> {
    let spawn = |name: &&str| {
        supervisor
            .spawn_agent(AgentConfig::new(*name, "count"), || Count(0))
            .unwrap()
    };
    names.iter().map(spawn).collect()
}

fn ask(agent: &AgentRef<Count>, message: u64) -> Result<u64, TaskError> {
    agent.ask(message).unwrap().join()
}

/// Which of three agents begin anew when the middle one fails.
fn begun_anew(strategy: Strategy) -> Vec<bool> {
    let runtime = runtime();
    let supervisor = Supervisor::new(&runtime, strategy, 3, LONG).unwrap();
    let agents = children(&supervisor, &["a", "b", "c"]);
    for agent in &agents {
        assert_eq!(ask(agent, 10), Ok(10));
    }
    assert!(matches!(
        ask(&agents[1], 0),
        Err(TaskError::Panicked { .. })
    ));
    assert_eq!(supervisor.restarts(), 1);
    agents.iter().map(|agent| ask(agent, 1) == Ok(1)).collect()
}

#[test]
fn the_strategy_says_who_begins_anew() {
    assert_eq!(begun_anew(Strategy::OneForOne), [false, true, false]);
    assert_eq!(begun_anew(Strategy::OneForAll), [true, true, true]);
    assert_eq!(begun_anew(Strategy::RestForOne), [false, true, true]);
}

#[test]
fn mailboxes_survive_a_restart_of_the_group() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let supervisor = Supervisor::new(&runtime, Strategy::OneForAll, 3, LONG).unwrap();
    let agents = children(&supervisor, &["a", "b"]);
    let failing = agents[0].ask(0).unwrap();
    let waiting: Vec<_> = (1..=5).map(|n| agents[1].ask(n).unwrap()).collect();
    assert!(failing.join().is_err());
    assert!(waiting.into_iter().all(|answer| answer.join().is_ok()));
}

#[test]
fn a_restart_storm_stops_all_children() {
    let runtime = runtime();
    let supervisor = Supervisor::new(&runtime, Strategy::OneForOne, 2, LONG).unwrap();
    let agents = children(&supervisor, &["a", "b"]);
    for _ in 0..2 {
        assert!(ask(&agents[0], 0).is_err());
        assert!(!supervisor.is_stopped());
    }
    assert!(ask(&agents[0], 0).is_err());
    assert!(supervisor.is_stopped());
    for agent in &agents {
        assert!(agent.tell(1).is_err());
    }
    let late = children(&supervisor, &["c"]);
    assert!(
        late[0].is_stopped(),
        "a child of a stopped supervisor stops"
    );
}

#[test]
fn a_supervisor_that_gives_up_is_a_failure_of_its_parent() {
    let runtime = runtime();
    let root = Supervisor::new(&runtime, Strategy::OneForAll, 1, LONG).unwrap();
    let sibling = children(&root, &["sibling"]).remove(0);
    let group = root.supervisor(Strategy::OneForOne, 1, LONG).unwrap();
    let agents = children(&group, &["a", "b"]);
    assert_eq!((ask(&sibling, 10), ask(&agents[1], 10)), (Ok(10), Ok(10)));
    assert!(ask(&agents[0], 0).is_err());
    assert_eq!(
        ask(&agents[1], 1),
        Ok(11),
        "within the group's own intensity"
    );
    assert!(ask(&agents[0], 0).is_err());
    assert_eq!(root.restarts(), 1);
    assert_eq!((ask(&sibling, 1), ask(&agents[1], 1)), (Ok(1), Ok(1)));
    // The group may fail once more by itself, then the root has to give up as well.
    assert!(ask(&agents[0], 0).is_err());
    assert!(ask(&agents[0], 0).is_err());
    assert!(root.is_stopped() && group.is_stopped());
    assert!(sibling.tell(1).is_err());
}

#[test]
fn a_factory_that_panics_is_one_more_failure() {
    let runtime = runtime();
    let supervisor = Supervisor::new(&runtime, Strategy::OneForOne, 5, LONG).unwrap();
    let mut made = 0;
    let agent = supervisor
        .spawn_agent(AgentConfig::new("a", "count"), move || {
            made += 1;
            assert!(made == 1, "cannot be made anew");
            Count(0)
        })
        .unwrap();
    assert!(ask(&agent, 0).is_err());
    assert!(agent.is_stopped() && supervisor.is_stopped());
    assert_eq!(supervisor.restarts(), 5);
}

#[test]
fn bad_settings_are_typed_errors() {
    let runtime = runtime();
    let text = |result: Result<Supervisor, CollectiveError>| result.unwrap_err().to_string();
    let new = |restarts, window| Supervisor::new(&runtime, Strategy::OneForOne, restarts, window);
    assert!(text(new(10_001, LONG)).contains("supervisor restarts_max is 10001"));
    assert!(text(new(1, Duration::ZERO)).contains("supervisor window is 0 ns"));
    let mut level = new(1, LONG).unwrap();
    let deepest = loop {
        match level.supervisor(Strategy::OneForOne, 1, LONG) {
            Ok(below) => level = below,
            Err(error) => break error.to_string(),
        }
    };
    assert!(deepest.contains("supervisor level is 65, allowed is 1..=64 levels"));
}

struct Hoard(Vec<agent_collective::Reservation>);

impl Agent for Hoard {
    type Message = usize;
    type Reply = Result<(), agent_collective::MemoryExceeded>;

    fn handle(&mut self, bytes: usize, context: &TaskContext<'_>) -> Self::Reply {
        let memory = context.memory().expect("a message handler has a budget");
        self.0.push(memory.reserve(bytes)?);
        Ok(())
    }
}

#[test]
fn an_agent_cannot_reserve_past_its_budget_and_gives_it_back_when_it_ends() {
    let runtime = runtime();
    let config = AgentConfig::new("hoard", "any").memory_bytes_max(1_000);
    let agent = runtime.spawn_agent(config, || Hoard(Vec::new())).unwrap();
    assert_eq!(agent.call(700).unwrap(), Ok(()));
    let error = agent.call(301).unwrap().unwrap_err();
    assert_eq!(
        (error.bytes, error.in_use, error.bytes_max),
        (301, 700, 1_000)
    );
    assert_eq!(error.owner, "hoard");
    assert_eq!(agent.memory().bytes_in_use(), 700);
    agent.stop();
    // The worker that gave the answer may be about to leave the agent, and then drops it.
    while agent.memory().bytes_in_use() > 0 {
        std::thread::yield_now();
    }
    let none = AgentConfig::new("none", "any").memory_bytes_max(0);
    assert!(runtime.spawn_agent(none, || Hoard(Vec::new())).is_err());
    let default = runtime.spawn_agent(AgentConfig::new("d", "any"), || Hoard(Vec::new()));
    assert_eq!(default.unwrap().memory().bytes_max(), 512 << 20);
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

#[test]
fn sending_without_blocking_waits_for_space() {
    let runtime = runtime();
    let config = AgentConfig::new("a", "count").mailbox_capacity(1);
    let agent = runtime.spawn_agent(config, || Count(0)).unwrap();
    for n in 1..=200 {
        if n % 2 == 0 {
            block_on(agent.tell_async(1)).unwrap();
        } else {
            assert_eq!(block_on(agent.ask_async(1)).unwrap(), n);
        }
    }
    drop(agent.tell_async(1));
    agent.stop();
    assert!(block_on(agent.tell_async(1)).is_err());
    assert!(block_on(agent.ask_async(1)).is_err());
}

#[test]
fn a_call_from_a_task_is_handled_in_place() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let agent = runtime
        .spawn_agent(AgentConfig::new("a", "count"), || Count(0))
        .unwrap();
    let within = agent.clone();
    let task = runtime.submit(Task::new("count", move |_| {
        within.tell(1).unwrap();
        (
            within.call(1).unwrap(),
            within.call(1).unwrap(),
            within.call(0).is_err(),
        )
    }));
    assert_eq!(task.unwrap().join(), Ok((2, 3, true)));
    assert_eq!(agent.call(5).unwrap(), 5, "made anew after the failure");
    let report = runtime.shutdown();
    assert_eq!(report.teams[0].finished(), report.teams[0].submitted);
}
