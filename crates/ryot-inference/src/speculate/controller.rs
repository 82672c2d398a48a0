//! How many guesses a step makes: as many as paid off, down to none.

use std::time::Duration;

/// What speculation did in one generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct SpeculationStats {
    /// Guesses that the model checked.
    pub proposed: usize,
    /// Guesses that were kept.
    pub accepted: usize,
    /// Steps that checked guesses.
    pub steps: usize,
    /// Steps without guesses: none were found, or guessing did not pay.
    pub plain_steps: usize,
}

impl SpeculationStats {
    /// Part of the checked guesses that was kept, 0 to 1; `None` before the first.
    pub fn acceptance_rate(&self) -> Option<f64> {
        (self.proposed > 0).then(|| self.accepted as f64 / self.proposed as f64)
    }

    /// Tokens per step of the model, 1 without speculation; `None` before the first step.
    pub fn tokens_per_step(&self) -> Option<f64> {
        let steps = self.steps + self.plain_steps;
        (steps > 0).then(|| (steps + self.accepted) as f64 / steps as f64)
    }
}

/// Weight of a new observation.
const NEW: f64 = 0.15;
/// Part of guesses kept that is assumed before anything was seen.
const ACCEPTANCE_START: f64 = 0.7;
/// A plain step for every this many with guesses, to know what it takes.
const PLAIN_EVERY: u32 = 48;
/// Plain steps after guessing stopped paying, before it is tried again; doubled each time.
const PAUSE_MIN: u32 = 8;
const PAUSE_MAX: u32 = 256;
/// Guesses of a trial.
const TRIAL: usize = 2;
/// Gain below which guessing is not worth its jitter.
const GAIN_MIN: f64 = 1.02;

/// Counts and times of one source of guesses.
#[derive(Debug, Clone, Copy)]
struct Source {
    /// Part of guesses kept, each given that those before it were.
    acceptance: f64,
    /// Plain steps left before the next trial, and how many after that.
    pause: u32,
    next_pause: u32,
}

/// Chooses the number of guesses for each source, from the time of a plain step, the time that
/// guesses add, and the part of them that is kept.
#[derive(Debug)]
pub(super) struct Controller {
    adaptive: bool,
    sources: Vec<Source>,
    /// Seconds of a step without guesses.
    plain: Option<f64>,
    /// Seconds that the first guess adds to a step, and that each adds: a line through the observed
    /// times by decayed sums of 1, n, n^2, t, n*t.
    sums: [f64; 5],
    since_plain: u32,
}

impl Controller {
    pub(super) fn new(sources: usize, adaptive: bool) -> Self {
        let source = Source {
            acceptance: ACCEPTANCE_START,
            pause: 0,
            next_pause: PAUSE_MIN,
        };
        Self {
            adaptive,
            sources: vec![source; sources],
            plain: None,
            sums: [0.0; 5],
            since_plain: 0,
        }
    }

    /// How many guesses of `source` are worth checking, at most `most`.
    pub(super) fn count(&mut self, source: usize, most: usize) -> usize {
        if !self.adaptive {
            return most;
        }
        if self.plain.is_none() || self.since_plain >= PLAIN_EVERY {
            return 0;
        }
        let Some(state) = self.sources.get(source).copied() else {
            return 0;
        };
        let (best, gain) = self.best(state.acceptance, most);
        let Some(state) = self.sources.get_mut(source) else {
            return 0;
        };
        if gain >= GAIN_MIN {
            return best;
        }
        if state.pause > 0 {
            state.pause -= 1;
            return 0;
        }
        state.pause = state.next_pause;
        state.next_pause = (state.next_pause * 2).min(PAUSE_MAX);
        TRIAL.min(most)
    }

    /// The number of guesses with the most tokens per second, and how many times a plain step's
    /// that is.
    fn best(&self, acceptance: f64, most: usize) -> (usize, f64) {
        let Some(plain) = self.plain else {
            return (0, 1.0);
        };
        let (mut best, mut gain) = (0, 1.0);
        let (mut tokens, mut kept) = (1.0, 1.0);
        for count in 1..=most {
            kept *= acceptance;
            tokens += kept;
            let here = tokens * plain / self.seconds(count, plain);
            if here > gain {
                (best, gain) = (count, here);
            }
        }
        (best, gain)
    }

    /// Expected seconds of a step with `count` guesses.
    fn seconds(&self, count: usize, plain: f64) -> f64 {
        let [weight, n, nn, t, nt] = self.sums;
        let count = count as f64;
        if weight <= 0.0 {
            return plain * (1.1 + 0.05 * count);
        }
        let spread = weight * nn - n * n;
        let slope = match spread > 0.05 * weight * weight {
            true => ((weight * nt - n * t) / spread).max(0.0),
            false => 0.05 * plain,
        };
        (t / weight + slope * (count - n / weight)).max(plain)
    }

    /// Learns from a step without guesses.
    pub(super) fn plain_step(&mut self, time: Duration) {
        self.since_plain = 0;
        let seconds = time.as_secs_f64();
        let old = self.plain.unwrap_or(seconds);
        // a step that was interrupted says nothing about steps
        let seconds = seconds.min(4.0 * old);
        self.plain = Some(old + NEW * (seconds - old));
    }

    /// Learns from a step with guesses.
    pub(super) fn step(&mut self, source: usize, proposed: usize, accepted: usize, time: Duration) {
        self.since_plain += 1;
        if let Some(state) = self.sources.get_mut(source) {
            // `accepted` hits, and a miss if not all were kept
            for _ in 0..accepted {
                state.acceptance += NEW * 0.5 * (1.0 - state.acceptance);
            }
            if accepted < proposed {
                state.acceptance -= NEW * state.acceptance;
            }
            if accepted == proposed {
                state.next_pause = PAUSE_MIN;
            }
        }
        let (n, mut t) = (proposed as f64, time.as_secs_f64());
        if let Some(plain) = self.plain {
            t = t.min(4.0 * self.seconds(proposed, plain));
        }
        for (sum, new) in self.sums.iter_mut().zip([1.0, n, n * n, t, n * t]) {
            *sum = (1.0 - NEW) * *sum + NEW * new;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `steps` steps in a world where a guess is kept `keep` of 10 times, a plain step takes
    /// 100 us and every guess adds `each` us; gives tokens per 100 us.
    fn run(keep: usize, each: u64, steps: usize) -> f64 {
        let mut controller = Controller::new(1, true);
        let (mut tokens, mut time, mut draw) = (0, 0, 0_usize);
        for _ in 0..steps {
            let count = controller.count(0, 16);
            let step = 100 + each * count as u64;
            let mut kept = 0;
            while kept < count {
                draw = (draw * 7 + 3) % 10_007;
                if draw % 10 >= keep {
                    break;
                }
                kept += 1;
            }
            match count {
                0 => controller.plain_step(Duration::from_micros(step)),
                n => controller.step(0, n, kept, Duration::from_micros(step)),
            }
            tokens += 1 + kept;
            time += step;
        }
        tokens as f64 * 100.0 / time as f64
    }

    #[test]
    fn good_guesses_are_made_and_bad_ones_are_not() {
        assert!(run(9, 5, 2000) > 3.0, "{}", run(9, 5, 2000));
        assert!(run(10, 5, 2000) > 7.0, "{}", run(10, 5, 2000));
        // every guess wrong, or every guess as dear as a step
        assert!(run(0, 5, 2000) > 0.98, "{}", run(0, 5, 2000));
        assert!(run(9, 100, 2000) > 0.97, "{}", run(9, 100, 2000));
    }

    #[test]
    fn without_adapting_all_guesses_are_made() {
        assert_eq!(Controller::new(1, false).count(0, 9), 9);
    }

    #[test]
    fn stats_divide() {
        let stats = SpeculationStats {
            proposed: 8,
            accepted: 6,
            steps: 2,
            plain_steps: 2,
        };
        assert_eq!(stats.acceptance_rate(), Some(0.75));
        assert_eq!(stats.tokens_per_step(), Some(2.5));
        assert_eq!(SpeculationStats::default().acceptance_rate(), None);
    }
}
