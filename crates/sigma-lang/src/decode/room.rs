//! Parts of a buffer that are filled on several threads, without being cleared first: clearing is done by one
//! thread, and takes a tenth of the time in which two fill it.

#![allow(
    unsafe_code,
    reason = "zstd writes to memory that holds nothing yet; what it wrote is counted here"
)]

use std::mem::MaybeUninit;

use zstd_safe::WriteBuf;

/// Memory of which the first bytes may be filled.
#[derive(Debug)]
pub(super) struct Room<'r> {
    memory: &'r mut [MaybeUninit<u8>],
    /// So many of the first bytes hold something.
    filled: usize,
}

impl<'r> Room<'r> {
    /// Rooms of these lengths, one behind the other behind what `out` holds, as far as its capacity goes.
    fn behind(out: &'r mut Vec<u8>, lengths: &[usize]) -> Option<Vec<Room<'r>>> {
        let mut memory = out.spare_capacity_mut();
        let mut rooms = Vec::with_capacity(lengths.len());
        for &length in lengths {
            let (own, rest) = memory.split_at_mut_checked(length)?;
            memory = rest;
            rooms.push(Room {
                memory: own,
                filled: 0,
            });
        }
        Some(rooms)
    }

    pub(super) fn bytes(&self) -> usize {
        self.memory.len()
    }

    /// Fills the room with `content`, which is as long. False if it is not.
    pub(super) fn fill(&mut self, content: &[u8]) -> bool {
        if content.len() != self.memory.len() {
            return false;
        }
        self.memory.write_copy_of_slice(content);
        self.filled = content.len();
        true
    }
}

// SAFETY: `filled` bytes from the start are initialised, for only what was written there is counted; pointer
// and capacity are those of one slice, which stays where it is.
unsafe impl WriteBuf for Room<'_> {
    fn as_slice(&self) -> &[u8] {
        let (filled, _) = self
            .memory
            .split_at_checked(self.filled)
            .unwrap_or_default();
        // SAFETY: these bytes are initialised, see above.
        unsafe { filled.assume_init_ref() }
    }

    fn capacity(&self) -> usize {
        self.memory.len()
    }

    fn as_mut_ptr(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr().cast()
    }

    unsafe fn filled_until(&mut self, n: usize) {
        self.filled = n;
    }
}

/// Appends parts of these lengths to `out`, which has the capacity, as `fill` fills them; `out` is as before if
/// that fails. Nothing if `fill` left a part unfilled.
pub(super) fn append_filled<E>(
    out: &mut Vec<u8>,
    lengths: &[usize],
    fill: impl FnOnce(&mut [Room<'_>]) -> Result<(), E>,
) -> Result<Option<()>, E> {
    let start = out.len();
    let Some(mut rooms) = Room::behind(out, lengths) else {
        return Ok(None);
    };
    fill(&mut rooms)?;
    let full = rooms.iter().all(|room| room.filled == room.memory.len());
    let bytes: usize = rooms.iter().map(Room::bytes).sum();
    if !full {
        return Ok(None);
    }
    // SAFETY: the rooms are the first `bytes` bytes of the capacity behind `start`, one behind the other, and
    // all of them are filled.
    unsafe { out.set_len(start + bytes) };
    Ok(Some(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_are_appended_in_order_if_all_are_filled() {
        let mut out = Vec::with_capacity(20);
        out.extend_from_slice(b"ab");
        let done: Result<Option<()>, ()> = append_filled(&mut out, &[3, 0, 2], |rooms| {
            for (room, content) in rooms.iter_mut().rev().zip([b"gh".as_slice(), b"", b"cde"]) {
                assert!(room.fill(content));
                assert_eq!(room.as_slice(), content);
                assert!(!room.fill(b"another length"));
            }
            Ok(())
        });
        assert_eq!(
            (done, out.as_slice()),
            (Ok(Some(())), b"abcdegh".as_slice())
        );
    }

    #[test]
    fn what_is_not_filled_is_not_appended() {
        let mut out = Vec::with_capacity(20);
        out.push(1);
        let some = |rooms: &mut [Room<'_>]| {
            rooms[0].fill(b"abc");
            Ok::<(), ()>(())
        };
        assert_eq!(append_filled(&mut out, &[3, 2], some), Ok(None));
        assert_eq!(append_filled(&mut out, &[3, 99], some), Ok(None));
        assert_eq!(append_filled(&mut out, &[3], |_| Err("no")), Err("no"));
        assert_eq!(out, [1]);
    }
}
