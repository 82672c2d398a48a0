//! Real processes killed with SIGKILL while they write; everything they were told is durable must
//! be there. The child is this test binary itself, told by an environment variable.

mod support;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use sigma_vault::{Batch, Durability, Options, Vault, VaultError};
use support::Rng;

const CHILD_DIR: &str = "SIGMA_VAULT_TEST_CHILD_DIR";
const WRITERS: u64 = 2;

/// A process being started by another test holds this one's locks between fork and exec.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn options() -> Options {
    Options::new().segment_bytes(64 << 10)
}

fn key(writer: u64, number: u64) -> Vec<u8> {
    format!("writer-{writer}/{number}").into_bytes()
}

fn value(writer: u64, number: u64) -> Vec<u8> {
    let mut rng = Rng(writer * 1_000_000 + number);
    let len = 1 + rng.below(3000);
    rng.bytes(len)
}

/// What number a writer's counter key holds.
fn counter(vault: &Vault, writer: u64) -> u64 {
    let found = vault.get(format!("counter-{writer}").as_bytes()).unwrap();
    found.map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
}

/// The child's part: writes until it is killed, and says what it was told is durable.
#[test]
fn child_writes_until_it_is_killed() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let vault = Vault::open(dir, options()).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let vault = &vault;
            scope.spawn(move || {
                let mut number = counter(vault, writer);
                loop {
                    number += 1;
                    let durability = if writer == 0 {
                        Durability::Synced
                    } else {
                        Durability::Grouped
                    };
                    let mut batch = Batch::new();
                    batch.put(&key(writer, number), &value(writer, number));
                    let name = format!("counter-{writer}");
                    batch.put(name.as_bytes(), &number.to_le_bytes());
                    vault.write(batch, durability).unwrap();
                    // Counters leave garbage behind.
                    if number.is_multiple_of(64) {
                        vault.compact().unwrap();
                    }
                    // One write call per line, so that a kill leaves no half line behind.
                    let line = format!("acknowledged {writer} {number}\n");
                    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
                }
            });
        }
    });
}

fn spawn_writer(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "child_writes_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(CHILD_DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets a child acknowledge some writes, kills it, and returns the last number of each writer.
fn write_and_kill(dir: &Path, rng: &mut Rng, acknowledged: &mut [u64; 2]) {
    let mut child = spawn_writer(dir);
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut note = |line: &str| {
        let mut words = line
            .split_whitespace()
            .skip_while(|word| *word != "acknowledged")
            .skip(1);
        if let (Some(writer), Some(number)) = (words.next(), words.next()) {
            let writer: usize = writer.parse().unwrap();
            acknowledged[writer] = acknowledged[writer].max(number.parse().unwrap());
        }
    };
    for _ in 0..1 + rng.below(40) {
        note(&lines.next().expect("the child ended by itself").unwrap());
    }
    std::thread::sleep(Duration::from_micros(rng.below(3000)));
    child.kill().unwrap();
    child.wait().unwrap();
    for line in lines {
        note(&line.unwrap());
    }
}

#[test]
fn acknowledged_writes_survive_sigkill() {
    let _alone = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().unwrap();
    let mut rng = Rng(42);
    let mut acknowledged = [0; 2];
    for round in 0..20 {
        write_and_kill(dir.path(), &mut rng, &mut acknowledged);
        let vault = Vault::open(dir.path(), options()).unwrap();
        assert_eq!(vault.stats().recovery.damage_count, 0, "round {round}");
        for writer in 0..WRITERS {
            let last = acknowledged[usize::try_from(writer).unwrap()];
            let reached = counter(&vault, writer);
            assert!(
                reached >= last,
                "round {round}: {reached} of {last} survived"
            );
            for number in 1..=reached {
                let found = vault.get(&key(writer, number)).unwrap();
                assert_eq!(
                    found,
                    Some(value(writer, number)),
                    "round {round}, write {number}"
                );
            }
        }
        assert!(vault.verify().unwrap().is_sound());
        // Every other round leaves the reopened vault without a close.
        if round % 2 == 0 {
            vault.close().unwrap();
        }
    }
    assert!(
        acknowledged.iter().all(|count| *count >= 20),
        "{acknowledged:?}"
    );
}

#[test]
fn a_directory_is_held_by_one_vault_across_processes() {
    let _alone = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn_writer(dir.path());
    let pid = child.id();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("acknowledged") {}
    match Vault::open(dir.path(), options()) {
        Err(VaultError::InUse { dir: named, holder }) => {
            assert_eq!(named, dir.path());
            assert_eq!(holder, Some(pid));
        }
        other => panic!("{other:?}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let vault = Vault::open(dir.path(), options()).unwrap();
    // And within one process.
    let error = Vault::open(dir.path(), options()).unwrap_err();
    assert!(
        matches!(error, VaultError::InUse { holder: Some(pid), .. } if pid == std::process::id())
    );
    drop(vault);
    Vault::open(dir.path(), options()).unwrap();
}
