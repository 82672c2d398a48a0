//! The days of a campaign as its users start it, over a suite with known faults; and a suite whose
//! program is killed.
#![cfg(all(feature = "harness", unix))]

mod place;

use neurectomy_bench::harness::campaign;
use neurectomy_bench::harness::results::{Outcome, Results};
use neurectomy_bench::harness::spec::read_all;
use place::{Place, code};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for something that has to come.
const PATIENCE: Duration = Duration::from_secs(60);

impl Place {
    fn days(&self, text: &str) {
        std::fs::write(self.path("benches/campaign.yaml"), text).unwrap();
    }

    fn campaign(&self, more: &[&str]) -> Output {
        let built = self.path("built");
        let mut arguments = vec!["campaign", "--executables", built.to_str().unwrap()];
        arguments.extend(more);
        self.program(&arguments)
    }

    fn day(&self, number: u32) -> Results {
        Results::read(&self.path(&format!("campaign/day-{number}.json"))).unwrap()
    }
}

const DAYS: &str = "days:\n  - name: micro\n    description: \"small\"\n    runs: 2\n    specs: [good]\n  \
                    - name: macro\n    description: \"large\"\n    specs: [bad, other]\n  \
                    - name: analysis\n    description: \"what to do\"\n    specs: [next]\n";

fn three_days() -> Place {
    let place = Place::new();
    place.spec("good", "");
    place.spec("bad", "  environment:\n    PLANTED_FAULT: panic\n");
    place.spec("other", "  samples: 12\n");
    let next = "benchmark:\n  name: next\n  description: \"what to do\"\n  category: analysis\n  tier: profile\n  \
                analysis: roadmap\n  profiling: {enabled: true}\n";
    std::fs::write(place.path("benches/specs/next.yaml"), next).unwrap();
    place.days(DAYS);
    place
}

#[test]
fn all_days_are_run_and_reported_though_one_suite_panics() {
    let place = three_days();
    let text = code(&place.campaign(&[]), 1);
    assert!(
        text.contains("day 1, micro: 2 of 2 executions completed"),
        "{text}"
    );
    assert!(
        text.contains("day 2, macro: 1 of 2 executions completed"),
        "{text}"
    );
    let markdown = std::fs::read_to_string(place.path("campaign/campaign.md")).unwrap();
    for expected in [
        "# Campaign of 2",
        "| 1 | micro | good | 2 of 2 | 4 |",
        "| 2 | macro | bad, other | 1 of 2 | 3 |",
        "| 3 | analysis | next | - | 0 |",
        "| next | profile |",
        "planted panic",
        "## What to do next",
        "## What threads do",
    ] {
        assert!(markdown.contains(expected), "{expected}: {markdown}");
    }
    let page = std::fs::read_to_string(place.path("campaign/campaign.html")).unwrap();
    assert!(page.contains("data-plot=\"ratios\""));
}

#[test]
fn a_campaign_goes_on_where_it_was() {
    let place = three_days();
    code(&place.campaign(&["--days", "1"]), 0);
    let first = place.day(1);
    let text = code(&place.campaign(&[]), 1);
    assert!(
        text.contains("day 1, micro: 2 of 2 executions completed, 2 of them before"),
        "{text}"
    );
    assert_eq!(place.day(1).executions, first.executions);
    // What did not complete is tried again, what did is kept.
    let before = place.day(2);
    place.spec("bad", "  environment:\n    PLANTED_FAULT: none\n");
    let text = code(&place.campaign(&[]), 0);
    assert!(
        text.contains("day 2, macro: 2 of 2 executions completed, 1 of them before"),
        "{text}"
    );
    let kept = before
        .executions
        .iter()
        .find(|run| run.outcome == Outcome::Completed);
    assert!(place.day(2).executions.contains(kept.unwrap()));
    let text = code(&place.campaign(&["--again", "--runs", "1"]), 0);
    assert!(
        text.contains("day 1, micro: 1 of 1 executions completed, 0 of them before"),
        "{text}"
    );
}

#[test]
fn a_day_that_cannot_write_leaves_the_others() {
    let place = three_days();
    place.spec("bad", "");
    // Its results cannot be written, since a folder has their name.
    std::fs::create_dir_all(place.path("campaign/day-1.json/x")).unwrap();
    let text = code(&place.campaign(&[]), 1);
    assert!(
        text.contains("day 1, micro: cannot write") && text.contains("day-1.json"),
        "{text}"
    );
    assert!(
        text.contains("day 2, macro: 2 of 2 executions completed"),
        "{text}"
    );
    let markdown = std::fs::read_to_string(place.path("campaign/campaign.md")).unwrap();
    assert!(
        markdown.contains("| 1 | micro | good | - | 0 |"),
        "{markdown}"
    );
}

#[test]
fn wrong_days_name_what_there_is() {
    let place = three_days();
    let text = code(&place.campaign(&["--days", "4"]), 2);
    assert!(
        text.contains("no day is named 4; there are: 1, 2, 3"),
        "{text}"
    );
    for (days, expected) in [
        ("days: []\n", "days is 0; allowed: 1 to 31"),
        ("day: 1\n", "campaign.yaml: "),
        (
            &DAYS.replace("[good]", "[god]"),
            "days[1].specs is god; allowed: bad, good, next, other",
        ),
        (
            &DAYS.replace("[next]", "[good]"),
            "days[3].specs is good; allowed: a spec of one day; day 1 has it",
        ),
        (&DAYS.replace("[next]", "[]"), "days[3].specs is empty"),
        (
            &DAYS.replace("runs: 2", "runs: 0"),
            "days[1].runs is 0; allowed: 1 to 20 runs",
        ),
        (
            &DAYS.replace("\"large\"", "\"\""),
            "days[2].description is 0 bytes",
        ),
    ] {
        place.days(days);
        let text = code(&place.campaign(&[]), 2);
        assert!(text.contains(expected), "{expected}: {text}");
    }
    std::fs::remove_file(place.path("benches/campaign.yaml")).unwrap();
    let text = code(&place.campaign(&[]), 2);
    assert!(
        text.contains("cannot read") && text.contains("campaign.yaml"),
        "{text}"
    );
}

/// The campaign of this workspace holds every spec, so that no benchmark is forgotten.
#[test]
fn every_spec_belongs_to_a_day() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let specs = read_all(&package.join("specs")).unwrap();
    let days = campaign::read(&package.join("campaign.yaml"), &specs).unwrap();
    let of_days: usize = days.iter().map(|day| day.specs.len()).sum();
    assert_eq!(of_days, specs.len());
    let names: Vec<&str> = days.iter().map(|day| day.name.as_str()).collect();
    assert_eq!(
        names,
        ["micro", "multi-component", "macro", "detailed", "analysis"]
    );
}

/// Whether a process is there and is more than an entry that nobody has waited for.
#[cfg(target_os = "linux")]
fn is_alive(process: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let state = stat
        .rsplit_once(')')
        .and_then(|(_, rest)| rest.trim().chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}

#[cfg(target_os = "linux")]
fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "{what} did not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// The process number that the suite left in its folder, once it is whole.
#[cfg(target_os = "linux")]
fn number_of_the_suite(place: &Place) -> Option<String> {
    let folders = std::fs::read_dir(place.path("results.d")).ok()?;
    folders.flatten().find_map(|folder| {
        let text = std::fs::read_to_string(folder.path().join("process")).ok()?;
        text.strip_suffix('\n').map(str::to_owned)
    })
}

#[test]
#[cfg(target_os = "linux")]
fn a_suite_ends_with_the_program_that_started_it() {
    let place = Place::new();
    place.spec("hang", "  environment:\n    PLANTED_FAULT: hang\n");
    let mut command = Command::new(env!("CARGO_BIN_EXE_neurectomy-bench"));
    command.args(["run", "--runs", "1", "--executables"]);
    command.arg(place.path("built"));
    place.set(&mut command);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut program = command.spawn().unwrap();
    let suite = wait_for("the suite", || number_of_the_suite(&place));
    assert!(is_alive(&suite));
    program.kill().unwrap();
    program.wait().unwrap();
    wait_for("the end of the suite", || (!is_alive(&suite)).then_some(()));
}

#[test]
#[cfg(target_os = "linux")]
fn a_suite_that_is_stopped_takes_along_what_it_started() {
    // On a slow machine the child may not be there before the first limits.
    let child = [2, 10, 60].into_iter().find_map(|limit_s| {
        let place = Place::new();
        let fault = "  environment:\n    PLANTED_FAULT: hang with a child\n";
        place.spec("hang", &format!("  limit_s: {limit_s}\n{fault}"));
        let text = code(&place.run(&["--runs", "1"]), 1);
        let expected = format!("stopped after its limit of {limit_s} s");
        let ended = place.results().executions[0].outcome.words();
        assert_eq!(ended, expected, "{text}");
        number_of_the_suite(&place)
    });
    let child = child.unwrap();
    wait_for("the end of the child", || (!is_alive(&child)).then_some(()));
}
