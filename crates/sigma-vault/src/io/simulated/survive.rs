//! Which unsynced changes a power cut leaves behind.

use super::disk::{Change, Disk, Faults, Node, drop_orphans};
use super::rng::Rng;
use crate::io::memory::to_usize;

/// The unit in which a disk writes.
const SECTOR_BYTES: u64 = 512;

impl Disk {
    /// Replaces the visible state by one that could be found after a power cut, and restarts.
    pub(super) fn power_cut(&mut self) {
        let mut names = self.durable_names.clone();
        let pending = std::mem::take(&mut self.pending_names);
        let keep = Keep::choose(&mut self.rng, pending.len());
        for (position, change) in pending.iter().enumerate() {
            if keep.keeps(&mut self.rng, position) {
                change.apply(&mut names);
            }
        }
        drop_orphans(&mut names);
        self.durable_names = names.clone();
        self.names = names;
        let mut nodes = std::mem::take(&mut self.nodes);
        nodes.retain(|id, _| self.names.values().any(|node| node == id));
        for node in nodes.values_mut() {
            node.power_cut(&mut self.rng);
        }
        self.nodes = nodes;
        self.restart();
    }

    /// How many changes are not durable yet.
    pub(super) fn unsynced(&self) -> usize {
        let of_files: usize = self.nodes.values().map(|node| node.pending.len()).sum();
        self.pending_names.len() + of_files
    }

    /// A power cut that leaves exactly the changes numbered in `survivors`, in this order.
    pub(super) fn power_cut_keeping(&mut self, survivors: &[usize]) {
        let mut names = self.durable_names.clone();
        let pending_names = std::mem::take(&mut self.pending_names);
        let mut pending = Vec::new();
        for (id, node) in &mut self.nodes {
            let changes = std::mem::take(&mut node.pending);
            pending.extend(changes.into_iter().map(|change| (*id, change)));
            node.visible.clone_from(&node.durable);
            node.sync_failed = false;
        }
        for number in survivors {
            if let Some(change) = pending_names.get(*number) {
                change.apply(&mut names);
            } else if let Some((id, change)) = pending.get(*number - pending_names.len())
                && let Some(node) = self.nodes.get_mut(id)
            {
                change.apply(&mut node.visible);
            }
        }
        drop_orphans(&mut names);
        self.nodes
            .retain(|id, _| names.values().any(|node| node == id));
        for node in self.nodes.values_mut() {
            node.durable.clone_from(&node.visible);
        }
        self.durable_names = names.clone();
        self.names = names;
        self.restart();
    }

    /// Everything written survives; only locks and handles are gone: a killed process.
    pub(super) fn restart(&mut self) {
        self.locks.clear();
        self.powered = true;
        self.boot += 1;
        self.faults = Faults::default();
    }
}

impl Node {
    fn power_cut(&mut self, rng: &mut Rng) {
        let visible_bytes = self.visible.len();
        self.sync_failed = false;
        let pending = std::mem::take(&mut self.pending);
        let keep = Keep::choose(rng, pending.len());
        let mut bytes = std::mem::take(&mut self.durable);
        for (position, change) in pending.iter().enumerate() {
            match (&keep, change) {
                (Keep::Pieces, Change::Write { offset, data }) => {
                    keep_pieces(rng, &mut bytes, *offset, data);
                }
                (Keep::Prefix(count), change) if position == *count => {
                    keep_part(rng, &mut bytes, change);
                }
                _ => {
                    if keep.keeps(rng, position) {
                        change.apply(&mut bytes);
                    }
                }
            }
        }
        // File systems may persist the new length without the data behind it.
        if bytes.len() < visible_bytes && !pending.is_empty() && rng.one_in(4) {
            bytes.resize(visible_bytes, 0);
        }
        self.visible = bytes.clone();
        self.durable = bytes;
    }
}

/// A write under way when the power went: its first bytes.
fn keep_part(rng: &mut Rng, bytes: &mut Vec<u8>, change: &Change) {
    if let Change::Write { offset, data } = change {
        let part = to_usize(rng.below(data.len() as u64 + 1));
        let data = data.get(..part).unwrap_or_default().to_vec();
        Change::Write {
            offset: *offset,
            data,
        }
        .apply(bytes);
    }
}

/// Every 512-byte piece of a write lives or dies on its own; now and then one is torn.
fn keep_pieces(rng: &mut Rng, bytes: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let mut start = 0_u64;
    while start < data.len() as u64 {
        let at = offset + start;
        let room = SECTOR_BYTES - at % SECTOR_BYTES;
        let end = (start + room).min(data.len() as u64);
        let piece = data.get(to_usize(start)..to_usize(end)).unwrap_or_default();
        let kept = match rng.below(8) {
            0..=3 => piece.len(),
            4 => to_usize(rng.below(piece.len() as u64 + 1)),
            _ => 0,
        };
        if kept > 0 {
            let data = piece.get(..kept).unwrap_or_default().to_vec();
            Change::Write { offset: at, data }.apply(bytes);
        }
        start = end;
    }
}

/// How one file's (or the directory's) unsynced changes fare.
#[derive(Debug)]
enum Keep {
    Nothing,
    All,
    Prefix(usize),
    /// Each change, and each sector of a write, by itself.
    Pieces,
}

impl Keep {
    fn choose(rng: &mut Rng, changes: usize) -> Self {
        match rng.below(6) {
            0 => Self::Nothing,
            1 => Self::All,
            2 => Self::Prefix(to_usize(rng.below(changes as u64 + 1))),
            _ => Self::Pieces,
        }
    }

    fn keeps(&self, rng: &mut Rng, position: usize) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Prefix(count) => position < *count,
            Self::Pieces => rng.one_in(2),
        }
    }
}
