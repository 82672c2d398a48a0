//! The page in a real browser: no error, every plot drawn, nothing wider than a phone.
//!
//! Needs Chromium: the program named by `NEURECTOMY_CHROMIUM`, else `chromium` or another usual name
//! on the path. Where there is none the tests say that they are skipped, unless
//! `NEURECTOMY_BROWSER=required`, which makes that a failure (`ci/browser.sh`).
//! `NEURECTOMY_REPORT=report.html` checks a page of a real run as well, and
//! `NEURECTOMY_SCREENSHOTS=folder` keeps pictures of it, as a desk and as a phone show it.
#![cfg(all(feature = "harness", unix))]

mod sample;

use neurectomy_bench::harness::compare::compare;
use neurectomy_bench::harness::report::Report;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest life of one browser. It takes a second on a machine with nothing else to do.
const BROWSER_TIME_MAX: Duration = Duration::from_secs(150);
/// Width of a desk's window and of a phone's, in CSS pixels.
const DESK: u32 = 1000;
const PHONE: u32 = 360;
/// Height of a picture: the tables of targets and the first drawings.
const PICTURE_HEIGHT: u32 = 3600;
const CHECK: &str = include_str!("browser/check.js");

/// The browser, or none after a word about it.
fn chromium() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let found = std::env::var_os("NEURECTOMY_CHROMIUM")
        .map(PathBuf::from)
        .or_else(|| {
            let path = std::env::var_os("PATH")?;
            std::env::split_paths(&path)
                .flat_map(|folder| names.map(|name| folder.join(name)))
                .find(|program| program.is_file())
        });
    if found.is_none() {
        let is_required = std::env::var("NEURECTOMY_BROWSER").is_ok_and(|word| word == "required");
        assert!(!is_required, "no chromium on the path: {names:?}");
        eprintln!("skipped: no chromium is installed, looked for {names:?}");
    }
    found
}

/// Starts the browser on a page and waits until it has ended; what it printed, and its console.
fn browse(chromium: &Path, page: &Path, size: (u32, u32), task: &str) -> (String, String) {
    let dir = tempfile::tempdir().unwrap();
    let printed = dir.path().join("stdout");
    let console = dir.path().join("stderr");
    let mut child = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-quic", "--no-first-run", "--disable-sync"])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
        ])
        .args([
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--enable-logging=stderr",
        ])
        .arg(format!(
            "--user-data-dir={}",
            dir.path().join("user").display()
        ))
        .arg(format!("--window-size={},{}", size.0, size.1))
        .arg(task)
        .arg(format!("file://{}", page.display()))
        .env("HOME", dir.path())
        .stdin(Stdio::null())
        .stdout(File::create(&printed).unwrap())
        .stderr(File::create(&console).unwrap())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if start.elapsed() > BROWSER_TIME_MAX {
            // Fails only where it has just ended.
            let _ = child.kill();
            let _ = child.wait();
            panic!("{} did not end in {BROWSER_TIME_MAX:?}", chromium.display());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let read = |path| String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let console = read(&console);
    assert!(status.success(), "{status}: {console}");
    (read(&printed), console)
}

/// The page with the check in its head, before anything of its own.
fn checked(page: &str) -> String {
    let (head, body) = page.split_once("<head>").expect("a page has a head");
    format!("{head}<head><script>{CHECK}</script>{body}")
}

/// A page with another in a frame of a phone's width: no window of the browser is that narrow.
fn framed(page: &str, height: u32) -> String {
    let inner = page.replace('&', "&amp;").replace('"', "&quot;");
    format!(
        "<!DOCTYPE html><html><head></head><body style=\"margin:0\"><iframe style=\"border:0;\
         display:block\" width=\"{PHONE}\" height=\"{height}\" srcdoc=\"{inner}\"></iframe></body></html>"
    )
}

/// All that is wrong with a page at a width, a line each, and how many plots it has.
fn faults(chromium: &Path, page: &str, width: u32) -> (Vec<String>, usize) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("page.html");
    let copy = match width {
        PHONE => framed(&checked(page), 800),
        _ => checked(page),
    };
    std::fs::write(&file, copy).unwrap();
    let (dom, console) = browse(chromium, &file, (width, 900), "--dump-dom");
    let found = dom.rsplit_once("<pre id=\"findings\">");
    let (_, found) = found.unwrap_or_else(|| panic!("no findings: {console}"));
    let found = found.split("</pre>").next().unwrap_or_default();
    let mut plots = 0;
    let mut faults: Vec<String> = console
        .lines()
        .filter(|line| line.contains(":CONSOLE:"))
        .map(str::to_owned)
        .collect();
    for line in found.lines().filter(|line| !line.is_empty()) {
        let parts: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| parts[at].parse::<u32>().unwrap();
        let is_well = match parts[0] {
            "page" => number(1) == width && number(3) <= number(2),
            "plot" => {
                plots += 1;
                let (marks, drawn) = (number(2), number(3));
                let is_sized = (300..=width).contains(&number(4)) && number(5) > 20;
                marks > 0 && marks == drawn && is_sized
            }
            "table" => number(1) > 100 && number(2) > 20,
            _ => false,
        };
        if !is_well {
            faults.push(line.to_owned());
        }
    }
    (faults, plots)
}

fn sample_page() -> String {
    let now = sample::results(None, 1.2);
    let past = [("v1".to_owned(), sample::results(Some("v1"), 1.0))];
    let compared = compare(&past[0].1, &now).unwrap();
    let report = Report {
        days: &[],
        results: &now,
        past: &past,
        compared: Some(("v1".to_owned(), compared)),
    };
    report.html()
}

#[test]
fn every_plot_is_drawn_at_a_desk_and_on_a_phone() {
    let Some(chromium) = chromium() else { return };
    let page = sample_page();
    for width in [DESK, PHONE] {
        // Ratios 3, distributions 3, throughput 2, history 2, memory 2.
        let (faults, plots) = faults(&chromium, &page, width);
        assert_eq!((faults, plots), (Vec::new(), 12), "at {width} pixels");
    }
}

#[test]
fn a_page_with_a_fault_is_found_out() {
    let Some(chromium) = chromium() else { return };
    let page = sample_page();
    let (cut, _) = page.split_once("</body>").unwrap();
    let ended = |more: &str| format!("{cut}{more}</body></html>");
    let styled = |rule: &str| page.replace("</style>", &format!("{rule}</style>"));
    for (name, broken, expected) in [
        (
            "a script that throws",
            ended("<script>throw new Error('planted')</script>"),
            "planted",
        ),
        (
            "an error on the console",
            ended("<script>console.error('planted')</script>"),
            "planted",
        ),
        (
            "a picture that cannot be loaded",
            ended("<img src=\"none.png\"/>"),
            "cannot load",
        ),
        (
            "something wider than a phone",
            ended("<div style=\"width:700px\">wide</div>"),
            "page 360 360 7",
        ),
        (
            "dots that are not painted",
            styled("circle{fill:none!important;stroke:none!important}"),
            "plot ratios 30 0 ",
        ),
        (
            "dots without size",
            page.replace("r=\"3\"", "r=\"0\""),
            "plot history 2 0 ",
        ),
        (
            "drawings that are not shown",
            styled("svg{display:none}"),
            "plot memory 40 0 0 0",
        ),
        (
            "a mark outside its drawing",
            page.replacen("cx=\"", "cx=\"9", 1),
            "plot ratios 1 0 ",
        ),
    ] {
        let (faults, _) = faults(&chromium, &broken, PHONE);
        assert!(
            faults.iter().any(|fault| fault.contains(expected)),
            "{name}: {faults:?}"
        );
    }
}

#[test]
fn the_page_of_a_run_is_drawn_where_one_is_given() {
    let Some(chromium) = chromium() else { return };
    let Some(file) = std::env::var_os("NEURECTOMY_REPORT") else {
        eprintln!("skipped: NEURECTOMY_REPORT names no page");
        return;
    };
    let page = std::fs::read_to_string(&file).unwrap();
    for width in [DESK, PHONE] {
        let (faults, plots) = faults(&chromium, &page, width);
        assert!(
            faults.is_empty() && plots > 0,
            "{width}: {plots} plots, {faults:?}"
        );
    }
    let Some(folder) = std::env::var_os("NEURECTOMY_SCREENSHOTS") else {
        return;
    };
    let folder = std::path::absolute(folder).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for (name, width, copy) in [
        ("report-desk", DESK, page.clone()),
        ("report-phone", PHONE, framed(&page, PICTURE_HEIGHT)),
    ] {
        let path = dir.path().join("page.html");
        std::fs::write(&path, copy).unwrap();
        let picture = folder.join(format!("{name}.png"));
        let task = format!("--screenshot={}", picture.display());
        browse(&chromium, &path, (width, PICTURE_HEIGHT), &task);
        let bytes = std::fs::metadata(&picture).unwrap().len();
        assert!(bytes > 10_000, "{}: {bytes} bytes", picture.display());
    }
}
