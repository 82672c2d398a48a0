//! Results as a run would keep them, with figures of no meaning, for tests of the report.

use neurectomy_bench::harness::resources::Resources;
use neurectomy_bench::harness::results::{Execution, FORMAT, Outcome, Results};
use neurectomy_bench::harness::waits::Waits;
use neurectomy_bench::heap::Site;
use neurectomy_bench::journal::{Recorded, Samples, WorkDone};
use neurectomy_bench::profile::Hotspot;
use neurectomy_bench::{Environment, Row};

/// Text that would be a script if it was taken for markup.
pub(crate) const HOSTILE: &str = "<script>alert('x')</script> \"&|`\u{1}";

fn recorded(measure: &str, ours: f64, bytes: u64) -> Recorded {
    Recorded {
        row: Row::new(measure, "MB/s", ours).against("peer<i>", 100.0),
        group: Some("g".to_owned()),
        work: Some(WorkDone {
            of: "bytes".to_owned(),
            amount: bytes,
        }),
        fastest_ratio: None,
        samples: Some(Samples {
            ours_ns: (0..20).map(|at| 100.0 + f64::from(at)).collect(),
            peer_ns: (0..20).map(|at| 150.0 + f64::from(at)).collect(),
        }),
    }
}

fn execution(suite: &str, round: u32, rows: Vec<Recorded>) -> Execution {
    Execution {
        label: format!("{suite} {HOSTILE}"),
        suite: suite.to_owned(),
        specs: Vec::new(),
        round,
        outcome: if round == 3 {
            Outcome::Failed {
                detail: HOSTILE.to_owned(),
            }
        } else {
            Outcome::Completed
        },
        wall_s: 10.0,
        resources: Some(Resources {
            user_s: 9.0,
            system_s: 0.5,
            resident_mib_max: 20.0,
            major_faults: 0,
            read_bytes: 0,
            written_bytes: 0,
            voluntary_switches: 10,
            involuntary_switches: 10,
            waited_for_core_s: 0.5,
            waits: Waits {
                running: 30,
                locks: 10,
                ..Waits::default()
            },
            memory: (0..40).map(|at| (f64::from(at) / 4.0, 20.0)).collect(),
        }),
        hotspots: vec![Hotspot {
            function: HOSTILE.to_owned(),
            self_percent: 60.0,
            total_percent: 80.0,
            samples: 1000,
            calls: Some(7),
        }],
        heap: vec![Site {
            function: HOSTILE.to_owned(),
            peak_bytes: 1 << 20,
            total_bytes: 3 << 20,
            blocks: 5,
        }],
        rows,
    }
}

/// Three runs of two suites, 41 rows and 1; `faster` is a factor on rates of ours.
pub(crate) fn results(name: Option<&str>, faster: f64) -> Results {
    let rows = || {
        let mut rows = vec![recorded(HOSTILE, 50.0 * faster, 1 << 10)];
        for at in 0..40_u32 {
            let measure = format!("read {at} KB");
            rows.push(recorded(
                &measure,
                faster * f64::from(at + 80),
                1024 * u64::from(at + 1),
            ));
        }
        rows
    };
    let mut executions = Vec::new();
    for round in 1..=3 {
        executions.push(execution("storage", round, rows()));
        executions.push(execution("agents", round, vec![recorded("ask", 150.0, 7)]));
    }
    let mut environment = Environment::read();
    environment.cpu = HOSTILE.to_owned();
    Results {
        format: FORMAT,
        name: name.map(str::to_owned),
        environment,
        load_1m_at_end: Some(1.0),
        specs: Vec::new(),
        executions,
    }
}
