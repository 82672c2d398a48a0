//! Memory: a counting allocator, what an idle agent holds, and whether the budget is kept.

use agent_collective::{Agent, AgentConfig, Runtime, TaskContext};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The system's allocator, which counts while it is told to.
struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

static ON: AtomicBool = AtomicBool::new(false);
static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// Where the count starts, so that freeing what was there before does not pass zero.
const BASE: usize = 1 << 40;

// SAFETY: every call goes to the system's allocator with the arguments as they came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if ON.load(Ordering::Relaxed) {
            let live = LIVE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
            PEAK.fetch_max(live, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        if ON.load(Ordering::Relaxed) {
            LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(place, layout) }
    }
}

/// Starts to count what is held from now on.
pub(crate) fn start_peak() {
    LIVE.store(BASE, Ordering::Relaxed);
    PEAK.store(BASE, Ordering::Relaxed);
    ON.store(true, Ordering::Relaxed);
}

/// Stops counting; the most bytes held beyond those at the start.
pub(crate) fn peak() -> usize {
    ON.store(false, Ordering::Relaxed);
    PEAK.load(Ordering::Relaxed) - BASE
}

struct Idle;

impl Agent for Idle {
    type Message = usize;
    type Reply = bool;

    /// Reserves in steps of a MiB until it is refused; true if that came in time.
    fn handle(&mut self, limit: usize, context: &TaskContext<'_>) -> bool {
        let Some(memory) = context.memory() else {
            return false;
        };
        let mut held = Vec::new();
        while let Ok(reservation) = memory.reserve(1 << 20) {
            held.push(reservation);
        }
        memory.bytes_in_use_max() <= limit
    }
}

pub(crate) fn idle_agents(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    const LIMIT: usize = 512 << 20;
    let count = suite.size(10, 10_000);
    let agent = runtime.spawn_agent(AgentConfig::new("greedy", "work"), || Idle)?;
    if !agent.ask(LIMIT)?.join()? {
        return Err("an agent passed its budget".into());
    }
    #[expect(clippy::cast_precision_loss, reason = "half a GiB")]
    let most = agent.memory().bytes_in_use_max() as f64 / (1 << 20) as f64;
    suite.record(
        Row::new("most memory an agent could reserve", "MiB", most).goal(Goal::OursAtMost(512.0)),
    );
    let mut agents = Vec::with_capacity(count);
    start_peak();
    for _ in 0..count {
        agents.push(runtime.spawn_agent(AgentConfig::new("idle", "work"), || Idle)?);
    }
    #[expect(clippy::cast_precision_loss, reason = "a few MiB")]
    let each = peak() as f64 / count as f64;
    suite.record(Row::new("an idle agent", "byte", each));
    Ok(())
}
