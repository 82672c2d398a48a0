//! Questions and answers: on one worker, across cores, through a mailbox.

use crate::WORKERS;
use agent_collective::{Agent, AgentConfig, AgentRef, Runtime, Task, TaskContext};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Answers with the message and keeps a sum, so that nothing can be left out.
#[derive(Default)]
pub(crate) struct Echo(u64);

impl Agent for Echo {
    type Message = u64;
    type Reply = u64;

    fn handle(&mut self, message: u64, _: &TaskContext<'_>) -> u64 {
        self.0 = self.0.wrapping_add(message);
        message
    }
}

/// The time that a share `q` of `times` does not exceed.
pub(crate) fn quantile_ns(times: &mut [Duration], q: f64) -> f64 {
    times.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index into a list that was measured"
    )]
    let at = ((times.len() - 1) as f64 * q).round() as usize;
    times[at].as_secs_f64() * 1e9
}

/// Runs both by turns, so that a disturbance of the machine meets both.
fn by_turns(
    rounds: usize,
    each: usize,
    mut ours: impl FnMut(usize) -> Vec<Duration>,
    mut theirs: impl FnMut(usize) -> Vec<Duration>,
) -> (Vec<Duration>, Vec<Duration>) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        a.extend(ours(each));
        b.extend(theirs(each));
    }
    (a, b)
}

pub(crate) fn tokio_runtime() -> Result<tokio::runtime::Runtime, BenchError> {
    Ok(tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()?)
}

/// One task at a time: submit, wait for its answer.
pub(crate) fn submit_and_join(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    let each = suite.size(20, 1_000);
    let tokio = tokio_runtime()?;
    let ours = |count: usize| {
        let one = |i: usize| {
            let start = Instant::now();
            let task = Task::new("work", move |_: &TaskContext<'_>| i);
            let answer = runtime.submit(task).expect("the runtime is open").join();
            let took = start.elapsed();
            assert_eq!(answer, Ok(i));
            took
        };
        (0..count).map(one).collect()
    };
    let theirs = |count: usize| {
        let one = |i: usize| {
            let start = Instant::now();
            let answer = tokio.block_on(tokio.spawn(async move { i }));
            let took = start.elapsed();
            assert!(answer.is_ok_and(|answer| answer == i));
            took
        };
        (0..count).map(one).collect()
    };
    let (mut ours, mut theirs) = by_turns(suite.size(1, 5), each, ours, theirs);
    for (name, q) in [("p50", 0.5), ("p99", 0.99)] {
        suite.record(
            Row::new(
                &format!("submit and join, {name}"),
                "us",
                quantile_ns(&mut ours, q) / 1e3,
            )
            .against("tokio", quantile_ns(&mut theirs, q) / 1e3),
        );
    }
    Ok(())
}

/// The time of one question, whose answer is checked.
fn timed(agent: &AgentRef<Echo>, i: u64, in_one_step: bool) -> Duration {
    let start = Instant::now();
    let answer = if in_one_step {
        agent.call(i).ok()
    } else {
        agent.ask(i).ok().and_then(|handle| handle.join().ok())
    };
    let took = start.elapsed();
    assert_eq!(answer, Some(i));
    took
}

/// An agent asked by a task of its own worker, against two tokio tasks with a channel there and
/// one for each answer.
pub(crate) fn same_worker(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    let each = suite.size(20, 20_000);
    let agent = runtime.spawn_agent(AgentConfig::new("echo", "work"), || Echo(0))?;
    // `call` says in one step that the answer is waited for; `ask` and `join` say it in two.
    let ours = |count: usize, in_one_step: bool| {
        let agent = agent.clone();
        let task = Task::new("work", move |_: &TaskContext<'_>| {
            let one = |i: u64| timed(&agent, i, in_one_step);
            (0..count as u64).map(one).collect::<Vec<Duration>>()
        });
        let times = runtime.submit(task).expect("the runtime is open").join();
        times.expect("the task ends")
    };
    let tokio = tokio_runtime()?;
    let theirs = |count: usize| {
        let times = tokio.block_on(tokio.spawn(async move {
            let (sender, mut receiver) = tokio::sync::mpsc::channel::<Question>(128);
            let server = tokio::spawn(async move {
                while let Some((message, answer)) = receiver.recv().await {
                    let _ = answer.send(message);
                }
            });
            let mut times = Vec::with_capacity(count);
            for i in 0..count as u64 {
                let start = Instant::now();
                let (answer, answered) = tokio::sync::oneshot::channel();
                let sent = sender.send((i, answer)).await;
                let answer = answered.await;
                times.push(start.elapsed());
                assert!(sent.is_ok() && answer == Ok(i));
            }
            drop(sender);
            let _ = server.await;
            times
        }));
        times.expect("the task ends")
    };
    let mut in_two_steps = Vec::new();
    let with_both = |count: usize| {
        in_two_steps.extend(ours(count, false));
        ours(count, true)
    };
    let (mut calls, mut theirs) = by_turns(suite.size(1, 5), each, with_both, theirs);
    for (name, q, goal) in [("p50", 0.5, 0.9), ("p99", 0.99, 0.2)] {
        let peer = quantile_ns(&mut theirs, q);
        suite.record(
            Row::new(
                &format!("ask, same worker (call), {name}"),
                "ns",
                quantile_ns(&mut calls, q),
            )
            .against("tokio mpsc+oneshot", peer)
            .goal(Goal::RatioAtMost(goal)),
        );
        suite.record(
            Row::new(
                &format!("ask, same worker (ask and join), {name}"),
                "ns",
                quantile_ns(&mut in_two_steps, q),
            )
            .against("tokio mpsc+oneshot", peer),
        );
    }
    Ok(())
}

type Question = (u64, tokio::sync::oneshot::Sender<u64>);

/// An agent asked from a thread outside: one question after the other, and with pauses in which the
/// workers fall asleep. The peers are two threads with a channel each way, and two threads that
/// park and unpark each other.
///
/// `call` says in one step that the answer is waited for, so the message may be handled in the seat
/// of a worker that sleeps on; `ask` and `join` say it in two, and a worker is woken in between, as
/// the peers wake each other. Both have rows; the goals stand at `call`.
pub(crate) fn across_cores(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    let agent = runtime.spawn_agent(AgentConfig::new("echo", "work"), || Echo(0))?;
    let ask = |pause: Duration, in_one_step: bool, count: usize| -> Vec<Duration> {
        let one = |i: u64| {
            std::thread::sleep(pause);
            timed(&agent, i, in_one_step)
        };
        (0..count as u64).map(one).collect()
    };
    let (to, questions) = crossbeam_channel::bounded::<u64>(1);
    let (answers, from) = crossbeam_channel::bounded::<u64>(1);
    let server = std::thread::spawn(move || {
        for question in questions {
            let _ = answers.send(question);
        }
    });
    let channel = |pause: Duration, count: usize| -> Vec<Duration> {
        let one = |i: u64| {
            std::thread::sleep(pause);
            let start = Instant::now();
            let sent = to.send(i);
            let answer = from.recv();
            let took = start.elapsed();
            assert!(sent.is_ok() && answer == Ok(i));
            took
        };
        (0..count as u64).map(one).collect()
    };
    let (each, rounds) = (suite.size(20, 4_000), suite.size(1, 5));
    let hot = Duration::ZERO;
    let mut in_two_steps = Vec::new();
    let both = |count: usize| {
        in_two_steps.extend(ask(hot, false, count));
        ask(hot, true, count)
    };
    let (mut calls, mut theirs) = by_turns(rounds, each, both, |count| channel(hot, count));
    let peer = quantile_ns(&mut theirs, 0.5);
    suite.record(
        Row::new(
            "ask across cores (call), hot, p50",
            "ns",
            quantile_ns(&mut calls, 0.5),
        )
        .against("crossbeam-channel", peer)
        .goal(Goal::RatioAtMost(1.2)),
    );
    suite.record(
        Row::new(
            "ask across cores (ask and join), hot, p50",
            "ns",
            quantile_ns(&mut in_two_steps, 0.5),
        )
        .against("crossbeam-channel", peer),
    );
    suite.record(
        Row::new(
            "ask across agents, p99",
            "ms",
            quantile_ns(&mut in_two_steps, 0.99) / 1e6,
        )
        .goal(Goal::OursAtMost(20.0)),
    );
    let pause = Duration::from_millis(2);
    let each = suite.size(2, 100);
    let (mut in_two_steps, mut channels) = (Vec::new(), Vec::new());
    let both = |count: usize| {
        in_two_steps.extend(ask(pause, false, count));
        ask(pause, true, count)
    };
    let peers = |count: usize| {
        channels.extend(channel(pause, count));
        parks(count, pause)
    };
    let (mut calls, mut floor) = by_turns(rounds, each, both, peers);
    drop(to);
    let _ = server.join();
    let us = |times: &mut Vec<Duration>| quantile_ns(times, 0.5) / 1e3;
    let (floor, channels) = (us(&mut floor), us(&mut channels));
    let name = "ask across cores (call), parked, p50";
    suite.record(
        Row::new(name, "us", us(&mut calls))
            .against("park and unpark", floor)
            .goal(Goal::RatioAtMost(1.1)),
    );
    suite.record(Row::new(name, "us", us(&mut calls)).against("crossbeam-channel", channels));
    let name = "ask across cores (ask and join), parked, p50";
    for (peer, figure) in [("park and unpark", floor), ("crossbeam-channel", channels)] {
        suite.record(Row::new(name, "us", us(&mut in_two_steps)).against(peer, figure));
    }
    Ok(())
}

/// The least that waking a sleeping thread and being woken by it costs.
fn parks(count: usize, pause: Duration) -> Vec<Duration> {
    let (asked, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let (question, answer) = (Arc::clone(&asked), Arc::clone(&answered));
    let asker = std::thread::current();
    let server = std::thread::spawn(move || {
        for _ in 0..count {
            while !question.swap(false, Ordering::AcqRel) {
                std::thread::park();
            }
            answer.store(true, Ordering::Release);
            asker.unpark();
        }
    });
    let one = |_| {
        std::thread::sleep(pause);
        let start = Instant::now();
        asked.store(true, Ordering::Release);
        server.thread().unpark();
        while !answered.swap(false, Ordering::AcqRel) {
            std::thread::park();
        }
        start.elapsed()
    };
    let times = (0..count).map(one).collect();
    let _ = server.join();
    times
}

/// Messages told to one agent from one thread, beside bounded queues between two threads.
pub(crate) fn mailbox(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    const CAPACITY: usize = 1_024;
    let messages = suite.size(100, 200_000);
    let count = messages as u64;
    let sum = count * (count - 1) / 2;
    let per_message = |start: Instant| {
        #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
        let count = count as f64;
        start.elapsed().as_secs_f64() * 1e9 / count
    };
    let ours = || -> Result<f64, BenchError> {
        let config = AgentConfig::new("sum", "work").mailbox_capacity(CAPACITY);
        let agent = runtime.spawn_agent(config, || Sum(0))?;
        let start = Instant::now();
        for i in 0..count {
            agent.tell(i)?;
        }
        let total = agent.ask(0)?.join()?;
        let figure = per_message(start);
        assert_eq!(total, sum);
        Ok(figure)
    };
    let between = |send: &mut dyn FnMut(u64), receiver: std::thread::JoinHandle<u64>| {
        let start = Instant::now();
        for i in 0..count {
            send(i);
        }
        let total = receiver.join().expect("the receiver ends");
        assert_eq!(total, sum);
        per_message(start)
    };
    let crossbeam = || {
        let (sender, receiver) = crossbeam_channel::bounded::<u64>(CAPACITY);
        let thread = std::thread::spawn(move || receiver.iter().take(messages).sum());
        between(&mut |i| sender.send(i).expect("open"), thread)
    };
    let kanal = || {
        let (sender, receiver) = kanal::bounded::<u64>(CAPACITY);
        let thread = std::thread::spawn(move || receiver.take(messages).sum());
        between(&mut |i| sender.send(i).expect("open"), thread)
    };
    let rtrb = || {
        let (mut producer, mut consumer) = rtrb::RingBuffer::<u64>::new(CAPACITY);
        let thread = std::thread::spawn(move || {
            let (mut total, mut seen) = (0, 0);
            while seen < count {
                match consumer.pop() {
                    Ok(value) => {
                        total += value;
                        seen += 1;
                    }
                    Err(_) => std::thread::yield_now(),
                }
            }
            total
        });
        let mut send = |i| {
            while producer.push(i).is_err() {
                std::thread::yield_now();
            }
        };
        between(&mut send, thread)
    };
    let mut figures = [const { Vec::new() }; 4];
    for _ in 0..suite.size(1, 5) {
        figures[0].push(ours()?);
        figures[1].push(crossbeam());
        figures[2].push(kanal());
        figures[3].push(rtrb());
    }
    let medians = figures.map(|mut figures| {
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    });
    for (peer, figure) in [("crossbeam-channel", 1), ("kanal", 2), ("rtrb (spsc)", 3)] {
        suite.record(
            Row::new("tell an agent; a message through a queue", "ns", medians[0])
                .against(peer, medians[figure]),
        );
    }
    Ok(())
}

struct Sum(u64);

impl Agent for Sum {
    type Message = u64;
    type Reply = u64;

    fn handle(&mut self, message: u64, _: &TaskContext<'_>) -> u64 {
        self.0 += message;
        self.0
    }
}
