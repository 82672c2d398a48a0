//! Stages that read, write and compare files.

use crate::support::{assert_adds_up, runtime, texts};
use agent_collective::pipeline::{
    Change, Diff, FileContent, Pipeline, ReadFiles, WriteFiles, Written,
};
use std::path::PathBuf;

#[test]
fn files_are_written_in_groups_and_diffed_against_what_was_there() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1.txt"), "one\ntwo\n").unwrap();
    std::fs::write(dir.path().join("2.txt"), "same\n").unwrap();
    let runtime = runtime(2);
    for group_files in [1, 2, 100] {
        let folder = dir.path().join(format!("out{group_files}"));
        let write = WriteFiles::new("write", &folder, |(name, text): &(String, String)| {
            if text.is_empty() {
                return Err("nothing to write");
            }
            Ok(FileContent {
                path: PathBuf::from(name),
                bytes: text.clone().into_bytes(),
            })
        })
        .group_files(group_files)
        .durable(group_files == 2)
        .keep_contents(1_000);
        let pipeline = Pipeline::new("files")
            .then(write)
            .then(Diff::new("diff", |written: &Written<(String, String)>| {
                Ok::<_, String>(written.versions())
            }));
        let items = |second: &str| {
            [
                ("a/1.txt", "one\ntwo\n"),
                ("2.txt", second),
                ("../3.txt", "x"),
                ("2.txt", "y"),
                ("4.txt", ""),
            ]
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
        };
        let run = pipeline.run(&runtime, items("red\nblue\n")).unwrap();
        let changes: Vec<Option<&Change>> = run
            .verdicts
            .iter()
            .map(|verdict| verdict.passed().map(|diffed| &diffed.change))
            .collect();
        assert_eq!(changes[..2], [Some(&Change::Added { lines: 2 }); 2]);
        let texts = texts(&run);
        assert!(
            texts[2].ends_with("its relative path leaves the output folder"),
            "{texts:?}"
        );
        assert!(
            texts[3].ends_with("it is the output of two items"),
            "{texts:?}"
        );
        assert_eq!(texts[4], "write: nothing to write");
        let run = pipeline.run(&runtime, items("red\ngreen\n")).unwrap();
        let changes: Vec<&Change> = run.passed().map(|diffed| &diffed.change).collect();
        assert_eq!(changes[0], &Change::Unchanged);
        let Change::Modified {
            added: 1,
            removed: 1,
            unified,
        } = changes[1]
        else {
            panic!("{changes:?}");
        };
        assert!(unified.contains("-blue\n+green\n"), "{unified}");
        assert_eq!(
            std::fs::read(folder.join("2.txt")).unwrap(),
            b"red\ngreen\n"
        );
        assert!(!dir.path().join("3.txt").exists());
        // No temporary file is left.
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        assert_adds_up(&run);
    }
}

#[test]
fn reading_is_bounded_by_file_and_in_all() {
    let dir = tempfile::tempdir().unwrap();
    for (name, length) in [("a", 10), ("b", 20), ("c", 10)] {
        std::fs::write(dir.path().join(name), vec![b'x'; length]).unwrap();
    }
    let folder = dir.path().to_owned();
    let read = ReadFiles::new("read", move |name: &&str| folder.join(name));
    let single = Pipeline::new("read").then(read.clone().file_bytes_max(15));
    let run = single.run(&runtime(2), ["a", "b", "c", "missing"]).unwrap();
    let lengths: Vec<usize> = run.passed().map(|(_, bytes)| bytes.len()).collect();
    assert_eq!(lengths, [10, 10]);
    let texts = texts(&run);
    assert!(
        texts[1].ends_with("longer than 15 bytes, the limit"),
        "{texts:?}"
    );
    assert!(texts[3].ends_with("missing"), "{texts:?}");
    let all = Pipeline::new("read").then(read.total_bytes_max(25));
    let run = all.run(&runtime(1), ["a", "b", "c"]).unwrap();
    assert!(run.passed().map(|(_, bytes)| bytes.len()).sum::<usize>() <= 25);
    assert!((1..3).contains(&run.report.passed));
}

#[test]
fn differences_have_a_limit_and_every_kind() {
    use agent_collective::pipeline::Versions;
    let text = |text: &str| Some(text.to_owned());
    let diff = Diff::new("diff", |versions: &Versions| {
        Ok::<_, String>(versions.clone())
    })
    .lines_max(4);
    let versions = [
        Versions {
            before: None,
            after: None,
        },
        Versions {
            before: text("a\n"),
            after: None,
        },
        Versions {
            before: text("a\nb\nc\n"),
            after: text("a\nb\n"),
        },
        Versions {
            before: text("a"),
            after: text("a"),
        },
    ];
    let run = Pipeline::new("diffs")
        .then(diff)
        .run(&runtime(1), versions)
        .unwrap();
    let changes: Vec<&Change> = run.passed().map(|diffed| &diffed.change).collect();
    let wanted = [
        &Change::Unchanged,
        &Change::Removed { lines: 1 },
        &Change::TooLong {
            lines: 5,
            lines_max: 4,
        },
        &Change::Unchanged,
    ];
    assert_eq!(changes, wanted);
}
