//! From a key to its newest record.
//!
//! The index holds no plain keys: a candidate's record is read and its key compared. A candidate
//! that cannot be read counts as the key's own, since hash and place say so: reading the key then
//! reports the damage, and writing it ends that.

use crate::error::VaultError;
use crate::index::{Candidate, Entry, Files, Word};
use crate::io::{StorageFile, read_exact_at};
use crate::log::record::{self, Header, Parts, Place, RECORD_HEADER_BYTES, key_hash};
use crate::log::{Space, segment_name};
use crate::vault::{Vault, shared};

/// Whose record a candidate is.
enum Owner {
    Asked(Header),
    Another,
    Unknown(VaultError),
}

impl Vault {
    /// The newest record of a plain key, whose value is not read; an error where damage makes
    /// that unknowable.
    pub(crate) fn find(&self, key: &[u8]) -> Result<Option<Entry>, VaultError> {
        let mut failure = None;
        for candidate in self.index.candidates(self.index.hash(key)) {
            match self.owner(&candidate, key) {
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
                    return Ok(Some(entry));
                }
                Owner::Another => {}
                Owner::Unknown(error) => failure = Some(error),
            }
        }
        self.absent_unless(failure, key).map(|()| None)
    }

    /// The value of a plain key.
    pub(crate) fn get_plain(&self, key: &[u8]) -> Result<Option<Vec<u8>>, VaultError> {
        let mut failure = None;
        for candidate in self.index.candidates(self.index.hash(key)) {
            match self.value_if_of(&candidate, key) {
                Ok(Some(value)) => {
                    self.counters.reads.add(1);
                    return Ok(Some(value));
                }
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
        }
        self.absent_unless(failure, key)?;
        self.counters.read_misses.add(1);
        Ok(None)
    }

    /// An error where a candidate could not be read or a loss may have been this key's.
    fn absent_unless(&self, failure: Option<VaultError>, key: &[u8]) -> Result<(), VaultError> {
        if let Some(error) = failure {
            self.counters.reads_refused.add(1);
            return Err(error);
        }
        self.admit(Space::Plain, key, None)
    }

    /// The candidate to replace when `key` is written, with its record's length in bytes.
    pub(crate) fn resolve(&self, hash: u64, key: &[u8]) -> Option<(Candidate, u64)> {
        let mut unknown = None;
        for candidate in self.index.candidates(hash) {
            match self.owner(&candidate, key) {
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

    /// Reads a candidate's header and key.
    fn owner(&self, candidate: &Candidate, key: &[u8]) -> Owner {
        let place = self.place(candidate.segment, candidate.word.offset());
        let wanted = (RECORD_HEADER_BYTES + key.len()) as u64;
        let wanted = candidate.word.bytes().map_or(wanted, |all| all.min(wanted));
        let bytes = match self.bytes_at(&*candidate.file, place, wanted) {
            Ok(bytes) => bytes,
            Err(error) => return Owner::Unknown(error),
        };
        let damaged = |reason| Owner::Unknown(self.corrupt(place, reason));
        let Some((head, found)) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>() else {
            return damaged("record is shorter than its header");
        };
        let Ok(header) = Header::decode(head, place) else {
            return damaged("record header checksum does not match");
        };
        if header.space != Space::Plain
            || usize::from(header.key_bytes) != key.len()
            || header.key_hash != key_hash(self.vault_id, Space::Plain, key)
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

    /// The candidate's value, if it is a record of `key`.
    fn value_if_of(
        &self,
        candidate: &Candidate,
        key: &[u8],
    ) -> Result<Option<Vec<u8>>, VaultError> {
        let place = self.place(candidate.segment, candidate.word.offset());
        let bytes = self.record_bytes(&*candidate.file, place, candidate.word)?;
        let parts = self.open_record(&bytes, place)?;
        if parts.key != key || parts.header.space != Space::Plain {
            return Ok(None);
        }
        let newest = Some(parts.header.sequence);
        self.admit_newest(Space::Plain, key, newest)?;
        self.unpack(&parts).map(Some)
    }

    /// Key and value of a plain record.
    pub(crate) fn entry_at(
        &self,
        files: &Files,
        word: Word,
    ) -> Result<(Vec<u8>, Vec<u8>), VaultError> {
        let Some((segment, file)) = files.at(word.slot()) else {
            return Err(self.corrupt(self.place(0, word.offset()), "segment is missing"));
        };
        let place = self.place(segment, word.offset());
        let bytes = self.record_bytes(&**file, place, word)?;
        let parts = self.open_record(&bytes, place)?;
        self.admit_newest(Space::Plain, parts.key, Some(parts.header.sequence))?;
        Ok((parts.key.to_vec(), self.unpack(&parts)?))
    }

    /// Reads, verifies and unpacks the record of `key` at `entry`.
    pub(crate) fn read(
        &self,
        files: &Files,
        entry: &Entry,
        space: Space,
        key: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let result = match files.get(entry.segment) {
            Some(file) => self.read_from(&**file, entry, space, key),
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
        file: &dyn StorageFile,
        entry: &Entry,
        space: Space,
        key: &[u8],
    ) -> Result<Vec<u8>, VaultError> {
        let place = self.place(entry.segment, entry.offset);
        let bytes = self.bytes_at(file, place, entry.bytes)?;
        let parts = self.open_record(&bytes, place)?;
        if parts.key != key || parts.header.space != space {
            return Err(self.corrupt(place, "record holds another key"));
        }
        self.unpack(&parts)
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
    fn admit_newest(
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

    fn place(&self, segment: u64, offset: u64) -> Place {
        Place {
            vault_id: self.vault_id,
            segment,
            offset,
        }
    }

    /// All bytes of a record; one read where the word knows its length, else two.
    fn record_bytes(
        &self,
        file: &dyn StorageFile,
        place: Place,
        word: Word,
    ) -> Result<Vec<u8>, VaultError> {
        if let Some(bytes) = word.bytes() {
            return self.bytes_at(file, place, bytes);
        }
        let head = self.bytes_at(file, place, RECORD_HEADER_BYTES as u64)?;
        let header = head
            .first_chunk::<RECORD_HEADER_BYTES>()
            .and_then(|head| Header::decode(head, place).ok());
        match header {
            Some(header) => self.bytes_at(file, place, header.record_bytes()),
            None => Err(self.corrupt(place, "record header checksum does not match")),
        }
    }

    fn bytes_at(
        &self,
        file: &dyn StorageFile,
        place: Place,
        count: u64,
    ) -> Result<Vec<u8>, VaultError> {
        let mut bytes = vec![0; usize::try_from(count).unwrap_or(usize::MAX)];
        read_exact_at(file, place.offset, &mut bytes).map_err(|source| {
            if source.kind() == std::io::ErrorKind::UnexpectedEof {
                return self.corrupt(place, "file is shorter than the record");
            }
            self.medium
                .failed("read", &segment_name(place.segment), 0, source)
        })?;
        Ok(bytes)
    }

    fn open_record<'a>(&self, bytes: &'a [u8], place: Place) -> Result<Parts<'a>, VaultError> {
        record::open_record(bytes, place).map_err(|reason| self.corrupt(place, reason))
    }

    fn unpack(&self, parts: &Parts<'_>) -> Result<Vec<u8>, VaultError> {
        if !parts.header.compressed() {
            return Ok(parts.stored.to_vec());
        }
        self.codec.unpack(parts.stored, parts.header.raw_bytes)
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
