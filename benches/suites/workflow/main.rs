//! Suite `workflow`: documents through the five teams, beside the same work done one after the other
//! with the plain peers (zstd and redb) and without continuations; and contexts that are restored
//! instead of read again.

mod contexts;
mod endurance;
mod forty;
mod quality;

use neurectomy::{Collective, CollectiveConfig, WorkflowReport};
use neurectomy_bench::corpus::{Input, generated};
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use redb::{Database, ReadableDatabase as _, TableDefinition};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TABLE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("documents");

fn main() -> ExitCode {
    if let Some(asked) = contexts::asked_of_this_process() {
        return contexts::answer(&asked);
    }
    neurectomy_bench::run("workflow", |suite| {
        if let Some(duration) = endurance::asked()? {
            return endurance::measure(suite, duration);
        }
        let dir = tempfile::tempdir()?;
        let documents = dir.path().join("documents");
        let count = write_documents(&documents, suite.size(12, 300))?;
        let run =
            |name: &str, tokens: usize| collective(&documents, &dir.path().join(name), tokens);
        let full = run("with-model", 16)?;
        let again = run("with-model", 16)?;
        let plain = run("without-model", 0)?;
        for report in [&full, &again, &plain] {
            check(report, count)?;
        }
        if again.documents_resumed != count || again.tokens_generated != 0 {
            return Err("the second run did work that the first had done".into());
        }
        let peer_s = one_by_one(&documents, &dir.path().join("redb"))?;
        record(suite, &full, &again, &plain, peer_s);
        contexts::measure(suite)?;
        forty::measure(suite)?;
        quality::rows(suite)?;
        if suite.smoke() {
            endurance::measure(suite, Duration::from_millis(300))?;
        }
        Ok(())
    })
}

fn write_documents(folder: &Path, count: usize) -> Result<u64, BenchError> {
    std::fs::create_dir_all(folder)?;
    let text: Vec<Input> = generated(count * 2_000)
        .into_iter()
        .filter(|input| input.class == "gen-doc" || input.class == "gen-log")
        .collect();
    let mut written = 0;
    for input in &text {
        for part in input
            .bytes
            .chunks(input.bytes.len().div_ceil(count / text.len()))
        {
            std::fs::write(
                folder.join(format!("{}-{written:04}.txt", input.class)),
                part,
            )?;
            written += 1;
        }
    }
    Ok(written)
}

fn collective(documents: &Path, vault: &Path, tokens: usize) -> Result<WorkflowReport, BenchError> {
    let config = CollectiveConfig::new(vault).continuation_tokens_max(tokens);
    let collective = Collective::open(config)?;
    let report = collective.run_workflow(&[documents.to_owned()], Arc::new(()))?;
    collective.close()?;
    Ok(report)
}

fn check(report: &WorkflowReport, documents: u64) -> Result<(), BenchError> {
    if report.documents_verified == documents && report.failures.is_empty() {
        return Ok(());
    }
    Err(format!(
        "{} of {documents} verified: {:?}",
        report.documents_verified, report.failures
    )
    .into())
}

/// zstd and one durable redb transaction per document, then read back: the loop without a collective.
fn one_by_one(documents: &Path, database: &Path) -> Result<f64, BenchError> {
    let start = Instant::now();
    let database = Database::create(database)?;
    let mut paths: Vec<PathBuf> = std::fs::read_dir(documents)?
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<_, _>>()?;
    paths.sort();
    for path in &paths {
        let bytes = std::fs::read(path)?;
        let name = path.to_string_lossy();
        let transaction = database.begin_write()?;
        let packed = zstd::bulk::compress(&bytes, 3)?;
        transaction
            .open_table(TABLE)?
            .insert(name.as_ref(), packed.as_slice())?;
        transaction.commit()?;
        let stored = database
            .begin_read()?
            .open_table(TABLE)?
            .get(name.as_ref())?;
        let stored = stored.ok_or("redb lost a document")?;
        if zstd::bulk::decompress(stored.value(), bytes.len())? != bytes {
            return Err("redb returned another document".into());
        }
    }
    Ok(start.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts of documents")]
fn record(
    suite: &mut Suite,
    full: &WorkflowReport,
    again: &WorkflowReport,
    plain: &WorkflowReport,
    peer_s: f64,
) {
    let rate = |report: &WorkflowReport| report.documents as f64 / report.wall_s;
    let peer = plain.documents as f64 / peer_s;
    suite.record(
        Row::new("sketch, pack, store, verify", "document/s", rate(plain))
            .against("zstd + redb, one by one, no sketches", peer),
    );
    suite.record(Row::new(
        "the same and 16 toy-model tokens",
        "document/s",
        rate(full),
    ));
    suite.record(
        Row::new("resumed run", "document/s", rate(again)).against("first run", rate(full)),
    );
    let least = [full, again, plain]
        .iter()
        .map(|report| 100.0 * report.accounted_fraction)
        .fold(f64::INFINITY, f64::min);
    suite.record(
        Row::new("time accounted, least of 3 runs", "%", least).goal(Goal::OursAtLeast(99.0)),
    );
    for stage in full.stages.iter().filter(|stage| stage.items > 0) {
        if let Some(p99) = stage.p99_ms {
            suite.record(Row::new(&format!("{} task, p99", stage.name), "ms", p99));
        }
    }
}
