//! A key on its way through recovery.

use std::ops::Deref;

const SHORT_BYTES_MAX: usize = 22;

/// A key; a short one needs no allocation of its own.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum ShortKey {
    Short(u8, [u8; SHORT_BYTES_MAX]),
    Long(Box<[u8]>),
}

impl ShortKey {
    pub(crate) fn new(key: &[u8]) -> Self {
        let mut short = [0; SHORT_BYTES_MAX];
        match (short.get_mut(..key.len()), u8::try_from(key.len())) {
            (Some(target), Ok(bytes)) => {
                target.copy_from_slice(key);
                Self::Short(bytes, short)
            }
            _ => Self::Long(key.into()),
        }
    }
}

impl Deref for ShortKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Short(bytes, key) => key.get(..usize::from(*bytes)).unwrap_or_default(),
            Self::Long(key) => key,
        }
    }
}

impl std::fmt::Debug for ShortKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(formatter)
    }
}

impl From<ShortKey> for Box<[u8]> {
    fn from(key: ShortKey) -> Self {
        match key {
            ShortKey::Long(key) => key,
            ShortKey::Short(..) => (*key).into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_around_the_limit() {
        for bytes in 0..60_u8 {
            let key: Vec<u8> = (0..bytes).collect();
            let short = ShortKey::new(&key);
            assert_eq!(*short, key[..]);
            assert_eq!(Box::<[u8]>::from(short), key.into_boxed_slice());
        }
        assert_eq!(size_of::<ShortKey>(), 24);
    }
}
