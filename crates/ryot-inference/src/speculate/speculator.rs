//! The sources and the controller of one generation.

use std::time::{Duration, Instant};

use super::SpeculationSettings;
use super::controller::{Controller, SpeculationStats};
use super::draft::Draft;
use super::lookup::Lookup;
use crate::error::Result;

/// Guesses for one generation, and what is known about them.
pub(crate) struct Speculator {
    lookup: Option<Lookup>,
    draft: Option<Draft>,
    tokens_max: usize,
    controller: Controller,
    stats: SpeculationStats,
    /// Source and start of the step under way.
    source: usize,
    started: Instant,
}

impl Speculator {
    pub(crate) fn new(settings: SpeculationSettings) -> Self {
        Self {
            lookup: settings.lookup.then(Lookup::default),
            draft: settings.draft.map(Draft::new),
            tokens_max: settings.tokens_max,
            // each length of look-up, then the draft
            controller: Controller::new(Lookup::KINDS + 1, settings.adaptive),
            stats: SpeculationStats::default(),
            source: 0,
            started: Instant::now(),
        }
    }

    pub(crate) fn stats(&self) -> SpeculationStats {
        self.stats
    }

    /// Starts a step: the guesses for what follows `tokens`, at most `most`, perhaps none.
    pub(crate) fn guess(&mut self, tokens: &[u32], most: usize) -> Result<Vec<u32>> {
        self.started = Instant::now();
        let most = most.min(self.tokens_max);
        if let Some(lookup) = &mut self.lookup
            && let Some(found) = lookup.find(tokens, most)
        {
            self.source = found.length;
            let count = self.controller.count(found.length, found.end - found.start);
            let guesses = tokens.get(found.start..found.start + count);
            return Ok(guesses.unwrap_or_default().to_vec());
        }
        if let Some(draft) = &mut self.draft {
            self.source = Lookup::KINDS;
            let count = self.controller.count(self.source, most);
            if count > 0 {
                return draft.guess(tokens, count);
            }
        }
        Ok(Vec::new())
    }

    /// Ends a step in which `accepted` of `proposed` guesses were kept.
    pub(crate) fn learn(&mut self, proposed: usize, accepted: usize) {
        let time: Duration = self.started.elapsed();
        if proposed == 0 {
            self.stats.plain_steps += 1;
            return self.controller.plain_step(time);
        }
        self.stats.steps += 1;
        self.stats.proposed += proposed;
        self.stats.accepted += accepted;
        self.controller.step(self.source, proposed, accepted, time);
    }
}
