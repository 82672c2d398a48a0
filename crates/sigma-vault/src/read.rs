//! From a key to its newest record.
//!
//! The index holds no plain keys: a candidate's record is read and its key compared. A candidate
//! that cannot be read counts as the key's own, since hash and place say so: reading the key then
//! reports the damage, and writing it ends that.

use crate::compress::unpack_into;
use crate::error::VaultError;
use crate::expiry::is_over;
use crate::index::{Candidate, Candidates, Entry, Files, SegmentFile, Word};
use crate::io::read_exact_at;
use crate::log::record::{
    self, FLAG_SEALED, Form, Header, Parts, Place, RECORD_HEADER_BYTES, key_hash, low_half,
};
use crate::log::{Space, segment_name};
use crate::vault::{Vault, shared};

/// Of a longer record, the rest is fetched while this is worked on.
const TOUCHED_BYTES_MAX: usize = 1536;
const LINE_BYTES: usize = 64;

/// Fetches the beginning of a record into the cache, all lines at once: one after another, as they
/// are worked on, they would take several times as long.
pub(crate) fn touch(bytes: &[u8]) {
    let bytes = bytes.get(..TOUCHED_BYTES_MAX).unwrap_or(bytes);
    let mut all = bytes.last().copied().unwrap_or(0);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        all ^= byte;
        at += LINE_BYTES;
    }
    std::hint::black_box(all);
}

/// Whose record a candidate is.
enum Owner {
    Asked(Header),
    Another,
    Unknown(VaultError),
}

/// A key and its value.
type KeyValue = (Vec<u8>, Vec<u8>);

/// What a record is to the key that was asked for.
enum Look {
    Value,
    Expired,
    Another,
}

impl Vault {
    /// The newest record of a plain key and its expiry, over or not; its value is not read. An
    /// error where damage makes that unknowable.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<(Entry, u32)>, VaultError> {
        let mut failure = None;
        let hash = self.index.hash(key);
        let candidates = self.index.candidates(hash);
        for (candidate, file) in candidates.iter().flat_map(Candidates::iter) {
            match self.owner(candidate.word, file, hash, key) {
                Owner::Asked(header) => {
                    let offset = candidate.word.offset();
                    let entry = Entry {
                        segment: candidate.segment,
                        offset,
                        bytes: header.record_bytes(),
                        sequence: header.sequence,
                        intact: !self.unsound.contains(&(candidate.segment, offset)),
                    };
                    self.admit(Space::Plain, key, Some(&entry))?;
                    return Ok(Some((entry, header.expires_s)));
                }
                Owner::Another => {}
                Owner::Unknown(error) => failure = Some(error),
            }
        }
        self.absent_unless(failure, key).map(|()| None)
    }

    /// Replaces what `value` holds by the value of a plain key; false, and anything in `value`, where
    /// there is none.
    pub(crate) fn get_plain(&self, key: &[u8], value: &mut Vec<u8>) -> Result<bool, VaultError> {
        let hash = self.index.hash(key);
        match self.get_quick(hash, key, value) {
            Some(found) => {
                self.index.count(u64::from(found), u64::from(!found));
                Ok(found)
            }
            None => self.get_otherwise(hash, key, value),
        }
    }

    /// As [`get_plain`](Self::get_plain), whatever the record and the key's state: from the cache, or as
    /// [`get_plainly`](Self::get_plainly).
    #[cold]
    pub(crate) fn get_otherwise(
        &self,
        hash: u64,
        key: &[u8],
        value: &mut Vec<u8>,
    ) -> Result<bool, VaultError> {
        match self.get_cached(hash, key, value) {
            Some(found) => {
                self.index.count(u64::from(found), u64::from(!found));
                Ok(found)
            }
            None => self.get_plainly(hash, key, value),
        }
    }

    /// Reads the key's record, step by step.
    fn get_plainly(&self, hash: u64, key: &[u8], value: &mut Vec<u8>) -> Result<bool, VaultError> {
        let candidates = self.index.candidates(hash);
        let all = candidates.iter().flat_map(Candidates::iter);
        match self.value_among(all, hash, key, value) {
            Ok(Look::Value) => {
                self.index.count(1, 0);
                return Ok(true);
            }
            Ok(Look::Expired) => {}
            Ok(Look::Another) => self.absent_unless(None, key)?,
            Err(error) => self.absent_unless(Some(error), key)?,
        }
        self.index.count(0, 1);
        Ok(false)
    }

    /// What the one record of `all` that is of `key` says; [`Look::Another`] where there is none. An
    /// error only where there is no such record and one could not be read.
    fn value_among<'f>(
        &self,
        all: impl Iterator<Item = (Candidate, &'f SegmentFile)>,
        hash: u64,
        key: &[u8],
        value: &mut Vec<u8>,
    ) -> Result<Look, VaultError> {
        let mut failure = None;
        for (candidate, file) in all {
            match self.value_if_of(candidate.word, file, hash, key, value) {
                Ok(Look::Another) => {}
                Ok(look) => return Ok(look),
                Err(error) => failure = Some(error),
            }
        }
        failure.map_or(Ok(Look::Another), Err)
    }

    /// An error where a candidate could not be read or a loss may have been this key's.
    pub(crate) fn absent_unless(
        &self,
        failure: Option<VaultError>,
        key: &[u8],
    ) -> Result<(), VaultError> {
        if let Some(error) = failure {
            self.counters.reads_refused.add(1);
            return Err(error);
        }
        self.admit(Space::Plain, key, None)
    }

    /// The candidate to replace when `key` is written, with its record's length in bytes.
    pub(crate) fn resolve(&self, hash: u64, key: &[u8]) -> Option<(Candidate, u64)> {
        let mut unknown = None;
        let candidates = self.index.candidates(hash);
        for (candidate, file) in candidates.iter().flat_map(Candidates::iter) {
            match self.owner(candidate.word, file, hash, key) {
                Owner::Asked(header) => return Some((candidate, header.record_bytes())),
                Owner::Another => {}
                Owner::Unknown(_) => {
                    let bytes = candidate.word.bytes().unwrap_or(0);
                    unknown.get_or_insert((candidate, bytes));
                }
            }
        }
        unknown
    }

    /// Reads a record's header and key; `hash` is that of `key`.
    fn owner(&self, word: Word, file: &SegmentFile, hash: u64, key: &[u8]) -> Owner {
        let place = self.place(file.segment, word.offset());
        let wanted = (RECORD_HEADER_BYTES + key.len()) as u64;
        let wanted = word.bytes().map_or(wanted, |all| all.min(wanted));
        self.with_bytes(file, place, wanted, |bytes| {
            self.owner_of(bytes, place, hash, key)
        })
        .unwrap_or_else(Owner::Unknown)
    }

    fn owner_of(&self, bytes: &[u8], place: Place, hash: u64, key: &[u8]) -> Owner {
        let damaged = |reason| Owner::Unknown(self.corrupt(place, reason));
        let Some((head, found)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return damaged("record is shorter than its header");
        };
        let Ok(header) = Header::decode(head, place) else {
            return damaged("record header checksum does not match");
        };
        if header.space != Space::Plain
            || usize::from(header.key_bytes) != key.len()
            || header.key_hash != low_half(hash)
        {
            return Owner::Another;
        }
        if found == key {
            return Owner::Asked(header);
        }
        if key_hash(self.vault_id, Space::Plain, found) == header.key_hash {
            return Owner::Another;
        }
        damaged("key checksum does not match")
    }

    /// Whether the newest record of `key` is a value that counts, where there is one. A damaged
    /// one counts.
    pub(crate) fn resolve_live(&self, hash: u64, key: &[u8]) -> Option<bool> {
        let mut unknown = None;
        let candidates = self.index.candidates(hash);
        for (candidate, file) in candidates.iter().flat_map(Candidates::iter) {
            match self.owner(candidate.word, file, hash, key) {
                Owner::Asked(header) => return Some(!self.has_expired(header.expires_s)),
                Owner::Another => {}
                Owner::Unknown(_) => unknown = Some(true),
            }
        }
        unknown
    }

    /// Puts the value of the record into `value`, if it is one of `key`.
    fn value_if_of(
        &self,
        word: Word,
        file: &SegmentFile,
        hash: u64,
        key: &[u8],
        value: &mut Vec<u8>,
    ) -> Result<Look, VaultError> {
        let place = self.place(file.segment, word.offset());
        self.with_record(file, place, word, |bytes| {
            let asked = Some((key, low_half(hash)));
            let parts = record::open_record(bytes, place, asked)
                .map_err(|reason| self.corrupt(place, reason))?;
            if parts.key != key || parts.header.space != Space::Plain {
                return Ok(Look::Another);
            }
            self.admit_newest(Space::Plain, key, Some(parts.header.sequence))?;
            if self.has_expired(parts.header.expires_s) {
                return Ok(Look::Expired);
            }
            self.unpack(&parts, place, value)?;
            // What lies in mapped memory as it is cannot be had faster, and what is in doubt is read
            // again, so that it is judged.
            let works = parts.header.form() != Some(Form::Plain)
                || parts.header.flags & FLAG_SEALED != 0
                || file.map.is_none();
            if works && self.cache.is_on() && !self.any_losses {
                let at = (file.segment, word.offset());
                self.cache.offer(at, key, value, parts.header.expires_s);
            }
            Ok(Look::Value)
        })
    }

    /// Key and value of a plain record, if that has not expired at this time.
    pub(crate) fn entry_at(
        &self,
        files: &Files,
        word: Word,
        now_ms: u64,
    ) -> Result<Option<KeyValue>, VaultError> {
        let Some(file) = files.at(word.slot()) else {
            return Err(self.corrupt(self.place(0, word.offset()), "segment is missing"));
        };
        let place = self.place(file.segment, word.offset());
        self.with_record(file, place, word, |bytes| {
            let parts = self.open_record(bytes, place)?;
            self.admit_newest(Space::Plain, parts.key, Some(parts.header.sequence))?;
            if is_over(parts.header.expires_s, now_ms) {
                return Ok(None);
            }
            let mut value = Vec::new();
            self.unpack(&parts, place, &mut value)?;
            Ok(Some((parts.key.to_vec(), value)))
        })
    }

    /// Reads, verifies and unpacks the record of `key` at `entry`; the value and its expiry.
    pub(crate) fn read(
        &self,
        files: &Files,
        entry: &Entry,
        space: Space,
        key: &[u8],
    ) -> Result<(Vec<u8>, u32), VaultError> {
        let result = match files.get(entry.segment) {
            Some(file) => self.read_from(file, entry, space, key),
            None => {
                let place = self.place(entry.segment, entry.offset);
                Err(self.corrupt(place, "segment is missing"))
            }
        };
        match &result {
            Ok(_) => self.counters.reads.add(1),
            Err(_) => self.counters.reads_refused.add(1),
        }
        result
    }

    pub(crate) fn read_from(
        &self,
        file: &SegmentFile,
        entry: &Entry,
        space: Space,
        key: &[u8],
    ) -> Result<(Vec<u8>, u32), VaultError> {
        let place = self.place(entry.segment, entry.offset);
        let mut value = Vec::new();
        self.with_bytes(file, place, entry.bytes, |bytes| {
            let parts = self.open_record(bytes, place)?;
            if parts.key != key || parts.header.space != space {
                return Err(self.corrupt(place, "record holds another key"));
            }
            self.unpack(&parts, place, &mut value)?;
            Ok(parts.header.expires_s)
        })?
        .map(|expires_s| (value, expires_s))
    }

    /// Refuses an entry that damage concerns.
    pub(crate) fn admit(
        &self,
        space: Space,
        key: &[u8],
        entry: Option<&Entry>,
    ) -> Result<(), VaultError> {
        if let Some(entry) = entry
            && !entry.intact
        {
            self.counters.reads_refused.add(1);
            let place = self.place(entry.segment, entry.offset);
            return Err(self.corrupt(place, "value was found damaged"));
        }
        self.admit_newest(space, key, entry.map(|entry| entry.sequence))
    }

    /// Refuses a read whose newest known record has this sequence number, where a newer one may
    /// have been lost.
    pub(crate) fn admit_newest(
        &self,
        space: Space,
        key: &[u8],
        newest: Option<u64>,
    ) -> Result<(), VaultError> {
        if !self.any_losses {
            return Ok(());
        }
        let hash = key_hash(self.vault_id, space, key);
        let policy = self.options.uncertain_policy();
        let verdict = shared(&self.losses).admit(hash, newest, policy);
        if verdict.is_err() {
            self.counters.reads_refused.add(1);
        }
        verdict
    }

    pub(crate) fn place(&self, segment: u64, offset: u64) -> Place {
        Place {
            vault_id: self.vault_id,
            segment,
            offset,
        }
    }

    /// Shows all bytes of a record to `look`.
    fn with_record<R>(
        &self,
        file: &SegmentFile,
        place: Place,
        word: Word,
        look: impl FnOnce(&[u8]) -> Result<R, VaultError>,
    ) -> Result<R, VaultError> {
        let bytes = match word.bytes() {
            Some(bytes) => bytes,
            // Too long for the index to know: the header does.
            None => self
                .with_bytes(file, place, RECORD_HEADER_BYTES as u64, |head| {
                    let head = head.first_chunk::<RECORD_HEADER_BYTES>()?;
                    Some(Header::decode(head, place).ok()?.record_bytes())
                })?
                .ok_or_else(|| self.corrupt(place, "record header checksum does not match"))?,
        };
        self.with_bytes(file, place, bytes, look)?
    }

    /// Shows `count` bytes to `look`: from the log's buffer, from mapped memory, or from a copy
    /// that is read.
    fn with_bytes<R>(
        &self,
        file: &SegmentFile,
        place: Place,
        count: u64,
        look: impl FnOnce(&[u8]) -> R,
    ) -> Result<R, VaultError> {
        if let Some(tail) = &file.tail
            && place.offset >= tail.written()
            && let buffer = tail.read()
            && let Some(bytes) = buffer.get(place.offset, count)
        {
            return Ok(look(bytes));
        }
        if let Some(bytes) = file
            .map
            .as_ref()
            .and_then(|map| map.bytes(place.offset, count))
        {
            touch(bytes);
            return Ok(look(bytes));
        }
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        read_exact_at(&*file.file, place.offset, &mut bytes).map_err(|source| {
            if source.kind() == std::io::ErrorKind::UnexpectedEof {
                return self.corrupt(place, "file is shorter than the record");
            }
            self.medium
                .failed("read", &segment_name(place.segment), 0, source)
        })?;
        Ok(look(&bytes))
    }

    fn open_record<'a>(&self, bytes: &'a [u8], place: Place) -> Result<Parts<'a>, VaultError> {
        record::open_record(bytes, place, None).map_err(|reason| self.corrupt(place, reason))
    }

    /// Replaces what `value` holds by the value of a record, decrypted and decoded.
    fn unpack(
        &self,
        parts: &Parts<'_>,
        place: Place,
        value: &mut Vec<u8>,
    ) -> Result<(), VaultError> {
        match self.medium.sealer() {
            Some(sealer) => {
                let opened = sealer.open_value(&parts.header, parts.key, place, parts.stored);
                let opened = opened.ok_or_else(|| {
                    self.corrupt(place, "value is not one that this key encrypted")
                })?;
                decode(&parts.header, &opened, value)
            }
            None if parts.header.flags & FLAG_SEALED != 0 => {
                Err(self.corrupt(place, "value is encrypted"))
            }
            None => Self::unpack_plain(parts, value),
        }
    }

    /// As `unpack`, of a record that is not encrypted.
    pub(crate) fn unpack_plain(parts: &Parts<'_>, value: &mut Vec<u8>) -> Result<(), VaultError> {
        decode(&parts.header, parts.stored, value)
    }

    fn corrupt(&self, place: Place, reason: &'static str) -> VaultError {
        let file = self.medium.path(&segment_name(place.segment));
        VaultError::Corrupt {
            file,
            offset: place.offset,
            reason,
        }
    }
}

/// Replaces what `value` holds by what was stored, decoded.
fn decode(header: &Header, stored: &[u8], value: &mut Vec<u8>) -> Result<(), VaultError> {
    match header.form() {
        Some(form) => unpack_into(form, stored, header.raw_bytes, value),
        // The header was decoded, so its flags are known.
        None => {
            value.clear();
            Ok(())
        }
    }
}
