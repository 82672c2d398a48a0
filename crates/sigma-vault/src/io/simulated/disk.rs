//! State of the simulated disk: files with durable and volatile contents, names likewise.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::rng::Rng;
use crate::io::memory::{copy_in, to_usize};

/// An error that the simulated disk returns on request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskError {
    /// No space left on the device; a prefix of a write may have landed.
    Full,
    /// Input/output error.
    Failed,
}

impl DiskError {
    pub(super) fn to_io(self) -> io::Error {
        match self {
            Self::Full => io::ErrorKind::StorageFull.into(),
            Self::Failed => io::Error::other("simulated input/output error"),
        }
    }
}

/// What goes wrong, and when. Calls are counted from 0 since the storage was made, reads included.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Faults {
    /// The power goes at this call: a write may land in part, every later call fails until
    /// [`power_cut`](super::SimulatedStorage::power_cut).
    pub kill_at_call: Option<u64>,
    /// This call fails once with the given error.
    pub error_at_call: Option<(u64, DiskError)>,
    /// Writes that would bring the files above this many bytes in all fail with
    /// [`DiskError::Full`].
    pub capacity_bytes: Option<u64>,
    /// Reads of this file that touch bytes from the first place up to the second fail, every time.
    pub unreadable: Option<(String, u64, u64)>,
    /// Reads and writes move a random part of what was asked, as POSIX permits.
    pub short_transfers: bool,
    /// A sync of a file lets other threads go on between its beginning and its end, and makes durable
    /// only what was written before it began.
    pub overlapping_syncs: bool,
    /// If this call is a write, its bytes land in another place of the file, at a multiple of 8,
    /// and it is answered as done.
    pub misdirect_at_call: Option<u64>,
}

#[derive(Clone, Debug)]
pub(super) enum Change {
    Write { offset: u64, data: Vec<u8> },
    Truncate { bytes: u64 },
}

impl Change {
    pub(super) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write { offset, data } => copy_in(bytes, *offset, data),
            Self::Truncate { bytes: len } => bytes.resize(to_usize(*len), 0),
        }
    }
}

/// A file: what is certain to survive, what is visible now, and the changes between.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    pub(super) durable: Vec<u8>,
    pub(super) visible: Vec<u8>,
    pub(super) pending: Vec<Change>,
    /// How many changes left `pending` by becoming durable.
    pub(super) settled: usize,
    /// After a failed sync later ones succeed without effect, as Linux drops the dirty pages.
    pub(super) sync_failed: bool,
}

impl Node {
    /// How many changes there were, those that are durable included.
    pub(super) fn changes(&self) -> usize {
        self.settled + self.pending.len()
    }

    /// The first `changes` changes are durable.
    pub(super) fn settle(&mut self, changes: usize) {
        if changes == self.changes() {
            self.durable.clone_from(&self.visible);
            self.pending.clear();
        } else {
            let settled = changes.saturating_sub(self.settled);
            for change in self.pending.drain(..settled.min(self.pending.len())) {
                change.apply(&mut self.durable);
            }
        }
        self.settled = self.settled.max(changes);
    }
}

#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Link {
        name: String,
        node: u64,
    },
    Rename {
        source: String,
        target: String,
        node: u64,
    },
    Unlink {
        name: String,
    },
}

/// The directory in which a name is, its slash included; empty for the first one.
fn dir_of(name: &str) -> &str {
    let inner = name.strip_suffix('/').unwrap_or(name);
    let end = inner.rfind('/').map_or(0, |slash| slash + 1);
    inner.get(..end).unwrap_or_default()
}

/// Files whose directory did not survive are gone with it.
pub(super) fn drop_orphans(names: &mut BTreeMap<String, u64>) {
    let dirs: BTreeSet<String> = names
        .keys()
        .filter(|name| name.ends_with('/'))
        .cloned()
        .collect();
    names.retain(|name, _| dir_of(name).is_empty() || dirs.contains(dir_of(name)));
}

impl NameChange {
    fn name(&self) -> &str {
        match self {
            Self::Link { name, .. } | Self::Unlink { name } => name,
            // Both names are in one directory.
            Self::Rename { target, .. } => target,
        }
    }

    pub(super) fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link { name, node } => {
                names.insert(name.clone(), *node);
            }
            Self::Rename {
                source,
                target,
                node,
            } => {
                if names.get(source) == Some(node) {
                    names.remove(source);
                }
                names.insert(target.clone(), *node);
            }
            Self::Unlink { name } => {
                names.remove(name);
            }
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Disk {
    pub(super) rng: Rng,
    pub(super) faults: Faults,
    pub(super) calls: u64,
    pub(super) powered: bool,
    pub(super) misdirected: bool,
    /// Raised by every restart, so that handles from before it stop working.
    pub(super) boot: u64,
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) next_node: u64,
    pub(super) names: BTreeMap<String, u64>,
    pub(super) durable_names: BTreeMap<String, u64>,
    pub(super) pending_names: Vec<NameChange>,
    pub(super) locks: BTreeSet<String>,
}

/// What [`Disk::enter`] decided for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Proceed,
    /// A part may take effect, then the error is returned.
    Fail(DiskError),
    /// A part may take effect, then the power goes.
    Die,
}

impl Disk {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: Rng(seed),
            faults: Faults::default(),
            calls: 0,
            powered: true,
            misdirected: false,
            boot: 0,
            nodes: BTreeMap::new(),
            next_node: 1,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            locks: BTreeSet::new(),
        }
    }

    pub(super) fn power_is_off() -> io::Error {
        io::Error::other("simulated power loss")
    }

    /// Counts a call of a handle made at `boot` and says how it ends.
    pub(super) fn enter(&mut self, boot: u64) -> io::Result<Verdict> {
        if !self.powered || boot != self.boot {
            return Err(Self::power_is_off());
        }
        let call = self.calls;
        self.calls += 1;
        if self.faults.kill_at_call == Some(call) {
            self.powered = false;
            return Ok(Verdict::Die);
        }
        match self.faults.error_at_call {
            Some((at, error)) if at == call => Ok(Verdict::Fail(error)),
            _ => Ok(Verdict::Proceed),
        }
    }

    /// As [`enter`](Self::enter), for calls that take effect wholly or not at all.
    pub(super) fn enter_whole(&mut self, boot: u64) -> io::Result<()> {
        match self.enter(boot)? {
            Verdict::Proceed => Ok(()),
            Verdict::Fail(error) => Err(error.to_io()),
            Verdict::Die => Err(Self::power_is_off()),
        }
    }

    pub(super) fn rename_to(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    /// Makes the names in one directory durable, those of directories in it included.
    pub(super) fn sync_names(&mut self, dir: &str) {
        self.durable_names.retain(|name, _| dir_of(name) != dir);
        let here = self.names.iter().filter(|(name, _)| dir_of(name) == dir);
        self.durable_names
            .extend(here.map(|(name, node)| (name.clone(), *node)));
        self.pending_names
            .retain(|change| dir_of(change.name()) != dir);
    }

    /// Where the bytes of the write being made land: at `offset`, unless it is misdirected.
    pub(super) fn landing(&mut self, node: u64, offset: u64, bytes: u64) -> u64 {
        if self.faults.misdirect_at_call != Some(self.calls - 1) {
            return offset;
        }
        self.misdirected = true;
        let length = self
            .nodes
            .get(&node)
            .map_or(0, |node| node.visible.len() as u64);
        let other = self.rng.below((length + bytes) / 8 + 1) * 8;
        if other == offset { other + 512 } else { other }
    }

    pub(super) fn used_bytes(&self) -> u64 {
        let used: BTreeSet<u64> = self.names.values().copied().collect();
        used.iter()
            .filter_map(|node| self.nodes.get(node))
            .map(|node| node.visible.len() as u64)
            .sum()
    }

    pub(super) fn change(&mut self, node: u64, change: Change) {
        if let Some(node) = self.nodes.get_mut(&node) {
            change.apply(&mut node.visible);
            node.pending.push(change);
        }
    }
}
