//! A real file system without room: writes are refused by name, nothing acknowledged is lost, and
//! space that returns is used.

mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use sigma_vault::{Compression, Durability, Options, Vault, VaultError};
use support::Rng;

const CHILD_DIR: &str = "SIGMA_VAULT_TEST_FULL_DIR";

fn options() -> Options {
    Options::new()
        .segment_bytes(32 << 10)
        .compression(Compression::None)
}

fn value(number: u32) -> Vec<u8> {
    Rng(u64::from(number)).bytes(1500)
}

fn expect(vault: &Vault, stored: &[u32]) {
    for number in stored {
        let found = vault.get(&number.to_le_bytes()).unwrap();
        assert_eq!(found, Some(value(*number)), "key {number}");
    }
}

/// Writes until no more fits.
fn fill(vault: &Vault, stored: &mut Vec<u32>) -> VaultError {
    let mut number = stored.last().map_or(0, |last| last + 1);
    loop {
        let durability = [Durability::Synced, Durability::Grouped][number as usize % 2];
        match vault.put(&number.to_le_bytes(), &value(number), durability) {
            Ok(()) => stored.push(number),
            Err(error) => return error,
        }
        number += 1;
        assert!(number < 100_000, "it never fills up");
    }
}

/// The part that runs where the file system is small.
#[test]
fn child_fills_a_file_system() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let vault = Vault::open(&dir, options()).unwrap();
    let mut stored = Vec::new();
    let error = fill(&vault, &mut stored);
    assert!(matches!(error, VaultError::OutOfSpace { .. }), "{error}");
    assert!(stored.len() > 100, "{}", stored.len());
    expect(&vault, &stored);
    // Reopened while full: nothing is lost, and closing may need room that is not there.
    drop(vault);
    let vault = Vault::open(&dir, options()).unwrap();
    assert_eq!(vault.stats().recovery.damage_count, 0);
    expect(&vault, &stored);
    drop(vault);
    // Room returns.
    std::fs::remove_file(Path::new(&dir).join("ballast")).unwrap();
    let vault = Vault::open(&dir, options()).unwrap();
    let before = stored.len();
    fill(&vault, &mut stored);
    assert!(stored.len() > before + 20, "{before}, {}", stored.len());
    expect(&vault, &stored);
    drop(vault);
    let vault = Vault::open(&dir, options()).unwrap();
    expect(&vault, &stored);
    assert!(vault.verify().unwrap().is_sound());
    println!("{} values fitted", stored.len());
}

/// In a mount namespace of its own, where the system permits one.
#[test]
fn a_full_file_system_loses_nothing() {
    if std::env::var_os(CHILD_DIR).is_some() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "mount -t tmpfs -o size=1M none \"$1\" || exit 77; \
                  dd if=/dev/zero of=\"$1/ballast\" bs=1k count=200 2>/dev/null || exit 77; \
                  exec \"$2\" --exact child_fills_a_file_system --nocapture";
    let run = Command::new("unshare")
        .args(["--mount", "--map-root-user", "sh", "-c", script, "sh"])
        .arg(dir.path())
        .arg(std::env::current_exe().unwrap())
        .env(CHILD_DIR, dir.path())
        .stdin(Stdio::null())
        .output();
    let Ok(output) = run else {
        eprintln!("not run: there is no program called unshare");
        return;
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("values fitted") && output.status.success() {
        return;
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    if !said.contains("running 1 test") {
        eprintln!("not run: no mount is permitted here: {complaint}");
        return;
    }
    panic!("{said}{complaint}");
}

/// A limit on the size of a file (`ulimit -f`) refuses one large write; the vault goes on.
#[test]
fn a_file_size_limit_loses_nothing() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else {
        let dir = tempfile::tempdir().unwrap();
        // Blocks of 512 bytes: files end at 64 KiB. The signal is ignored, so writes fail.
        let script = "trap '' XFSZ; ulimit -f 128; \
                      exec \"$1\" --exact a_file_size_limit_loses_nothing --nocapture";
        let output = Command::new("sh")
            .args(["-c", script, "sh"])
            .arg(std::env::current_exe().unwrap())
            .env(CHILD_DIR, dir.path())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let (said, complaint) = (text(&output.stdout), text(&output.stderr));
        assert!(output.status.success(), "{said}{complaint}");
        let vault = Vault::open(dir.path(), options()).unwrap();
        assert_eq!(vault.stats().keys, 60);
        expect(&vault, &(0..60).collect::<Vec<_>>());
        assert!(vault.verify().unwrap().is_sound());
        return;
    };
    let vault = Vault::open(dir, options()).unwrap();
    let large = Rng(1).bytes(100_000);
    for number in 0..60_u32 {
        let key = number.to_le_bytes();
        vault
            .put(&key, &value(number), Durability::Grouped)
            .unwrap();
        if number % 20 == 7 {
            let error = vault.put(b"large", &large, Durability::Synced).unwrap_err();
            assert!(
                matches!(error, VaultError::OutOfSpace { .. } | VaultError::Io { .. }),
                "{error}"
            );
            assert_eq!(vault.get(b"large").unwrap(), None);
        }
    }
}
