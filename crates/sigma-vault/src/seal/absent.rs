//! Without the feature `encryption` there are no keys, hence nothing that seals.

use std::path::PathBuf;

use super::SealHead;
use crate::error::VaultError;
use crate::log::record::{Header, Place};

#[derive(Clone, Debug)]
pub(crate) enum EncryptionKey {}

impl EncryptionKey {
    pub(crate) fn validate(&self) -> Result<(), VaultError> {
        match *self {}
    }
}

#[derive(Debug)]
pub(crate) enum Sealer {}

impl Sealer {
    pub(crate) fn create(
        key: &EncryptionKey,
        _: u64,
        _: [u8; 8],
        _: [u8; 16],
    ) -> Result<(Self, SealHead), VaultError> {
        match *key {}
    }

    pub(crate) fn open(
        key: &EncryptionKey,
        _: PathBuf,
        _: u64,
        _: SealHead,
        _: [u8; 16],
    ) -> Result<Self, VaultError> {
        match *key {}
    }

    pub(crate) fn wrap(&self, _: &[u8]) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn seal_record(&self, _: &mut [u8], _: Header, _: Place) -> Header {
        match *self {}
    }

    pub(crate) fn open_value(&self, _: &Header, _: &[u8], _: Place, _: &[u8]) -> Option<Vec<u8>> {
        match *self {}
    }

    pub(crate) fn authenticate(&self, _: &[u8]) -> Vec<u8> {
        match *self {}
    }

    pub(crate) fn authentic<'a>(&self, _: &'a [u8]) -> Option<&'a [u8]> {
        match *self {}
    }
}
