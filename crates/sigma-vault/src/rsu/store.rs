//! RSU operations of the vault.

use std::time::Duration;

use crate::error::VaultError;
use crate::log::{Kind, Space, segment_name};
use crate::options::Durability;
use crate::vault::{Vault, exclusive, held, shared};

use super::{HotUnit, Rsu, Signature, codec};

impl Vault {
    /// Stores `rsu` under `id`, replacing what was there, KV state included; all or nothing.
    ///
    /// Cost: one signature if the unit has none, one atomic batch of two records, one insertion
    /// into the similarity index.
    ///
    /// # Errors
    /// As for [`put`](Self::put); [`VaultError::Similarity`] for a signature of another kind than
    /// [`Signature::of_tokens`] makes.
    pub fn put_rsu(&self, id: &[u8], rsu: &Rsu, durability: Durability) -> Result<(), VaultError> {
        self.put_unit(id, rsu, 0, durability)
    }

    /// As [`put_rsu`](Self::put_rsu), for a unit that [expires](Self::put_with_ttl).
    ///
    /// # Errors
    /// As for [`put_rsu`](Self::put_rsu) and [`put_with_ttl`](Self::put_with_ttl).
    pub fn put_rsu_with_ttl(
        &self,
        id: &[u8],
        rsu: &Rsu,
        ttl: Duration,
        durability: Durability,
    ) -> Result<(), VaultError> {
        self.put_unit(id, rsu, self.expires_in(ttl)?, durability)
    }

    fn put_unit(
        &self,
        id: &[u8],
        rsu: &Rsu,
        expires_s: u32,
        durability: Durability,
    ) -> Result<(), VaultError> {
        let signature = match &rsu.signature {
            Some(signature) => signature.clone(),
            None => Signature::of_tokens(&rsu.tokens)?,
        };
        let value = codec::encode(rsu, &signature);
        let body = self.encode(Kind::Put, Space::Rsu, id, &value)?;
        let mut writes = vec![body];
        if let Some(kv) = &rsu.kv {
            writes.push(self.encode(Kind::Put, Space::RsuKv, id, kv)?);
        }
        for write in &mut writes {
            write.expires_s = expires_s;
        }
        let sequence = {
            // Held across the append, so that index and log agree on the last writer of an id.
            let mut index = exclusive(&self.rsu);
            index.check(&signature)?;
            if rsu.kv.is_none()
                && self
                    .index
                    .keyed(|table, _| table.get(Space::RsuKv, id))
                    .is_some()
            {
                writes.push(self.encode(Kind::Delete, Space::RsuKv, id, &[])?);
            }
            let sequence = self.append(&writes, durability)?;
            index.insert(id, &signature, &rsu.tokens, expires_s)?;
            sequence
        };
        self.make_durable(sequence, durability)
    }

    /// The unit stored under `id`, KV state included, or `None`.
    ///
    /// # Errors
    /// As for [`get`](Self::get).
    pub fn get_rsu(&self, id: &[u8]) -> Result<Option<Rsu>, VaultError> {
        let (files, body, kv) = self.index.keyed(|table, files| {
            let body = table.get(Space::Rsu, id);
            (files.clone(), body, table.get(Space::RsuKv, id))
        });
        self.admit(Space::Rsu, id, body.as_ref())?;
        let Some(entry) = body else { return Ok(None) };
        let (bytes, expires_s) = self.read(&files, &entry, Space::Rsu, id)?;
        if self.has_expired(expires_s) {
            return Ok(None);
        }
        let Some((mut rsu, has_kv)) = codec::decode(&bytes) else {
            return Err(VaultError::Corrupt {
                file: self.medium.path(&segment_name(entry.segment)),
                offset: entry.offset,
                reason: "value is not an rsu of a known version",
            });
        };
        if has_kv {
            self.admit(Space::RsuKv, id, kv.as_ref())?;
            let Some(entry) = kv else {
                return Err(VaultError::Corrupt {
                    file: self.medium.path(&segment_name(entry.segment)),
                    offset: entry.offset,
                    reason: "the kv state of this rsu is missing",
                });
            };
            rsu.kv = Some(self.read(&files, &entry, Space::RsuKv, id)?.0);
        }
        held(&self.hot).read(id);
        Ok(Some(rsu))
    }

    /// Removes the unit under `id`; returns whether it was there.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub fn delete_rsu(&self, id: &[u8], durability: Durability) -> Result<bool, VaultError> {
        let body = self.encode(Kind::Delete, Space::Rsu, id, &[])?;
        let kv = self.encode(Kind::Delete, Space::RsuKv, id, &[])?;
        let (existed, sequence) = {
            let mut index = exclusive(&self.rsu);
            let stored = self.index.keyed(|table, _| table.get(Space::Rsu, id));
            let existed = stored.is_some() && !index.is_over(id, self.options.now_ms());
            let sequence = self.append(&[body, kv], durability)?;
            index.remove(id);
            (existed, sequence)
        };
        self.make_durable(sequence, durability)?;
        Ok(existed)
    }

    /// Identifiers of all stored units, in no particular order.
    pub fn rsu_ids(&self) -> Vec<Vec<u8>> {
        let entries = self.index.keyed(|table, _| table.entries(Space::Rsu));
        let (index, now_ms) = (shared(&self.rsu), self.options.now_ms());
        let ids = entries.into_iter().map(|(id, _)| id.into_vec());
        ids.filter(|id| !index.is_over(id, now_ms)).collect()
    }

    /// The units that were read most since the vault was opened, most read first, at most `k` of
    /// them and at most [`Options::hot_units_max`](crate::Options::hot_units_max); those removed
    /// or expired meanwhile are left out.
    ///
    /// Counted is every [`get_rsu`](Self::get_rsu) that found a unit. Cost: sorts the counters.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use sigma_vault::{Durability, Options, Rsu, Vault, io::MemoryStorage};
    ///
    /// let vault = Vault::open_with(Arc::new(MemoryStorage::new()), Options::new())?;
    /// for id in [b"a", b"b"] {
    ///     vault.put_rsu(id, &Rsu::new(vec![1, 2, 3]), Durability::Buffered)?;
    /// }
    /// vault.get_rsu(b"a")?;
    /// vault.get_rsu(b"b")?;
    /// vault.get_rsu(b"b")?;
    /// let hot = vault.hot(1);
    /// assert_eq!((&hot[0].id[..], hot[0].reads), (&b"b"[..], 2));
    /// # Ok::<(), sigma_vault::VaultError>(())
    /// ```
    ///
    /// # Source
    /// Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in
    /// data streams", 2005.
    pub fn hot(&self, k: usize) -> Vec<HotUnit> {
        let counted = held(&self.hot).all();
        let (index, now_ms) = (shared(&self.rsu), self.options.now_ms());
        let stored = |id: &[u8]| {
            let entry = self.index.keyed(|table, _| table.get(Space::Rsu, id));
            entry.is_some() && !index.is_over(id, now_ms)
        };
        let mut hot: Vec<HotUnit> = counted
            .into_iter()
            .filter(|unit| stored(&unit.id))
            .collect();
        hot.truncate(k);
        hot
    }

    /// Units whose estimated similarity to `signature` is at least `threshold`, most similar
    /// first. A unit exactly at the option
    /// [`similarity_threshold_min`](crate::Options::similarity_threshold_min) is found with a
    /// probability of 0.9 or more, a more similar one with a higher one.
    ///
    /// Cost: a look-up per band and one comparison per candidate; reads no record.
    ///
    /// # Errors
    /// [`VaultError::InvalidArgument`] for a threshold below that option or above 1;
    /// [`VaultError::Similarity`] for a signature of another kind.
    pub fn find_similar(
        &self,
        signature: &Signature,
        threshold: f64,
    ) -> Result<Vec<(Vec<u8>, f64)>, VaultError> {
        shared(&self.rsu).query(signature, threshold, self.options.now_ms())
    }

    /// As [`find_similar`](Self::find_similar), for the signature of these tokens.
    ///
    /// # Errors
    /// As for [`find_similar`](Self::find_similar).
    pub fn find_similar_tokens(
        &self,
        tokens: &[u32],
        threshold: f64,
    ) -> Result<Vec<(Vec<u8>, f64)>, VaultError> {
        self.find_similar(&Signature::of_tokens(tokens)?, threshold)
    }

    /// The estimated number of different token sequences stored (standard error 0.8 %, exact for
    /// few). Those of units replaced or removed count until the vault is opened again.
    pub fn distinct(&self) -> f64 {
        shared(&self.rsu).distinct()
    }

    /// Fills the similarity index from the stored units. A damaged one is left out: reading it
    /// reports the damage.
    pub(crate) fn rebuild_rsu_index(&self) -> Result<(), VaultError> {
        let (entries, files) = self
            .index
            .keyed(|table, files| (table.entries(Space::Rsu), files.clone()));
        for (id, entry) in entries {
            if self.admit(Space::Rsu, &id, Some(&entry)).is_err() {
                continue;
            }
            match self.read(&files, &entry, Space::Rsu, &id) {
                Ok((bytes, expires_s)) => {
                    if let Some((rsu, _)) = codec::decode(&bytes)
                        && let Some(signature) = &rsu.signature
                    {
                        exclusive(&self.rsu).insert(&id, signature, &rsu.tokens, expires_s)?;
                    }
                }
                Err(error @ VaultError::Io { .. }) => return Err(error),
                Err(error) => tracing::warn!(%error, "rsu left out of the similarity index"),
            }
        }
        Ok(())
    }
}
