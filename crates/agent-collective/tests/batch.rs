//! Batches: the same results in every mode, faults that cost one item, files that are whole or
//! not there.
#![cfg(not(neurectomy_loom))]

use agent_collective::batch::{
    Batch, BatchConfig, FileBatch, ItemError, Mapped, Mode, OnError, Order, Progress,
};
use agent_collective::{CancelToken, CollectiveError, Runtime, Task, TeamConfig};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

fn runtime(workers: usize) -> Runtime {
    Runtime::builder().workers(workers).build().unwrap()
}

const MODES: [Mode; 5] = [
    Mode::Sequential,
    Mode::Parallel,
    Mode::Workers(1),
    Mode::Workers(2),
    Mode::Workers(3),
];

/// Even numbers are halved, odd ones fail, every 13th panics.
fn halve(number: &u32) -> Result<u32, String> {
    assert!(!number.is_multiple_of(13), "unlucky {number}");
    if number.is_multiple_of(2) {
        Ok(number / 2)
    } else {
        Err(format!("{number} is odd"))
    }
}

fn expected(numbers: &[u32]) -> Vec<Result<u32, ItemError<String>>> {
    let one = |number: &u32| {
        if number.is_multiple_of(13) {
            return Err(ItemError::Panicked {
                message: format!("unlucky {number}"),
            });
        }
        halve(number).map_err(ItemError::Failed)
    };
    numbers.iter().map(one).collect()
}

fn assert_adds_up<O, E>(mapped: &Mapped<O, E>) {
    let accounted = mapped.report.times.accounted_fraction();
    assert!((accounted - 1.0).abs() <= 0.01, "{}", mapped.report);
}

#[test]
fn every_mode_gives_the_results_of_a_plain_loop() {
    let runtime = runtime(3);
    let numbers: Vec<u32> = (1..2_000).collect();
    for mode in MODES {
        let batch = Batch::new(&runtime, BatchConfig::default().mode(mode)).unwrap();
        let plain = batch.map(&numbers, halve).unwrap();
        assert_eq!(plain.results, expected(&numbers), "{mode:?}");
        assert_adds_up(&plain);
        let weighted = batch
            .map_weighted(&numbers, |number| u64::from(*number), halve)
            .unwrap();
        assert_eq!(weighted.results, plain.results, "{mode:?}");
        assert_eq!(plain.first_failure().map(|(index, _)| index), Some(0));
        assert_eq!(
            (plain.report.items, plain.report.ended_early),
            (1_999, false)
        );
        let (index, error) = plain.into_values().unwrap_err();
        assert_eq!((index, error.to_string()), (0, "1 is odd".to_owned()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn results_do_not_depend_on_mode_order_or_window(
        numbers in prop::collection::vec(0_u32..1_000, 0..200),
        mode in prop::sample::select(MODES.to_vec()),
        window in 1_usize..8,
        ready in any::<bool>(),
    ) {
        let runtime = runtime(3);
        let order = if ready { Order::Ready } else { Order::Input };
        let config = BatchConfig::default().mode(mode).order(order).window_items(window);
        let batch = Batch::new(&runtime, config).unwrap();
        let mapped = batch.map(&numbers, halve).unwrap();
        let wanted = expected(&numbers);
        prop_assert_eq!(&mapped.results, &wanted);
        let mut delivered = Vec::new();
        let report = batch
            .for_each(numbers.clone(), |number| halve(&number), |index, result| {
                delivered.push((index, result));
            })
            .unwrap();
        prop_assert_eq!(report.items, numbers.len());
        prop_assert_eq!(report.failed, wanted.iter().filter(|result| result.is_err()).count());
        if order == Order::Input || mode == Mode::Sequential {
            prop_assert!(delivered.iter().map(|(index, _)| *index).eq(0..numbers.len()));
        }
        delivered.sort_by_key(|(index, _)| *index);
        let results: Vec<_> = delivered.into_iter().map(|(_, result)| result).collect();
        prop_assert_eq!(results, wanted);
    }
}

#[test]
fn no_items_are_no_work() {
    let runtime = runtime(2);
    for mode in [Mode::Sequential, Mode::Parallel] {
        let batch = Batch::new(&runtime, BatchConfig::default().mode(mode)).unwrap();
        let mapped = batch.map(&[], halve).unwrap();
        assert!(mapped.results.is_empty());
        assert_eq!(mapped.report.failed, 0);
        let report = batch
            .for_each(Vec::new(), |number| halve(&number), |_, _| unreachable!())
            .unwrap();
        assert_eq!((report.items, report.ended_early), (0, false));
        let modes = batch.benchmark(&[], |_| 1, halve).unwrap();
        assert!(modes.all_identical());
    }
}

#[test]
fn settings_out_of_range_are_named() {
    let runtime = runtime(2);
    let text = |config: BatchConfig| Batch::new(&runtime, config).unwrap_err().to_string();
    let config = BatchConfig::default;
    assert_eq!(
        text(config().mode(Mode::Workers(0))),
        "batch: workers is 0, allowed is 1..=2"
    );
    assert_eq!(
        text(config().mode(Mode::Workers(3))),
        "batch: workers is 3, allowed is 1..=2"
    );
    assert_eq!(
        text(config().window_items(0)),
        "batch: window_items is 0, allowed is 1..=1048576"
    );
    assert_eq!(
        text(config().repeats(0)),
        "batch: repeats is 0, allowed is 1..=1000"
    );
    assert_eq!(
        text(config().progress_interval(Duration::ZERO)),
        "batch: progress_interval is 0ns, allowed is more than zero, at most 366 days"
    );
}

#[test]
fn fail_fast_starts_nothing_after_the_failure() {
    let runtime = runtime(2);
    let numbers: Vec<u32> = vec![2, 4, 6, 7, 8, 10, 12, 14, 16, 18];
    for mode in [Mode::Sequential, Mode::Parallel] {
        let config = BatchConfig::default()
            .mode(mode)
            .on_error(OnError::FailFast);
        let batch = Batch::new(&runtime, config).unwrap();
        let mapped = batch.map(&numbers, halve).unwrap();
        let failed = ItemError::Failed("7 is odd".to_owned());
        assert_eq!(mapped.first_failure(), Some((3, &failed)));
        for (index, result) in mapped.results.iter().enumerate() {
            match result {
                Ok(half) => assert_eq!(*half, numbers[index] / 2),
                Err(error) if index == 3 => assert_eq!(*error, failed),
                Err(error) => assert_eq!((error, index > 3), (&ItemError::NotRun, true)),
            }
        }
        if mode == Mode::Sequential {
            assert_eq!(mapped.report.failed, 7);
            assert!(mapped.report.ended_early);
        }
    }
}

#[test]
fn a_batch_cancelled_in_the_middle_keeps_what_is_done() {
    let runtime = runtime(2);
    let numbers: Vec<u32> = (0..10_000).map(|number| number * 2).collect();
    for mode in [Mode::Sequential, Mode::Parallel] {
        let token = CancelToken::new();
        let batch = Batch::new(&runtime, BatchConfig::default().mode(mode))
            .unwrap()
            .cancel_token(&token);
        let calls = AtomicUsize::new(0);
        let mapped = batch
            .map(&numbers, |number| {
                if calls.fetch_add(1, Ordering::Relaxed) == 100 {
                    token.cancel();
                }
                Ok::<u32, String>(*number)
            })
            .unwrap();
        let done = mapped
            .results
            .iter()
            .filter(|result| result.is_ok())
            .count();
        assert_eq!(done, calls.load(Ordering::Relaxed));
        assert!((101..numbers.len()).contains(&done));
        assert!(mapped.report.ended_early);
        let others = mapped
            .results
            .iter()
            .filter_map(|result| result.as_ref().err());
        assert!(
            others
                .into_iter()
                .all(|error| *error == ItemError::Cancelled)
        );
        // It stays cancelled.
        let again = batch.map(&numbers, halve).unwrap();
        assert_eq!(again.report.failed, numbers.len());
    }
}

#[test]
fn a_runtime_that_shuts_down_rejects_the_batch() {
    let runtime = runtime(2);
    let handle = runtime.handle();
    let batch = Batch::new(&handle, BatchConfig::default()).unwrap();
    runtime.shutdown();
    let error = batch.map(&[2_u32], halve).unwrap_err();
    assert!(matches!(error, CollectiveError::Rejected(_)), "{error}");
    let error = batch
        .for_each([2_u32], |number| halve(&number), |_, _| ())
        .unwrap_err();
    assert!(matches!(error, CollectiveError::Rejected(_)), "{error}");
}

#[test]
fn a_capability_that_no_team_has_is_an_error_and_one_that_it_has_gets_the_lanes() {
    let runtime = Runtime::builder()
        .workers(2)
        .team(TeamConfig::new("files").capability("convert"))
        .build()
        .unwrap();
    let batch = Batch::new(&runtime, BatchConfig::default()).unwrap();
    let error = batch.map(&[2_u32], halve).unwrap_err();
    assert_eq!(
        error.to_string(),
        "submit: no team has the capability `batch`"
    );
    let batch = Batch::new(&runtime, BatchConfig::default().capability("convert")).unwrap();
    batch.map(&[2_u32, 4, 6], halve).unwrap();
    assert_eq!(runtime.shutdown().team("files").unwrap().completed, 2);
}

/// On one worker nobody else could run the lanes.
#[test]
fn a_batch_inside_a_task_runs_on_the_worker_that_waits_for_it() {
    let runtime = runtime(1);
    let task = Task::new("outer", |context: &agent_collective::TaskContext<'_>| {
        let config = BatchConfig::default().window_items(1);
        let batch = Batch::new(context.runtime(), config).unwrap();
        let mut sum = 0;
        batch
            .for_each(1..=100_u32, Ok::<u32, String>, |_, number| {
                sum += number.unwrap()
            })
            .unwrap();
        let mapped = batch.map(&[1_u32, 2], |number| Ok::<u32, String>(*number));
        assert_eq!(mapped.unwrap().into_values(), Ok(vec![1, 2]));
        sum
    });
    assert_eq!(runtime.submit(task).unwrap().join().unwrap(), 5_050);
}

#[test]
fn results_wait_for_the_slowest_only_as_far_as_the_window_goes() {
    let runtime = runtime(3);
    let config = BatchConfig::default().window_items(4);
    let batch = Batch::new(&runtime, config).unwrap();
    let furthest = AtomicUsize::new(0);
    let released = std::sync::Barrier::new(1);
    let report = batch
        .for_each(
            0..200_usize,
            |index| {
                if index == 0 {
                    std::thread::sleep(Duration::from_millis(30));
                    // Nobody got further than the window and one item per other lane.
                    assert!(furthest.load(Ordering::SeqCst) <= 4 + 2 + 1);
                    released.wait();
                } else {
                    furthest.fetch_max(index, Ordering::SeqCst);
                }
                Ok::<usize, String>(index)
            },
            |index, result| assert_eq!(result, Ok(index)),
        )
        .unwrap();
    assert_eq!((report.items, report.failed), (200, 0));
}

#[test]
fn a_panicking_sink_or_iterator_ends_the_batch_and_reaches_the_caller() {
    let runtime = runtime(2);
    let batch = Batch::new(&runtime, BatchConfig::default().window_items(1)).unwrap();
    let caught = |run: &(dyn Fn() + std::panic::RefUnwindSafe)| {
        let payload = std::panic::catch_unwind(run).unwrap_err();
        *payload.downcast_ref::<&str>().unwrap()
    };
    let batch = std::panic::AssertUnwindSafe(&batch);
    let sink = || {
        let echo = Ok::<u32, String>;
        let _ = batch.for_each(0..1_000, echo, |index, _| {
            assert!(index < 5, "sink is full")
        });
    };
    assert_eq!(caught(&sink), "sink is full");
    let source = || {
        let items = (0..1_000_u32).inspect(|index| assert!(*index < 5, "source is dry"));
        let _ = batch.for_each(items, Ok::<u32, String>, |_, _| ());
    };
    assert_eq!(caught(&source), "source is dry");
    // The runtime is as good as before.
    assert_eq!(batch.map(&[2_u32], halve).unwrap().results, [Ok(1)]);
}

#[test]
fn progress_counts_weight_and_ends_at_the_total() {
    let runtime = runtime(2);
    let seen: Mutex<Vec<Progress>> = Mutex::new(Vec::new());
    let observer = |progress: &Progress| seen.lock().unwrap().push(*progress);
    let config = BatchConfig::default().progress_interval(Duration::from_nanos(1));
    let batch = Batch::new(&runtime, config).unwrap().observer(&observer);
    let numbers: Vec<u32> = (1..=50).collect();
    let mapped = batch
        .map_weighted(&numbers, |number| u64::from(*number), halve)
        .unwrap();
    let seen = seen.into_inner().unwrap();
    let last = seen.last().unwrap();
    assert_eq!((last.done, last.total), (50, Some(50)));
    assert_eq!((last.weight_done, last.weight_total), (1_275, Some(1_275)));
    assert_eq!(
        (last.failed, last.eta),
        (mapped.report.failed, Some(Duration::ZERO))
    );
    for pair in seen.windows(2) {
        assert!(pair[0].done <= pair[1].done && pair[0].elapsed <= pair[1].elapsed);
    }
}

#[test]
fn the_benchmark_finds_modes_that_differ() {
    let runtime = runtime(2);
    let batch = Batch::new(&runtime, BatchConfig::default().repeats(2)).unwrap();
    let numbers: Vec<u32> = (0..50).collect();
    let same = batch.benchmark(&numbers, |_| 1, halve).unwrap();
    assert!(same.all_identical(), "{same}");
    let modes: Vec<Mode> = same.rows.iter().map(|row| row.mode).collect();
    let all = [
        Mode::Sequential,
        Mode::Workers(1),
        Mode::Workers(2),
        Mode::Parallel,
    ];
    assert_eq!(modes, all);
    assert!(
        same.rows
            .iter()
            .all(|row| row.speedup > 0.0 && row.efficiency > 0.0)
    );
    let calls = AtomicUsize::new(0);
    let counts = |_: &u32| Ok::<usize, String>(calls.fetch_add(1, Ordering::Relaxed));
    let differ = batch.benchmark(&numbers, |_| 1, counts).unwrap();
    assert!(!differ.all_identical());
    assert!(differ.to_string().contains("DIFFER"), "{differ}");
}

/// Idle lanes and waiting are measured too, so a batch of one long item adds up.
#[test]
fn the_time_of_uneven_lanes_adds_up() {
    let runtime = runtime(3);
    let batch = Batch::new(&runtime, BatchConfig::default()).unwrap();
    let start = Instant::now();
    let mapped = batch
        .map(&[30_u64, 1, 1], |ms| {
            std::thread::sleep(Duration::from_millis(*ms));
            Ok::<(), String>(())
        })
        .unwrap();
    let outside = start.elapsed();
    assert_adds_up(&mapped);
    let times = &mapped.report.times;
    assert!(times.wall <= outside && times.running >= Duration::from_millis(32));
    assert_eq!(times.lanes, 3);
    assert!(times.idle >= Duration::from_millis(20), "{}", mapped.report);
    assert!(times.cpu < times.running);
}

// Files.

fn fill(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for (index, path) in ["a.txt", "b/c.txt", "b/d/e.txt", "empty", "z.bin"]
        .iter()
        .enumerate()
    {
        let bytes: Vec<u8> = (b'a'..=b'w').cycle().take(index * 1_000).collect();
        std::fs::create_dir_all(folder.join(path).parent().unwrap()).unwrap();
        std::fs::write(folder.join(path), &bytes).unwrap();
        files.insert(PathBuf::from(path), bytes);
    }
    files
}

/// Every file below a folder with its content.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = FileBatch::new(folder, folder.join("nowhere"))
        .inputs()
        .unwrap();
    files
        .into_iter()
        .map(|file| (file.relative, std::fs::read(file.path).unwrap()))
        .collect()
}

type ConvertError = Box<dyn std::error::Error + Send + Sync>;

fn upper(bytes: Vec<u8>) -> Result<Vec<u8>, ConvertError> {
    Ok(bytes.to_ascii_uppercase())
}

#[test]
fn outputs_mirror_the_input_tree_with_the_same_bytes_in_every_mode() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    let files = fill(&input);
    std::os::unix::fs::symlink("a.txt", input.join("link")).unwrap();
    let runtime = runtime(3);
    for (number, mode) in MODES.into_iter().enumerate() {
        let output = dir.path().join(format!("out{number}"));
        let batch = Batch::new(&runtime, BatchConfig::default().mode(mode)).unwrap();
        let converted = FileBatch::new(&input, &output)
            .rename(|relative| relative.with_extension("up"))
            .durable(mode == Mode::Parallel)
            .run(&batch, |_, bytes| upper(bytes))
            .unwrap();
        assert_eq!(converted.report.failed, 0);
        assert_adds_up(&converted);
        let wanted: BTreeMap<PathBuf, Vec<u8>> = files
            .iter()
            .map(|(path, bytes)| (path.with_extension("up"), bytes.to_ascii_uppercase()))
            .collect();
        assert_eq!(tree(&output), wanted);
        let written = converted.into_values().unwrap();
        assert!(written.iter().map(|file| &file.relative).eq(files.keys()));
        assert!(written.iter().all(|file| file.bytes_in == file.bytes_out));
    }
    assert_eq!(tree(&input), files);
    let batch = Batch::new(&runtime, BatchConfig::default().repeats(1)).unwrap();
    let modes = FileBatch::new(&input, dir.path().join("none"))
        .benchmark(&batch, |_, bytes| upper(bytes))
        .unwrap();
    assert!(modes.all_identical() && modes.items == 5);
    assert!(!dir.path().join("none").exists());
}

#[test]
fn an_output_inside_the_input_folder_is_no_input() {
    let dir = tempfile::tempdir().unwrap();
    let files = fill(dir.path());
    let runtime = runtime(2);
    let batch = Batch::new(&runtime, BatchConfig::default()).unwrap();
    let convert = FileBatch::new(dir.path(), dir.path().join("out"));
    for _ in 0..2 {
        let done = convert.run(&batch, |_, bytes| upper(bytes)).unwrap();
        assert_eq!(done.report.items, files.len());
    }
    let fewer = convert
        .skip_folders(|folder| folder == Path::new("b/d"))
        .only(|path| path.extension().is_some());
    let paths: Vec<PathBuf> = fewer
        .inputs()
        .unwrap()
        .into_iter()
        .map(|file| file.relative)
        .collect();
    assert_eq!(paths, ["a.txt", "b/c.txt", "z.bin"].map(PathBuf::from));
}

#[test]
fn inputs_are_never_overwritten_and_nothing_is_written_when_one_would_be() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    let files = fill(&input);
    let runtime = runtime(2);
    let batch = Batch::new(&runtime, BatchConfig::default()).unwrap();
    let refused = |files: FileBatch| {
        let error = files.run(&batch, |_, bytes| upper(bytes)).unwrap_err();
        assert!(
            matches!(error, CollectiveError::OutputRefused { .. }),
            "{error}"
        );
        error.to_string()
    };
    let input_again = "it is an input of the same batch";
    let message = refused(FileBatch::new(&input, &input));
    assert!(message.ends_with(input_again), "{message}");
    let roundabout = dir.path().join("in/b/..");
    assert!(refused(FileBatch::new(&input, roundabout)).ends_with(input_again));
    std::os::unix::fs::symlink("in", dir.path().join("alias")).unwrap();
    assert!(refused(FileBatch::new(&input, dir.path().join("alias"))).ends_with(input_again));
    let one = FileBatch::new(&input, &output).rename(|_| PathBuf::from("same"));
    assert!(refused(one).ends_with("it is the output of two inputs"));
    let out = FileBatch::new(&input, &output).rename(|path| Path::new("..").join(path));
    assert!(refused(out).ends_with("its relative path leaves the output folder"));
    assert_eq!(tree(&input), files);
    assert!(!output.exists() || tree(&output).is_empty());

    std::fs::create_dir_all(&output).unwrap();
    std::fs::write(output.join("z.bin"), "mine").unwrap();
    let keep = FileBatch::new(&input, &output).replace(false);
    assert!(refused(keep).ends_with("something is there already"));
    assert_eq!(tree(&output).len(), 1);
    assert_eq!(std::fs::read(output.join("z.bin")).unwrap(), b"mine");
}

#[test]
fn a_file_that_fails_leaves_no_output_and_does_not_stop_the_others() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    fill(&input);
    let runtime = runtime(2);
    let batch = Batch::new(&runtime, BatchConfig::default()).unwrap();
    let files = FileBatch::new(&input, &output).file_bytes_max(3_500);
    let gone = input.join("b/d/e.txt");
    let mapped = files
        .run(&batch, |file, bytes| {
            // The largest file that is not too long is read first; then this one is gone.
            match file.relative.to_str() {
                Some("empty") => Err("nothing in it".into()),
                Some("b/c.txt") => panic!("crash"),
                _ => upper(bytes),
            }
        })
        .unwrap();
    let text: Vec<String> = mapped
        .results
        .iter()
        .map(|result| match result {
            Ok(written) => written.relative.display().to_string(),
            Err(error) => error.to_string(),
        })
        .collect();
    assert_eq!(text[0], "a.txt");
    assert_eq!(text[1], "item panicked: crash");
    assert_eq!(text[2], "b/d/e.txt");
    assert!(
        text[3].starts_with("convert ") && text[3].ends_with("in/empty"),
        "{text:?}"
    );
    assert!(
        text[4].ends_with("longer than 3500 bytes, the limit"),
        "{text:?}"
    );
    let left: Vec<PathBuf> = tree(&output).into_keys().collect();
    assert_eq!(left, [PathBuf::from("a.txt"), PathBuf::from("b/d/e.txt")]);

    // Unreadable: found, and gone when it is read. One lane, so the first conversion removes it.
    let sequential = Batch::new(&runtime, BatchConfig::default().mode(Mode::Sequential)).unwrap();
    let mapped = files
        .run(&sequential, |_, bytes| {
            let _ = std::fs::remove_file(&gone);
            upper(bytes)
        })
        .unwrap();
    let error = mapped.results[2].as_ref().unwrap_err().to_string();
    assert!(
        error.starts_with("read ") && error.ends_with("e.txt"),
        "{error}"
    );
    let missing = FileBatch::new(dir.path().join("missing"), &output);
    let error = missing.run(&batch, |_, bytes| upper(bytes)).unwrap_err();
    assert!(error.to_string().starts_with("list "), "{error}");
    let few = FileBatch::new(&input, &output).files_max(2);
    let error = few.run(&batch, |_, bytes| upper(bytes)).unwrap_err();
    assert!(matches!(
        error,
        CollectiveError::TooManyItems { items_max: 2, .. }
    ));
}

/// Runs in a child process whose file size limit stands in for a full disk: writes past it fail
/// the same way.
#[test]
fn a_full_output_costs_the_files_that_do_not_fit_and_leaves_no_parts() {
    if let Ok(folder) = std::env::var("BATCH_TEST_FULL") {
        return convert_to_full(Path::new(&folder));
    }
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("in");
    std::fs::create_dir_all(&input).unwrap();
    std::fs::write(input.join("small"), vec![7; 1_000]).unwrap();
    std::fs::write(input.join("large"), vec![7; 100_000]).unwrap();
    let test = "a_full_output_costs_the_files_that_do_not_fit_and_leaves_no_parts";
    let output = Command::new("bash")
        .args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$@\"", "bash"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env("BATCH_TEST_FULL", dir.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let left: Vec<PathBuf> = tree(&dir.path().join("out")).into_keys().collect();
    assert_eq!(left, [PathBuf::from("small")]);
}

fn convert_to_full(folder: &Path) {
    let runtime = runtime(2);
    let batch = Batch::new(&runtime, BatchConfig::default()).unwrap();
    let files = FileBatch::new(folder.join("in"), folder.join("out"));
    let mapped = files.run(&batch, |_, bytes| upper(bytes)).unwrap();
    let error = mapped.results[0].as_ref().unwrap_err();
    let ItemError::Failed(CollectiveError::File {
        operation, source, ..
    }) = error
    else {
        panic!("{error}");
    };
    assert_eq!(*operation, "write");
    assert_eq!(source.kind(), std::io::ErrorKind::FileTooLarge);
    assert!(mapped.results[1].is_ok());
}
