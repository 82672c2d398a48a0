//! What a running suite takes of the machine, read from `/proc` while it runs.

use super::stats::{Slope, slope};
use super::waits::Waits;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

/// Ticks per second of `/proc/PID/stat`: 100 on every Linux that we know of (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;
/// Points of a memory series that are kept: every second one is dropped when there are more.
const POINTS_MAX: usize = 400;

/// Use of CPU, memory and disk by one process over its life.
///
/// Figures end with the last sample before the process ended, at most one sampling interval early.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// CPU time in user mode, all threads, in seconds.
    pub user_s: f64,
    /// CPU time in the kernel, in seconds.
    pub system_s: f64,
    /// Greatest resident memory seen, in MiB.
    pub resident_mib_max: f64,
    /// Page faults that waited for a disk.
    pub major_faults: u64,
    /// Bytes that were fetched from devices.
    pub read_bytes: u64,
    /// Bytes that were sent to devices.
    pub written_bytes: u64,
    /// Times that a thread gave its core away to wait, as far as samples saw its thread.
    pub voluntary_switches: u64,
    /// Times that a thread was made to give its core away.
    pub involuntary_switches: u64,
    /// Seconds that threads were ready to run and waited for a core, all of them together.
    pub waited_for_core_s: f64,
    /// What its threads did when samples were taken.
    #[serde(default)]
    pub waits: Waits,
    /// Seconds since the start and resident MiB.
    pub memory: Vec<(f64, f64)>,
}

impl Resources {
    /// Growth of resident memory in MiB per minute over the second half of the life, after the
    /// suite has built what it measures; none where fewer than ten samples fall into it.
    #[must_use]
    pub fn memory_slope_mib_per_min(&self) -> Option<Slope> {
        let points: Vec<(f64, f64)> = self
            .memory
            .iter()
            .skip(self.memory.len() / 2)
            .map(|(seconds, mib)| (seconds / 60.0, *mib))
            .collect();
        slope(&points)
    }
}

/// What a thread has counted.
#[derive(Debug, Clone, Copy, Default)]
struct Thread {
    voluntary: u64,
    involuntary: u64,
    waited_ns: u64,
}

/// Takes samples of one process.
#[derive(Debug)]
pub(super) struct Sampler {
    process: PathBuf,
    /// Each thread seen, also those that ended.
    threads: HashMap<std::ffi::OsString, Thread>,
    last: Option<Resources>,
    waits: Waits,
    memory: Vec<(f64, f64)>,
    /// Every `keep`-th sample goes into the series.
    keep: usize,
    seen: usize,
}

impl Sampler {
    pub(super) fn new(process_id: u32) -> Self {
        Self {
            process: PathBuf::from(format!("/proc/{process_id}")),
            threads: HashMap::new(),
            last: None,
            waits: Waits::default(),
            memory: Vec::new(),
            keep: 1,
            seen: 0,
        }
    }

    /// Takes a sample; does nothing where the process has ended or there is no `/proc`.
    pub(super) fn sample(&mut self, since_start: Duration) {
        let Some(mut now) = self.read() else {
            return;
        };
        if self.seen.is_multiple_of(self.keep) {
            self.memory
                .push((since_start.as_secs_f64(), now.resident_mib_max));
        }
        self.seen += 1;
        if self.memory.len() > POINTS_MAX {
            let mut at = 0;
            self.memory.retain(|_| {
                at += 1;
                at % 2 == 1
            });
            self.keep *= 2;
        }
        let before = self.last.as_ref().map_or(0.0, |last| last.resident_mib_max);
        now.resident_mib_max = now.resident_mib_max.max(before);
        self.last = Some(now);
    }

    /// The use so far, or none where no sample could be taken.
    pub(super) fn finish(self) -> Option<Resources> {
        let mut resources = self.last?;
        resources.memory = self.memory;
        resources.waits = self.waits;
        Some(resources)
    }

    /// What the threads did so far.
    #[cfg(test)]
    pub(super) fn waits(&self) -> Waits {
        self.waits
    }

    fn read(&mut self) -> Option<Resources> {
        let stat = std::fs::read_to_string(self.process.join("stat")).ok()?;
        // The name in parentheses may hold anything; fields follow the last parenthesis.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |at: usize| -> Option<u64> { fields.get(at)?.parse().ok() };
        // A process that has ended but was not waited for has no memory any more.
        if fields.first() == Some(&"Z") {
            return None;
        }
        let status = std::fs::read_to_string(self.process.join("status")).ok()?;
        let io = std::fs::read_to_string(self.process.join("io")).unwrap_or_default();
        self.read_threads();
        let sum = |count: fn(&Thread) -> u64| -> u64 { self.threads.values().map(count).sum() };
        Some(Resources {
            user_s: ticks(field(11)?),
            system_s: ticks(field(12)?),
            resident_mib_max: float(kibibytes(&status)?) / 1024.0,
            major_faults: field(9)?,
            read_bytes: named(&io, "read_bytes:"),
            written_bytes: named(&io, "write_bytes:"),
            voluntary_switches: sum(|thread| thread.voluntary),
            involuntary_switches: sum(|thread| thread.involuntary),
            waited_for_core_s: float(sum(|thread| thread.waited_ns)) / 1e9,
            waits: Waits::default(),
            memory: Vec::new(),
        })
    }

    fn read_threads(&mut self) {
        let Ok(tasks) = std::fs::read_dir(self.process.join("task")) else {
            return;
        };
        for task in tasks.flatten() {
            let read = |file: &str| std::fs::read_to_string(task.path().join(file));
            if let Ok(status) = read("status") {
                // Time on a core, time ready without one, slices; not on every kernel.
                let schedule = read("schedstat").unwrap_or_default();
                let waited_ns = schedule.split_whitespace().nth(1);
                let thread = Thread {
                    voluntary: named(&status, "voluntary_ctxt_switches:"),
                    involuntary: named(&status, "nonvoluntary_ctxt_switches:"),
                    waited_ns: waited_ns.and_then(|ns| ns.parse().ok()).unwrap_or(0),
                };
                self.threads.insert(task.file_name(), thread);
                let function = read("wchan").unwrap_or_default();
                self.waits.count(state(&status), &function);
            }
        }
    }
}

/// The letter of a thread's state, `?` where there is none.
fn state(status: &str) -> char {
    let line = status.lines().find_map(|line| line.strip_prefix("State:"));
    line.and_then(|line| line.trim().chars().next())
        .unwrap_or('?')
}

/// The number after a name at the beginning of a line, 0 where there is none.
fn named(text: &str, name: &str) -> u64 {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or(0)
}

fn ticks(ticks: u64) -> f64 {
    float(ticks) / TICKS_PER_SECOND
}

/// Resident memory in KiB.
fn kibibytes(status: &str) -> Option<u64> {
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "counts of a process below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

/// What limited an execution, as far as the system's counters tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Bottleneck {
    /// Threads waited for a core at least half as long as they had one, and a tenth of the time.
    Crowded,
    /// At least 60 % of one core in user mode, and less than 20 % of CPU time in the kernel.
    Cpu,
    /// At least 20 MB/s to or from devices, or a disk fault every 100 ms.
    Disk,
    /// Threads gave their cores away to wait at least 2,000 times a second.
    Waiting,
    /// At least 20 % of CPU time in the kernel, without the above.
    Kernel,
    /// None of these.
    Idle,
}

impl Bottleneck {
    /// The class in words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Crowded => "other work on the machine",
            Self::Cpu => "CPU or memory, in user code",
            Self::Disk => "disk",
            Self::Waiting => "waiting of threads for each other",
            Self::Kernel => "system calls",
            Self::Idle => "idle most of the time",
        }
    }

    /// Classifies an execution. CPU and memory are not told apart: that needs hardware counters.
    #[must_use]
    pub fn of(resources: &Resources, wall_s: f64) -> Self {
        let wall_s = wall_s.max(1e-3);
        let cpu_s = resources.user_s + resources.system_s;
        let disk = float(resources.read_bytes + resources.written_bytes) / 1e6 / wall_s;
        let kernel_share = resources.system_s / cpu_s.max(1e-3);
        if resources.waited_for_core_s >= 0.1 * wall_s && resources.waited_for_core_s >= cpu_s / 2.0
        {
            Self::Crowded
        } else if disk >= 20.0 || float(resources.major_faults) / wall_s >= 10.0 {
            Self::Disk
        } else if float(resources.voluntary_switches) / wall_s >= 2000.0 {
            Self::Waiting
        } else if kernel_share >= 0.2 {
            Self::Kernel
        } else if resources.user_s / wall_s >= 0.6 {
            Self::Cpu
        } else {
            Self::Idle
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resources() -> Resources {
        Resources {
            user_s: 9.0,
            system_s: 0.5,
            resident_mib_max: 10.0,
            major_faults: 0,
            read_bytes: 0,
            written_bytes: 0,
            voluntary_switches: 0,
            involuntary_switches: 0,
            waited_for_core_s: 0.0,
            waits: Waits::default(),
            memory: Vec::new(),
        }
    }

    #[test]
    fn classes_follow_their_definitions() {
        assert_eq!(Bottleneck::of(&resources(), 10.0), Bottleneck::Cpu);
        assert_eq!(Bottleneck::of(&resources(), 100.0), Bottleneck::Idle);
        let mut disk = resources();
        disk.written_bytes = 300_000_000;
        assert_eq!(Bottleneck::of(&disk, 10.0), Bottleneck::Disk);
        let mut waiting = resources();
        waiting.voluntary_switches = 50_000;
        assert_eq!(Bottleneck::of(&waiting, 10.0), Bottleneck::Waiting);
        let mut crowded = resources();
        crowded.waited_for_core_s = 5.0;
        assert_eq!(Bottleneck::of(&crowded, 10.0), Bottleneck::Crowded);
        let mut kernel = resources();
        kernel.system_s = 5.0;
        assert_eq!(Bottleneck::of(&kernel, 10.0), Bottleneck::Kernel);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn a_process_is_sampled_and_its_series_stays_short() {
        let mut sampler = Sampler::new(std::process::id());
        for step in 0..1000 {
            sampler.sample(Duration::from_millis(step));
        }
        let resources = sampler.finish().unwrap();
        assert!(resources.resident_mib_max > 0.5, "{resources:?}");
        assert!((100..=POINTS_MAX).contains(&resources.memory.len()));
        assert!(resources.memory_slope_mib_per_min().is_some());
    }

    #[test]
    fn a_process_that_is_not_there_has_no_resources() {
        let mut sampler = Sampler::new(u32::MAX);
        sampler.sample(Duration::ZERO);
        assert!(sampler.finish().is_none());
    }
}
