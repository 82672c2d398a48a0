//! Any history of synced writes, cut at any call by a power failure, keeps what was acknowledged.
#![no_main]

use std::collections::BTreeMap;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sigma_vault::io::{Faults, SimulatedStorage};
use sigma_vault::{Durability, Options, Vault};

fuzz_target!(|data: &[u8]| {
    let Some((head, steps)) = data.split_at_checked(4) else { return };
    let disk = SimulatedStorage::new(u64::from(head[0]));
    let mut faults = Faults::default();
    faults.kill_at_call = Some(u64::from(u16::from_le_bytes([head[1], head[2]])) % 512);
    faults.short_transfers = head[3] & 1 == 1;
    disk.set_faults(faults);
    let options = Options::new().segment_bytes(4096);
    let mut model: BTreeMap<u8, Option<Vec<u8>>> = BTreeMap::new();
    // The write during which the power went may have happened or not.
    let mut open_end = None;
    if let Ok(vault) = Vault::open_with(Arc::new(disk.clone()), options.clone()) {
        for step in steps.chunks_exact(2) {
            let (key, len) = (step[0] % 8, usize::from(step[1]) * 5);
            let value = (step[0] < 200).then(|| vec![step[1]; len]);
            let result = match &value {
                Some(value) => vault.put(&[key], value, Durability::Synced),
                None => vault.delete(&[key], Durability::Grouped).map(|_| ()),
            };
            if result.is_err() {
                open_end = Some((key, value));
                break;
            }
            model.insert(key, value);
        }
    }
    disk.power_cut();
    let vault = Vault::open_with(Arc::new(disk), options).expect("a crash is recovered from");
    assert_eq!(vault.stats().recovery.damage_count, 0);
    for key in 0..8 {
        let found = vault.get(&[key]).expect("a crash is not damage");
        let expected = model.get(&key).cloned().flatten();
        let other = open_end.as_ref().filter(|(open, _)| *open == key);
        assert!(found == expected || other.is_some_and(|(_, value)| *value == found));
    }
});
