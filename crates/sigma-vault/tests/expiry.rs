//! Values that end by themselves, under a clock that the tests move.

mod support;

use std::sync::Arc;
use std::time::Duration;

use sigma_vault::io::SimulatedStorage;
use sigma_vault::{Batch, Durability, ManualClock, Options, Rsu, Vault, VaultError};
use support::judge::kill_at;
use support::{fast, small};

const SYNCED: Durability = Durability::Synced;
const MINUTE: Duration = Duration::from_secs(60);

fn clocked(options: Options, clock: &ManualClock) -> Options {
    options.clock(Arc::new(clock.clone()))
}

fn open(disk: &SimulatedStorage, options: Options) -> Vault {
    Vault::open_with(Arc::new(disk.clone()), options).unwrap()
}

fn filler(vault: &Vault, records: u8) {
    for number in 0..records {
        vault.put(&[b'f', number], &[number; 900], SYNCED).unwrap();
    }
}

#[test]
fn what_has_expired_is_absent_everywhere() {
    let (disk, clock) = (SimulatedStorage::new(1), ManualClock::new(1_000_500));
    let vault = open(&disk, clocked(small(), &clock));
    vault.put(b"stays", b"1", SYNCED).unwrap();
    vault.put_with_ttl(b"goes", b"2", MINUTE, SYNCED).unwrap();
    let mut batch = Batch::new();
    batch
        .put_with_ttl(b"goes too", b"3", MINUTE)
        .put(b"b", b"4");
    vault.write(batch, SYNCED).unwrap();
    let unit = Rsu::new((0..100).collect()).kv(vec![1; 50]);
    vault
        .put_rsu_with_ttl(b"unit", &unit, MINUTE, SYNCED)
        .unwrap();
    vault.put_rsu(b"other", &unit, SYNCED).unwrap();
    let similar = |vault: &Vault| vault.find_similar_tokens(&unit.tokens, 0.9).unwrap().len();
    let keys = |vault: &Vault| vault.iter().map(Result::unwrap).count();
    let check_before = |vault: &Vault| {
        assert_eq!(vault.get(b"goes").unwrap().as_deref(), Some(&b"2"[..]));
        assert!(vault.contains(b"goes too").unwrap());
        assert_eq!((keys(vault), similar(vault)), (4, 2));
        assert!(vault.get_rsu(b"unit").unwrap().is_some());
    };
    let check_after = |vault: &Vault| {
        assert_eq!(vault.get(b"goes").unwrap(), None);
        assert!(!vault.contains(b"goes too").unwrap());
        let mut buffer = vec![9];
        assert!(!vault.get_into(b"goes", &mut buffer).unwrap());
        assert_eq!((keys(vault), similar(vault)), (2, 1));
        assert_eq!(vault.get_rsu(b"unit").unwrap(), None);
        assert_eq!(vault.rsu_ids(), [b"other"]);
        assert_eq!(vault.get(b"stays").unwrap().as_deref(), Some(&b"1"[..]));
    };
    clock.advance(MINUTE - Duration::from_millis(1));
    check_before(&vault);
    vault.close().unwrap();
    for options in [small(), fast()] {
        let vault = open(&disk, clocked(options, &clock));
        check_before(&vault);
        vault.close().unwrap();
    }
    clock.advance(Duration::from_secs(1));
    for options in [small(), fast()] {
        let vault = open(&disk, clocked(options, &clock));
        check_after(&vault);
        assert!(vault.hot(10).is_empty());
        assert!(vault.verify().unwrap().is_sound());
        vault.close().unwrap();
    }
    let vault = open(&disk, clocked(small(), &clock));
    assert!(!vault.delete(b"goes", SYNCED).unwrap());
    assert!(!vault.delete_rsu(b"unit", SYNCED).unwrap());
    check_after(&vault);
}

#[test]
fn a_new_write_replaces_what_expires() {
    let (disk, clock) = (SimulatedStorage::new(2), ManualClock::new(0));
    let vault = open(&disk, clocked(small(), &clock));
    vault.put_with_ttl(b"key", b"1", MINUTE, SYNCED).unwrap();
    vault.put(b"key", b"2", SYNCED).unwrap();
    let unit = Rsu::new(vec![1, 2, 3]);
    vault
        .put_rsu_with_ttl(b"unit", &unit, MINUTE, SYNCED)
        .unwrap();
    vault.put_rsu(b"unit", &unit, SYNCED).unwrap();
    clock.advance(2 * MINUTE);
    assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"2"[..]));
    assert!(vault.get_rsu(b"unit").unwrap().is_some());
    assert_eq!(vault.find_similar_tokens(&[1, 2, 3], 0.9).unwrap().len(), 1);
    // And the other way: an expired value may be put again.
    vault.put_with_ttl(b"key", b"3", MINUTE, SYNCED).unwrap();
    clock.advance(2 * MINUTE);
    assert_eq!(vault.get(b"key").unwrap(), None);
    vault.put(b"key", b"4", SYNCED).unwrap();
    assert_eq!(vault.get(b"key").unwrap().as_deref(), Some(&b"4"[..]));
}

/// An older value without an end lies in a segment of its own, so it would come back if the expired
/// record were simply left out.
#[test]
fn compaction_gives_the_space_back_and_no_older_value_comes_back() {
    let (disk, clock) = (SimulatedStorage::new(3), ManualClock::new(5000));
    let vault = open(&disk, clocked(small(), &clock));
    vault.put(b"key", b"old", SYNCED).unwrap();
    filler(&vault, 10);
    for number in 0..100_u8 {
        let key = [b't', number];
        vault.put_with_ttl(&key, &[1; 500], MINUTE, SYNCED).unwrap();
    }
    vault.put_with_ttl(b"key", b"new", MINUTE, SYNCED).unwrap();
    let unit = Rsu::new((0..50).collect()).kv(vec![7; 600]);
    vault
        .put_rsu_with_ttl(b"unit", &unit, MINUTE, SYNCED)
        .unwrap();
    filler(&vault, 10);
    assert_eq!(vault.compact().unwrap().values_expired, 0);
    let before = vault.stats();
    // From the snapshot of the index, which must know what expires where.
    vault.close().unwrap();
    let vault = open(&disk, clocked(fast(), &clock));
    assert!(vault.stats().recovery.from_snapshot);
    clock.advance(2 * MINUTE);
    let report = vault.compact().unwrap();
    assert_eq!(report.values_expired, 102);
    let after = vault.stats();
    assert!(
        before.disk_bytes > 60_000 && after.disk_bytes < 30_000,
        "{after:?}"
    );
    assert_eq!((after.keys, after.rsus), (10, 0));
    assert_eq!(vault.compact().unwrap().values_expired, 0);
    let gone = |vault: &Vault| {
        assert_eq!(vault.get(b"key").unwrap(), None);
        assert_eq!(vault.get_rsu(b"unit").unwrap(), None);
        assert_eq!(vault.iter().count(), 10);
    };
    // What was compacted does not come back even if the clock is set back.
    clock.set(5000);
    gone(&vault);
    vault.close().unwrap();
    for options in [small(), fast()] {
        let vault = open(&disk, clocked(options, &clock));
        gone(&vault);
        assert_eq!(vault.stats().recovery.damage_count, 0);
    }
}

#[test]
fn times_to_live_of_zero_or_for_ever_are_refused() {
    let (disk, clock) = (SimulatedStorage::new(4), ManualClock::new(5000));
    let vault = open(&disk, clocked(small(), &clock));
    for ttl in [Duration::ZERO, Duration::MAX, Duration::from_secs(1 << 32)] {
        let mut batch = Batch::new();
        batch.put(b"a", b"1").put_with_ttl(b"b", b"2", ttl);
        for result in [
            vault.put_with_ttl(b"key", b"value", ttl, SYNCED),
            vault.put_rsu_with_ttl(b"key", &Rsu::new(vec![1]), ttl, SYNCED),
            vault.write(batch, SYNCED),
        ] {
            let error = result.unwrap_err();
            assert!(
                matches!(error, VaultError::InvalidArgument { name: "ttl", .. }),
                "{error}"
            );
        }
    }
    assert_eq!(vault.stats().records_written, 0);
}

/// Some keys expire half way, then everything is compacted; the power goes at every call. Keys that
/// do not expire are there, those that did are not, and their older values stay away.
#[test]
fn power_cut_at_every_call_around_expiry() {
    let history = |disk: &SimulatedStorage, clock: &ManualClock| -> Result<u8, (u8, VaultError)> {
        let mut done = 0;
        let opened = Vault::open_with(Arc::new(disk.clone()), clocked(fast(), clock));
        let vault = opened.map_err(|error| (done, error))?;
        for number in 0..24_u8 {
            let put = |value: &[u8], ttl: Option<Duration>| match ttl {
                Some(ttl) => vault.put_with_ttl(&[number], value, ttl, SYNCED),
                None => vault.put(&[number], value, SYNCED),
            };
            put(b"older", None).map_err(|error| (done, error))?;
            let ttl = number.is_multiple_of(2).then_some(MINUTE);
            put(&[number; 400], ttl).map_err(|error| (done, error))?;
            done += 1;
        }
        clock.advance(2 * MINUTE);
        vault.compact().map_err(|error| (done, error))?;
        vault.close().map_err(|error| (done, error))?;
        Ok(done)
    };
    let whole = SimulatedStorage::new(5);
    history(&whole, &ManualClock::new(7000)).unwrap();
    assert!(whole.calls() > 150);
    for call in 0..whole.calls() {
        let (disk, clock) = (SimulatedStorage::new(call), ManualClock::new(7000));
        disk.set_faults(kill_at(call));
        let done = history(&disk, &clock).unwrap_or_else(|(done, _)| done);
        clock.set(7000 + 120_000);
        disk.power_cut();
        for options in [small(), fast()] {
            let copy = disk.fork(call);
            let vault = open(&copy, clocked(options, &clock));
            assert_eq!(vault.stats().recovery.damage_count, 0, "call {call}");
            for number in 0..done {
                let found = vault.get(&[number]).unwrap();
                let expected = (!number.is_multiple_of(2)).then(|| vec![number; 400]);
                assert_eq!(found, expected, "call {call}, key {number}");
            }
            vault.compact().unwrap();
            for number in (0..done).step_by(2) {
                assert_eq!(vault.get(&[number]).unwrap(), None, "call {call}");
            }
            assert!(vault.verify().unwrap().is_sound());
        }
    }
}
