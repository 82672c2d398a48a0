//! Writes on their way in, before they have a place: checked, compressed, and with their checksums.
//! All of that is done without a lock.

use std::borrow::Cow;
use std::cell::Cell;

use crate::batch::Batch;
use crate::error::VaultError;
use crate::log::record::{Checks, Form};
use crate::log::{Kind, Pending, Space};
use crate::options::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::vault::Vault;

impl Vault {
    /// Checks and compresses one write; holds no lock.
    pub(crate) fn encode<'a>(
        &self,
        kind: Kind,
        space: Space,
        key: &'a [u8],
        value: &'a [u8],
    ) -> Result<Pending<'a>, VaultError> {
        let raw_bytes = checked_lengths(key, value)?;
        let (stored, form) = self.codec.pack(value)?;
        Ok(self.pending(kind, space, key, (stored, form), raw_bytes))
    }

    /// As [`encode`](Self::encode), into an empty buffer that is used again.
    pub(crate) fn encode_onto<'a>(
        &self,
        (kind, space): (Kind, Space),
        key: &'a [u8],
        value: &'a [u8],
        packed: &'a mut Vec<u8>,
    ) -> Result<Pending<'a>, VaultError> {
        let raw_bytes = checked_lengths(key, value)?;
        let stored = match self.codec.pack_onto(value, packed)? {
            Form::Plain => (value.into(), Form::Plain),
            form => (packed.as_slice().into(), form),
        };
        Ok(self.pending(kind, space, key, stored, raw_bytes))
    }

    /// As [`encode`](Self::encode), of all writes of a batch; what is compressed goes behind what
    /// `packed` holds.
    pub(crate) fn encode_batch<'a>(
        &self,
        batch: &'a Batch,
        packed: &'a mut Vec<u8>,
    ) -> Result<Vec<Pending<'a>>, VaultError> {
        let mut forms = Vec::with_capacity(batch.len());
        for write in batch.iter() {
            let raw_bytes = checked_lengths(write.key, write.value)?;
            let start = packed.len();
            let form = self.codec.pack_onto(write.value, packed)?;
            forms.push((raw_bytes, form, start..packed.len()));
        }
        let packed = &*packed;
        let pending = batch.iter().zip(forms);
        let pending = pending.map(|(write, (raw_bytes, form, range))| {
            let stored = match form {
                Form::Plain => write.value,
                _ => packed.get(range).unwrap_or_default(),
            };
            let stored = (stored.into(), form);
            let mut pending = self.pending(write.kind, Space::Plain, write.key, stored, raw_bytes);
            if let Some(ttl) = write.ttl {
                pending.expires_s = self.expires_in(ttl)?;
            }
            Ok(pending)
        });
        pending.collect()
    }

    /// A write whose value is as it will be stored, but for encryption.
    fn pending<'a>(
        &self,
        kind: Kind,
        space: Space,
        key: &'a [u8],
        (mut stored, form): (Cow<'a, [u8]>, Form),
        raw_bytes: u32,
    ) -> Pending<'a> {
        if kind == Kind::Put
            && let Some(sealer) = self.medium.sealer()
        {
            stored = sealer.wrap(&stored).into();
        }
        let checks = Checks::new(self.vault_id, space, key, &stored);
        Pending {
            kind,
            space,
            key,
            stored,
            raw_bytes,
            expires_s: 0,
            form,
            checks,
        }
    }
}

/// The length of `value`, if both may be stored.
fn checked_lengths(key: &[u8], value: &[u8]) -> Result<u32, VaultError> {
    if key.len() > KEY_BYTES_MAX {
        return Err(VaultError::KeyTooLong {
            bytes: key.len(),
            bytes_max: KEY_BYTES_MAX,
        });
    }
    let length = u32::try_from(value.len()).ok();
    let length = length.filter(|_| value.len() <= VALUE_BYTES_MAX);
    length.ok_or(VaultError::ValueTooLong {
        bytes: value.len(),
        bytes_max: VALUE_BYTES_MAX,
    })
}

/// Lends this thread's buffer for compressed values, empty.
pub(crate) fn with_scratch<R>(run: impl FnOnce(&mut Vec<u8>) -> R) -> R {
    /// A larger buffer is given back after use.
    const KEPT_BYTES: usize = 1 << 20;
    thread_local! {
        static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    }
    let mut scratch = SCRATCH.take();
    let result = run(&mut scratch);
    if scratch.capacity() <= KEPT_BYTES {
        scratch.clear();
        SCRATCH.set(scratch);
    }
    result
}
