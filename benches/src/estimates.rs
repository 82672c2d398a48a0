//! Reads the estimates that criterion wrote in this run.

use serde::Deserialize;
use serde::de::DeserializeOwned;
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

#[derive(Deserialize)]
struct Sample {
    iters: Vec<f64>,
    times: Vec<f64>,
}

/// Median time of one iteration in nanoseconds of the benchmark `id` (`group/function`).
///
/// Returns none where criterion wrote no estimate since `since`: the benchmark was filtered out,
/// and an older run's figure must not stand in for it.
#[must_use]
pub fn median_ns(criterion_dir: &Path, id: &str, since: SystemTime) -> Option<f64> {
    let estimates: Estimates = recent(criterion_dir, id, "estimates.json", since)?;
    Some(estimates.median.point_estimate)
}

/// Time of one iteration in each sample of the benchmark `id`, in nanoseconds and in the order of
/// measurement; none as for [`median_ns`].
#[must_use]
pub fn samples_ns(criterion_dir: &Path, id: &str, since: SystemTime) -> Option<Vec<f64>> {
    let sample: Sample = recent(criterion_dir, id, "sample.json", since)?;
    let each = sample.times.iter().zip(&sample.iters);
    Some(each.map(|(time, iterations)| time / iterations).collect())
}

fn recent<T: DeserializeOwned>(
    criterion_dir: &Path,
    id: &str,
    file: &str,
    since: SystemTime,
) -> Option<T> {
    let file = criterion_dir.join(id).join("new").join(file);
    let written = std::fs::metadata(&file)
        .and_then(|meta| meta.modified())
        .ok()?;
    if written < since {
        return None;
    }
    serde_json::from_slice(&std::fs::read(&file).ok()?).ok()
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
        assert_eq!(samples_ns(dir.path(), "group/ours", before), None);
        std::fs::write(
            new.join("sample.json"),
            r#"{"sampling_mode":"Linear","iters":[2.0,4.0],"times":[10.0,24.0]}"#,
        )
        .unwrap();
        assert_eq!(
            samples_ns(dir.path(), "group/ours", before),
            Some(vec![5.0, 6.0])
        );
    }
}
