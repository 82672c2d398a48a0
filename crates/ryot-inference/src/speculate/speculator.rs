//! The sources and the controller of one generation.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::SpeculationSettings;
use super::controller::{Controller, Costs, Maker, SpeculationStats};
use super::draft::Draft;
use super::lookup::Lookup;
use crate::error::Result;

/// What is looked up by endings of six, four and two tokens, and the draft, with the parts of their
/// guesses that are assumed to be kept before anything was seen.
const SOURCES: [(Maker, f64); Lookup::KINDS + 1] = [
    (Maker::Lookup, 0.8),
    (Maker::Lookup, 0.6),
    (Maker::Lookup, 0.4),
    (Maker::Draft, 0.7),
];

/// Guesses for one generation, and what is known about them.
pub(crate) struct Speculator {
    lookup: Option<Lookup>,
    draft: Option<Draft>,
    tokens_max: usize,
    controller: Controller,
    /// What earlier generations of the engine learnt about steps, and this one leaves to later ones.
    known: Arc<Mutex<Costs>>,
    stats: SpeculationStats,
    /// Source and start of the step under way.
    source: usize,
    started: Instant,
}

impl Speculator {
    pub(crate) fn new(settings: SpeculationSettings) -> Self {
        let known = settings.costs;
        let costs = *known.lock().unwrap_or_else(PoisonError::into_inner);
        Self {
            lookup: settings.lookup.then(Lookup::default),
            draft: settings.draft.map(Draft::new),
            tokens_max: settings.tokens_max,
            controller: Controller::new(&SOURCES, settings.adaptive, costs),
            known,
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
            && let Some(found) = lookup.find(tokens)
        {
            self.source = found.length;
            let count = self.controller.count(found.length, most);
            return Ok(found.guesses(tokens, count));
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

impl Drop for Speculator {
    fn drop(&mut self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = self.controller.costs();
    }
}
