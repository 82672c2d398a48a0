//! The books: intervals measured one by one add up to the wall time of all workers.
#![cfg(not(neurectomy_loom))]

use agent_collective::{Agent, AgentConfig, Report, Runtime, Task, TaskContext, TeamConfig};
use std::time::{Duration, Instant};

/// Computes until `time` is over and says how long it really took.
fn spin(time: Duration) -> Duration {
    let start = Instant::now();
    let mut value = 1u64;
    while start.elapsed() < time {
        value = std::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005) + 1);
    }
    start.elapsed()
}

fn runtime(workers: usize) -> Runtime {
    Runtime::builder()
        .workers(workers)
        .queue_capacity(256)
        .team(TeamConfig::new("cpu").capability("cpu"))
        .team(TeamConfig::new("wait").capability("wait"))
        .build()
        .unwrap()
}

/// Both ways of adding up: over workers and over teams.
fn assert_adds_up(report: &Report) {
    assert!(
        (report.accounted_fraction - 1.0).abs() <= 0.01,
        "accounted for {} of the time:\n{report}",
        report.accounted_fraction
    );
    let teams: Duration = report
        .teams
        .iter()
        .map(|team| team.running + team.blocked)
        .sum();
    let total = (teams + report.overhead + report.idle).as_secs_f64();
    let available = report.wall.as_secs_f64() * report.workers as f64;
    assert!(
        (total / available - 1.0).abs() <= 0.01,
        "{total} of {available} s\n{report}"
    );
}

/// What the books say includes what was measured inside the tasks. That they do not say too much
/// follows from the sum.
fn assert_covers(booked: Duration, measured: Duration) {
    assert!(
        booked >= measured,
        "{booked:?} booked, {measured:?} measured inside"
    );
}

/// Waits until the report is as wanted.
fn wait_for(runtime: &Runtime, wanted: impl Fn(&Report) -> bool) -> Report {
    loop {
        let report = runtime.report();
        if wanted(&report) {
            return report;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_mixed_load_adds_up_and_each_team_gets_its_own_time() {
    let runtime = runtime(2);
    let computing: Vec<_> = (0..40)
        .map(|_| {
            runtime
                .submit(Task::new("cpu", |_| spin(Duration::from_millis(3))))
                .unwrap()
        })
        .collect();
    let waiting: Vec<_> = (0..20)
        .map(|_| {
            let task = Task::new("wait", |context| {
                let start = Instant::now();
                context.blocking(|| std::thread::sleep(Duration::from_millis(4)));
                start.elapsed()
            });
            runtime.submit(task).unwrap()
        })
        .collect();
    let small: Vec<_> = (0..20_000u64)
        .map(|i| runtime.submit(Task::new("cpu", move |_| i)).unwrap())
        .collect();
    let computed: Duration = computing.into_iter().map(|task| task.join().unwrap()).sum();
    let waited: Duration = waiting.into_iter().map(|task| task.join().unwrap()).sum();
    for task in small {
        task.join().unwrap();
    }
    let idle = Duration::from_millis(50);
    assert_adds_up(&wait_for(&runtime, |report| report.idle >= idle));
    let report = runtime.shutdown();
    assert_adds_up(&report);

    let (cpu, wait) = (report.team("cpu").unwrap(), report.team("wait").unwrap());
    assert!(cpu.running >= computed && cpu.blocked == Duration::ZERO);
    assert_covers(wait.blocked + wait.running, waited);
    assert!(wait.blocked >= Duration::from_millis(20 * 4));
    // CPU time is measured by another clock: it cannot pass the wall time of the running phases
    // by more than the granularity of its readings.
    assert!(
        cpu.cpu > Duration::ZERO && cpu.cpu <= cpu.running.mul_f64(1.05),
        "{:?}",
        cpu.cpu
    );
    assert!(
        wait.cpu <= wait.blocked / 2,
        "{:?} of CPU time for waiting",
        wait.cpu
    );
    assert_eq!((cpu.completed, wait.completed), (20_040, 20));
    assert_eq!(
        (cpu.queued_latency.count, cpu.run_latency.count),
        (20_040, 20_040)
    );
    assert!(cpu.run_latency.max >= Duration::from_millis(3));
    assert!(wait.run_latency.p50 >= Duration::from_millis(4));
}

#[test]
fn nested_tasks_and_joins_are_not_counted_twice() {
    let runtime = runtime(1);
    let parent = Task::new("wait", |context| {
        let child = Task::new("cpu", |_| spin(Duration::from_millis(30)));
        let child = context.runtime().submit(child).unwrap();
        spin(Duration::from_millis(20)) + child.join().unwrap()
    });
    let measured = runtime.submit(parent).unwrap().join().unwrap();
    let report = runtime.shutdown();
    assert_adds_up(&report);
    let (cpu, wait) = (report.team("cpu").unwrap(), report.team("wait").unwrap());
    assert_covers(cpu.running + wait.running, measured);
    assert!(cpu.running >= Duration::from_millis(30) && wait.running >= Duration::from_millis(20));
    assert!(wait.run_latency.max >= Duration::from_millis(50));
}

#[test]
fn a_join_that_waits_is_booked_as_blocked() {
    let runtime = runtime(2);
    let (started, is_started) = std::sync::mpsc::channel();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let slow = Task::new("cpu", move |_| {
        started.send(()).unwrap();
        released.recv().is_err()
    });
    let slow = runtime.submit(slow).unwrap();
    is_started.recv().unwrap();
    let joiner = runtime
        .submit(Task::new("wait", move |_| slow.join()))
        .unwrap();
    let blocked = Duration::from_millis(30);
    wait_for(&runtime, |report| {
        report
            .team("wait")
            .is_some_and(|wait| wait.blocked >= blocked)
    });
    drop(release);
    assert_eq!(joiner.join(), Ok(Ok(true)));
    let report = runtime.shutdown();
    assert_adds_up(&report);
    assert!(report.team("wait").unwrap().blocked >= blocked);
    // A wait that no guard marks counts as running.
    assert!(report.team("cpu").unwrap().running >= blocked);
}

#[test]
fn messages_of_agents_are_in_the_books() {
    struct Worker;
    impl Agent for Worker {
        type Message = Duration;
        type Reply = Duration;
        fn handle(&mut self, time: Duration, _: &TaskContext<'_>) -> Duration {
            spin(time)
        }
    }
    let runtime = runtime(2);
    let agent = runtime
        .spawn_agent(AgentConfig::new("spinner", "cpu"), || Worker)
        .unwrap();
    let answers: Vec<_> = (0..20)
        .map(|_| agent.ask(Duration::from_millis(3)).unwrap())
        .collect();
    let measured: Duration = answers
        .into_iter()
        .map(|answer| answer.join().unwrap())
        .sum();
    let report = runtime.shutdown();
    assert_adds_up(&report);
    let cpu = report.team("cpu").unwrap();
    assert_covers(cpu.running, measured);
    assert_eq!((cpu.submitted, cpu.completed), (20, 20));
}

#[test]
fn an_idle_runtime_is_idle() {
    let runtime = runtime(3);
    let report = wait_for(&runtime, |report| report.idle > 10 * report.overhead);
    assert_adds_up(&report);
    assert_eq!(report.running + report.blocked, Duration::ZERO);
    assert_eq!(report.per_worker.len(), 3);
}

#[test]
fn the_report_prints_a_table() {
    let runtime = runtime(1);
    runtime
        .submit(Task::new("cpu", |_| ()))
        .unwrap()
        .join()
        .unwrap();
    let text = runtime.shutdown().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4);
    assert!(
        lines[0].starts_with("wall ") && lines[0].contains("accounted 100.00 %"),
        "{text}"
    );
    assert!(
        lines[2].starts_with("cpu ") && lines[3].starts_with("wait "),
        "{text}"
    );
    let widths: Vec<usize> = lines[1..].iter().map(|line| line.chars().count()).collect();
    assert!(widths.iter().all(|&width| width == widths[0]), "{text}");
}
