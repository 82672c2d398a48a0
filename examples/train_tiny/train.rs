//! The training loop.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressStyle};

use super::Result;
use super::checkpoint::{self, Point, Progress};
use super::corpus::{Corpus, Split};
use super::net::Net;
use super::optimiser::{AdamW, rate};
use super::vocabulary::Vocabulary;

/// Most windows that a thread evaluates at once.
const MICRO_BATCH: usize = 4;
/// Steps between two points of the curve, two checkpoints, two looks at held-out windows.
const POINT_STEPS: usize = 10;
const CHECKPOINT_STEPS: usize = 100;
const HELD_OUT_STEPS: usize = 100;
/// Held-out windows for the curve.
const HELD_OUT_WINDOWS: u64 = 8;

/// How long and how fast to learn.
pub(crate) struct Schedule {
    pub(crate) steps: usize,
    pub(crate) rate: f64,
    pub(crate) threads: usize,
}

/// A run: everything that changes while it learns.
pub(crate) struct Run<'a> {
    pub(crate) net: Net,
    pub(crate) optimiser: AdamW,
    pub(crate) progress: Progress,
    pub(crate) corpus: &'a Corpus,
    pub(crate) vocabulary: &'a Vocabulary,
    pub(crate) folder: &'a Path,
}

impl Run<'_> {
    /// Learns until `schedule.steps` steps are done.
    pub(crate) fn train(&mut self, schedule: &Schedule) -> Result<()> {
        let bar = ProgressBar::new(schedule.steps as u64).with_position(self.progress.step as u64);
        let style = "{wide_bar} {pos}/{len} steps, {eta} left, {msg}";
        bar.set_style(ProgressStyle::with_template(style)?);
        let (mut sum, mut count) = (0.0, 0);
        while self.progress.step < schedule.steps {
            let started = Instant::now();
            let step = self.progress.step;
            let windows = self.batch(step)?;
            let (loss, gradient) = gradient(&self.net, &windows, schedule.threads)?;
            let rate = rate(step, schedule.steps, schedule.rate);
            self.optimiser.step(&self.net, &gradient, step, rate)?;
            self.progress.step += 1;
            self.progress.seconds += started.elapsed().as_secs_f64();
            (sum, count) = (sum + loss, count + 1);
            let (step, end) = (step + 1, step + 1 == schedule.steps);
            if step % POINT_STEPS == 0 || end {
                let held_out = match step % HELD_OUT_STEPS == 0 || end {
                    true => Some(self.held_out(Split::HeldOut, HELD_OUT_WINDOWS)?),
                    false => None,
                };
                let train = sum / count as f32;
                let point = Point {
                    step,
                    train,
                    held_out,
                };
                self.progress.curve.push(point);
                (sum, count) = (0.0, 0);
                bar.set_message(format!("loss {train:.3}"));
                if let Some(loss) = held_out {
                    let speed = self.tokens() as f64 / self.progress.seconds;
                    bar.suspend(|| println!(
                        "step {step}: training {train:.3}, held out {loss:.3}, {speed:.0} tokens/s"
                    ));
                }
            }
            if step % CHECKPOINT_STEPS == 0 || end {
                checkpoint::save(self.folder, &self.net, &self.optimiser, &self.progress)?;
            }
            bar.set_position(step as u64);
        }
        bar.finish();
        Ok(())
    }

    /// Tokens learned from so far.
    pub(crate) fn tokens(&self) -> usize {
        self.progress.step * self.progress.batch * self.progress.shape.context
    }

    /// The windows of one step.
    pub(crate) fn batch(&self, step: usize) -> Result<Vec<Vec<u32>>> {
        let (batch, tokens) = (self.progress.batch as u64, self.progress.shape.context + 1);
        let first = step as u64 * batch;
        (first..first + batch)
            .map(|i| self.corpus.window(Split::Train, i, tokens, self.vocabulary))
            .collect()
    }

    /// `count` windows that were never learned from.
    pub(crate) fn held_out_windows(&self, split: Split, count: u64) -> Result<Vec<Vec<u32>>> {
        let tokens = self.progress.shape.context + 1;
        (0..count)
            .map(|i| self.corpus.window(split, i, tokens, self.vocabulary))
            .collect()
    }

    /// Mean loss over held-out windows.
    pub(crate) fn held_out(&self, split: Split, count: u64) -> Result<f32> {
        let windows = self.held_out_windows(split, count)?;
        let mut sum = 0.0;
        for window in &windows {
            let loss = self.net.loss(std::slice::from_ref(window))?;
            sum += loss.to_scalar::<f32>()?;
        }
        Ok(sum / windows.len() as f32)
    }
}

/// Loss and gradient over `windows`. Threads take small batches as they come; the parts are added
/// in order, so the sum does not depend on which thread was faster.
fn gradient(net: &Net, windows: &[Vec<u32>], threads: usize) -> Result<(f32, Vec<Vec<f32>>)> {
    let part = windows.len().div_ceil(threads.max(1)).min(MICRO_BATCH);
    let parts: Vec<&[Vec<u32>]> = windows.chunks(part).collect();
    let next = AtomicUsize::new(0);
    let (sender, receiver) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..threads.min(parts.len()) {
            let (sender, next, parts) = (sender.clone(), &next, &parts);
            scope.spawn(move || {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(part) = parts.get(index) else {
                        return;
                    };
                    let done = net.gradient(part).map_err(|e| e.to_string());
                    // the receiver lives until all threads have ended
                    let _ = sender.send((index, done));
                }
            });
        }
    });
    drop(sender);
    let mut done: Vec<_> = receiver.into_iter().collect();
    done.sort_by_key(|(index, _)| *index);
    let (mut loss, mut total) = (0.0, Vec::new());
    for (index, part) in done {
        let (part_loss, gradient) = part?;
        let share = parts[index].len() as f32 / windows.len() as f32;
        loss += share * part_loss;
        if total.is_empty() {
            total = gradient;
            total.iter_mut().flatten().for_each(|t| *t *= share);
            continue;
        }
        for (total, gradient) in total.iter_mut().zip(gradient) {
            for (t, g) in total.iter_mut().zip(gradient) {
                *t += share * g;
            }
        }
    }
    Ok((loss, total))
}
