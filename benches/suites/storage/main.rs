//! Suite `storage`: sigma-vault beside fjall, redb and (feature `peer-lmdb`) LMDB: same machine, same
//! run, same keys and values, equal durability.
//!
//! Values are half random and half zeros, so a store that compresses can. Stores take turns in
//! short slices, so that a slow moment of a shared disk meets all of them, and the median slice
//! counts. "Durable" means on the device when the call returns: `Durability::Grouped`,
//! `PersistMode::SyncAll`, a redb or LMDB commit with sync. "Written" means that it survives the
//! process: `Durability::Written`, fjall's default, LMDB without sync. "Buffered" may be lost with
//! the process: `Durability::Buffered`, fjall with manual persist. Ours compresses by LZ4, as fjall
//! does.

mod durable;
mod peers;
mod reads;
mod slices;
mod space;
mod stores;

use std::process::ExitCode;

use neurectomy_bench::Suite;

fn main() -> ExitCode {
    neurectomy_bench::run("storage", |suite| {
        for (name, run) in [
            ("durable", durable::run as fn(&mut Suite) -> _),
            ("reads", reads::run),
            ("space", space::run),
        ] {
            if wanted(name) {
                run(suite)?;
            }
        }
        Ok(())
    })
}

/// Whether a part runs: all do unless the command line names some.
fn wanted(part: &str) -> bool {
    let mut named = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .peekable();
    named.peek().is_none() || named.any(|name| name == part)
}
