//! The one door to the disk: everything the vault reads or writes goes through [`Storage`].
//!
//! | implementation | for |
//! |---|---|
//! | [`FileStorage`] | a directory of a real file system |
//! | [`MemoryStorage`] | tests and throw-away vaults; nothing survives the process |
//! | [`SimulatedStorage`] | crash tests: seeded power cuts, lost writes, full disks, flipped bits |

mod file;
mod map;
mod memory;
mod simulated;
mod storage;
mod writeback;

pub use file::FileStorage;
pub use map::FileMap;
pub use memory::MemoryStorage;
pub use simulated::{DiskError, Faults, SimulatedStorage};
pub use storage::{Locked, Storage, StorageFile, StorageLock};
pub(crate) use storage::{read_exact_at, write_all_at};
