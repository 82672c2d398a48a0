//! The frame of one record; `docs/formats/sigma-vault.md` has the field table.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

use crate::codec::Fields;

pub(crate) const RECORD_MAGIC: u32 = u32::from_le_bytes(*b"SVr1");
pub(crate) const RECORD_HEADER_BYTES: usize = 56;
/// Where the part of the header begins that its check covers.
const CHECKED_AT: usize = 8;
const CHECKED_BYTES: usize = RECORD_HEADER_BYTES - CHECKED_AT;
/// Records start at multiples of this many bytes.
pub(crate) const UNIT_BYTES: u64 = 8;

/// The value is in sigma-lang's record form.
pub(crate) const FLAG_COMPRESSED: u8 = 1;
/// The next record belongs to the same batch.
pub(crate) const FLAG_BATCH_MORE: u8 = 2;
/// The value is an LZ4 block.
pub(crate) const FLAG_LZ4: u8 = 4;
/// The value is encrypted, nonce before and tag behind it.
pub(crate) const FLAG_SEALED: u8 = 8;
const FLAGS_KNOWN: u8 = FLAG_COMPRESSED | FLAG_BATCH_MORE | FLAG_LZ4 | FLAG_SEALED;

const KIND_PUT: u8 = 1;
const KIND_DELETE: u8 = 2;
/// Kind and space of a value under a plain key.
const PLAIN_PUT: u8 = KIND_PUT | (Space::Plain as u8) << 4;

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    /// A sigma-lang record without its own checksum.
    SigmaLang,
    Lz4,
}

impl Form {
    pub(crate) fn flags(self) -> u8 {
        match self {
            Self::Plain => 0,
            Self::SigmaLang => FLAG_COMPRESSED,
            Self::Lz4 => FLAG_LZ4,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Put,
    Delete,
}

/// Key spaces: the same key in two of them names two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Space {
    /// Keys of `put`.
    Plain,
    /// Identifiers of RSUs: everything but the KV state.
    Rsu,
    /// KV states of RSUs.
    RsuKv,
}

impl Space {
    pub(crate) fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Plain),
            1 => Some(Self::Rsu),
            2 => Some(Self::RsuKv),
            _ => None,
        }
    }
}

/// Where a record lies; every checksum is bound to it, so that a misplaced record is no record.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) vault_id: u64,
    pub(crate) segment: u64,
    pub(crate) offset: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sequence: u64,
    pub(crate) value_check: u64,
    pub(crate) key_hash: u32,
    /// Of the record before this one in the segment, so that its loss can be attributed.
    pub(crate) prev_key_hash: u32,
    /// Length of that record in units; 0 for the first.
    pub(crate) prev_units: u32,
    /// How far back from this record the part of the segment lies that was not known to be
    /// durable when it was written.
    pub(crate) unsynced_units: u32,
    pub(crate) stored_bytes: u32,
    pub(crate) raw_bytes: u32,
    /// When the value expires, in seconds since 1970; 0 is never.
    pub(crate) expires_s: u32,
    pub(crate) key_bytes: u16,
    pub(crate) kind: Kind,
    pub(crate) space: Space,
    pub(crate) flags: u8,
}

/// Why bytes are not a record header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderFault {
    /// Magic or checksum does not match: not a record, or a damaged one.
    Damaged,
    /// A sound header of a kind that this version does not know.
    Unknown { what: &'static str, found: u32 },
}

impl Header {
    /// The whole record's length in bytes, padding included.
    pub(crate) fn record_bytes(&self) -> u64 {
        record_bytes(usize::from(self.key_bytes), u64::from(self.stored_bytes))
    }

    /// The length of value and padding, which `value_check` covers.
    pub(crate) fn value_region_bytes(&self) -> u64 {
        self.record_bytes() - RECORD_HEADER_BYTES as u64 - u64::from(self.key_bytes)
    }

    pub(crate) fn batch_goes_on(&self) -> bool {
        self.flags & FLAG_BATCH_MORE != 0
    }

    /// `None` where the flags contradict each other.
    pub(crate) fn form(&self) -> Option<Form> {
        match self.flags & (FLAG_COMPRESSED | FLAG_LZ4) {
            0 => Some(Form::Plain),
            FLAG_COMPRESSED => Some(Form::SigmaLang),
            FLAG_LZ4 => Some(Form::Lz4),
            _ => None,
        }
    }

    pub(crate) fn encode(&self, place: Place) -> [u8; RECORD_HEADER_BYTES] {
        let mut checked = [0; CHECKED_BYTES];
        checked[..8].copy_from_slice(&self.sequence.to_le_bytes());
        checked[8..16].copy_from_slice(&self.value_check.to_le_bytes());
        checked[16..20].copy_from_slice(&self.key_hash.to_le_bytes());
        checked[20..24].copy_from_slice(&self.prev_key_hash.to_le_bytes());
        checked[24..28].copy_from_slice(&self.prev_units.to_le_bytes());
        checked[28..32].copy_from_slice(&self.unsynced_units.to_le_bytes());
        checked[32..36].copy_from_slice(&self.stored_bytes.to_le_bytes());
        checked[36..40].copy_from_slice(&self.raw_bytes.to_le_bytes());
        checked[40..44].copy_from_slice(&self.expires_s.to_le_bytes());
        checked[44..46].copy_from_slice(&self.key_bytes.to_le_bytes());
        checked[46] = self.kind_and_space();
        checked[47] = self.flags;
        let mut header = [0; RECORD_HEADER_BYTES];
        header[..4].copy_from_slice(&RECORD_MAGIC.to_le_bytes());
        header[4..CHECKED_AT].copy_from_slice(&header_check(place, &checked).to_le_bytes());
        header[CHECKED_AT..].copy_from_slice(&checked);
        header
    }

    pub(crate) fn kind_and_space(&self) -> u8 {
        let kind = match self.kind {
            Kind::Put => KIND_PUT,
            Kind::Delete => KIND_DELETE,
        };
        kind | (self.space as u8) << 4
    }

    pub(crate) fn decode(
        bytes: &[u8; RECORD_HEADER_BYTES],
        place: Place,
    ) -> Result<Self, HeaderFault> {
        let mut fields = Fields::new(bytes);
        let parsed = Self::fields(&mut fields, bytes, place).ok_or(HeaderFault::Damaged)?;
        let (mut header, kind, flags) = parsed;
        header.kind = match kind & 0x0f {
            KIND_PUT => Kind::Put,
            KIND_DELETE => Kind::Delete,
            other => {
                return Err(HeaderFault::Unknown {
                    what: "record kind",
                    found: other.into(),
                });
            }
        };
        if header.kind == Kind::Delete && header.expires_s != 0 {
            return Err(HeaderFault::Unknown {
                what: "expiry of a removal",
                found: header.expires_s,
            });
        }
        let space = kind >> 4;
        header.space = Space::from_bits(space).ok_or(HeaderFault::Unknown {
            what: "key space",
            found: space.into(),
        })?;
        if flags & !FLAGS_KNOWN != 0 || header.form().is_none() {
            return Err(HeaderFault::Unknown {
                what: "record flags",
                found: flags.into(),
            });
        }
        Ok(header)
    }

    /// The fields in file order once magic and checksum hold; kind and space are still bits.
    fn fields(
        fields: &mut Fields<'_>,
        bytes: &[u8; RECORD_HEADER_BYTES],
        place: Place,
    ) -> Option<(Self, u8, u8)> {
        if fields.u32()? != RECORD_MAGIC {
            return None;
        }
        if fields.u32()? != header_check(place, bytes.last_chunk()?) {
            return None;
        }
        let mut header = Self {
            sequence: fields.u64()?,
            value_check: fields.u64()?,
            key_hash: fields.u32()?,
            prev_key_hash: fields.u32()?,
            prev_units: fields.u32()?,
            unsynced_units: fields.u32()?,
            stored_bytes: fields.u32()?,
            raw_bytes: fields.u32()?,
            expires_s: fields.u32()?,
            key_bytes: 0,
            kind: Kind::Put,
            space: Space::Plain,
            flags: 0,
        };
        header.key_bytes = fields.u16()?;
        let kind = fields.u8()?;
        header.flags = fields.u8()?;
        Some((header, kind, header.flags))
    }
}

/// The length in bytes of a record with these parts.
pub(crate) fn record_bytes(key_bytes: usize, stored_bytes: u64) -> u64 {
    (RECORD_HEADER_BYTES as u64 + key_bytes as u64 + stored_bytes).next_multiple_of(UNIT_BYTES)
}

/// Writes the parts one behind the other.
fn fill(mut target: &mut [u8], parts: &[&[u8]]) {
    for part in parts {
        let Some((head, tail)) = target.split_at_mut_checked(part.len()) else {
            return;
        };
        head.copy_from_slice(part);
        target = tail;
    }
}

fn header_check(place: Place, checked: &[u8; CHECKED_BYTES]) -> u32 {
    let mut bytes = [0; 16 + CHECKED_BYTES];
    bytes[..8].copy_from_slice(&place.segment.to_le_bytes());
    bytes[8..16].copy_from_slice(&place.offset.to_le_bytes());
    bytes[16..].copy_from_slice(checked);
    low_half(xxh3_64_with_seed(&bytes, place.vault_id))
}

/// The hash by which a key is checked and its loss attributed.
pub(crate) fn key_hash(vault_id: u64, space: Space, key: &[u8]) -> u32 {
    low_half(key_hash_whole(vault_id, space, key))
}

/// All 64 bits of the hash of which records hold 32.
pub(crate) fn key_hash_whole(vault_id: u64, space: Space, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, vault_id ^ (space as u64 + 1))
}

/// Longer inputs are worth the look at what the processor can do.
const DISPATCHED_BYTES_MIN: usize = 512;

/// The checksum of value and padding: `xxh3` without seed, by the widest instructions there are.
pub(crate) fn value_check(region: &[u8]) -> u64 {
    if region.len() < DISPATCHED_BYTES_MIN {
        xxh3_64(region)
    } else {
        twox_hash::XxHash3_64::oneshot(region)
    }
}

/// A running checksum over value and padding. It needs no seed: the header that holds it is bound
/// to its vault, segment and offset.
pub(crate) fn value_hasher() -> Xxh3 {
    Xxh3::new()
}

/// The half of a key's hash that records hold.
pub(crate) fn low_half(hash: u64) -> u32 {
    let [a, b, c, d, ..] = hash.to_le_bytes();
    u32::from_le_bytes([a, b, c, d])
}

/// The parts of a whole, verified record.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) header: Header,
    pub(crate) key: &'a [u8],
    pub(crate) stored: &'a [u8],
}

/// Verifies every checksum of the record in `bytes`; the error says which one failed. Where the
/// record's key is the one `asked` for, its hash is known and not worked out again.
pub(crate) fn open_record<'a>(
    bytes: &'a [u8],
    place: Place,
    asked: Option<(&[u8], u32)>,
) -> Result<Parts<'a>, &'static str> {
    let mut fields = Fields::new(bytes);
    let head = fields
        .bytes(RECORD_HEADER_BYTES)
        .and_then(<[u8]>::first_chunk::<RECORD_HEADER_BYTES>)
        .ok_or("record is shorter than its header")?;
    let header =
        Header::decode(head, place).map_err(|_| "record header checksum does not match")?;
    if header.record_bytes() != bytes.len() as u64 {
        return Err("record length does not match the index");
    }
    let key = fields
        .bytes(header.key_bytes.into())
        .ok_or("record is shorter than its key")?;
    let hash = match asked {
        Some((asked, hash)) if asked == key && header.space == Space::Plain => hash,
        _ => key_hash(place.vault_id, header.space, key),
    };
    if hash != header.key_hash {
        return Err("key checksum does not match");
    }
    let region = fields.bytes(fields.remaining()).unwrap_or_default();
    if value_check(region) != header.value_check {
        return Err("value checksum does not match");
    }
    let stored = usize::try_from(header.stored_bytes)
        .ok()
        .and_then(|count| region.get(..count))
        .ok_or("record is shorter than its value")?;
    Ok(Parts {
        header,
        key,
        stored,
    })
}

/// What an ordinary record of a key stores.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ordinary<'a> {
    pub(crate) form: Form,
    pub(crate) stored: &'a [u8],
    pub(crate) raw_bytes: u32,
}

/// As [`open_record`], for the record of an asked plain key with this hash, whose value does not
/// expire and is not encrypted; `None` for any other, sound or not.
#[inline]
pub(crate) fn open_ordinary<'a>(
    bytes: &'a [u8],
    place: Place,
    key: &[u8],
    hash: u32,
) -> Option<Ordinary<'a>> {
    let (head, behind) = bytes.split_first_chunk::<RECORD_HEADER_BYTES>()?;
    let (start, checked) = head.split_first_chunk::<CHECKED_AT>()?;
    let checked = checked.first_chunk::<CHECKED_BYTES>()?;
    let [m0, m1, m2, m3, c0, c1, c2, c3] = *start;
    let found = u32::from_le_bytes([c0, c1, c2, c3]);
    if u32::from_le_bytes([m0, m1, m2, m3]) != RECORD_MAGIC || found != header_check(place, checked)
    {
        return None;
    }
    let mut fields = Fields::new(checked);
    let (_sequence, check) = (fields.u64()?, fields.u64()?);
    let key_hash = fields.u32()?;
    let _links: [u8; 12] = fields.array()?;
    let (stored_bytes, raw_bytes, expires_s) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let (key_bytes, kind, flags) = (fields.u16()?, fields.u8()?, fields.u8()?);
    let form = match flags & !FLAG_BATCH_MORE {
        0 => Form::Plain,
        FLAG_COMPRESSED => Form::SigmaLang,
        FLAG_LZ4 => Form::Lz4,
        _ => return None,
    };
    if kind != PLAIN_PUT
        || expires_s != 0
        || key_hash != hash
        || usize::from(key_bytes) != key.len()
        || record_bytes(key.len(), stored_bytes.into()) != bytes.len() as u64
    {
        return None;
    }
    let (found, region) = behind.split_at_checked(key.len())?;
    if found != key || value_check(region) != check {
        return None;
    }
    let stored = region.get(..usize::try_from(stored_bytes).ok()?)?;
    Some(Ordinary {
        form,
        stored,
        raw_bytes,
    })
}

/// Everything about a record to be written that does not depend on where it goes.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    pub(crate) kind: Kind,
    pub(crate) space: Space,
    pub(crate) key: &'a [u8],
    pub(crate) stored: &'a [u8],
    pub(crate) raw_bytes: u32,
    pub(crate) expires_s: u32,
    pub(crate) flags: u8,
    pub(crate) checks: Checks,
}

/// What a record holds about its key and value; wants no lock to be worked out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Checks {
    /// All of the key's hash, by which the index goes.
    pub(crate) key_hash_whole: u64,
    value_check: u64,
}

impl Checks {
    pub(crate) fn new(vault_id: u64, space: Space, key: &[u8], stored: &[u8]) -> Self {
        let used = (RECORD_HEADER_BYTES + key.len() + stored.len()) as u64;
        let padding = usize::try_from(used.next_multiple_of(UNIT_BYTES) - used).unwrap_or(0);
        let padding = PADDING.get(..padding).unwrap_or_default();
        let mut small = [0; SMALL_BYTES + PADDING.len()];
        let value_check = if padding.is_empty() {
            value_check(stored)
        } else if let Some(region) = small.get_mut(..stored.len() + padding.len()) {
            fill(region, &[stored, padding]);
            value_check(region)
        } else {
            let mut hasher = value_hasher();
            hasher.update(stored);
            hasher.update(padding);
            hasher.digest()
        };
        Self {
            key_hash_whole: key_hash_whole(vault_id, space, key),
            value_check,
        }
    }
}

const PADDING: [u8; 8] = [0; 8];
/// Up to this length a copy with its padding is faster than a running checksum.
const SMALL_BYTES: usize = 1024;

/// The writer's position, as far as a record holds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Links {
    pub(crate) sequence: u64,
    pub(crate) prev_key_hash: u32,
    pub(crate) prev_units: u32,
    pub(crate) unsynced_units: u32,
}

/// Appends the framed record to `out` and returns its header. Lengths were checked by the caller.
pub(crate) fn append_record(
    out: &mut Vec<u8>,
    draft: &Draft<'_>,
    links: Links,
    place: Place,
) -> Header {
    let key_bytes = u16::try_from(draft.key.len()).unwrap_or(u16::MAX);
    let stored_bytes = u32::try_from(draft.stored.len()).unwrap_or(u32::MAX);
    let total = record_bytes(draft.key.len(), draft.stored.len() as u64);
    let used = (RECORD_HEADER_BYTES + draft.key.len() + draft.stored.len()) as u64;
    let padding = usize::try_from(total - used).unwrap_or(0);
    let padding = PADDING.get(..padding).unwrap_or_default();
    let header = Header {
        sequence: links.sequence,
        value_check: draft.checks.value_check,
        key_hash: low_half(draft.checks.key_hash_whole),
        prev_key_hash: links.prev_key_hash,
        prev_units: links.prev_units,
        unsynced_units: links.unsynced_units,
        stored_bytes,
        raw_bytes: draft.raw_bytes,
        expires_s: draft.expires_s,
        key_bytes,
        kind: draft.kind,
        space: draft.space,
        flags: draft.flags,
    };
    out.extend_from_slice(&header.encode(place));
    out.extend_from_slice(draft.key);
    out.extend_from_slice(draft.stored);
    out.extend_from_slice(padding);
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = Place {
        vault_id: 99,
        segment: 3,
        offset: 4096,
    };
    const LINKS: Links = Links {
        sequence: 12,
        prev_key_hash: 7,
        prev_units: 9,
        unsynced_units: 11,
    };

    fn sample(value: &[u8]) -> Vec<u8> {
        let draft = Draft {
            kind: Kind::Put,
            space: Space::Rsu,
            key: b"the key",
            stored: value,
            raw_bytes: u32::try_from(value.len()).unwrap(),
            expires_s: 99,
            flags: FLAG_BATCH_MORE,
            checks: Checks::new(PLACE.vault_id, Space::Rsu, b"the key", value),
        };
        let mut out = Vec::new();
        append_record(&mut out, &draft, LINKS, PLACE);
        out
    }

    #[test]
    fn round_trip_at_every_padding() {
        for length in 0..40 {
            let value = vec![0xa5; length];
            let bytes = sample(&value);
            assert_eq!(bytes.len() % 8, 0);
            let parts = open_record(&bytes, PLACE, None).unwrap();
            assert_eq!(parts.key, b"the key");
            assert_eq!(parts.stored, value);
            assert_eq!((parts.header.sequence, parts.header.expires_s), (12, 99));
            assert_eq!(parts.header.space, Space::Rsu);
            assert!(parts.header.batch_goes_on());
            assert_eq!(parts.header.record_bytes(), bytes.len() as u64);
        }
    }

    #[test]
    fn every_way_to_the_value_check_is_one() {
        let bytes: Vec<u8> = (0..9000_u32).map(|n| n.to_le_bytes()[0] ^ 0x5c).collect();
        for length in (0..1200).chain([4095, 4096, 8192, 9000]) {
            let mut hasher = value_hasher();
            hasher.update(&bytes[..length]);
            assert_eq!(value_check(&bytes[..length]), hasher.digest(), "{length}");
            hasher.update(&PADDING[..(8 - (length + 1) % 8) % 8]);
            let checks = Checks::new(1, Space::Plain, b"k", &bytes[..length]);
            assert_eq!(checks.value_check, hasher.digest(), "{length}");
        }
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let bytes = sample(b"thirteen byte");
        for position in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[position / 8] ^= 1 << (position % 8);
            assert!(
                open_record(&damaged, PLACE, None).is_err(),
                "bit {position}"
            );
        }
    }

    #[test]
    fn a_record_is_valid_in_its_place_only() {
        let bytes = sample(b"value");
        for place in [
            Place {
                offset: 4104,
                ..PLACE
            },
            Place {
                segment: 4,
                ..PLACE
            },
            Place {
                vault_id: 98,
                ..PLACE
            },
        ] {
            assert!(open_record(&bytes, place, None).is_err());
        }
    }

    #[test]
    fn unknown_fields_are_told_apart_from_damage() {
        let mut bytes = [0_u8; RECORD_HEADER_BYTES];
        bytes.copy_from_slice(&sample(b"")[..RECORD_HEADER_BYTES]);
        let seal = |bytes: &mut [u8; RECORD_HEADER_BYTES]| {
            let check = header_check(PLACE, bytes[8..].first_chunk().unwrap()).to_le_bytes();
            bytes[4..8].copy_from_slice(&check);
        };
        for (position, value, what) in [
            (54, 0x0f, "record kind"),
            (54, 0x02, "expiry of a removal"),
            (54, 0xf1, "key space"),
            (55, 0x80, "record flags"),
        ] {
            let mut other = bytes;
            other[position] = value;
            assert_eq!(Header::decode(&other, PLACE), Err(HeaderFault::Damaged));
            seal(&mut other);
            match Header::decode(&other, PLACE) {
                Err(HeaderFault::Unknown { what: found, .. }) => assert_eq!(found, what),
                other => panic!("{what}: {other:?}"),
            }
        }
    }
}
