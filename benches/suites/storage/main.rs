//! Suite `storage`: sigma-vault beside fjall, redb and (features `peer-lmdb`, `peer-sled`) LMDB and
//! sled: same machine, same run, same keys and values, equal durability. Its read cache stands beside
//! `quick_cache` and `moka` (feature `peer-caches`).
//!
//! Values are half random and half zeros, so a store that compresses can. Stores take turns in
//! short slices, so that a slow moment of a shared disk meets all of them, and the median slice
//! counts. "Durable" means on the device when the call returns: `Durability::Grouped`,
//! `PersistMode::SyncAll`, a redb or LMDB commit with sync. "Written" means that it survives the
//! process: `Durability::Written`, fjall's default, LMDB without sync. "Buffered" may be lost with
//! the process: `Durability::Buffered`, fjall with manual persist. Ours compresses by LZ4, as fjall
//! does. The row of the device shows what writing and syncing the stored bytes alone takes, into
//! blocks that were written before.

mod birth;
#[cfg(feature = "peer-caches")]
mod caches;
mod durable;
mod peers;
mod reads;
mod settings;
mod slices;
mod space;
mod stores;

use std::process::ExitCode;

use neurectomy_bench::Suite;

fn main() -> ExitCode {
    neurectomy_bench::run("storage", |suite| {
        for (name, run) in [
            ("durable-put", durable::puts as fn(&mut Suite) -> _),
            ("durable-batch", durable::batches),
            ("reads-100b", reads::small),
            ("reads-1kb", reads::middle),
            ("reads-16kb", reads::large),
            ("load", reads::loads),
            ("birth", birth::run),
            ("settings-cache", settings::cache),
            ("settings-encryption", settings::encryption),
            ("space-reopen", space::reopen),
            ("space-churn", space::churn),
            ("space-memory", space::memory),
        ] {
            if wanted(name) {
                run(suite)?;
            }
        }
        Ok(())
    })
}

/// Whether a part runs: all do unless the command line names some, whole or by their beginning,
/// with commas between.
fn wanted(part: &str) -> bool {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let mut named = arguments.iter().flat_map(|argument| argument.split(','));
    arguments.is_empty() || named.any(|name| part.starts_with(name))
}
