//! The page read back as XML: every plot is there and shows as many marks as there are data.
#![cfg(feature = "harness")]

mod sample;

use neurectomy_bench::harness::report::Report;
use neurectomy_bench::harness::results::Results;
use roxmltree::{Document, Node, ParsingOptions};
use sample::results;

fn plots<'a>(document: &'a Document<'a>, kind: &str) -> Vec<(usize, Node<'a, 'a>)> {
    document
        .descendants()
        .filter(|node| node.attribute("data-plot") == Some(kind))
        .map(|node| (node.attribute("data-marks").unwrap().parse().unwrap(), node))
        .collect()
}

fn count(node: Node<'_, '_>, tag: &str) -> usize {
    node.descendants()
        .filter(|node| node.has_tag_name(("http://www.w3.org/2000/svg", tag)))
        .count()
}

fn page(results: &Results, past: &[(String, Results)]) -> String {
    let compared = past.first().map(|(name, base)| {
        let compared = neurectomy_bench::harness::compare::compare(base, results).unwrap();
        (name.clone(), compared)
    });
    let report = Report {
        days: &[],
        results,
        past,
        compared,
    };
    report.html()
}

fn parse(page: &str) -> Document<'_> {
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    Document::parse_with_options(page, options).unwrap()
}

#[test]
fn every_plot_is_drawn_with_all_its_data() {
    let now = results(None, 1.2);
    let past = [("v1".to_owned(), results(Some("v1"), 1.0))];
    let page = page(&now, &past);
    let document = parse(&page);
    // 41 rows of storage make two drawings, the one of agents a third.
    let marks = |kind| -> Vec<usize> { plots(&document, kind).iter().map(|plot| plot.0).collect() };
    assert_eq!(marks("ratios"), [1, 30, 11]);
    assert_eq!(marks("distributions"), [2, 60, 22]);
    assert_eq!(marks("throughput"), [2, 82]);
    assert_eq!(marks("history"), [2, 2]);
    assert_eq!(marks("memory"), [40, 40]);
    for kind in ["ratios", "throughput", "history"] {
        for (marks, node) in plots(&document, kind) {
            assert_eq!(count(node, "circle"), marks, "{kind}");
        }
    }
    for (marks, node) in plots(&document, "distributions") {
        assert_eq!(count(node, "rect"), marks);
    }
    for (marks, node) in plots(&document, "memory") {
        let line = node
            .descendants()
            .find(|node| node.has_attribute("points"))
            .unwrap();
        assert_eq!(line.attribute("points").unwrap().split(' ').count(), marks);
    }
}

#[test]
fn every_mark_lies_within_its_drawing() {
    let now = results(None, 1.2);
    let page = page(&now, &[]);
    let document = parse(&page);
    let mut seen = 0;
    for svg in document
        .descendants()
        .filter(|node| node.has_attribute("data-plot"))
    {
        let size: Vec<f64> = svg
            .attribute("viewBox")
            .unwrap()
            .split(' ')
            .map(|part| part.parse().unwrap())
            .collect();
        for node in svg.descendants() {
            for (name, most) in [
                ("cx", size[2]),
                ("x", size[2]),
                ("x1", size[2]),
                ("x2", size[2]),
                ("cy", size[3]),
                ("y", size[3]),
                ("y1", size[3]),
                ("y2", size[3]),
            ] {
                if let Some(text) = node.attribute(name) {
                    let place: f64 = text.parse().unwrap();
                    assert!((0.0..=most).contains(&place), "{name}={place} of {most}");
                    seen += 1;
                }
            }
        }
    }
    assert!(seen > 500, "{seen}");
}

#[test]
fn nothing_of_the_data_is_markup_and_nothing_is_fetched() {
    let now = results(None, 1.2);
    let past = [("v1".to_owned(), results(Some("v1"), 1.0))];
    let page = page(&now, &past);
    let document = parse(&page);
    assert!(!page.contains("<script") && !page.contains("alert('x')<"));
    for node in document.descendants().filter(Node::is_element) {
        assert_ne!(node.tag_name().name(), "script");
        assert_ne!(node.tag_name().name(), "i");
        for attribute in node.attributes() {
            let name = attribute.name();
            assert!(
                !["src", "href", "onload", "onclick"].contains(&name),
                "{name}"
            );
        }
    }
    let style = document
        .descendants()
        .find(|node| node.has_tag_name(("http://www.w3.org/1999/xhtml", "style")));
    let style = style.unwrap().text().unwrap();
    assert!(!style.contains("url(") && !style.contains("@import"));
    let viewport = document
        .descendants()
        .any(|node| node.attribute("name") == Some("viewport"));
    assert!(
        viewport,
        "a phone would show the page at the width of a desk"
    );
}

#[test]
fn tables_of_the_twin_have_whole_rows() {
    let now = results(None, 1.2);
    let past = [("v1".to_owned(), results(Some("v1"), 1.0))];
    let compared = neurectomy_bench::harness::compare::compare(&past[0].1, &now).unwrap();
    let report = Report {
        days: &[],
        results: &now,
        past: &past,
        compared: Some(("v1".to_owned(), compared)),
    };
    let markdown = report.markdown();
    let mut columns = 0;
    let mut rows = 0;
    for line in markdown.lines() {
        assert!(!line.contains("<script>"), "{line}");
        let bars = line.replace("\\|", "").matches('|').count();
        if line.starts_with("|---") {
            columns = bars;
        } else if line.starts_with("| ") && columns > 0 && bars > 0 {
            rows += usize::from(bars == columns);
        }
        if line.starts_with("## ") {
            columns = 0;
        }
    }
    assert!(rows > 80, "{rows}");
    assert!(markdown.contains("## Where the time goes"));
    assert!(markdown.contains("## Hotspots"));
    assert!(markdown.contains("## Changes against baseline v1"));
}

#[test]
fn an_empty_run_is_a_page_without_plots() {
    let mut now = results(None, 1.0);
    now.executions.clear();
    let page = page(&now, &[]);
    let document = parse(&page);
    assert_eq!(
        document
            .descendants()
            .filter(|node| node.has_attribute("data-plot"))
            .count(),
        0
    );
}
