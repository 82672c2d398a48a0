//! One store from its first write to its last check, with a real crash in between.
//!
//! ```text
//! cargo run --release --example vault_tour                  # in a temporary folder
//! cargo run --release --example vault_tour -- --vault DIR   # in a folder that is kept
//! ```
//!
//! You see one table: what was done, what came of it, how long it took. The crash is one: a second
//! process writes to the store until this one kills it (SIGKILL) at a moment it does not choose, and
//! everything that process was told is durable must be there afterwards.

mod child;
mod table;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use clap::Parser;
use sigma_vault::{Durability, Options, Rsu, Vault};
use table::Table;

type Failure = Box<dyn std::error::Error>;

/// Opens a vault, fills it, lets a process that writes to it be killed, and checks what is left.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Where the vault is made; it must not hold one yet. A temporary folder unless given.
    #[arg(long)]
    vault: Option<PathBuf>,
    /// How many durable writes the second process is let do before it is killed.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    writes: u32,
    /// Used by the program itself: be the process that writes until it is killed.
    #[arg(long, hide = true)]
    child: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match &arguments.child {
        Some(dir) => child::write_until_killed(dir),
        None => run(&arguments),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Failure> {
    let temporary = tempfile::tempdir()?;
    let dir = match &arguments.vault {
        Some(dir) => dir.clone(),
        None => temporary.path().join("vault"),
    };
    if dir.join("MANIFEST").exists() {
        return Err(format!("{} holds a vault already", dir.display()).into());
    }
    let mut table = Table::default();
    fill(&dir, &mut table)?;
    let acknowledged = crash(&dir, arguments.writes, &mut table)?;
    inspect(&dir, acknowledged, &mut table)?;
    table.print()?;
    Ok(())
}

/// Token ids of a made-up document: runs of ids, so that neighbours share most of their text.
fn document(number: u32) -> Vec<u32> {
    (0..2000).map(|position| number * 100 + position).collect()
}

const UNITS: u32 = 50;
/// How far apart units begin, in hundreds of ids: neighbours share two thirds of their text.
const STEP: u32 = 4;

/// Open and put.
fn fill(dir: &Path, table: &mut Table) -> Result<(), Failure> {
    let start = Instant::now();
    let vault = Vault::open(dir, Options::new())?;
    table.row("open", "a new vault".to_owned(), start);
    let start = Instant::now();
    for number in 0..UNITS {
        let id = format!("unit-{number}");
        let unit = Rsu::new(document(number * STEP))
            .kv(vec![7; 4096])
            .conversation("tour");
        vault.put_rsu(id.as_bytes(), &unit, Durability::Buffered)?;
    }
    vault.sync()?;
    let stats = vault.stats();
    let what = format!(
        "{} units, {} bytes, one sync",
        stats.rsus, stats.written_bytes
    );
    table.row("put", what, start);
    vault.close()?;
    Ok(())
}

/// A process that writes, killed in the middle of it; the number of writes it was told are durable.
fn crash(dir: &Path, writes: u32, table: &mut Table) -> Result<u64, Failure> {
    let start = Instant::now();
    let end = child::run_and_kill(dir, u64::from(writes))?;
    let what = format!(
        "process {} killed ({}) after {} durable writes",
        end.pid, end.status, end.acknowledged
    );
    table.row("crash", what, start);
    Ok(end.acknowledged)
}

/// Reopen, find similar, verify.
fn inspect(dir: &Path, acknowledged: u64, table: &mut Table) -> Result<(), Failure> {
    let start = Instant::now();
    let vault = Vault::open(dir, Options::new())?;
    let found = vault.stats();
    let what = format!(
        "{} keys, {} units, {} torn bytes cut off, {} damaged places",
        found.keys, found.rsus, found.recovery.torn_tail_bytes, found.recovery.damage_count
    );
    table.row("reopen", what, start);

    let start = Instant::now();
    for number in 1..=acknowledged {
        let value = vault.get(&child::key(number))?;
        if value.as_deref() != Some(&child::value(number)[..]) {
            return Err(format!("write {number} was acknowledged and is lost").into());
        }
    }
    table.row(
        "get",
        format!("all {acknowledged} acknowledged writes are there"),
        start,
    );

    let start = Instant::now();
    let mut asked = document(20 * STEP);
    asked.truncate(1900);
    let similar = vault.find_similar_tokens(&asked, 0.5)?;
    let (id, similarity) = similar.first().ok_or("nothing similar was found")?;
    let best = String::from_utf8_lossy(id).into_owned();
    let what = format!(
        "{} of about {:.0} units, best {best} at {similarity:.2}",
        similar.len(),
        vault.distinct()
    );
    table.row("find similar", what, start);

    let start = Instant::now();
    for _ in 0..3 {
        vault
            .get_rsu(id)?
            .ok_or("a unit that was found is absent")?;
    }
    vault.get_rsu(b"unit-1")?.ok_or("unit-1 is absent")?;
    let hot: Vec<String> = vault
        .hot(2)
        .iter()
        .map(|unit| {
            format!(
                "{} ({} reads)",
                String::from_utf8_lossy(&unit.id),
                unit.reads
            )
        })
        .collect();
    table.row("hot", hot.join(", "), start);

    let start = Instant::now();
    let report = vault.verify()?;
    if !report.is_sound() {
        return Err(format!("damage: {:?}", report.damage).into());
    }
    let what = format!(
        "{} records, {} bytes, no damage",
        report.records, report.bytes
    );
    table.row("verify", what, start);
    vault.close()?;
    Ok(())
}
