//! The runtime's report as rows of the table.

use super::report::{Stage, StageKind};
use crate::collective::{Team, Traffic};
use agent_collective::{Report, TeamReport};
use std::time::Duration;

/// Rows for the five teams, the scheduling and the idle workers, between two reports.
///
/// Worker seconds become wall seconds by division by the number of workers, so the rows add up to
/// the wall time between the reports. Quantiles are those of the later report: since the collective
/// was opened.
pub(super) fn rows(before: &Report, after: &Report, traffic: &Traffic) -> Vec<Stage> {
    #[expect(clippy::cast_precision_loss, reason = "a number of threads")]
    let workers = after.workers.max(1) as f64;
    let share = |later: Duration, earlier: Duration| seconds(later, earlier) / workers;
    let mut rows: Vec<Stage> = Team::ALL
        .into_iter()
        .filter_map(|team| {
            let (earlier, later) = (before.team(team.name())?, after.team(team.name())?);
            Some(team_row(team, earlier, later, workers, traffic))
        })
        .collect();
    rows.push(Stage::phase(
        "scheduling",
        share(after.overhead, before.overhead),
        seconds(after.overhead_cpu, before.overhead_cpu),
    ));
    rows.push(Stage::phase(
        "idle workers",
        share(after.idle, before.idle),
        0.0,
    ));
    rows
}

fn team_row(
    team: Team,
    before: &TeamReport,
    after: &TeamReport,
    workers: f64,
    traffic: &Traffic,
) -> Stage {
    let millis = |duration: Duration| duration.as_secs_f64() * 1e3;
    let latency = after.run_latency;
    let (bytes_in, bytes_out) = traffic.of(team);
    Stage {
        name: team.name().to_owned(),
        kind: StageKind::Team,
        items: after.finished() - before.finished(),
        wall_s: seconds(
            after.running + after.blocked,
            before.running + before.blocked,
        ) / workers,
        cpu_s: seconds(after.cpu, before.cpu),
        queued_s: seconds(after.queued, before.queued),
        p50_ms: (latency.count > 0).then(|| millis(latency.p50)),
        p99_ms: (latency.count > 0).then(|| millis(latency.p99)),
        bytes_in,
        bytes_out,
    }
}

fn seconds(later: Duration, earlier: Duration) -> f64 {
    later.saturating_sub(earlier).as_secs_f64()
}
