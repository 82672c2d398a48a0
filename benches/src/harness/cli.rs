//! Arguments and printed lines of `neurectomy-bench`.
//!
//! Exit codes: 0 all is well; 1 a suite did not complete, or a comparison found rows that are worse
//! or missing; 2 the arguments, a spec or a file is wrong.

use super::bar::Bar;
use super::campaign::{self, Campaign};
use super::compare::{Compared, Judged, Verdict, compare};
use super::executables::{self, Executables};
use super::report::Report;
use super::results::{Outcome, Results, write_whole};
use super::runner::{self, Run};
use super::spec::{self, CATEGORIES, Plan, Spec, Tier};
use super::stats::median;
use super::{HarnessError, analysis, baseline};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser, Debug)]
#[command(
    name = "neurectomy-bench",
    version,
    about = "Measures the suites by spec, compares and reports"
)]
struct Arguments {
    /// The workspace; found from the current folder upwards where it is not given
    #[arg(long, global = true, value_name = "FOLDER")]
    workspace: Option<PathBuf>,
    /// The file of results [default: target/neurectomy/results.json of the workspace]
    #[arg(long, global = true, value_name = "FILE")]
    results: Option<PathBuf>,
    /// Folder of the baselines [default: benches/baselines of the workspace]
    #[arg(long, global = true, value_name = "FOLDER")]
    baselines: Option<PathBuf>,
    #[command(subcommand)]
    command: Action,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Build and run the suites that the specs name, and keep their rows
    Run(RunArguments),
    /// Run the days of benches/campaign.yaml one after the other, and write their report
    Campaign(CampaignArguments),
    /// Keep results under version control
    Baseline {
        #[command(subcommand)]
        action: BaselineAction,
    },
    /// Compare the results with a baseline: ratios to peers and sizes, never times
    Compare {
        /// Name of the baseline
        base: String,
        /// Also print rows that stayed the same
        #[arg(long)]
        all: bool,
    },
    /// Write the results as a page and as Markdown; both where neither is asked for
    Report(ReportArguments),
}

#[derive(Args, Debug)]
struct RunArguments {
    /// Only specs of this tier
    #[arg(long)]
    tier: Option<TierName>,
    /// Only specs of this component: a suite, or analysis
    #[arg(long, value_name = "NAME")]
    component: Option<String>,
    /// Only this spec file; may be given several times
    #[arg(long, value_name = "FILE")]
    spec: Vec<PathBuf>,
    /// Runs of each execution [default: what its specs ask for; 5 where they say nothing]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: Option<u32>,
    /// Take built suites from this folder instead of building them with cargo
    #[arg(long, value_name = "FOLDER")]
    executables: Option<PathBuf>,
    /// Seconds for all runs together, building excepted: runs that would end later are left out
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    budget: Option<u64>,
    /// Print what would be run and how long it takes, and end
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
struct CampaignArguments {
    /// Only these days, for example 1,4; results of the others are kept and reported
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    days: Vec<u32>,
    /// Runs of each execution [default: what the day asks for]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=20))]
    runs: Option<u32>,
    /// Measure again what was measured at this commit
    #[arg(long)]
    again: bool,
    /// Take built suites from this folder instead of building them with cargo
    #[arg(long, value_name = "FOLDER")]
    executables: Option<PathBuf>,
    /// Folder for campaign.html and campaign.md [default: that of the days' results]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

#[derive(ValueEnum, Debug, Clone, Copy)]
enum TierName {
    Micro,
    Macro,
    Profile,
}

#[derive(Subcommand, Debug)]
enum BaselineAction {
    /// Save the results as a baseline
    Save {
        /// Letters, digits, '-', '_' and '.'
        name: String,
        /// Overwrite a baseline of that name
        #[arg(long)]
        replace: bool,
    },
    /// List the baselines, the oldest first
    List,
}

#[derive(Args, Debug)]
struct ReportArguments {
    /// Write a page
    #[arg(long)]
    html: bool,
    /// Write Markdown
    #[arg(long)]
    markdown: bool,
    /// Compare with this baseline as well
    #[arg(long, value_name = "NAME")]
    against: Option<String>,
    /// Folder for report.html and report.md [default: the folder of the results]
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
}

/// The places that a command works on.
struct Places {
    workspace: PathBuf,
    results: PathBuf,
    baselines: PathBuf,
}

/// Runs the program on this process's arguments.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("neurectomy-bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn execute(arguments: &Arguments) -> Result<bool, HarnessError> {
    let places = places(arguments)?;
    match &arguments.command {
        Action::Run(run) => run_specs(&places, run),
        Action::Campaign(campaign) => run_campaign(&places, campaign),
        Action::Baseline { action } => baselines(&places, action),
        Action::Compare { base, all } => compare_with(&places, base, *all),
        Action::Report(report) => write_report(&places, report),
    }
}

fn places(arguments: &Arguments) -> Result<Places, HarnessError> {
    let here = std::env::current_dir().map_err(HarnessError::io("read", Path::new(".")))?;
    let workspace = match &arguments.workspace {
        Some(workspace) => {
            std::path::absolute(workspace).map_err(HarnessError::io("read", workspace))?
        }
        None => here
            .ancestors()
            .find(|folder| folder.join("benches/specs").is_dir())
            .unwrap_or(&here)
            .to_owned(),
    };
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| workspace.join("target"), |target| workspace.join(target));
    let absolute = |path: &Option<PathBuf>| path.as_ref().map(|path| here.join(path));
    Ok(Places {
        results: absolute(&arguments.results)
            .unwrap_or_else(|| target.join("neurectomy/results.json")),
        baselines: absolute(&arguments.baselines)
            .unwrap_or_else(|| workspace.join("benches/baselines")),
        workspace,
    })
}

fn run_specs(places: &Places, arguments: &RunArguments) -> Result<bool, HarnessError> {
    let specs = chosen(places, arguments)?;
    let plans = spec::plans(&specs);
    if arguments.dry_run {
        print_plans(places, arguments, &plans);
        return Ok(true);
    }
    let executables = suites(places, arguments.executables.as_deref(), &plans)?;
    let run = Run {
        specs: &specs,
        plans: &plans,
        rounds: arguments.runs,
        budget: arguments.budget.map(Duration::from_secs),
        kept: None,
        executables: &executables,
        workspace: &places.workspace,
        results_file: &places.results,
    };
    let mut bar = Bar::new();
    let results = runner::run(&run, &mut bar)?;
    bar.bar.finish_and_clear();
    for held in analysis::targets(&results) {
        let measured = held.measure.as_deref().unwrap_or("no row");
        let figure = held
            .figure
            .map_or_else(|| "-".to_owned(), |figure| format!("{figure:.4}"));
        println!(
            "{} {}: {measured}: {figure}, {}",
            held.spec,
            held.target.name,
            held.met.words()
        );
    }
    if bar.left_out > 0 {
        println!("{} runs left out for the budget", bar.left_out);
    }
    let completed = results
        .executions
        .iter()
        .filter(|execution| execution.outcome == Outcome::Completed)
        .count();
    let of = results.executions.len();
    println!(
        "{completed} of {of} executions completed; results in {}",
        places.results.display()
    );
    Ok(completed == of && of > 0)
}

/// What would be run, and how long that takes: as long as in the last results, which may be of
/// another machine or tree, else as its spec expects.
fn print_plans(places: &Places, arguments: &RunArguments, plans: &[Plan]) {
    let last = Results::read(&places.results).ok();
    let (mut total, mut unknown) = (0.0, 0);
    for plan in plans {
        let runs = arguments.runs.unwrap_or(plan.runs);
        let before: Vec<f64> = last
            .iter()
            .flat_map(|results| &results.executions)
            .filter(|run| run.label == plan.label && run.outcome == Outcome::Completed)
            .map(|run| run.wall_s)
            .collect();
        let expected = median(&before).or(plan.settings.expected_s);
        let time = match expected {
            Some(seconds) => {
                total += seconds * f64::from(runs);
                format!("{seconds:.1} s each")
            }
            None => {
                unknown += 1;
                "time unknown".to_owned()
            }
        };
        let specs = plan.specs.join(", ");
        println!("{} x {runs}, {time}, for {specs}", plan.label);
    }
    println!("about {total:.0} s in all, building excepted; {unknown} executions of unknown time");
}

/// The specs of the folder or of the files given, of the tier and component asked for.
fn chosen(places: &Places, arguments: &RunArguments) -> Result<Vec<Spec>, HarnessError> {
    if let Some(component) = &arguments.component
        && !CATEGORIES.contains(&component.as_str())
    {
        return Err(HarnessError::Unknown {
            what: "component",
            name: component.clone(),
            known: CATEGORIES.join(", "),
        });
    }
    let mut specs = if arguments.spec.is_empty() {
        spec::read_all(&places.workspace.join("benches/specs"))?
    } else {
        let files = arguments.spec.iter();
        files
            .map(|file| spec::read_file(file))
            .collect::<Result<_, _>>()?
    };
    let tier = arguments.tier.map(|tier| match tier {
        TierName::Micro => Tier::Micro,
        TierName::Macro => Tier::Macro,
        TierName::Profile => Tier::Profile,
    });
    specs.retain(|spec| {
        let is_analysis = spec.analysis.is_some();
        let of_tier = tier.is_none_or(|tier| tier == spec.tier || is_analysis);
        let of_component = arguments
            .component
            .as_ref()
            .is_none_or(|component| *component == spec.category || is_analysis);
        of_tier && of_component
    });
    if specs.iter().all(|spec| spec.analysis.is_some()) {
        return Err(HarnessError::Unknown {
            what: "spec with a suite",
            name: "by this tier and component".to_owned(),
            known: "specs in benches/specs, see run --dry-run".to_owned(),
        });
    }
    Ok(specs)
}

fn suites(
    places: &Places,
    built: Option<&Path>,
    plans: &[Plan],
) -> Result<Executables, HarnessError> {
    let mut suites: Vec<&str> = plans
        .iter()
        .map(|plan| plan.settings.suite.as_str())
        .collect();
    suites.sort_unstable();
    suites.dedup();
    match built {
        Some(folder) => executables::find(folder, &suites),
        None => {
            let features = plans.iter().filter_map(|plan| {
                let feature = plan.settings.sampling?.feature()?;
                Some((plan.settings.suite.as_str(), feature))
            });
            let mut more: Vec<(&str, &str)> = features.collect();
            more.sort_unstable();
            more.dedup();
            Ok(executables::build(&places.workspace, &suites, &more))
        }
    }
}

/// Rows of a baseline-to-be whose own runs differ by more than what a comparison looks for.
fn wide_rows(results: &Results) -> Vec<String> {
    // Too few runs, or no row with a peer: a comparison will say so.
    let Ok(compared) = compare(results, results) else {
        return Vec::new();
    };
    let rows = compared.rows.iter();
    rows.filter(|row| row.spread_percent > row.threshold_percent)
        .map(|row| {
            let (label, measure) = (&row.key.label, &row.key.measure);
            format!("{label}, {measure}: {:.1} %", row.spread_percent)
        })
        .collect()
}

/// The days that were asked for, then a report of all days that have results of this commit.
fn run_campaign(places: &Places, arguments: &CampaignArguments) -> Result<bool, HarnessError> {
    let specs = spec::read_all(&places.workspace.join("benches/specs"))?;
    let mut days = campaign::read(&places.workspace.join("benches/campaign.yaml"), &specs)?;
    let known: Vec<String> = days.iter().map(|day| day.number.to_string()).collect();
    let unknown = |number: &&u32| days.iter().all(|day| day.number != **number);
    if let Some(number) = arguments.days.iter().find(unknown) {
        return Err(HarnessError::Unknown {
            what: "day",
            name: number.to_string(),
            known: known.join(", "),
        });
    }
    let folder = places.results.with_file_name("campaign");
    let mut bar = Bar::new();
    for day in &mut days {
        let is_asked = arguments.days.is_empty() || arguments.days.contains(&day.number);
        // Nothing is run of the others, but what they measured before is kept.
        day.skipped = !is_asked;
    }
    let ran = campaign::run(
        &Campaign {
            days: &days,
            workspace: &places.workspace,
            folder: &folder,
            rounds: arguments.runs,
            again: arguments.again,
        },
        &mut |plans| suites(places, arguments.executables.as_deref(), plans),
        &mut bar,
    );
    bar.bar.finish_and_clear();
    for day in &ran {
        let (completed, of) = day.completed();
        let kept = day.kept;
        println!(
            "day {}, {}: {completed} of {of} executions completed, {kept} of them before",
            day.number, day.name
        );
        if let Some(error) = &day.error {
            println!("day {}, {}: {error}", day.number, day.name);
        }
    }
    let results = campaign::merged(&ran);
    let report = Report {
        days: &ran,
        results: &results,
        past: &baseline::list(&places.baselines)?,
        compared: None,
    };
    let output = arguments.output.as_deref().unwrap_or(&folder);
    for (name, text) in [
        ("campaign.html", report.html()),
        ("campaign.md", report.markdown()),
    ] {
        let path = output.join(name);
        write_whole(&path, text.as_bytes())?;
        println!("written {}", path.display());
    }
    Ok(ran.iter().all(campaign::DayRun::is_well))
}

fn baselines(places: &Places, action: &BaselineAction) -> Result<bool, HarnessError> {
    match action {
        BaselineAction::Save { name, replace } => {
            let results = Results::read(&places.results)?;
            let wide = wide_rows(&results);
            let path = baseline::save(&places.baselines, name, results, *replace)?;
            println!("saved {}", path.display());
            if !wide.is_empty() {
                println!(
                    "{} rows whose runs spread wider than their threshold, so that a comparison may be unclear; \
                     measure them again where it matters:",
                    wide.len()
                );
                wide.iter().for_each(|line| println!("  {line}"));
            }
        }
        BaselineAction::List => {
            for (name, results) in baseline::list(&places.baselines)? {
                let environment = &results.environment;
                println!(
                    "{name}: {}, commit {}, {} executions, {}",
                    environment.date,
                    environment.commit,
                    results.executions.len(),
                    environment.cpu
                );
            }
        }
    }
    Ok(true)
}

fn compare_with(places: &Places, base: &str, all: bool) -> Result<bool, HarnessError> {
    let before = baseline::load(&places.baselines, base)?;
    let results = Results::read(&places.results)?;
    let compared = compare(&before, &results)?;
    print_compared(&compared, all);
    Ok(compared.is_held())
}

fn print_compared(compared: &Compared, all: bool) {
    if let Some((before, now)) = &compared.machines {
        println!(
            "the machines differ: {before}; {now}. Ratios to peers may differ for that reason."
        );
    }
    for (title, tails) in [
        ("99th and higher percentiles", true),
        ("all other rows", false),
    ] {
        let rows: Vec<&Judged> = compared
            .rows
            .iter()
            .filter(|row| row.is_tail == tails)
            .collect();
        println!("{title}: {} compared", rows.len());
        for row in rows {
            if all || row.verdict != Verdict::Same {
                println!(
                    "  {}: {}, {} / {}: {:+.1} % (at least {:.1} %, p {:.4}, runs spread {:.1} %, threshold {} %)",
                    row.verdict.words(),
                    row.key.label,
                    row.key.measure,
                    row.key.peer,
                    row.change_percent,
                    row.at_least_percent,
                    row.p,
                    row.spread_percent,
                    row.threshold_percent,
                );
            }
        }
    }
    for key in &compared.missing {
        println!("  MISSING: {}, {} / {}", key.label, key.measure, key.peer);
    }
    println!(
        "{} rows without a peer and {} of specs that are switched off were not compared",
        compared.without_peer, compared.switched_off
    );
    let worse = compared
        .rows
        .iter()
        .filter(|row| row.verdict == Verdict::Worse)
        .count();
    println!("{worse} worse, {} missing", compared.missing.len());
}

fn write_report(places: &Places, arguments: &ReportArguments) -> Result<bool, HarnessError> {
    let results = Results::read(&places.results)?;
    let past = baseline::list(&places.baselines)?;
    let compared = match &arguments.against {
        Some(name) => {
            let before = baseline::load(&places.baselines, name)?;
            Some((name.clone(), compare(&before, &results)?))
        }
        None => None,
    };
    let report = Report {
        days: &[],
        results: &results,
        past: &past,
        compared,
    };
    let beside = places.results.parent().unwrap_or(Path::new("."));
    let folder = arguments.output.as_deref().unwrap_or(beside);
    let both = !arguments.html && !arguments.markdown;
    if arguments.html || both {
        let path = folder.join("report.html");
        write_whole(&path, report.html().as_bytes())?;
        println!("written {}", path.display());
    }
    if arguments.markdown || both {
        let path = folder.join("report.md");
        write_whole(&path, report.markdown().as_bytes())?;
        println!("written {}", path.display());
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn arguments_are_consistent() {
        Arguments::command().debug_assert();
    }
}
