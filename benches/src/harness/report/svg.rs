//! Drawings of 400 units in width, which a phone shows at about its own width.

use std::fmt::Write;

/// Width of every drawing.
pub(super) const WIDTH: f64 = 400.0;
/// Room beyond the least and the greatest value of an axis, as a factor.
const ROOM: f64 = 1.2;

/// Text with the characters that mean something in HTML and XML replaced, and control characters,
/// which XML does not allow, left out.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\t' | '\n' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

/// A drawing under way.
pub(super) struct Drawing {
    body: String,
}

impl Drawing {
    pub(super) fn new() -> Self {
        Self {
            body: String::new(),
        }
    }

    /// `anchor` is `start`, `middle` or `end`; longer texts than `most` characters are cut, and
    /// shown whole by pointing at them.
    pub(super) fn text(&mut self, x: f64, y: f64, anchor: &str, text: &str, most: usize) {
        let short: String = if text.chars().count() > most {
            let cut = text.chars().take(most.saturating_sub(3));
            cut.chain("...".chars()).collect()
        } else {
            text.to_owned()
        };
        let _ = write!(
            self.body,
            r#"<text x="{x:.1}" y="{y:.1}" text-anchor="{anchor}"><title>{}</title>{}</text>"#,
            escape(text),
            escape(&short)
        );
    }

    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let _ = write!(
            self.body,
            r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    pub(super) fn rectangle(&mut self, class: &str, at: (f64, f64), size: (f64, f64)) {
        let _ = write!(
            self.body,
            r#"<rect class="{class}" x="{:.1}" y="{:.1}" width="{:.1}" height="{:.1}"/>"#,
            at.0,
            at.1,
            size.0.max(0.5),
            size.1
        );
    }

    pub(super) fn dot(&mut self, class: &str, at: (f64, f64), title: &str) {
        let _ = write!(
            self.body,
            r#"<circle class="{class}" cx="{:.1}" cy="{:.1}" r="3"><title>{}</title></circle>"#,
            at.0,
            at.1,
            escape(title)
        );
    }

    pub(super) fn path(&mut self, class: &str, points: &[(f64, f64)]) {
        let list: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let _ = write!(
            self.body,
            r#"<polyline class="{class}" points="{}"/>"#,
            list.join(" ")
        );
    }

    /// The drawing as an element; `kind` names the plot, `marks` how many data it shows, for those
    /// who read the page by program.
    pub(super) fn finish(self, kind: &str, title: &str, marks: usize, height: f64) -> String {
        format!(
            concat!(
                r#"<figure><figcaption>{title}</figcaption>"#,
                r#"<svg xmlns="http://www.w3.org/2000/svg" role="img" data-plot="{kind}" data-marks="{marks}" "#,
                r#"viewBox="0 0 {width} {height:.0}" aria-label="{title}">{body}</svg></figure>"#
            ),
            title = escape(title),
            kind = escape(kind),
            marks = marks,
            width = WIDTH,
            height = height,
            body = self.body
        )
    }
}

/// A logarithmic axis.
pub(super) struct LogScale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl LogScale {
    /// Covers the values, which have to be above zero, with a little room on both sides; from and
    /// to are places in the drawing.
    pub(super) fn covering(values: impl Iterator<Item = f64>, from: f64, to: f64) -> Self {
        let (low, high) = values
            .filter(|value| *value > 0.0 && value.is_finite())
            .fold((f64::INFINITY, 0.0_f64), |(low, high), value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = if low > high { (1.0, 10.0) } else { (low, high) };
        Self {
            low: (low / ROOM).ln(),
            high: (high * ROOM).ln(),
            from,
            to,
        }
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let share = (value.max(f64::MIN_POSITIVE).ln() - self.low) / (self.high - self.low);
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// One to seven values within the axis, round ones where there are two.
    pub(super) fn ticks(&self) -> Vec<f64> {
        let decades = (self.high - self.low) / std::f64::consts::LN_10;
        let steps: &[f64] = if decades < 2.0 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        let mut ticks = Vec::new();
        for exponent in -12..=15 {
            for step in steps {
                let tick = step * 10_f64.powi(exponent);
                if (self.low..=self.high).contains(&tick.ln()) {
                    ticks.push(tick);
                }
            }
        }
        if ticks.len() < 2 {
            // A narrow axis has no round values: its least and greatest value stand for them.
            ticks = vec![self.low.exp() * ROOM, self.high.exp() / ROOM];
            ticks.dedup_by(|a, b| (*a / *b - 1.0).abs() < 0.1);
        }
        while ticks.len() > 7 {
            let mut at = 0;
            ticks.retain(|_| {
                at += 1;
                at % 2 == 1
            });
        }
        ticks
    }
}

/// A number in at most five figures.
pub(super) fn figure(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e7).contains(&magnitude) {
        format!("{value:.1e}")
    } else if magnitude >= 1000.0 {
        format!("{value:.0}")
    } else if magnitude >= 10.0 {
        trimmed(format!("{value:.1}"))
    } else {
        trimmed(format!("{value:.3}"))
    }
}

fn trimmed(text: String) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_of_data_is_never_markup() {
        assert_eq!(
            escape("<b a=\"1\">'&\u{0}\n\u{7f}"),
            "&lt;b a=&quot;1&quot;&gt;&#39;&amp; "
        );
    }

    #[test]
    fn figures_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (1.0, "1"),
            (1.5, "1.5"),
            (12345.6, "12346"),
            (0.00001, "1.0e-5"),
            (42.0, "42"),
            (3e9, "3.0e9"),
        ] {
            assert_eq!(figure(value), text);
        }
    }

    #[test]
    fn a_log_axis_covers_its_values() {
        let scale = LogScale::covering([1.0, 100.0].into_iter(), 0.0, 100.0);
        assert!(scale.place(1.0) > 0.0 && scale.place(100.0) < 100.0);
        assert!((scale.place(10.0) - 50.0).abs() < 1e-9);
        assert_eq!(scale.ticks(), [1.0, 10.0, 100.0]);
        let empty = LogScale::covering(std::iter::empty(), 0.0, 1.0);
        assert!(!empty.ticks().is_empty());
        let narrow = LogScale::covering([5763.0, 5913.0].into_iter(), 0.0, 1.0).ticks();
        assert!((5760.0..5920.0).contains(&narrow[0]), "{narrow:?}");
        let wide = LogScale::covering([1e-9, 1e9].into_iter(), 0.0, 1.0);
        assert!(wide.ticks().len() <= 7);
    }
}
