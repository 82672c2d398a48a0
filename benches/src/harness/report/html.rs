//! The page: one file without scripts, nothing of which is fetched from elsewhere.

use super::svg::{escape, figure};
use super::tables::{Table, tables};
use super::{Report, plots};
use std::fmt::Write;

const STYLE: &str = "\
:root{color-scheme:light dark;--ours:#1668b8;--peer:#b86a16;--bad:#b3261e;--good:#2e7d32;--rule:#8886}\
body{font:16px/1.45 system-ui,sans-serif;margin:0 auto;padding:0 12px 48px;max-width:58rem;overflow-wrap:break-word}\
h1{font-size:1.4rem}h2{font-size:1.15rem;margin-top:2rem}h3{font-size:1rem}\
figure{margin:1rem 0}figcaption{font-size:.9rem}svg{width:100%;height:auto;display:block}\
svg text{font:10px system-ui,sans-serif;fill:currentColor}.grid{stroke:var(--rule);stroke-width:.5}\
.one{stroke:currentColor;stroke-width:1}.median{stroke:currentColor;stroke-width:1.5}\
.ours{stroke:var(--ours);fill:var(--ours)}.peer{stroke:var(--peer);fill:var(--peer)}\
.good{stroke:var(--good);fill:var(--good)}.bad{stroke:var(--bad);fill:var(--bad)}\
.line{stroke:var(--ours);fill:none;stroke-width:1.5}\
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:.85rem;width:max-content;min-width:100%}\
th,td{text-align:left;padding:3px 8px 3px 0;border-bottom:1px solid var(--rule);vertical-align:top;max-width:18rem}\
td.number{text-align:right;white-space:nowrap}ul.key{list-style:none;padding:0}";

/// The whole page. It is well-formed XML, too.
pub(super) fn page(report: &Report<'_>) -> String {
    let results = report.results;
    let mut body = String::new();
    let _ = write!(body, "<h1>{}</h1>", escape(&report.title()));
    body.push_str("<ul class=\"key\">");
    for line in report.circumstances() {
        let _ = write!(body, "<li>{}</li>", escape(&line));
    }
    body.push_str("</ul>");
    let series = results.series();
    for table in tables(report).iter().filter(|table| table.is_first) {
        push_table(&mut body, table);
    }
    let sections: [(&str, &str, Vec<plots::Plot>); 5] = [
        (
            "Ratio to peers",
            "Right of the line is better than the peer, left of it worse.",
            plots::ratios(&series),
        ),
        (
            "Distribution of times",
            "Criterion's samples of all runs.",
            plots::distributions(&series),
        ),
        (
            "Throughput against size",
            "One pair of dots for each measurement.",
            plots::throughput(&series),
        ),
        (
            "History",
            "Each baseline and these results, by the rows that all of them have.",
            plots::history(report.past, results),
        ),
        (
            "Memory over time",
            "One run of each execution.",
            plots::memory(results),
        ),
    ];
    for (title, words, plots) in sections {
        push_plots(&mut body, title, words, &plots);
    }
    for table in tables(report).iter().filter(|table| !table.is_first) {
        push_table(&mut body, table);
    }
    format!(
        "<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\"><head>\
         <meta charset=\"utf-8\"/>\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\
         <title>{}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escape(&report.title())
    )
}

fn push_plots(body: &mut String, title: &str, words: &str, plots: &[plots::Plot]) {
    if plots.is_empty() {
        return;
    }
    let _ = write!(body, "<h2>{}</h2><p>{}</p>", escape(title), escape(words));
    let mut suite = "";
    for plot in plots {
        if plot.suite != suite {
            suite = &plot.suite;
            let _ = write!(body, "<h3>{}</h3>", escape(suite));
        }
        body.push_str(&plot.markup);
    }
}

fn push_table(body: &mut String, table: &Table) {
    let _ = write!(body, "<h2>{}</h2>", escape(&table.title));
    if !table.words.is_empty() {
        let _ = write!(body, "<p>{}</p>", escape(&table.words));
    }
    body.push_str("<div class=\"wide\"><table><thead><tr>");
    for head in &table.heads {
        let _ = write!(body, "<th>{}</th>", escape(head));
    }
    body.push_str("</tr></thead><tbody>");
    for row in &table.rows {
        body.push_str("<tr>");
        for cell in row {
            let class = if cell.parse::<f64>().is_ok() {
                " class=\"number\""
            } else {
                ""
            };
            let _ = write!(body, "<td{class}>{}</td>", escape(cell));
        }
        body.push_str("</tr>");
    }
    body.push_str("</tbody></table></div>");
}

/// A number of a table, `-` where there is none.
pub(super) fn number(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_owned(), figure)
}
