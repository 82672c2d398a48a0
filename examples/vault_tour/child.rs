//! The process that is killed: its own part and that of its parent.

use std::{
    io::{BufRead, BufReader, Write as _},
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use sigma_vault::{Durability, Options, Vault};

use crate::Failure;

/// Key of write `number`.
pub(crate) fn key(number: u64) -> Vec<u8> {
    format!("step-{number}").into_bytes()
}

/// Value of write `number`.
pub(crate) fn value(number: u64) -> Vec<u8> {
    format!("what the agent knew at step {number}; ")
        .repeat(10)
        .into_bytes()
}

/// Writes durably, and says each number once the store says that it is, until it is killed.
pub(crate) fn write_until_killed(dir: &Path) -> Result<(), Failure> {
    let vault = Vault::open(dir, Options::new())?;
    let mut out = std::io::stdout().lock();
    for number in 1.. {
        vault.put(&key(number), &value(number), Durability::Grouped)?;
        writeln!(out, "{number}")?;
        out.flush()?;
    }
    Ok(())
}

/// How the process ended.
pub(crate) struct End {
    pub(crate) pid: u32,
    pub(crate) status: ExitStatus,
    /// Writes that it was told are durable.
    pub(crate) acknowledged: u64,
}

/// Starts the process and kills it once it has said `writes` numbers, wherever it is then.
pub(crate) fn run_and_kill(dir: &Path, writes: u64) -> Result<End, Failure> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("--child")
        .arg(dir)
        .stdout(Stdio::piped())
        .spawn()?;
    let pid = child.id();
    let mut lines = BufReader::new(child.stdout.take().ok_or("no pipe")?).lines();
    let mut acknowledged = 0;
    while acknowledged < writes {
        acknowledged = lines
            .next()
            .ok_or("the process ended by itself")??
            .parse()?;
    }
    child.kill()?;
    let status = child.wait()?;
    // What it said before it died counts too; the last line may be half a line.
    let rest: Vec<String> = lines.map_while(Result::ok).collect();
    if let Some((_, whole)) = rest.split_last() {
        for line in whole {
            acknowledged = line.parse()?;
        }
    }
    Ok(End {
        pid,
        status,
        acknowledged,
    })
}
