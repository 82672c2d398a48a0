//! Tasks that submit, join and scope other tasks: nothing here may hang, not with one worker.
#![cfg(not(neurectomy_loom))]

use agent_collective::{
    JoinHandle, Priority, Rejection, Runtime, RuntimeHandle, Task, TaskError, TeamConfig,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};

fn fibonacci(runtime: &RuntimeHandle, n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    let left = Task::new("any", move |context| fibonacci(context.runtime(), n - 1));
    let left = runtime.submit(left).unwrap();
    let right = fibonacci(runtime, n - 2);
    left.join().unwrap() + right
}

#[test]
fn fork_and_join_with_one_worker_and_a_tiny_queue() {
    for (workers, capacity) in [(1, 1), (1, 64), (2, 1), (3, 16)] {
        let runtime = Runtime::builder()
            .workers(workers)
            .queue_capacity(capacity)
            .build()
            .unwrap();
        let task = Task::new("any", |context| fibonacci(context.runtime(), 15));
        assert_eq!(runtime.submit(task).unwrap().join(), Ok(610));
        let report = runtime.shutdown();
        assert!(report.queue_depth_max <= capacity);
        assert_eq!(report.teams[0].submitted, report.teams[0].completed);
    }
}

#[test]
fn a_full_queue_makes_a_task_run_what_it_submits() {
    let runtime = Runtime::builder()
        .workers(1)
        .queue_capacity(2)
        .build()
        .unwrap();
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    let parent = Task::new("any", move |context| {
        for i in 0..5 {
            let seen = Arc::clone(&seen);
            let child = Task::new("any", move |_| seen.lock().unwrap().push(i));
            context.runtime().submit(child).unwrap().detach();
        }
        let rejected = context
            .runtime()
            .try_submit(Task::new("any", |_| ()))
            .unwrap_err();
        assert_eq!(
            rejected.reason(),
            &Rejection::QueueFull {
                depth: 2,
                capacity: 2
            }
        );
    });
    runtime.submit(parent).unwrap().join().unwrap();
    runtime.shutdown();
    assert_eq!(*order.lock().unwrap(), [2, 3, 4, 0, 1]);
}

#[test]
fn joining_in_a_circle_on_one_worker_is_an_error_and_not_a_hang() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (send, receive) = channel::<JoinHandle<()>>();
    let (tell, told) = channel();
    let itself = Task::new("any", move |_| {
        let handle = receive.recv().unwrap();
        tell.send(handle.join()).unwrap();
    });
    let handle = runtime.submit(itself).unwrap();
    send.send(handle).unwrap();
    assert_eq!(told.recv().unwrap(), Err(TaskError::WouldDeadlock));
}

type Chain = Arc<Mutex<Vec<Result<usize, Rejection>>>>;

fn delegate_on(runtime: &RuntimeHandle, chain: Chain) {
    let next = Arc::clone(&chain);
    let task = Task::new("any", move |context| {
        next.lock().unwrap().push(Ok(context.depth()));
        delegate_on(context.runtime(), next);
    });
    if let Err(rejected) = runtime.submit(task) {
        chain.lock().unwrap().push(Err(rejected.into_parts().0));
    }
}

#[test]
fn delegation_deeper_than_the_limit_is_rejected() {
    let runtime = Runtime::builder().workers(2).depth_max(3).build().unwrap();
    let chain = Chain::default();
    delegate_on(&runtime, Arc::clone(&chain));
    let report = runtime.shutdown();
    let too_deep = Rejection::DelegationTooDeep {
        depth: 4,
        depth_max: 3,
    };
    assert_eq!(
        *chain.lock().unwrap(),
        [Ok(0), Ok(1), Ok(2), Ok(3), Err(too_deep)]
    );
    assert_eq!(report.rejected_unrouted, 1);
}

#[test]
fn joins_nested_deeper_than_the_limit_are_an_error() {
    // On one worker, task i joins task i - 1 and the last one starts first.
    const TASKS: usize = 8;
    let runtime = Runtime::builder().workers(1).depth_max(5).build().unwrap();
    let (release, released) = channel::<()>();
    let holder = runtime
        .submit(Task::new("any", move |_| released.recv().is_err()))
        .unwrap();
    let mut last = runtime.submit(Task::new("any", |_| Ok(0))).unwrap();
    for i in 1..TASKS {
        let previous = last;
        let task = Task::new("any", move |_| {
            previous.join()?.map(|depth: usize| depth + 1)
        });
        let priority = if i + 1 == TASKS {
            Priority::High
        } else {
            Priority::Normal
        };
        last = runtime.submit(task.priority(priority)).unwrap();
    }
    drop(release);
    let too_deep = TaskError::NestedTooDeep {
        depth: 5,
        depth_max: 5,
    };
    assert_eq!(last.join().unwrap(), Err(too_deep));
    holder.join().unwrap();
    assert_eq!(runtime.shutdown().teams[0].completed, TASKS as u64 + 1);
}

#[test]
fn a_limited_team_does_not_deadlock_on_its_own_children() {
    let runtime = Runtime::builder()
        .workers(2)
        .team(TeamConfig::new("one").capability("one").concurrency_max(1))
        .build()
        .unwrap();
    let parent = Task::new("one", |context| {
        let child = Task::new("one", |_| 3);
        context.runtime().submit(child).unwrap().join().unwrap() + 1
    });
    assert_eq!(runtime.submit(parent).unwrap().join(), Ok(4));
}

#[test]
fn a_scope_borrows_and_waits() {
    for workers in [1, 3] {
        let runtime = Runtime::builder()
            .workers(workers)
            .queue_capacity(8)
            .build()
            .unwrap();
        let mut numbers: Vec<usize> = (0..1000).collect();
        let sum = AtomicUsize::new(0);
        runtime
            .scope(|scope| {
                for chunk in numbers.chunks_mut(10) {
                    let sum = &sum;
                    scope
                        .submit(Task::new("any", move |_| {
                            for number in chunk {
                                *number *= 2;
                                sum.fetch_add(*number, Ordering::Relaxed);
                            }
                        }))
                        .unwrap();
                }
            })
            .unwrap();
        assert_eq!(sum.into_inner(), 999 * 1000);
        assert_eq!(numbers[999], 1998);
    }
}

#[test]
fn a_scope_inside_a_task_and_children_that_add_children() {
    let runtime = Runtime::builder()
        .workers(1)
        .queue_capacity(4)
        .build()
        .unwrap();
    let task = Task::new("any", |context| {
        let hits = AtomicUsize::new(0);
        let hits_ref = &hits;
        context
            .runtime()
            .scope(|scope| {
                for _ in 0..10 {
                    scope
                        .submit(Task::new("any", move |_| {
                            hits_ref.fetch_add(1, Ordering::Relaxed);
                            for _ in 0..3 {
                                scope
                                    .submit(Task::new("any", move |_| {
                                        hits_ref.fetch_add(1, Ordering::Relaxed);
                                    }))
                                    .unwrap();
                            }
                        }))
                        .unwrap();
                }
            })
            .unwrap();
        hits.into_inner()
    });
    assert_eq!(runtime.submit(task).unwrap().join(), Ok(40));
}

#[test]
fn a_scope_tells_of_failures_that_nobody_joined() {
    let runtime = Runtime::builder().workers(2).build().unwrap();
    let panicked = Err(TaskError::Panicked {
        message: "lost".into(),
    });
    let lost = runtime.scope(|scope| {
        for i in 0..300 {
            let task = Task::new("any", move |_| {
                if i == 7 {
                    panic!("lost")
                }
            });
            scope.submit(task).unwrap();
        }
    });
    assert_eq!(lost, panicked);
    let known = runtime.scope(|scope| {
        let handle = scope.submit(Task::new("any", |_| panic!("lost"))).unwrap();
        handle.join()
    });
    assert_eq!(known, Ok(panicked));
}

#[test]
fn a_panic_in_the_body_of_a_scope_waits_for_the_tasks() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let hits = AtomicUsize::new(0);
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.scope(|scope| {
            for _ in 0..100 {
                scope
                    .submit(Task::new("any", |_| hits.fetch_add(1, Ordering::Relaxed)))
                    .unwrap();
            }
            panic!("body");
        })
    }));
    assert!(caught.is_err());
    assert_eq!(hits.into_inner(), 100);
}

#[test]
fn a_scope_that_is_cut_short_drops_what_it_borrowed() {
    struct Counted<'a>(&'a AtomicUsize);
    impl Drop for Counted<'_> {
        fn drop(&mut self) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let (started, is_started) = channel();
    let (release, released) = channel::<()>();
    let dropped = AtomicUsize::new(0);
    let handle = runtime.handle();
    let result = handle.scope(|scope| {
        scope
            .submit(Task::new("any", move |_| {
                started.send(()).unwrap();
                let _ = released.recv();
            }))
            .unwrap();
        is_started.recv().unwrap();
        for _ in 0..10 {
            let counted = Counted(&dropped);
            scope.submit(Task::new("any", move |_| counted)).unwrap();
        }
        let stopping = std::thread::spawn(move || runtime.shutdown_now());
        while dropped.load(Ordering::Relaxed) < 10 {
            std::thread::yield_now();
        }
        drop(release);
        stopping.join().unwrap();
    });
    assert_eq!(result, Err(TaskError::Cancelled));
    assert_eq!(dropped.into_inner(), 10);
}
