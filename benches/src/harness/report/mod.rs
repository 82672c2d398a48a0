//! The report of a run: a page with plots, and the same tables as Markdown.

mod html;
mod plots;
mod svg;
mod tables;

use super::campaign::DayRun;
use super::compare::Compared;
use super::results::Results;

/// What a report is made of.
#[derive(Debug)]
pub struct Report<'a> {
    /// The days of a campaign, of which the results are; none for a run.
    pub days: &'a [DayRun],
    /// The results.
    pub results: &'a Results,
    /// Baselines, the oldest first.
    pub past: &'a [(String, Results)],
    /// A comparison and the name of its baseline.
    pub compared: Option<(String, Compared)>,
}

impl Report<'_> {
    /// The page: HTML and well-formed XML in one, without scripts, nothing fetched from elsewhere.
    #[must_use]
    pub fn html(&self) -> String {
        html::page(self)
    }

    /// The same tables as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("# {}\n\n", self.title());
        for line in self.circumstances() {
            text.push_str(&format!("- {}\n", markdown_cell(&line)));
        }
        for table in tables::tables(self) {
            text.push_str(&format!("\n## {}\n\n", markdown_cell(&table.title)));
            if !table.words.is_empty() {
                text.push_str(&format!("{}\n\n", table.words));
            }
            let heads: Vec<&str> = table.heads.clone();
            text.push_str(&format!("| {} |\n", heads.join(" | ")));
            text.push_str(&format!("|{}\n", "---|".repeat(heads.len())));
            for row in &table.rows {
                let cells: Vec<String> = row.iter().map(|cell| markdown_cell(cell)).collect();
                text.push_str(&format!("| {} |\n", cells.join(" | ")));
            }
        }
        text
    }

    fn title(&self) -> String {
        let date = &self.results.environment.date;
        let day = date.split('T').next().unwrap_or(date);
        if !self.days.is_empty() {
            return format!("Campaign of {day}");
        }
        match &self.results.name {
            Some(name) => format!("Benchmarks of {day}, baseline {name}"),
            None => format!("Benchmarks of {day}"),
        }
    }

    /// Machine, commit and load, a line each.
    fn circumstances(&self) -> Vec<String> {
        let environment = &self.results.environment;
        let load =
            |load: Option<f64>| load.map_or_else(|| "unknown".to_owned(), |load| load.to_string());
        let memory = environment
            .memory_mib
            .map_or_else(|| "unknown".to_owned(), |mib| format!("{mib} MiB"));
        vec![
            format!(
                "{}, {} threads, memory {memory}",
                environment.cpu, environment.threads
            ),
            format!("{}; commit {}", environment.compiler, environment.commit),
            format!(
                "begun {}; runnable processes over a minute: {} before, {} after",
                environment.date,
                load(environment.load_1m),
                load(self.results.load_1m_at_end)
            ),
            format!("instructions: {}", environment.cpu_flags.join(" ")),
        ]
    }
}

/// A cell on one line in which nothing is markup.
fn markdown_cell(text: &str) -> String {
    let mut cell = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' | '*' | '_' | '`' | '[' | ']' | '<' | '>' | '\\' | '#' => {
                cell.push('\\');
                cell.push(c);
            }
            '\n' | '\r' | '\t' => cell.push(' '),
            c if c.is_control() => {}
            c => cell.push(c),
        }
    }
    cell
}
