//! Runs the suites by spec, keeps baselines, compares with them and writes reports.

use std::process::ExitCode;

fn main() -> ExitCode {
    neurectomy_bench::harness::cli::main()
}
