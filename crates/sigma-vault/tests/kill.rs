//! Real processes killed with SIGKILL while they write; everything they were told is durable must
//! be there. The child is this test binary itself, told by an environment variable.

mod support;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use sigma_vault::{Options, Vault, VaultError};
use support::restarts;

const CHILD_DIR: &str = "SIGMA_VAULT_TEST_CHILD_DIR";

/// A process being started by another test holds this one's locks between fork and exec.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The child's part.
#[test]
fn child_writes_until_it_is_killed() {
    if let Some(dir) = std::env::var_os(CHILD_DIR) {
        restarts::write_until_killed(dir.as_ref());
    }
}

fn spawn_writer(dir: &Path) -> std::io::Result<Child> {
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
}

/// The long form: `cargo run --release -p sigma-vault --example campaign -- --kinds kill-9
/// --restarts 10000`.
#[test]
fn acknowledged_writes_survive_sigkill() {
    let _alone = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().unwrap();
    // On a busy machine a child gets little done in the few milliseconds that it has.
    let done = restarts::campaign(dir.path(), 42, 50, &mut spawn_writer, &mut |_, _| {}).unwrap();
    assert!(
        done.kills_at_work > 25 && done.acknowledged > 25,
        "{done:?}"
    );
}

#[test]
fn a_directory_is_held_by_one_vault_across_processes() {
    let _alone = ONE_AT_A_TIME.lock();
    let dir = tempfile::tempdir().unwrap();
    let mut child = spawn_writer(dir.path()).unwrap();
    let pid = child.id();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while !lines.next().unwrap().unwrap().contains("done") {}
    match Vault::open(dir.path(), Options::new()) {
        Err(VaultError::InUse { dir: named, holder }) => {
            assert_eq!(named, dir.path());
            assert_eq!(holder, Some(pid));
        }
        other => panic!("{other:?}"),
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let vault = Vault::open(dir.path(), Options::new()).unwrap();
    // And within one process.
    let error = Vault::open(dir.path(), Options::new()).unwrap_err();
    assert!(
        matches!(error, VaultError::InUse { holder: Some(pid), .. } if pid == std::process::id())
    );
    drop(vault);
    Vault::open(dir.path(), Options::new()).unwrap();
}
