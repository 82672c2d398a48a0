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
/// A plain step for every this many with guesses, to know what it takes.
const PLAIN_EVERY: u32 = 48;
/// Plain steps after guessing stopped paying, before it is tried again; doubled each time.
const PAUSE_MIN: u32 = 8;
const PAUSE_MAX: u32 = 256;
/// Guesses of a trial, and of the first step of all with guesses.
const TRIAL: usize = 2;
/// Gain below which guessing is not worth its jitter.
const GAIN_MIN: f64 = 1.02;
/// What a generation may lose by guesses that are not kept: so many plain steps at its start, and this
/// part of the time that it has taken.
const CREDIT: f64 = 1.5;
const LOSS_MAX: f64 = 0.015;
/// Gains add to that, up to so many plain steps.
const GAINS_KEPT: f64 = 8.0;

/// Counts and times of one source of guesses.
#[derive(Debug, Clone, Copy)]
struct Source {
    maker: Maker,
    /// Part of guesses kept, each given that those before it were.
    acceptance: f64,
    /// Plain steps left before the next trial, and how many after that.
    pause: u32,
    next_pause: u32,
}

/// Who makes guesses: looking up takes no time, a draft does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Maker {
    Lookup,
    Draft,
}

/// What steps take on this machine with this model: the same for every generation.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Costs {
    /// Seconds of a step without guesses.
    plain: Option<f64>,
    /// Steps with guesses of each [`Maker`].
    lines: [Line; 2],
}

/// Seconds that the first guess adds to a step, and that each adds: a line through the observed times
/// by decayed sums of 1, n, n^2, t, n*t.
#[derive(Debug, Clone, Copy, Default)]
struct Line {
    sums: [f64; 5],
}

impl Costs {
    fn plain_step(&mut self, seconds: f64) {
        let old = self.plain.unwrap_or(seconds);
        // a step that was interrupted says nothing about steps
        let seconds = seconds.min(4.0 * old);
        self.plain = Some(old + NEW * (seconds - old));
    }
}

impl Line {
    /// Whether a step with guesses was seen.
    fn is_known(&self) -> bool {
        self.sums[0] > 0.0
    }

    /// Expected seconds of a step with `count` guesses, where a plain one takes `plain`.
    fn seconds(&self, count: usize, plain: f64) -> f64 {
        let [weight, n, nn, t, nt] = self.sums;
        let count = count as f64;
        if !self.is_known() {
            return plain * (1.1 + 0.05 * count);
        }
        let spread = weight * nn - n * n;
        let slope = match spread > 0.05 * weight * weight {
            true => ((weight * nt - n * t) / spread).max(0.0),
            false => 0.05 * plain,
        };
        (t / weight + slope * (count - n / weight)).max(plain)
    }

    fn add(&mut self, proposed: usize, seconds: f64) {
        let (n, t) = (proposed as f64, seconds);
        for (sum, new) in self.sums.iter_mut().zip([1.0, n, n * n, t, n * t]) {
            *sum = (1.0 - NEW) * *sum + NEW * new;
        }
    }
}

/// Chooses the number of guesses for each source, from the time of a plain step, the time that
/// guesses add, and the part of them that is kept.
#[derive(Debug)]
pub(super) struct Controller {
    adaptive: bool,
    sources: Vec<Source>,
    costs: Costs,
    since_plain: u32,
    /// Seconds of all steps, and those lost by guessing: more than the tokens would have taken one by
    /// one.
    spent: f64,
    lost: f64,
}

impl Controller {
    /// Sources by who makes their guesses and which part of them is assumed to be kept before anything
    /// was seen.
    pub(super) fn new(sources: &[(Maker, f64)], adaptive: bool, costs: Costs) -> Self {
        let source = |&(maker, acceptance): &(Maker, f64)| Source {
            maker,
            acceptance,
            pause: 0,
            next_pause: PAUSE_MIN,
        };
        Self {
            adaptive,
            sources: sources.iter().map(source).collect(),
            costs,
            since_plain: 0,
            spent: 0.0,
            lost: 0.0,
        }
    }

    pub(super) fn costs(&self) -> Costs {
        self.costs
    }

    /// How many guesses of `source` are worth checking, at most `most`.
    pub(super) fn count(&mut self, source: usize, most: usize) -> usize {
        if !self.adaptive {
            return most;
        }
        if self.since_plain >= PLAIN_EVERY {
            return 0;
        }
        let (Some(plain), Some(state)) = (self.costs.plain, self.sources.get(source).copied())
        else {
            return 0;
        };
        let line = self.costs.lines[state.maker as usize];
        let (best, gain) = best(&line, plain, state.acceptance, most);
        let wanted = match gain >= GAIN_MIN {
            true if line.is_known() => best,
            true => TRIAL.min(best),
            false if state.pause == 0 => TRIAL.min(most),
            false => 0,
        };
        let credit = CREDIT * plain + LOSS_MAX * self.spent - self.lost;
        let affordable = |count: &usize| line.seconds(*count, plain) - plain <= credit;
        let count = (1..=wanted).rev().find(affordable).unwrap_or(0);
        if gain < GAIN_MIN
            && let Some(state) = self.sources.get_mut(source)
        {
            match count {
                0 => state.pause = state.pause.saturating_sub(1),
                _ => {
                    state.pause = state.next_pause;
                    state.next_pause = (state.next_pause * 2).min(PAUSE_MAX);
                }
            }
        }
        count
    }

    /// Learns from a step without guesses.
    pub(super) fn plain_step(&mut self, time: Duration) {
        self.since_plain = 0;
        self.spent += time.as_secs_f64();
        self.costs.plain_step(time.as_secs_f64());
    }

    /// Learns from a step with guesses.
    pub(super) fn step(&mut self, source: usize, proposed: usize, accepted: usize, time: Duration) {
        self.since_plain += 1;
        let seconds = time.as_secs_f64();
        self.spent += seconds;
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
            let line = &mut self.costs.lines[state.maker as usize];
            // as for plain steps
            let most = self
                .costs
                .plain
                .map(|plain| 4.0 * line.seconds(proposed, plain));
            line.add(proposed, seconds.min(most.unwrap_or(seconds)));
        }
        if let Some(plain) = self.costs.plain {
            let gained = plain * (accepted + 1) as f64;
            self.lost = (self.lost + seconds - gained).max(-GAINS_KEPT * plain);
        }
    }
}

/// The number of guesses with the most tokens per second, and how many times a plain step's that is.
fn best(line: &Line, plain: f64, acceptance: f64, most: usize) -> (usize, f64) {
    let (mut best, mut gain) = (0, 1.0);
    let (mut tokens, mut kept) = (1.0, 1.0);
    for count in 1..=most {
        kept *= acceptance;
        tokens += kept;
        let here = tokens * plain / line.seconds(count, plain);
        if here > gain {
            (best, gain) = (count, here);
        }
    }
    (best, gain)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs `steps` steps in a world where a guess is kept `keep` of 10 times, a plain step takes
    /// 100 us and every guess adds `each` us; gives tokens per 100 us.
    fn run(keep: usize, each: u64, steps: usize) -> f64 {
        let mut controller = Controller::new(&[(Maker::Lookup, 0.7)], true, Costs::default());
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
    fn the_first_guesses_are_few_and_a_known_cost_spares_the_trial() {
        let good = [(Maker::Lookup, 0.9)];
        let mut controller = Controller::new(&good, true, Costs::default());
        assert_eq!(
            controller.count(0, 16),
            0,
            "what a plain step takes is not known"
        );
        controller.plain_step(Duration::from_micros(100));
        assert_eq!(controller.count(0, 16), TRIAL);
        controller.step(0, TRIAL, TRIAL, Duration::from_micros(110));
        let mut next = Controller::new(&good, true, controller.costs());
        assert!(next.count(0, 16) > TRIAL);
        let doubtful = [(Maker::Lookup, 0.02)];
        let mut doubtful = Controller::new(&doubtful, true, controller.costs());
        assert_eq!(doubtful.count(0, 16), TRIAL, "a trial, then a pause");
        assert_eq!(doubtful.count(0, 16), 0);
    }

    #[test]
    fn what_may_be_lost_is_bounded() {
        // steps with guesses take three times as long, and no guess is ever kept
        let sources = [(Maker::Lookup, 0.9), (Maker::Draft, 0.9)];
        let mut controller = Controller::new(&sources, true, Costs::default());
        let (mut time, steps) = (0, 2_000);
        for step in 0..steps {
            match controller.count(step % 2, 16) {
                0 => {
                    time += 100;
                    controller.plain_step(Duration::from_micros(100));
                }
                n => {
                    time += 300;
                    controller.step(step % 2, n, 0, Duration::from_micros(300));
                }
            }
        }
        let plain = 100 * steps;
        assert!(time > plain, "it was tried");
        assert!(time * 100 <= plain * 102, "{time} us instead of {plain}");
    }

    #[test]
    fn without_adapting_all_guesses_are_made() {
        assert_eq!(
            Controller::new(&[(Maker::Lookup, 0.7)], false, Costs::default()).count(0, 9),
            9
        );
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
