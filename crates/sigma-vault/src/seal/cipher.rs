//! Sealing and opening values, and authenticating the index snapshot.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};

use chacha20poly1305::aead::AeadInOut;
use chacha20poly1305::{KeyInit, Tag, XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use sha2::Sha256;
use xxhash_rust::xxh3::xxh3_64;
use zeroize::Zeroizing;

use super::{EncryptionKey, SealHead};
use crate::error::VaultError;
use crate::log::record::{FLAG_BATCH_MORE, FLAG_SEALED, Header, Place, RECORD_HEADER_BYTES};

const NONCE_BYTES: usize = 24;
const TAG_BYTES: usize = 16;

/// The keys of one vault; clears them when dropped.
pub(crate) struct Sealer {
    values: XChaCha20Poly1305,
    index: XChaCha20Poly1305,
    /// Random, drawn when the vault was opened.
    salt: [u8; 16],
    count: AtomicU64,
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer")
    }
}

impl Sealer {
    /// The sealer of a new vault and what its files have to say.
    pub(crate) fn create(
        key: &EncryptionKey,
        vault_id: u64,
        vault_salt: [u8; 8],
        nonce_salt: [u8; 16],
    ) -> Result<(Self, SealHead), VaultError> {
        let mut head = SealHead {
            method: key.method(),
            salt: vault_salt,
            check: [0; 8],
        };
        let Some((sealer, check)) = Self::derive(key, vault_id, head, nonce_salt)? else {
            unreachable!("the method is the key's own");
        };
        head.check = check;
        Ok((sealer, head))
    }

    /// The sealer of the vault in `dir` that says `head` of its key.
    pub(crate) fn open(
        key: &EncryptionKey,
        dir: PathBuf,
        vault_id: u64,
        head: SealHead,
        nonce_salt: [u8; 16],
    ) -> Result<Self, VaultError> {
        match Self::derive(key, vault_id, head, nonce_salt)? {
            Some((sealer, check)) if check == head.check => Ok(sealer),
            _ => Err(VaultError::WrongKey { dir }),
        }
    }

    /// HKDF-SHA-256 (RFC 5869) of the caller's secret, salted with what is the vault's own.
    fn derive(
        key: &EncryptionKey,
        vault_id: u64,
        head: SealHead,
        nonce_salt: [u8; 16],
    ) -> Result<Option<(Self, [u8; 8])>, VaultError> {
        let mut salt = vault_id.to_le_bytes().to_vec();
        salt.extend_from_slice(&head.salt);
        let Some(root) = key.root(head.method, &salt)? else {
            return Ok(None);
        };
        let derived = Hkdf::<Sha256>::new(Some(&salt), &root[..]);
        let expand = |info: &[u8], out: &mut [u8]| {
            if derived.expand(info, out).is_err() {
                unreachable!("a key is far shorter than what HKDF gives at most");
            }
        };
        let cipher = |info: &[u8]| {
            let mut bytes = Zeroizing::new([0; 32]);
            expand(info, &mut bytes[..]);
            XChaCha20Poly1305::new((&*bytes).into())
        };
        let mut check = [0; 8];
        expand(b"sigma-vault check", &mut check);
        let sealer = Self {
            values: cipher(b"sigma-vault values"),
            index: cipher(b"sigma-vault index"),
            salt: nonce_salt,
            count: AtomicU64::new(0),
        };
        Ok(Some((sealer, check)))
    }

    fn nonce(&self) -> [u8; NONCE_BYTES] {
        let mut nonce = [0; NONCE_BYTES];
        let count = self.count.fetch_add(1, Ordering::Relaxed).to_le_bytes();
        for (target, source) in nonce.iter_mut().zip(self.salt.iter().chain(&count)) {
            *target = *source;
        }
        nonce
    }

    /// Makes room around a value for [`seal_record`](Self::seal_record): nonce before, tag behind.
    pub(crate) fn wrap(&self, value: &[u8]) -> Vec<u8> {
        let mut wrapped = Vec::with_capacity(NONCE_BYTES + value.len() + TAG_BYTES);
        wrapped.extend_from_slice(&self.nonce());
        wrapped.extend_from_slice(value);
        wrapped.extend_from_slice(&[0; TAG_BYTES]);
        wrapped
    }

    /// Encrypts the wrapped value of a framed record where it lies, and frames it anew.
    pub(crate) fn seal_record(
        &self,
        record: &mut [u8],
        mut header: Header,
        place: Place,
    ) -> Header {
        header.flags |= FLAG_SEALED;
        let key_end = RECORD_HEADER_BYTES + usize::from(header.key_bytes);
        let stored_bytes = usize::try_from(header.stored_bytes).unwrap_or(usize::MAX);
        let parts = record.split_at_mut_checked(key_end);
        let Some((front, region)) = parts else {
            unreachable!("a record holds its key");
        };
        let bound = binding(&header, front.get(RECORD_HEADER_BYTES..), place);
        let wrapped = region.get_mut(..stored_bytes);
        let sealed = wrapped
            .and_then(|wrapped| wrapped.split_first_chunk_mut::<NONCE_BYTES>())
            .and_then(|(nonce, rest)| Some((nonce, rest.split_last_chunk_mut::<TAG_BYTES>()?)))
            .and_then(|(nonce, (value, tag))| {
                let made = self
                    .values
                    .encrypt_inout_detached(&XNonce::from(*nonce), &bound, value.into())
                    .ok()?;
                tag.copy_from_slice(&made);
                Some(())
            });
        if sealed.is_none() {
            unreachable!("the value was wrapped and is shorter than the cipher's limit");
        }
        header.value_check = xxh3_64(region);
        if let Some(head) = front.first_chunk_mut::<RECORD_HEADER_BYTES>() {
            *head = header.encode(place);
        }
        header
    }

    /// The value that was wrapped and sealed; `None` where these are not the bytes, the key, the
    /// place or the encryption key.
    pub(crate) fn open_value(
        &self,
        header: &Header,
        key: &[u8],
        place: Place,
        sealed: &[u8],
    ) -> Option<Vec<u8>> {
        if header.flags & FLAG_SEALED == 0 {
            return None;
        }
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_BYTES>()?;
        let (value, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        let bound = binding(header, Some(key), place);
        let mut value = value.to_vec();
        self.values
            .decrypt_inout_detached(
                &XNonce::from(*nonce),
                &bound,
                value.as_mut_slice().into(),
                &Tag::from(*tag),
            )
            .ok()?;
        Some(value)
    }

    /// What is to be written behind bytes that nobody but this vault may have written.
    pub(crate) fn authenticate(&self, bytes: &[u8]) -> Vec<u8> {
        let nonce = self.nonce();
        let tag = self.index.encrypt_inout_detached(
            &XNonce::from(nonce),
            bytes,
            (&mut [] as &mut [u8]).into(),
        );
        let Ok(tag) = tag else {
            unreachable!("an index is far shorter than the cipher's limit");
        };
        let mut behind = nonce.to_vec();
        behind.extend_from_slice(&tag);
        behind
    }

    /// The bytes before what [`authenticate`](Self::authenticate) made, if that fits.
    pub(crate) fn authentic<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (rest, tag) = bytes.split_last_chunk::<TAG_BYTES>()?;
        let (body, nonce) = rest.split_last_chunk::<NONCE_BYTES>()?;
        let none: &mut [u8] = &mut [];
        let (nonce, tag) = (XNonce::from(*nonce), Tag::from(*tag));
        let checked = self
            .index
            .decrypt_inout_detached(&nonce, body, none.into(), &tag);
        checked.ok().map(|()| body)
    }
}

/// What a value's tag covers beside the value. Not whether its batch goes on: compaction takes
/// batches apart.
fn binding(header: &Header, key: Option<&[u8]>, place: Place) -> Vec<u8> {
    let key = key.unwrap_or_default();
    let mut bytes = Vec::with_capacity(48 + key.len());
    for number in [place.vault_id, place.segment, place.offset, header.sequence] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&header.raw_bytes.to_le_bytes());
    bytes.extend_from_slice(&header.expires_s.to_le_bytes());
    let flags = header.flags & !FLAG_BATCH_MORE;
    bytes.extend_from_slice(&[header.kind_and_space(), flags]);
    bytes.extend_from_slice(&header.key_bytes.to_le_bytes());
    bytes.extend_from_slice(key);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::record::{Checks, Draft, Form, Links, append_record, open_record};
    use crate::log::{Kind, Space};

    const PLACE: Place = Place {
        vault_id: 9,
        segment: 3,
        offset: 640,
    };

    fn sealer(key: u8, nonce_salt: u8) -> Sealer {
        let key = EncryptionKey::raw([key; 32]);
        Sealer::create(&key, 9, [1; 8], [nonce_salt; 16]).unwrap().0
    }

    /// A framed and sealed record of `value`.
    fn record(sealer: &Sealer, value: &[u8]) -> Vec<u8> {
        let stored = sealer.wrap(value);
        let draft = Draft {
            kind: Kind::Put,
            space: Space::Plain,
            key: b"key",
            stored: &stored,
            raw_bytes: u32::try_from(value.len()).unwrap(),
            expires_s: 5,
            flags: FLAG_BATCH_MORE | Form::Plain.flags(),
            checks: Checks::new(9, Space::Plain, b"key", &stored),
        };
        let links = Links {
            sequence: 7,
            prev_key_hash: 0,
            prev_units: 0,
            unsynced_units: 0,
        };
        let mut out = Vec::new();
        let header = append_record(&mut out, &draft, links, PLACE);
        sealer.seal_record(&mut out, header, PLACE);
        out
    }

    #[test]
    fn a_sealed_record_opens_as_what_it_is_and_as_nothing_else() {
        let ours = sealer(1, 1);
        for length in [0, 1, 13, 5000] {
            let value = vec![0x5a; length];
            let bytes = record(&ours, &value);
            let parts = open_record(&bytes, PLACE, None).unwrap();
            let (header, sealed) = (parts.header, parts.stored);
            let open = |header: &Header, key: &[u8], place, sealed: &[u8]| {
                ours.open_value(header, key, place, sealed)
            };
            assert_eq!(open(&header, b"key", PLACE, sealed), Some(value.clone()));
            // A batch may be taken apart, nothing else may differ.
            let mut alone = header;
            alone.flags &= !FLAG_BATCH_MORE;
            assert_eq!(open(&alone, b"key", PLACE, sealed), Some(value));
            let changes: [fn(&mut Header); 7] = [
                |header| header.sequence += 1,
                |header| header.expires_s += 1,
                |header| header.raw_bytes += 1,
                |header| header.space = Space::Rsu,
                |header| header.kind = Kind::Delete,
                |header| header.flags |= Form::Lz4.flags(),
                |header| header.flags &= !FLAG_SEALED,
            ];
            for change in changes {
                let mut other = header;
                change(&mut other);
                assert_eq!(open(&other, b"key", PLACE, sealed), None);
            }
            assert_eq!(open(&header, b"kez", PLACE, sealed), None);
            for (segment, offset) in [(4, 640), (3, 648)] {
                let place = Place {
                    segment,
                    offset,
                    ..PLACE
                };
                assert_eq!(open(&header, b"key", place, sealed), None);
            }
            for position in 0..sealed.len().min(80) {
                let mut other = sealed.to_vec();
                other[position] ^= 4;
                assert_eq!(open(&header, b"key", PLACE, &other), None, "{position}");
                assert_eq!(open(&header, b"key", PLACE, &sealed[..position]), None);
            }
            assert_eq!(
                sealer(2, 1).open_value(&header, b"key", PLACE, sealed),
                None
            );
        }
    }

    #[test]
    fn no_nonce_comes_twice() {
        let (one, other) = (sealer(1, 1), sealer(1, 2));
        let mut seen = std::collections::HashSet::new();
        for _ in 0..1000 {
            assert!(seen.insert(one.nonce()) && seen.insert(other.nonce()));
        }
    }

    #[test]
    fn authentic_bytes_are_told_from_others() {
        let ours = sealer(1, 1);
        let mut bytes = b"an index".to_vec();
        bytes.extend_from_slice(&ours.authenticate(&bytes));
        assert_eq!(ours.authentic(&bytes), Some(&b"an index"[..]));
        assert_eq!(sealer(2, 1).authentic(&bytes), None);
        for position in 0..bytes.len() {
            let mut other = bytes.clone();
            other[position] ^= 1;
            assert_eq!(ours.authentic(&other), None);
            assert_eq!(ours.authentic(&bytes[..position]), None);
        }
    }
}
