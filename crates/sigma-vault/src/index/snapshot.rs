//! The index as a file, so that opening need not read the segments; `docs/formats/sigma-vault.md`
//! has the field tables.
//!
//! A snapshot names a place in the log and holds at least every change before it. Changes behind
//! that place are applied again from the log, in its order, which ends in the same state whether
//! the snapshot held some of them or not. Everything it points to was durable before it was
//! written. It is a copy of what the segments say: without it, or where anything about it does not
//! fit the manifest, the segments are read instead.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::sync::{Mutex, PoisonError};

use super::lines::Slabs;
use super::places::{SHARDS, split};
use super::shard::{Encoded, Shard};
use super::table::Entry;
use super::word::Word;
use crate::codec::Fields;
use crate::error::VaultError;
use crate::io::{FileMap, read_exact_at, write_all_at};
use crate::log::record::value_check;
use crate::log::{FORMAT_VERSION, Ledger, Mark, Space};
use crate::medium::Medium;
use crate::vault::held;

pub(crate) const SNAPSHOT_NAME: &str = "INDEX";
const SNAPSHOT_NEW_NAME: &str = "INDEX.new";
const MAGIC: [u8; 8] = *b"SVindex\x01";
/// Longer files are not read: more keys than fit the words.
const BYTES_MAX: u64 = 1 << 36;

/// A segment that words point into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) slot: u32,
    pub(crate) segment: u64,
    pub(crate) ledger: Ledger,
}

/// A key that the index holds itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Keyed {
    pub(crate) space: Space,
    pub(crate) key: Box<[u8]>,
    pub(crate) entry: Entry,
}

#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) vault_id: u64,
    /// The place in the log: everything before it is in the snapshot.
    pub(crate) mark: Mark,
    pub(crate) slots: Vec<Slot>,
    pub(crate) shards: Vec<Shard>,
    pub(crate) keyed: Vec<Keyed>,
}

fn put_mark(bytes: &mut Vec<u8>, mark: &Mark) {
    bytes.extend_from_slice(&mark.segment.to_le_bytes());
    bytes.extend_from_slice(&mark.bytes.to_le_bytes());
    bytes.extend_from_slice(&mark.last_sequence.to_le_bytes());
    bytes.extend_from_slice(&mark.last_key_hash.to_le_bytes());
    bytes.extend_from_slice(&mark.last_units.to_le_bytes());
}

/// A count; what is counted is in memory, so it fits.
fn count(number: usize) -> [u8; 4] {
    u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes()
}

impl Snapshot {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let words: usize = self.shards.iter().map(Shard::memory_bytes).sum();
        let mut bytes = Vec::with_capacity(words + 4096 + self.slots.len() * 32);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&count(self.slots.len()));
        bytes.extend_from_slice(&self.vault_id.to_le_bytes());
        put_mark(&mut bytes, &self.mark);
        bytes.extend_from_slice(&count(self.shards.len()));
        bytes.extend_from_slice(&count(self.keyed.len()));
        for slot in &self.slots {
            bytes.extend_from_slice(&slot.segment.to_le_bytes());
            bytes.extend_from_slice(&slot.ledger.base_sequence.to_le_bytes());
            bytes.extend_from_slice(&slot.ledger.tombstone_bytes.to_le_bytes());
            bytes.extend_from_slice(&slot.slot.to_le_bytes());
            bytes.extend_from_slice(&slot.ledger.expires_first_s.to_le_bytes());
        }
        for keyed in &self.keyed {
            bytes.push(keyed.space as u8);
            let key_bytes = u16::try_from(keyed.key.len()).unwrap_or(u16::MAX);
            bytes.extend_from_slice(&key_bytes.to_le_bytes());
            bytes.extend_from_slice(&keyed.key);
            bytes.extend_from_slice(&keyed.entry.segment.to_le_bytes());
            bytes.extend_from_slice(&keyed.entry.offset.to_le_bytes());
            bytes.extend_from_slice(&keyed.entry.bytes.to_le_bytes());
            bytes.extend_from_slice(&keyed.entry.sequence.to_le_bytes());
        }
        for shard in &self.shards {
            shard.encode(&mut bytes);
        }
        let check = value_check(&bytes);
        bytes.extend_from_slice(&check.to_le_bytes());
        bytes
    }
}

/// The bytes of a snapshot file.
#[derive(Debug)]
pub(crate) enum SnapshotBytes {
    Mapped(FileMap, u64),
    Read(Vec<u8>),
}

impl SnapshotBytes {
    /// `None` for anything that is not a whole snapshot of this format version. That of an
    /// encrypted vault is followed by a tag, which must fit.
    pub(crate) fn parse(&self, medium: &Medium) -> Option<Parsed<'_>> {
        let bytes = match self {
            Self::Mapped(map, length) => map.bytes(0, *length)?,
            Self::Read(bytes) => bytes,
        };
        match medium.sealer() {
            Some(sealer) => Parsed::new(sealer.authentic(bytes)?),
            None => Parsed::new(bytes),
        }
    }
}

/// A snapshot before its shards are decoded. Nothing in it counts unless it [holds](Self::holds).
#[derive(Debug)]
pub(crate) struct Parsed<'a> {
    body: &'a [u8],
    check: u64,
    pub(crate) vault_id: u64,
    pub(crate) mark: Mark,
    pub(crate) slots: Vec<Slot>,
    pub(crate) keyed: Vec<Keyed>,
    shards: Vec<Encoded<'a>>,
}

/// Shards with what the vault has to know of the records that they point to.
#[derive(Debug)]
pub(crate) struct Counted {
    /// Where the shards have their memory from, and will.
    pub(crate) slabs: Slabs,
    pub(crate) shards: Vec<Shard>,
    /// Bytes of records by file slot, those of `long` not counted.
    pub(crate) live: Vec<u64>,
    /// Words of records that are too long for their words to tell.
    pub(crate) long: Vec<Word>,
    /// What of the writes behind the snapshot the index has yet to be told of, by number.
    pub(crate) left: Vec<usize>,
}

impl<'a> Parsed<'a> {
    fn new(bytes: &'a [u8]) -> Option<Self> {
        let (body, check) = bytes.split_last_chunk::<8>()?;
        let mut fields = Fields::new(body);
        if fields.bytes(8)? != MAGIC || fields.u32()? != FORMAT_VERSION {
            return None;
        }
        let slots = fields.u32()?;
        let vault_id = fields.u64()?;
        let mark = Mark {
            segment: fields.u64()?,
            bytes: fields.u64()?,
            last_sequence: fields.u64()?,
            last_key_hash: fields.u32()?,
            last_units: fields.u32()?,
        };
        let (shards, keyed) = (fields.u32()?, fields.u32()?);
        let parsed = Self {
            body,
            check: u64::from_le_bytes(*check),
            vault_id,
            mark,
            slots: (0..slots).map_while(|_| slot(&mut fields)).collect(),
            keyed: (0..keyed).map_while(|_| key(&mut fields)).collect(),
            shards: (0..shards)
                .map_while(|_| Encoded::take(&mut fields))
                .collect(),
        };
        let whole = parsed.slots.len() as u64 == u64::from(slots)
            && parsed.keyed.len() as u64 == u64::from(keyed)
            && parsed.shards.len() as u64 == u64::from(shards)
            && fields.remaining() == 0;
        whole.then_some(parsed)
    }

    /// The number of shards.
    pub(crate) fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Whether the checksum is that of the bytes.
    pub(crate) fn holds(&self) -> bool {
        value_check(self.body) == self.check
    }

    /// Whether decoding the shards is worth a thread.
    pub(crate) fn is_large(&self) -> bool {
        const LINES_MIN: usize = 1 << 14;
        self.lines() >= LINES_MIN
    }

    fn lines(&self) -> usize {
        self.shards.iter().map(Encoded::lines).sum()
    }

    /// Makes ready to decode the shards, by any number of threads, and to add what lies behind the
    /// snapshot, in the order of the log.
    pub(crate) fn decoding(&self, behind: Vec<Behind>) -> Decoding<'a> {
        let mut slabs = Slabs::new(self.shards.len());
        // Where shards have to grow, by what is usual; what is not used takes no memory.
        slabs.expect(self.lines() + self.lines() / 4);
        let jobs = self.shards.iter().copied().enumerate();
        Decoding {
            jobs: Mutex::new(jobs.collect()),
            slabs: Mutex::new(slabs),
            behind: by_shard(&behind),
        }
    }
}

/// In the order of their shards, and within one in that in which they come: by counting, in the time
/// that it takes to go through them twice.
fn by_shard(changes: &[Behind]) -> Vec<Behind> {
    let of = |change: &Behind| split(change.hash).0;
    let mut next = vec![0; SHARDS + 1];
    for change in changes {
        if let Some(count) = next.get_mut(of(change) + 1) {
            *count += 1;
        }
    }
    let mut sum = 0;
    for start in &mut next {
        sum += *start;
        *start = sum;
    }
    let mut sorted = changes.to_vec();
    for change in changes {
        if let Some(at) = next.get_mut(of(change)) {
            if let Some(target) = sorted.get_mut(*at) {
                *target = *change;
            }
            *at += 1;
        }
    }
    sorted
}

/// A write behind the snapshot: what becomes the newest record of a plain key, `None` for a removal.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behind {
    pub(crate) hash: u64,
    pub(crate) word: Option<Word>,
    /// By which the caller knows it.
    pub(crate) number: usize,
}

/// A shard's number and its bytes.
type Job<'a> = (usize, Encoded<'a>);

/// The shards of a snapshot on their way into memory: most of that is the system's work of
/// providing the memory.
#[derive(Debug)]
pub(crate) struct Decoding<'a> {
    slabs: Mutex<Slabs>,
    jobs: Mutex<Vec<Job<'a>>>,
    /// By shard, then by log order.
    behind: Vec<Behind>,
}

/// What one thread decoded.
#[derive(Debug, Default)]
pub(crate) struct Share {
    shards: Vec<(usize, Shard)>,
    live: Vec<u64>,
    long: Vec<Word>,
    left: Vec<usize>,
}

impl Decoding<'_> {
    /// Decodes what no other thread does; `None` where a shard is none.
    pub(crate) fn share(&self) -> Option<Share> {
        let mut share = Share::default();
        loop {
            let job = held(&self.jobs).pop();
            let Some((number, encoded)) = job else {
                return Some(share);
            };
            let shard = self.extended(number, encoded, &mut share.left)?;
            for word in shard.all() {
                let slot = usize::try_from(word.slot()).ok()?;
                if share.live.len() <= slot {
                    share.live.resize(slot + 1, 0);
                }
                match (word.bytes(), share.live.get_mut(slot)) {
                    (Some(bytes), Some(live)) => *live += bytes,
                    _ => share.long.push(word),
                }
            }
            share.shards.push((number, shard));
        }
    }

    /// The shard with what lies behind the snapshot under hashes that it does not have: that is new.
    /// Of what is under others, the records have to be compared: that is `left` to do, in the order
    /// of the log.
    fn extended(
        &self,
        number: usize,
        encoded: Encoded<'_>,
        left: &mut Vec<usize>,
    ) -> Option<Shard> {
        let of = |change: &Behind| split(change.hash).0;
        let start = self.behind.partition_point(|change| of(change) < number);
        let rest = self.behind.get(start..).unwrap_or_default();
        let count = rest.partition_point(|change| of(change) == number);
        let changes = rest.get(..count).unwrap_or_default();
        // The same new hash may count twice: a little room too much.
        let new = changes.iter().filter(|change| {
            let hash = split(change.hash).1;
            change.word.is_some() && !encoded.has(hash)
        });
        let lines = encoded.lines_with(new.count());
        let lines = held(&self.slabs).take(lines);
        let shard = encoded.decode(lines)?;
        for change in changes {
            let hash = split(change.hash).1;
            match change.word {
                _ if shard.words(hash).first.is_some() => left.push(change.number),
                Some(word) => shard.insert(hash, word),
                // There is nothing to remove.
                None => {}
            }
        }
        Some(shard)
    }

    /// All that the threads decoded.
    pub(crate) fn finish(self, shares: impl IntoIterator<Item = Share>) -> Counted {
        let mut all = Share::default();
        for share in shares {
            all.shards.extend(share.shards);
            all.long.extend(share.long);
            all.left.extend(share.left);
            let slots = all.live.len().max(share.live.len());
            all.live.resize(slots, 0);
            for (sum, live) in all.live.iter_mut().zip(share.live) {
                *sum += live;
            }
        }
        all.shards.sort_unstable_by_key(|(number, _)| *number);
        all.left.sort_unstable();
        let slabs = self.slabs.into_inner();
        Counted {
            slabs: slabs.unwrap_or_else(PoisonError::into_inner),
            shards: all.shards.into_iter().map(|(_, shard)| shard).collect(),
            live: all.live,
            long: all.long,
            left: all.left,
        }
    }
}

fn slot(fields: &mut Fields<'_>) -> Option<Slot> {
    let (segment, base_sequence) = (fields.u64()?, fields.u64()?);
    let tombstone_bytes = fields.u64()?;
    let slot = fields.u32()?;
    let ledger = Ledger {
        base_sequence,
        tombstone_bytes,
        expires_first_s: fields.u32()?,
    };
    Some(Slot {
        slot,
        segment,
        ledger,
    })
}

fn key(fields: &mut Fields<'_>) -> Option<Keyed> {
    let space = Space::from_bits(fields.u8()?)?;
    let key_bytes = fields.u16()?;
    let key = fields.bytes(key_bytes.into())?.into();
    let entry = Entry {
        segment: fields.u64()?,
        offset: fields.u64()?,
        bytes: fields.u64()?,
        sequence: fields.u64()?,
        intact: true,
    };
    Some(Keyed { space, key, entry })
}

/// Replaces the snapshot on disk. A failure costs nothing but time at the next opening, so it is
/// logged and no more, unless it is that of a directory sync; whether the old or the new one is in
/// force then, both hold.
pub(crate) fn write_snapshot(medium: &Medium, bytes: &[u8]) -> Result<bool, VaultError> {
    let storage = &medium.storage;
    let tag = medium.sealer().map(|sealer| sealer.authenticate(bytes));
    let tag = tag.unwrap_or_default();
    let result = storage.create(SNAPSHOT_NEW_NAME).and_then(|file| {
        write_all_at(&*file, 0, bytes)?;
        write_all_at(&*file, bytes.len() as u64, &tag)?;
        file.sync()?;
        storage.rename(SNAPSHOT_NEW_NAME, SNAPSHOT_NAME)
    });
    if let Err(error) = &result {
        tracing::warn!(%error, "no index snapshot written");
        let _ = storage.remove(SNAPSHOT_NEW_NAME);
        return Ok(false);
    }
    let synced = storage.sync_dir();
    synced.map_err(|source| medium.poisoned_by("sync", "", source))?;
    Ok(true)
}

/// The snapshot on disk, if there is one.
pub(crate) fn read_snapshot(medium: &Medium, names: &[String]) -> Option<SnapshotBytes> {
    if names.iter().any(|name| name == SNAPSHOT_NEW_NAME) {
        let _ = medium.storage.remove(SNAPSHOT_NEW_NAME);
    }
    if !names.iter().any(|name| name == SNAPSHOT_NAME) {
        return None;
    }
    let file = medium.storage.open(SNAPSHOT_NAME).ok()?;
    let length = file.len().ok().filter(|length| *length <= BYTES_MAX)?;
    if let Some(map) = file.map(length) {
        return Some(SnapshotBytes::Mapped(map, length));
    }
    let mut bytes = vec![0; usize::try_from(length).ok()?];
    read_exact_at(&*file, 0, &mut bytes).ok()?;
    Some(SnapshotBytes::Read(bytes))
}

#[cfg(test)]
mod tests {
    use xxhash_rust::xxh3::xxh3_64;

    use super::*;

    fn decode(bytes: &[u8]) -> Option<(Parsed<'_>, Counted)> {
        let parsed = Parsed::new(bytes).filter(Parsed::holds)?;
        let decoding = parsed.decoding(Vec::new());
        let share = decoding.share()?;
        let counted = decoding.finish([share]);
        Some((parsed, counted))
    }

    fn sample() -> Snapshot {
        let mut shards = vec![Shard::default(), Shard::default()];
        shards[0] = shards[0].grown(20, &mut Slabs::new(1));
        for number in 0..20_u32 {
            let word = Word::new(number % 3, u64::from(number + 8) * 8, 80).unwrap();
            shards[0].insert(number.wrapping_mul(0x9e37_79b9), word);
        }
        Snapshot {
            vault_id: 7,
            mark: Mark {
                segment: 4,
                bytes: 640,
                last_sequence: 9,
                last_key_hash: 3,
                last_units: 2,
            },
            slots: vec![Slot {
                slot: 1,
                segment: 4,
                ledger: Ledger {
                    base_sequence: 5,
                    tombstone_bytes: 64,
                    expires_first_s: 77,
                },
            }],
            shards,
            keyed: vec![Keyed {
                space: Space::Rsu,
                key: b"unit".as_slice().into(),
                entry: Entry {
                    segment: 4,
                    offset: 64,
                    bytes: 80,
                    sequence: 6,
                    intact: true,
                },
            }],
        }
    }

    #[test]
    fn round_trip_and_every_flipped_bit_and_length() {
        let snapshot = sample();
        let bytes = snapshot.encode();
        let (again, counted) = decode(&bytes).unwrap();
        assert_eq!((again.vault_id, again.mark), (7, snapshot.mark));
        assert_eq!(again.slots, snapshot.slots);
        assert_eq!(again.keyed, snapshot.keyed);
        let words =
            |shards: &[Shard]| -> Vec<Word> { shards.iter().flat_map(Shard::all).collect() };
        assert_eq!(words(&counted.shards), words(&snapshot.shards));
        assert_eq!(counted.shards[0].len(), 20);
        assert_eq!(
            (&counted.live[..], counted.long.len()),
            (&[7 * 80, 7 * 80, 6 * 80][..], 0)
        );
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_none(), "bit {bit}");
            // Opening decodes while the checksum is worked out: no harm may come of that.
            if let Some(parsed) = Parsed::new(&damaged) {
                let decoding = parsed.decoding(Vec::new());
                let share = decoding.share();
                assert!(decoding.finish(share).shards.len() <= 2);
            }
        }
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn any_number_of_threads_decodes_the_same() {
        let mut snapshot = sample();
        snapshot.shards = (0..16).map(|shard| many_words(shard * 500)).collect();
        let bytes = snapshot.encode();
        let parsed = Parsed::new(&bytes).unwrap();
        assert!(parsed.holds());
        let one = decode(&bytes).unwrap().1;
        for threads in [1, 2, 5] {
            let decoding = parsed.decoding(Vec::new());
            let shares: Vec<Share> = std::thread::scope(|scope| {
                let decode = || decoding.share().unwrap();
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(decode)).collect();
                let shares = threads.into_iter().map(|thread| thread.join().unwrap());
                shares.collect()
            });
            let Counted { shards, live, .. } = decoding.finish(shares);
            assert_eq!(live, one.live);
            assert_eq!(Snapshot { shards, ..sample() }.encode(), bytes);
        }
    }

    #[test]
    fn what_lies_behind_is_added_where_its_hash_is_new_and_left_where_not() {
        let mut snapshot = sample();
        snapshot.shards = (0..16).map(|shard| many_words(shard * 100)).collect();
        let bytes = snapshot.encode();
        let parsed = Parsed::new(&bytes).unwrap();
        // Of every third hash a removal; each hash twice, some of them in the snapshot already.
        let change = |number: u32| {
            let (key, shard) = (number % 2000, u64::from(number % 16));
            let hash = u64::from(key.wrapping_mul(0x9e37_79b9)) | shard << 32;
            let word = Word::new(number % 5, u64::from(number + 5000) * 8, 80);
            Behind {
                hash,
                word: word.filter(|_| !number.is_multiple_of(3)),
                number: usize::try_from(number).unwrap(),
            }
        };
        let behind: Vec<Behind> = (0..4000).map(change).collect();
        let (mut added, mut left) = (vec![Vec::new(); 16], Vec::new());
        let mut known: Vec<std::collections::BTreeSet<u32>> = Vec::new();
        for shard in &snapshot.shards {
            let hashes = shard.pairs().map(|(hash, _)| hash);
            known.push(hashes.filter(|hash| *hash != 0).collect());
        }
        for change in &behind {
            let (part, hash) = split(change.hash);
            match change.word {
                _ if known[part].contains(&hash.max(1)) => left.push(change.number),
                Some(word) => {
                    known[part].insert(hash.max(1));
                    added[part].push((hash, word));
                }
                None => {}
            }
        }
        assert!(left.len() > 500 && added.iter().all(|added| added.len() > 20));
        for threads in [1, 3] {
            let decoding = parsed.decoding(behind.clone());
            let shares: Vec<Share> = std::thread::scope(|scope| {
                let decode = || decoding.share().unwrap();
                let threads: Vec<_> = (0..threads).map(|_| scope.spawn(decode)).collect();
                let shares = threads.into_iter().map(|thread| thread.join().unwrap());
                shares.collect()
            });
            let counted = decoding.finish(shares);
            assert_eq!(counted.left, left);
            let words: usize = counted.shards.iter().map(Shard::len).sum();
            assert_eq!(counted.live.iter().sum::<u64>(), words as u64 * 80);
            for (number, shard) in counted.shards.iter().enumerate() {
                let before = &snapshot.shards[number];
                assert_eq!(shard.len(), before.len() + added[number].len());
                assert!(shard.has_room(0));
                assert!(before.pairs().all(|(hash, word)| {
                    hash == 0 || shard.words(hash).iter().any(|known| known.bits() == word)
                }));
                for (hash, word) in &added[number] {
                    assert_eq!(shard.words(*hash).first, Some(*word));
                }
            }
        }
    }

    fn many_words(count: u32) -> Shard {
        let words = usize::try_from(count).unwrap();
        let shard = Shard::default().grown(words, &mut Slabs::new(1));
        for number in 0..count {
            let word = Word::new(number % 5, u64::from(number + 8) * 8, 80).unwrap();
            shard.insert(number.wrapping_mul(0x9e37_79b9), word);
        }
        shard
    }

    #[test]
    fn counts_that_do_not_fit_are_refused_before_allocation() {
        let bytes = sample().encode();
        for position in [12, 56, 60] {
            let mut body = bytes[..bytes.len() - 8].to_vec();
            body[position..position + 4].copy_from_slice(&u32::MAX.to_le_bytes());
            let check = xxh3_64(&body);
            body.extend_from_slice(&check.to_le_bytes());
            assert!(decode(&body).is_none(), "{position}");
        }
    }
}
