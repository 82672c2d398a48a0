//! Asking the system to begin writing a file's bytes, without waiting for it.
#![expect(
    unsafe_code,
    reason = "measured: without it the sync of a full segment waits for the disk"
)]

use std::fs::File;

/// Begins to write these bytes to the device. A hint: nothing is promised, and an error shows at
/// the next sync, because the call does not look at what has finished.
#[cfg(target_os = "linux")]
pub(super) fn begin(file: &File, offset: u64, bytes: u64) {
    use std::os::fd::AsRawFd;

    let (Ok(offset), Ok(bytes)) = (i64::try_from(offset), i64::try_from(bytes)) else {
        return;
    };
    let flags = libc::SYNC_FILE_RANGE_WRITE;
    // SAFETY: the call takes no pointer, and the descriptor is open while `file` is borrowed.
    let _ = unsafe { libc::sync_file_range(file.as_raw_fd(), offset, bytes, flags) };
}

#[cfg(not(target_os = "linux"))]
pub(super) fn begin(_file: &File, _offset: u64, _bytes: u64) {}
