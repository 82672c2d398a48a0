//! Progress bars on a terminal; nothing, or plain acknowledgements, elsewhere.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use neurectomy::{Event, Observer, Team};
use std::time::Duration;

pub(crate) struct Progress {
    // Draws to stderr, and only when stderr is a terminal.
    bars: MultiProgress,
    teams: Vec<(Team, ProgressBar)>,
    text: ProgressBar,
    acknowledge: bool,
}

impl Progress {
    pub(crate) fn new(acknowledge: bool) -> Self {
        let bars = MultiProgress::new();
        let style = ProgressStyle::with_template("{prefix:<12} {bar:40} {pos}/{len} {elapsed}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        // Synthesis is one task at the end: a bar would only jump.
        let teams = Team::ALL
            .into_iter()
            .filter(|team| *team != Team::Synthesis)
            .map(|team| {
                let bar = bars.add(ProgressBar::no_length().with_prefix(team.name()));
                bar.set_style(style.clone());
                (team, bar)
            })
            .collect();
        let text = bars.add(ProgressBar::new_spinner());
        text.enable_steady_tick(Duration::from_millis(200));
        Self {
            bars,
            teams,
            text,
            acknowledge,
        }
    }

    pub(crate) fn finish(&self) {
        self.text.finish_and_clear();
        for (_, bar) in &self.teams {
            bar.finish_and_clear();
        }
    }
}

impl Observer for Progress {
    fn event(&self, event: Event<'_>) {
        match event {
            Event::Found { documents, .. } => {
                for (_, bar) in &self.teams {
                    bar.set_length(documents);
                }
            }
            Event::Done { team, .. } => {
                if let Some((_, bar)) = self.teams.iter().find(|(of, _)| *of == team) {
                    bar.inc(1);
                }
            }
            Event::Acknowledged { path, id, resumed } if self.acknowledge => {
                let word = if resumed { "resumed" } else { "acknowledged" };
                self.bars
                    .suspend(|| eprintln!("{word} {id} {}", path.display()));
            }
            Event::Text { path, piece } => {
                let line: String = piece.chars().filter(|c| !c.is_control()).collect();
                self.text.set_message(format!("{}: {line}", path.display()));
            }
            _ => {}
        }
    }
}
