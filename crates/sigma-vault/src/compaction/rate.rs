//! The pace of compaction.

use std::time::Duration;

/// How long to wait after `bytes` in `elapsed`, so as not to exceed `bytes_per_s`.
pub(crate) fn pause(bytes: u64, elapsed: Duration, bytes_per_s: u64) -> Duration {
    let due_ns = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_s.max(1));
    let wait_ns = due_ns.saturating_sub(elapsed.as_nanos());
    Duration::from_nanos(u64::try_from(wait_ns).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_held_and_never_owed() {
        let ms = Duration::from_millis;
        assert_eq!(pause(1000, ms(0), 1000), ms(1000));
        assert_eq!(pause(1000, ms(400), 1000), ms(600));
        assert_eq!(pause(1000, ms(2000), 1000), ms(0));
        assert_eq!(pause(0, ms(0), 1), ms(0));
        assert_eq!(pause(u64::MAX, ms(0), 1), Duration::from_nanos(u64::MAX));
    }
}
