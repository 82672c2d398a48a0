//! The log: records in numbered segment files, how they are framed, written, made durable and
//! found again after a crash.
//!
//! `record` frames one record; `segment` names and heads the files; `manifest` lists them;
//! `writer` appends; `commit` shares syncs among waiting writers; `scan` walks a segment whatever
//! state it is in; `recovery` judges what the walk found: torn tail or rot.

mod commit;
mod key;
mod manifest;
pub(crate) mod record;
mod recovery;
mod scan;
mod segment;
mod tail;
mod writer;

pub(crate) use commit::Commit;
pub(crate) use manifest::{MANIFEST_NAME, Manifest, ManifestRead, Mark, read_manifest};
pub(crate) use record::{Kind, Space};
pub(crate) use recovery::{
    Found, Loss, Recovered, recover_active, recover_active_behind, recover_sealed,
    recover_sealed_behind,
};
pub(crate) use scan::{Item, ScanError, Scanner};
pub(crate) use segment::{
    COPY_BIT, FORMAT_VERSION, SEGMENT_HEADER_BYTES, SegmentHead, create_segment,
    parse_segment_name, read_segment_head, segment_name,
};
pub(crate) use tail::Tail;
pub(crate) use writer::{Appended, BEGIN_BYTES, Ledger, Limits, Log, Pending, Reach, batch_bytes};
