//! Settings of a runtime and its teams.

use crate::error::CollectiveError;
use crate::park::WORKERS_MAX;
use crate::runtime::{Runtime, Simulation};
use std::time::Duration;

/// Most tasks that may be queued in one runtime: bounds memory to a few GiB.
const QUEUE_CAPACITY_MAX: usize = 1 << 24;
/// Deepest nesting that the default stack carries with 16 KiB per level.
const DEPTH_MAX: usize = 1024;
/// Smallest stack of a worker thread in bytes.
const STACK_BYTES_MIN: usize = 64 * 1024;
/// Largest stack of a worker thread in bytes.
const STACK_BYTES_MAX: usize = 1 << 30;

/// A team: a name, what it can do, and its limits. See [`RuntimeBuilder::team`].
#[derive(Clone, Debug)]
pub struct TeamConfig {
    pub(crate) name: String,
    pub(crate) capabilities: Vec<String>,
    pub(crate) any_capability: bool,
    pub(crate) concurrency_max: Option<usize>,
    pub(crate) queue_capacity: Option<usize>,
}

impl TeamConfig {
    /// A team without capabilities; add at least one.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            capabilities: Vec::new(),
            any_capability: false,
            concurrency_max: None,
            queue_capacity: None,
        }
    }

    /// Adds a capability. Several teams may have the same: the least loaded one gets the task.
    #[must_use]
    pub fn capability(mut self, capability: impl Into<String>) -> Self {
        self.capabilities.push(capability.into());
        self
    }

    /// Takes every task whose capability no team names. Default: no.
    #[must_use]
    pub fn any_capability(mut self) -> Self {
        self.any_capability = true;
        self
    }

    /// The most tasks of this team that run at the same time. Default: no limit but the number of
    /// workers; at least 1. A task that runs in the place of a task that joins it, or in
    /// the place of its submitter because the queue is full, is not counted: its waiting parent
    /// could otherwise hold the turn that it needs.
    #[must_use]
    pub fn concurrency_max(mut self, tasks: usize) -> Self {
        self.concurrency_max = Some(tasks);
        self
    }

    /// The most tasks of this team in the queue. Default: the capacity of the runtime; 1 to
    /// 16,777,216.
    #[must_use]
    pub fn queue_capacity(mut self, tasks: usize) -> Self {
        self.queue_capacity = Some(tasks);
        self
    }

    fn validate(&self) -> Result<(), CollectiveError> {
        if self.name.is_empty() {
            return Err(invalid("team name", "empty", "at least one character"));
        }
        if self.capabilities.is_empty() && !self.any_capability {
            return Err(invalid(
                "number of capabilities of a team",
                format!("0 for team `{}`", self.name),
                "at least 1, or any_capability",
            ));
        }
        if self.concurrency_max == Some(0) {
            return Err(invalid("team concurrency_max", "0", "at least 1"));
        }
        self.queue_capacity
            .map_or(Ok(()), |tasks| check_capacity("team queue_capacity", tasks))
    }
}

/// Settings of a [`Runtime`]; from [`Runtime::builder`]. Checked once, in [`build`](Self::build).
#[derive(Clone, Debug)]
pub struct RuntimeBuilder {
    workers: Option<usize>,
    queue_capacity: usize,
    queue_age_max: Option<Duration>,
    depth_max: usize,
    stack_bytes: usize,
    thread_name: String,
    teams: Vec<TeamConfig>,
}

/// Checked settings.
pub(crate) struct Settings {
    pub(crate) workers: usize,
    pub(crate) queue_capacity: usize,
    pub(crate) queue_age_max: Option<Duration>,
    pub(crate) depth_max: usize,
    pub(crate) stack_bytes: usize,
    pub(crate) thread_name: String,
}

impl RuntimeBuilder {
    pub(crate) fn new() -> Self {
        Self {
            workers: None,
            queue_capacity: 1024,
            queue_age_max: None,
            depth_max: 64,
            stack_bytes: 2 << 20,
            thread_name: "agent-worker".to_owned(),
            teams: Vec::new(),
        }
    }

    /// Number of worker threads. Default: the parallelism the system offers; 1 to 1,024, so that
    /// the counts of searching and sleeping workers fit their word.
    #[must_use]
    pub fn workers(mut self, threads: usize) -> Self {
        self.workers = Some(threads);
        self
    }

    /// The most tasks in all queues together, running ones not counted. Default 1,024; 1 to
    /// 16,777,216. What a submission does at the limit: see
    /// [`RuntimeHandle::submit`](crate::RuntimeHandle::submit).
    #[must_use]
    pub fn queue_capacity(mut self, tasks: usize) -> Self {
        self.queue_capacity = tasks;
        self
    }

    /// Turns new tasks away while queued ones wait longer than this before they start. Default:
    /// no limit; more than zero. The wait is that of the task that started last, and it
    /// counts only while something is queued. Tasks submitted from inside a task are exempt.
    #[must_use]
    pub fn queue_age_max(mut self, age: Duration) -> Self {
        self.queue_age_max = Some(age);
        self
    }

    /// How deep tasks may submit tasks that submit tasks, and how deep a worker may nest tasks it
    /// runs in place of a waiting one. Default 64; 1 to 1,024; each level uses stack.
    #[must_use]
    pub fn depth_max(mut self, levels: usize) -> Self {
        self.depth_max = levels;
        self
    }

    /// Stack of a worker thread in bytes. Default 2 MiB; 64 KiB to 1 GiB.
    #[must_use]
    pub fn stack_bytes(mut self, bytes: usize) -> Self {
        self.stack_bytes = bytes;
        self
    }

    /// Name of the worker threads; the number of the worker is appended. Default `agent-worker`;
    /// without NUL.
    #[must_use]
    pub fn thread_name(mut self, name: impl Into<String>) -> Self {
        self.thread_name = name.into();
        self
    }

    /// Adds a team. Without any, there is one team `default` that takes every capability.
    #[must_use]
    pub fn team(mut self, team: TeamConfig) -> Self {
        self.teams.push(team);
        self
    }

    /// Checks the settings and starts the worker threads.
    ///
    /// # Errors
    /// [`CollectiveError::InvalidConfig`] and [`CollectiveError::DuplicateTeam`] for settings out
    /// of range, [`CollectiveError::ThreadStart`] if the system refuses a thread.
    pub fn build(self) -> Result<Runtime, CollectiveError> {
        let (settings, teams) = self.validate()?;
        Runtime::start(settings, teams)
    }

    /// Checks the settings and makes a runtime without threads whose schedule depends on `seed`
    /// alone. It has one worker, whatever was set.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub fn simulate(self, seed: u64) -> Result<Simulation, CollectiveError> {
        let (settings, teams) = self.validate()?;
        Simulation::start(settings, &teams, seed)
    }

    fn validate(mut self) -> Result<(Settings, Vec<TeamConfig>), CollectiveError> {
        let offered = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let workers = self.workers.unwrap_or_else(|| offered().min(WORKERS_MAX));
        if !(1..=WORKERS_MAX).contains(&workers) {
            return Err(invalid("workers", workers, "1..=1024 threads"));
        }
        check_capacity("queue_capacity", self.queue_capacity)?;
        if self.queue_age_max == Some(Duration::ZERO) {
            return Err(invalid("queue_age_max", "0 ns", "more than zero"));
        }
        if !(1..=DEPTH_MAX).contains(&self.depth_max) {
            return Err(invalid("depth_max", self.depth_max, "1..=1024 levels"));
        }
        if !(STACK_BYTES_MIN..=STACK_BYTES_MAX).contains(&self.stack_bytes) {
            return Err(invalid(
                "stack_bytes",
                self.stack_bytes,
                "65536..=1073741824 bytes",
            ));
        }
        if self.thread_name.contains('\0') {
            return Err(invalid("thread_name", "a name with NUL", "no NUL"));
        }
        if self.teams.is_empty() {
            self.teams.push(TeamConfig::new("default").any_capability());
        }
        for (index, team) in self.teams.iter().enumerate() {
            team.validate()?;
            if self
                .teams
                .iter()
                .take(index)
                .any(|other| other.name == team.name)
            {
                return Err(CollectiveError::DuplicateTeam {
                    team: team.name.clone(),
                });
            }
        }
        let settings = Settings {
            workers,
            queue_capacity: self.queue_capacity,
            queue_age_max: self.queue_age_max,
            depth_max: self.depth_max,
            stack_bytes: self.stack_bytes,
            thread_name: self.thread_name,
        };
        Ok((settings, self.teams))
    }
}

fn check_capacity(name: &'static str, tasks: usize) -> Result<(), CollectiveError> {
    if (1..=QUEUE_CAPACITY_MAX).contains(&tasks) {
        Ok(())
    } else {
        Err(invalid(name, tasks, "1..=16777216 tasks"))
    }
}

pub(crate) fn invalid(
    name: &'static str,
    value: impl ToString,
    allowed: &'static str,
) -> CollectiveError {
    CollectiveError::InvalidConfig {
        name,
        value: value.to_string(),
        allowed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(builder: RuntimeBuilder) -> String {
        builder
            .validate()
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn documented_defaults_hold() {
        let (settings, teams) = RuntimeBuilder::new().validate().unwrap();
        assert_eq!(settings.queue_capacity, 1024);
        assert_eq!(settings.depth_max, 64);
        assert_eq!(settings.stack_bytes, 2 * 1024 * 1024);
        assert_eq!(settings.queue_age_max, None);
        assert!(settings.workers >= 1);
        assert_eq!(
            (teams[0].name.as_str(), teams[0].any_capability),
            ("default", true)
        );
    }

    #[test]
    fn every_limit_is_checked_with_a_clear_text() {
        let new = RuntimeBuilder::new;
        let team = || TeamConfig::new("t").capability("c");
        let cases = [
            (
                new().workers(0),
                "workers is 0, allowed is 1..=1024 threads",
            ),
            (new().workers(1025), "workers is 1025"),
            (
                new().queue_capacity(0),
                "queue_capacity is 0, allowed is 1..=16777216 tasks",
            ),
            (
                new().queue_capacity(usize::MAX),
                "queue_capacity is 18446744073709551615",
            ),
            (new().queue_age_max(Duration::ZERO), "queue_age_max is 0 ns"),
            (
                new().depth_max(0),
                "depth_max is 0, allowed is 1..=1024 levels",
            ),
            (
                new().stack_bytes(1),
                "stack_bytes is 1, allowed is 65536..=1073741824 bytes",
            ),
            (new().thread_name("a\0b"), "thread_name is a name with NUL"),
            (new().team(TeamConfig::new("")), "team name is empty"),
            (new().team(TeamConfig::new("t")), "is 0 for team `t`"),
            (
                new().team(team().concurrency_max(0)),
                "team concurrency_max is 0",
            ),
            (
                new().team(team().queue_capacity(0)),
                "team queue_capacity is 0",
            ),
            (
                new().team(team()).team(team()),
                "team name `t` is used twice",
            ),
        ];
        for (builder, text) in cases {
            let message = refused(builder);
            assert!(message.contains(text), "`{message}` lacks `{text}`");
        }
    }
}
