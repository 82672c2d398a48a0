//! Where content is cut into frames.

/// A frame of long content takes at most this part of what is left, so that the last frames are short: threads
/// that take frames in turns then end at nearly the same time.
const SHARE_OF_REST: usize = 3;
/// No frame is cut shorter than this part of the longest, nor than so many bytes: each still has to find
/// most of its repetitions.
const SHORTEST_SHARE: usize = 4;
const SHORTEST_BYTES: usize = 1 << 20;

/// The frames of `data` in order, each with its place: at most `frame_bytes` long, and shorter towards the end.
/// Nothing but the two lengths decides, so the number of threads does not show in the frames.
pub(super) fn pieces(data: &[u8], frame_bytes: usize) -> Vec<(usize, &[u8])> {
    let mut pieces = Vec::with_capacity(data.len().div_ceil(frame_bytes));
    let (mut position, mut rest) = (0, data);
    while !rest.is_empty() {
        let bytes = next_bytes(data.len(), rest.len(), frame_bytes);
        let (piece, behind) = rest.split_at_checked(bytes).unwrap_or((rest, &[]));
        pieces.push((position, piece));
        position += piece.len();
        rest = behind;
    }
    pieces
}

/// Length of the frame behind which `rest` bytes of `whole` begin, as far as they go.
fn next_bytes(whole: usize, rest: usize, frame_bytes: usize) -> usize {
    let shortest = (frame_bytes / SHORTEST_SHARE).max(SHORTEST_BYTES);
    if shortest >= frame_bytes || whole <= frame_bytes {
        return frame_bytes;
    }
    if whole <= 2 * frame_bytes {
        // Two halves: more cuts would show in the ratio of content this short.
        return whole.div_ceil(2);
    }
    let bytes = (rest / SHARE_OF_REST).clamp(shortest, frame_bytes);
    // What would be left behind is too short for a frame of its own.
    let is_last = rest - bytes.min(rest) < shortest / 2 && rest <= frame_bytes;
    if is_last { rest } else { bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(bytes: usize, frame_bytes: usize) -> Vec<usize> {
        let data = vec![0; bytes];
        let pieces = pieces(&data, frame_bytes);
        let mut position = 0;
        for (at, piece) in &pieces {
            assert_eq!(*at, position);
            position += piece.len();
        }
        assert_eq!(position, bytes);
        pieces.iter().map(|(_, piece)| piece.len()).collect()
    }

    #[test]
    fn short_frames_are_of_equal_length() {
        assert_eq!(lengths(0, 1024), Vec::<usize>::new());
        assert_eq!(lengths(10, 1024), [10]);
        assert_eq!(lengths(2500, 1024), [1024, 1024, 452]);
        assert_eq!(lengths(5 << 19, 1 << 20), [1 << 20, 1 << 20, 1 << 19]);
    }

    #[test]
    fn long_frames_become_shorter_towards_the_end() {
        const MIB: usize = 1 << 20;
        assert_eq!(lengths(4 * MIB, 4 * MIB), [4 * MIB]);
        assert_eq!(lengths(5 * MIB, 4 * MIB), [5 * MIB / 2, 5 * MIB / 2]);
        assert_eq!(lengths(4 * MIB + 1, 4 * MIB), [2 * MIB + 1, 2 * MIB]);
        for mib in [9, 12, 13, 22, 40, 200] {
            let frames = lengths(mib * MIB - 77, 4 * MIB);
            assert!(
                frames
                    .iter()
                    .all(|&bytes| (MIB / 2..=4 * MIB).contains(&bytes))
            );
            assert!(frames.is_sorted_by(|a, b| a >= b || *b < MIB + MIB / 2));
            assert!(frames.len() <= mib.div_ceil(4) + 5, "{frames:?}");
            assert!(frames.last().is_some_and(|&bytes| bytes < 2 * MIB));
        }
    }
}
