//! What the files of an encrypted vault say about its key; not secret.

#![deny(clippy::indexing_slicing, clippy::unwrap_used)]

/// In a manifest; segment heads have the same fields in two places.
pub(crate) const SEAL_HEAD_BYTES: usize = 24;

/// How the key comes about.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SealMethod {
    /// Nothing is encrypted.
    #[default]
    None,
    /// From 32 bytes that the caller has.
    Raw,
    /// From a passphrase, by argon2id.
    Passphrase { passes: u8, memory_mib: u16 },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SealHead {
    pub(crate) method: SealMethod,
    /// Together with the vault id, what makes the key this vault's own.
    pub(crate) salt: [u8; 8],
    /// By which a wrong key is told.
    pub(crate) check: [u8; 8],
}

impl SealHead {
    /// Passes and mebibytes that are allowed, so that no file makes opening take for ever.
    pub(crate) const PASSES: std::ops::RangeInclusive<u8> = 1..=16;
    pub(crate) const MEMORY_MIB: std::ops::RangeInclusive<u16> = 8..=1024;

    pub(crate) fn is_some(&self) -> bool {
        self.method != SealMethod::None
    }

    /// The method as four bytes.
    pub(crate) fn method_bytes(&self) -> [u8; 4] {
        match self.method {
            SealMethod::None => [0; 4],
            SealMethod::Raw => [1, 0, 0, 0],
            SealMethod::Passphrase { passes, memory_mib } => {
                let [low, high] = memory_mib.to_le_bytes();
                [2, passes, low, high]
            }
        }
    }

    /// `None` for a method that this version does not have.
    pub(crate) fn decode(method: [u8; 4], salt: [u8; 8], check: [u8; 8]) -> Option<Self> {
        let method = match method {
            [0, ..] => return Some(Self::default()),
            [1, 0, 0, 0] => SealMethod::Raw,
            [2, passes, low, high] => {
                let memory_mib = u16::from_le_bytes([low, high]);
                let known =
                    Self::PASSES.contains(&passes) && Self::MEMORY_MIB.contains(&memory_mib);
                known.then_some(SealMethod::Passphrase { passes, memory_mib })?
            }
            _ => return None,
        };
        Some(Self {
            method,
            salt,
            check,
        })
    }

    pub(crate) fn to_bytes(self) -> [u8; SEAL_HEAD_BYTES] {
        let mut bytes = [0; SEAL_HEAD_BYTES];
        let parts = [&self.method_bytes()[..], &[0; 4], &self.salt, &self.check];
        for (target, source) in bytes.iter_mut().zip(parts.into_iter().flatten()) {
            *target = *source;
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (method, rest) = bytes.split_first_chunk::<4>()?;
        let (_, rest) = rest.split_first_chunk::<4>()?;
        let (salt, rest) = rest.split_first_chunk::<8>()?;
        let check = rest.first_chunk::<8>()?;
        Self::decode(*method, *salt, *check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_limits() {
        for method in [
            SealMethod::Raw,
            SealMethod::Passphrase {
                passes: 3,
                memory_mib: 64,
            },
        ] {
            let head = SealHead {
                method,
                salt: [1; 8],
                check: [2; 8],
            };
            assert_eq!(SealHead::from_bytes(&head.to_bytes()), Some(head));
            assert!(head.is_some());
        }
        let none = SealHead::default();
        assert_eq!(SealHead::from_bytes(&none.to_bytes()), Some(none));
        for method in [
            [1, 1, 0, 0],
            [2, 0, 64, 0],
            [2, 17, 64, 0],
            [2, 3, 7, 0],
            [2, 3, 1, 4],
            [3, 0, 0, 0],
        ] {
            assert_eq!(SealHead::decode(method, [0; 8], [0; 8]), None, "{method:?}");
        }
    }
}
