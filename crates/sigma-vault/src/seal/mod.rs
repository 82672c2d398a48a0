//! Encryption at rest: values under XChaCha20-Poly1305, keys derived from what the caller gives.
//!
//! Every value has its own nonce: 16 random bytes drawn at opening and a counter, so none is used
//! twice under a key, whatever is torn, repaired, copied or rewritten at the same place. What the
//! tag covers beside the value binds it to its key, place and sequence number. `head` is what the
//! files say of the key; `key` what the caller gives; `cipher` does the work. Without the feature
//! `encryption` the types of `absent` stand in, of which there are no values.

mod head;

#[cfg(not(feature = "encryption"))]
mod absent;
#[cfg(feature = "encryption")]
mod cipher;
#[cfg(feature = "encryption")]
mod key;

#[cfg(not(feature = "encryption"))]
pub(crate) use absent::{EncryptionKey, Sealer};
#[cfg(feature = "encryption")]
pub(crate) use cipher::Sealer;
pub(crate) use head::{SEAL_HEAD_BYTES, SealHead};
#[cfg(feature = "encryption")]
pub use key::{EncryptionKey, PassphraseCost};
