//! Reads the estimates that criterion wrote in this run.

use serde::Deserialize;
use std::path::Path;
use std::time::SystemTime;

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Median time of one iteration in nanoseconds of the benchmark `id` (`group/function`).
///
/// Returns none where criterion wrote no estimate since `since`: the benchmark was filtered out,
/// and an older run's figure must not stand in for it.
#[must_use]
pub fn median_ns(criterion_dir: &Path, id: &str, since: SystemTime) -> Option<f64> {
    let file = criterion_dir.join(id).join("new").join("estimates.json");
    let written = std::fs::metadata(&file)
        .and_then(|meta| meta.modified())
        .ok()?;
    if written < since {
        return None;
    }
    let estimates: Estimates = serde_json::from_slice(&std::fs::read(&file).ok()?).ok()?;
    Some(estimates.median.point_estimate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn an_older_estimate_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let new = dir.path().join("group/ours/new");
        std::fs::create_dir_all(&new).unwrap();
        std::fs::write(
            new.join("estimates.json"),
            r#"{"median":{"point_estimate":12.5}}"#,
        )
        .unwrap();
        let now = SystemTime::now();
        let before = now - Duration::from_secs(60);
        let after = now + Duration::from_secs(60);
        assert_eq!(median_ns(dir.path(), "group/ours", before), Some(12.5));
        assert_eq!(median_ns(dir.path(), "group/ours", after), None);
        assert_eq!(median_ns(dir.path(), "group/other", before), None);
    }
}
