//! The program `sigma`, run as a process.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

mod data;

fn sigma(folder: &Path, arguments: &[&str]) -> Output {
    sigma_with_input(folder, arguments, b"")
}

fn sigma_with_input(folder: &Path, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sigma"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    // A refusal may close the pipe before everything is written.
    let feeding = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    feeding.join().unwrap();
    output
}

#[track_caller]
fn succeeds(output: &Output) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
}

/// The run failed with one line that has these words.
#[track_caller]
fn fails(output: &Output, words: &[&str]) {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert!(error.starts_with("sigma: "), "{error}");
    for word in words {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
}

fn folder_with(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    folder
}

/// Everything in a folder, sorted: no partial output may stay behind.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn json(output: &Output) -> Value {
    succeeds(output);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn a_file_comes_back() {
    let content = data::log(300_000);
    let folder = folder_with(&[("a.log", &content)]);
    let path = folder.path();
    let packed = json(&sigma(
        path,
        &["compress", "a.log", "--level", "9", "--json"],
    ));
    assert_eq!(packed["content_bytes"], 300_000);
    let bytes = fs::metadata(path.join("a.log.sigma")).unwrap().len();
    assert_eq!(packed["container_bytes"], bytes);
    succeeds(&sigma(path, &["decompress", "a.log.sigma", "-o", "back"]));
    assert!(fs::read(path.join("back")).unwrap() == content);
    let found = json(&sigma(path, &["inspect", "a.log.sigma", "--json"]));
    assert_eq!(found["content_bytes"], 300_000);
    assert_eq!(found["frames"].as_array().unwrap().len(), 1);
    // As a table, with the default name, on two threads.
    succeeds(&sigma(
        path,
        &["compress", "back", "-T", "2", "--frame-bytes", "64K"],
    ));
    fs::remove_file(path.join("back")).unwrap();
    let output = sigma(path, &["decompress", "back.sigma"]);
    succeeds(&output);
    assert!(String::from_utf8_lossy(&output.stdout).starts_with("output  content B"));
    assert!(fs::read(path.join("back")).unwrap() == content);
    let part = sigma(
        path,
        &[
            "decompress",
            "back.sigma",
            "--range",
            "1000..2000",
            "-o",
            "-",
        ],
    );
    succeeds(&part);
    assert!(part.stdout == content[1000..2000]);
    assert_eq!(names(path), ["a.log", "a.log.sigma", "back", "back.sigma"]);
}

#[test]
fn standard_input_and_output() {
    let content = data::text(100_000);
    let folder = folder_with(&[]);
    let packed = sigma_with_input(folder.path(), &["compress"], &content);
    succeeds(&packed);
    assert!(packed.stdout.len() < content.len() / 2);
    let back = sigma_with_input(folder.path(), &["decompress", "--quiet"], &packed.stdout);
    succeeds(&back);
    assert!(back.stdout == content);
    assert!(back.stderr.is_empty());
}

#[test]
fn dictionaries_are_trained_and_must_be_at_hand() {
    let messages = data::messages(2000, 5).join(&b'\n');
    let other = data::messages(2000, 6).join(&b'\n');
    let message = data::messages(1, 7).remove(0);
    let folder = folder_with(&[("lines", &messages), ("other", &other), ("m", &message)]);
    let path = folder.path();
    for (lines, name) in [("lines", "d"), ("other", "wrong")] {
        let trained = json(&sigma(
            path,
            &[
                "train",
                "--lines",
                lines,
                "-o",
                name,
                "--bytes-max",
                "8K",
                "--json",
            ],
        ));
        assert!(trained["samples"].as_u64().unwrap() >= 2000);
    }
    succeeds(&sigma(path, &["compress", "m", "-D", "d"]));
    assert!(fs::metadata(path.join("m.sigma")).unwrap().len() < message.len() as u64);
    fs::remove_file(path.join("m")).unwrap();
    fails(
        &sigma(path, &["decompress", "m.sigma"]),
        &["m.sigma", "dictionary", "not registered"],
    );
    fails(
        &sigma(path, &["decompress", "m.sigma", "-D", "wrong"]),
        &["m.sigma", "dictionary", "not registered"],
    );
    succeeds(&sigma(
        path,
        &["decompress", "m.sigma", "-D", "wrong", "-D", "d"],
    ));
    assert!(fs::read(path.join("m")).unwrap() == message);
    fails(&sigma(path, &["train", "m", "-o", "x"]), &["cannot train"]);
    assert!(!path.join("x").exists());
}

#[test]
fn damaged_and_foreign_files_are_refused_and_leave_nothing() {
    let content = data::text(50_000);
    let packed = sigma_lang::compress(&content, &sigma_lang::Config::new()).unwrap();
    let mut flipped = packed.clone();
    flipped[packed.len() / 2] ^= 1;
    let longer = [packed.as_slice(), b"x"].concat();
    let folder = folder_with(&[
        ("cut.sigma", &packed[..packed.len() - 10]),
        ("flipped.sigma", &flipped),
        ("longer.sigma", &longer),
        ("foreign.sigma", b"something else altogether"),
    ]);
    let path = folder.path();
    fails(
        &sigma(path, &["decompress", "cut.sigma"]),
        &["cut.sigma", "needs", "are left"],
    );
    fails(
        &sigma(path, &["decompress", "flipped.sigma"]),
        &["flipped.sigma"],
    );
    fails(
        &sigma(path, &["decompress", "longer.sigma"]),
        &["bytes follow the end"],
    );
    fails(
        &sigma(path, &["decompress", "foreign.sigma"]),
        &["not a sigma-lang container"],
    );
    fails(
        &sigma(path, &["inspect", "foreign.sigma"]),
        &["not a sigma-lang container"],
    );
    fails(
        &sigma(path, &["decompress", "none.sigma"]),
        &["cannot open none.sigma"],
    );
    fails(
        &sigma(path, &["decompress", "cut"]),
        &["does not end in .sigma"],
    );
    fails(&sigma(path, &["compress", "."]), &["it is a folder"]);
    fails(
        &sigma(path, &["compress", "cut.sigma", "-l", "99"]),
        &["level", "99"],
    );
    assert_eq!(
        names(path),
        [
            "cut.sigma",
            "flipped.sigma",
            "foreign.sigma",
            "longer.sigma"
        ]
    );
}

#[test]
fn an_output_that_is_there_is_kept_without_force() {
    let folder = folder_with(&[("a", b"new content"), ("a.sigma", b"old")]);
    let path = folder.path();
    fails(
        &sigma(path, &["compress", "a"]),
        &["a.sigma", "it exists", "--force"],
    );
    assert_eq!(fs::read(path.join("a.sigma")).unwrap(), b"old");
    succeeds(&sigma(path, &["compress", "a", "--force"]));
    fails(&sigma(path, &["decompress", "a.sigma"]), &["it exists"]);
    succeeds(&sigma(path, &["decompress", "a.sigma", "-f"]));
    assert_eq!(fs::read(path.join("a")).unwrap(), b"new content");
}

#[test]
fn the_output_limit_holds() {
    let zeros = vec![0; 1_000_000];
    let folder = folder_with(&[("zeros", &zeros)]);
    let path = folder.path();
    succeeds(&sigma(path, &["compress", "zeros"]));
    fails(
        &sigma(
            path,
            &[
                "decompress",
                "zeros.sigma",
                "-o",
                "out",
                "--output-bytes-max",
                "999999",
            ],
        ),
        &["limit is 999999 bytes"],
    );
    assert!(!path.join("out").exists());
    succeeds(&sigma(
        path,
        &[
            "decompress",
            "zeros.sigma",
            "-o",
            "out",
            "--output-bytes-max",
            "1000000",
        ],
    ));
}

#[test]
fn bench_reports_both_engines() {
    let folder = folder_with(&[("a", &data::log(50_000))]);
    let found = json(&sigma(
        folder.path(),
        &["bench", "a", "-l", "1,-3", "--repetitions", "1", "--json"],
    ));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 4);
    assert!(rows.iter().all(|row| row["ratio"].as_f64().unwrap() > 1.0));
}

#[test]
fn archives_come_back_and_keep_equal_parts_once() {
    let part = data::noise(200_000, 3);
    let changed = [&part[..90_000], b"inserted", &part[90_000..]].concat();
    let folder = folder_with(&[
        ("in/one", &part),
        ("in/deep/er/two", &changed),
        ("in/empty", b""),
        ("single", b"alone"),
    ]);
    let path = folder.path();
    let made = json(&sigma(
        path,
        &["archive", "in", "single", "-o", "all.sgar", "--json"],
    ));
    assert_eq!(made["files"], 4);
    assert!(made["archive_bytes"].as_u64().unwrap() < 280_000, "{made}");
    let listed = json(&sigma(path, &["list", "all.sgar", "--json"]));
    let paths: Vec<&str> = listed["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|f| f["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["in/deep/er/two", "in/empty", "in/one", "single"]);
    succeeds(&sigma(path, &["extract", "all.sgar", "-C", "out"]));
    assert!(fs::read(path.join("out/in/deep/er/two")).unwrap() == changed);
    assert!(fs::read(path.join("out/in/one")).unwrap() == part);
    assert!(fs::read(path.join("out/in/empty")).unwrap().is_empty());
    fails(
        &sigma(path, &["extract", "all.sgar", "-C", "out"]),
        &["it exists"],
    );
    succeeds(&sigma(
        path,
        &["extract", "all.sgar", "single", "-C", "other"],
    ));
    assert_eq!(names(&path.join("other")), ["single"]);
    fails(
        &sigma(path, &["extract", "all.sgar", "nothing", "-C", "x"]),
        &["nothing is not in"],
    );
    fails(
        &sigma(
            path,
            &[
                "extract",
                "all.sgar",
                "-C",
                "x",
                "--output-bytes-max",
                "400000",
            ],
        ),
        &["all.sgar", "limit is 400000 bytes"],
    );
    assert!(!path.join("x").exists());
}

#[cfg(unix)]
#[test]
fn extraction_does_not_follow_links_out_of_the_folder() {
    let folder = folder_with(&[("in/file", b"content")]);
    let path = folder.path();
    succeeds(&sigma(path, &["archive", "in", "-o", "a.sgar"]));
    fs::create_dir_all(path.join("elsewhere")).unwrap();
    fs::create_dir_all(path.join("out")).unwrap();
    std::os::unix::fs::symlink(path.join("elsewhere"), path.join("out/in")).unwrap();
    fails(
        &sigma(path, &["extract", "a.sgar", "-C", "out", "--force"]),
        &["it is no folder"],
    );
    assert!(names(&path.join("elsewhere")).is_empty());
    // A link in place of the file itself is replaced, not followed.
    let target: PathBuf = path.join("elsewhere/victim");
    fs::write(&target, b"untouched").unwrap();
    fs::create_dir_all(path.join("out2/in")).unwrap();
    std::os::unix::fs::symlink(&target, path.join("out2/in/file")).unwrap();
    fails(
        &sigma(path, &["extract", "a.sgar", "-C", "out2"]),
        &["it exists"],
    );
    succeeds(&sigma(
        path,
        &["extract", "a.sgar", "-C", "out2", "--force"],
    ));
    assert_eq!(fs::read(&target).unwrap(), b"untouched");
    assert_eq!(fs::read(path.join("out2/in/file")).unwrap(), b"content");
    // Links are left out of an archive.
    std::os::unix::fs::symlink("file", path.join("in/link")).unwrap();
    let made = json(&sigma(path, &["archive", "in", "-o", "b.sgar", "--json"]));
    assert_eq!(
        (made["files"].as_u64(), made["skipped"].as_u64()),
        (Some(1), Some(1))
    );
}

#[test]
fn help_and_usage() {
    let folder = folder_with(&[]);
    let help = sigma(folder.path(), &["--help"]);
    succeeds(&help);
    let text = String::from_utf8_lossy(&help.stdout);
    for command in [
        "compress",
        "decompress",
        "inspect",
        "train",
        "bench",
        "archive",
        "extract",
        "list",
    ] {
        assert!(text.contains(command), "{command}");
    }
    let wrong = sigma(folder.path(), &["compress", "--frame-bytes", "many"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn the_bytes_do_not_depend_on_the_threads() {
    let content = [
        data::log(400_000),
        data::noise(300_000, 1),
        data::text(300_000),
    ]
    .concat();
    let folder = folder_with(&[("in", &content)]);
    let pack = |threads: &str| {
        let output = [
            "compress",
            "in",
            "--output",
            threads,
            "--frame-bytes",
            "65536",
            "-T",
            threads,
        ];
        succeeds(&sigma(folder.path(), &output));
        fs::read(folder.path().join(threads)).unwrap()
    };
    let one = pack("1");
    assert!(pack("2") == one);
    assert!(pack("5") == one);
    let unpacked = ["decompress", "2", "--output", "out"];
    succeeds(&sigma(folder.path(), &unpacked));
    assert!(fs::read(folder.path().join("out")).unwrap() == content);
}
