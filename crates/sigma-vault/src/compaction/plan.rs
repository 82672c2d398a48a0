//! Which segments to compact: a pure function of their sizes.

use crate::log::SEGMENT_HEADER_BYTES;

/// Sizes of a sealed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentState {
    pub(crate) segment: u64,
    pub(crate) bytes: u64,
    /// Of records that are some key's newest.
    pub(crate) live_bytes: u64,
    /// Of removals, whether they still hide something or not.
    pub(crate) tombstone_bytes: u64,
    /// Holds damage that must stay reported.
    pub(crate) pinned: bool,
}

impl SegmentState {
    /// What copying would keep at most.
    fn kept_bytes(&self) -> u64 {
        self.live_bytes.saturating_add(self.tombstone_bytes)
    }

    fn garbage_bytes(&self) -> u64 {
        self.bytes
            .saturating_sub(SEGMENT_HEADER_BYTES)
            .saturating_sub(self.kept_bytes())
    }

    /// `part` of this segment in thousandths.
    fn share(&self, part: u64) -> u64 {
        (u128::from(part) * 1000 / u128::from(self.bytes.max(1)))
            .try_into()
            .unwrap_or(u64::MAX)
    }
}

/// When space is worth giving back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policy {
    /// Garbage is tolerated up to this share of what is live, in percent.
    pub(crate) slack_percent: u32,
    /// The size aimed at for a new segment.
    pub(crate) segment_bytes: u64,
}

/// One step: these segments become at most one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) sources: Vec<u64>,
    /// Read the other segments too, to find removals that hide nothing any more.
    pub(crate) sweep: bool,
}

/// The most segments in one step, so that its duration is bounded.
const SOURCES_MAX: usize = 64;
/// This many segments below a quarter of the size aimed at are merged.
const FRAGMENTS_MAX: usize = 8;

/// The next step, or `None` when space is within bounds. Cost: O(n log n) in sealed segments.
pub(crate) fn plan(sealed: &[SegmentState], policy: Policy) -> Option<Plan> {
    let mut free: Vec<SegmentState> = sealed.iter().filter(|s| !s.pinned).copied().collect();
    let sum = |part: fn(&SegmentState) -> u64| free.iter().map(part).fold(0, u64::saturating_add);
    let exceeds = |part: u64, whole: u64, percent: u32| {
        u128::from(part) * 100 > u128::from(whole) * u128::from(percent)
    };
    let (live, tombstones) = (sum(|s| s.live_bytes), sum(|s| s.tombstone_bytes));
    if exceeds(
        sum(SegmentState::garbage_bytes),
        live.saturating_add(tombstones),
        policy.slack_percent,
    ) {
        let sources = worst(&mut free, policy, SegmentState::garbage_bytes);
        return Some(Plan {
            sources,
            sweep: false,
        });
    }
    if exceeds(tombstones, live, policy.slack_percent / 2) {
        let sources = worst(&mut free, policy, |s| s.tombstone_bytes);
        return Some(Plan {
            sources,
            sweep: true,
        });
    }
    free.retain(|s| s.bytes < policy.segment_bytes / 4);
    if free.len() < FRAGMENTS_MAX {
        return None;
    }
    let sources = worst(&mut free, policy, |s| s.bytes);
    (sources.len() > 1).then_some(Plan {
        sources,
        sweep: false,
    })
}

/// The segments with the largest share of `part`, as many as fit one new segment, none with less
/// than half the share of the first.
fn worst(
    free: &mut [SegmentState],
    policy: Policy,
    part: impl Fn(&SegmentState) -> u64,
) -> Vec<u64> {
    free.sort_by_key(|s| (std::cmp::Reverse(s.share(part(s))), s.segment));
    let least = free.first().map_or(0, |s| s.share(part(s)) / 2);
    let mut sources = Vec::new();
    let mut kept = SEGMENT_HEADER_BYTES;
    for segment in free.iter().take(SOURCES_MAX) {
        let share = segment.share(part(segment));
        if share < least || part(segment) == 0 {
            break;
        }
        let with = kept.saturating_add(segment.kept_bytes());
        if sources.is_empty() || with <= policy.segment_bytes {
            kept = with;
            sources.push(segment.segment);
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Policy = Policy {
        slack_percent: 25,
        segment_bytes: 1000,
    };

    fn state(segment: u64, live_bytes: u64, tombstone_bytes: u64) -> SegmentState {
        SegmentState {
            segment,
            bytes: 1000,
            live_bytes,
            tombstone_bytes,
            pinned: false,
        }
    }

    fn sources(segments: &[SegmentState]) -> Option<Vec<u64>> {
        plan(segments, POLICY).map(|plan| plan.sources)
    }

    #[test]
    fn little_garbage_is_left_alone() {
        assert_eq!(plan(&[], POLICY), None);
        assert_eq!(plan(&[state(1, 936, 0), state(2, 800, 0)], POLICY), None);
    }

    #[test]
    fn the_deadest_that_fit_one_segment_go_first() {
        let segments = [state(1, 900, 0), state(2, 100, 0), state(3, 300, 0)];
        assert_eq!(sources(&segments), Some(vec![2, 3]));
        let segments = [state(1, 500, 0), state(2, 400, 0), state(3, 450, 0)];
        assert_eq!(sources(&segments), Some(vec![2, 3]));
        let segments = [state(7, 0, 0), state(8, 0, 0)];
        assert_eq!(sources(&segments), Some(vec![7, 8]));
    }

    #[test]
    fn a_pinned_segment_is_never_chosen_and_does_not_drive_the_plan() {
        let mut dead = state(1, 0, 0);
        dead.pinned = true;
        assert_eq!(plan(&[dead, state(2, 900, 0)], POLICY), None);
        assert_eq!(sources(&[dead, state(2, 100, 0)]), Some(vec![2]));
    }

    #[test]
    fn many_removals_call_for_a_sweep() {
        let segments = [state(1, 930, 0), state(2, 330, 600)];
        let found = plan(&segments, POLICY).unwrap();
        assert_eq!((found.sources, found.sweep), (vec![2], true));
    }

    #[test]
    fn fragments_are_merged() {
        let small = |segment| SegmentState {
            bytes: 164,
            ..state(segment, 100, 0)
        };
        let seven: Vec<_> = (0..7).map(small).collect();
        assert_eq!(plan(&seven, POLICY), None);
        let twelve: Vec<_> = (0..12).map(small).collect();
        assert_eq!(sources(&twelve).unwrap().len(), 9);
    }

    /// Random sizes: a plan names free segments, none twice, and its output fits unless it is one.
    #[test]
    fn every_plan_is_legal() {
        let mut seed = 1_u64;
        let mut next = |bound: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) % bound
        };
        let mut plans = 0;
        for _ in 0..2000 {
            let segments: Vec<_> = (0..next(100))
                .map(|segment| {
                    let bytes = 64 + next(1500);
                    let live_bytes = next(bytes - 63);
                    SegmentState {
                        segment,
                        bytes,
                        live_bytes,
                        tombstone_bytes: next(bytes - 63 - live_bytes),
                        pinned: next(5) == 0,
                    }
                })
                .collect();
            let Some(plan) = plan(&segments, POLICY) else {
                continue;
            };
            plans += 1;
            let chosen: Vec<_> = segments
                .iter()
                .filter(|s| plan.sources.contains(&s.segment))
                .collect();
            assert!(!chosen.is_empty() && chosen.len() == plan.sources.len());
            assert!(plan.sources.len() <= SOURCES_MAX);
            assert!(chosen.iter().all(|s| !s.pinned));
            let kept: u64 = chosen.iter().map(|s| s.kept_bytes()).sum();
            assert!(chosen.len() == 1 || kept + SEGMENT_HEADER_BYTES <= 1000);
        }
        assert!(plans > 1000, "{plans}");
    }
}
