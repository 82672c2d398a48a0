//! Splice sites by a cascade: a position weight matrix looks at every candidate, a network at the
//! uncertain ones.
//!
//! `cargo run --release --example splice_cascade` makes DNA with planted donor sites, trains the
//! network in a second, and compares the cascade with sending everything through the network: time,
//! memory, agreement, and how the cost grows. It fails if the cascade changes a decision that the
//! matrix was certain about, or if the network is asked about anything else.

mod dna;
mod network;

use std::time::{Duration, Instant};

use clap::Parser;
use ryot_inference::BoxError;
use ryot_inference::cascade::{
    Cascade, CascadeConfig, CascadeModel, CascadeOutcome, FeatureBatch, FeatureRow, FeatureSchema,
    Stage,
};

use dna::{CONSENSUS, Candidate, ENHANCER, GT_AT, Genome, REACH, generate};
use network::Network;

type Result<T> = std::result::Result<T, BoxError>;

/// Bases on each side of a candidate that the network sees.
const SEEN: usize = 24;
/// Bases of a group: what its candidates share is read once.
const GROUP: usize = 4096;
/// Share of candidates that the band of the comparison holds.
const UNCERTAIN: f64 = 0.03;
/// From here on a score means "site".
const YES: f32 = 0.5;

/// Cheap first, expensive where it counts.
#[derive(Parser)]
struct Options {
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Repetitions of each measurement; the fastest counts.
    #[arg(long, default_value_t = 15)]
    repeats: usize,
}

/// Log odds of every base at every place of a site, learned from true sites.
struct Matrix([[f32; 4]; CONSENSUS.len()]);

impl Matrix {
    fn learn(genome: &Genome) -> Self {
        let mut counts = [[1.0_f32; 4]; CONSENSUS.len()];
        for site in genome.candidates.iter().filter(|c| c.site) {
            for (offset, counts) in counts.iter_mut().enumerate() {
                counts[usize::from(genome.bases[site.position - GT_AT + offset])] += 1.0;
            }
        }
        Self(counts.map(|row| {
            let total: f32 = row.iter().sum();
            row.map(|count| (4.0 * count / total).ln())
        }))
    }

    /// 0 to 1; the consensus has the highest.
    fn score(&self, bases: &[u8], position: usize) -> f32 {
        let window = &bases[position - GT_AT..][..CONSENSUS.len()];
        let sum: f32 = self
            .0
            .iter()
            .zip(window)
            .map(|(row, b)| row[usize::from(*b)])
            .sum();
        1.0 / (1.0 + (-(sum - 4.0)).exp())
    }
}

/// What the candidates of a stretch share: where the enhancer motif is.
struct Stretch {
    start: usize,
    /// Motifs that begin before each base of the stretch.
    motifs: Vec<u32>,
}

/// The two scorers over one genome.
struct Splice<'a> {
    genome: &'a Genome,
    matrix: &'a Matrix,
    network: Option<&'a Network>,
    /// Items that the network was asked about.
    asked: usize,
}

/// Column of the motif count, of the matrix's score, of conservation; then the bases.
const COLUMNS: usize = 3 + 4 * (2 * SEEN + 2);

fn schema() -> FeatureSchema {
    let schema = FeatureSchema::new()
        .count("motifs behind")
        .probability("matrix score")
        .annotation("conservation", 0.5);
    (3..COLUMNS).fold(schema, |schema, i| schema.count(format!("base {i}")))
}

impl CascadeModel for Splice<'_> {
    type Item = Candidate;
    type Group = Stretch;

    fn base(&mut self, items: &[Candidate], scores: &mut Vec<f32>) -> Result<()> {
        let bases = &self.genome.bases;
        scores.extend(items.iter().map(|c| self.matrix.score(bases, c.position)));
        Ok(())
    }

    fn group_of(&self, item: &Candidate) -> u64 {
        (item.position / GROUP) as u64
    }

    fn load_group(&mut self, group: u64) -> Result<Stretch> {
        let start = usize::try_from(group)? * GROUP;
        let end = (start + GROUP + REACH).min(self.genome.bases.len());
        let bases = &self.genome.bases[start..end];
        let mut motifs = vec![0];
        for at in 0..bases.len() {
            let here = bases[at..].starts_with(&ENHANCER);
            motifs.push(motifs[at] + u32::from(here));
        }
        Ok(Stretch { start, motifs })
    }

    fn group_bytes(&self, group: &Stretch) -> usize {
        size_of::<Stretch>() + group.motifs.len() * size_of::<u32>()
    }

    fn features(
        &mut self,
        item: &Candidate,
        base_score: f32,
        group: &Stretch,
        row: &mut FeatureRow,
    ) -> Result<()> {
        let from = item.position - group.start;
        let behind = group.motifs[from + REACH] - group.motifs[from];
        row.set(0, behind as f32)?;
        row.set(1, base_score)?;
        // known for every third candidate only; the schema's default stands in for the others
        row.set(2, item.position.is_multiple_of(3).then_some(0.6))?;
        let seen = &self.genome.bases[item.position - SEEN..][..2 * SEEN + 2];
        for (offset, base) in seen.iter().enumerate() {
            // the other three are missing, so 0
            row.set(3 + 4 * offset + usize::from(*base), 1.0)?;
        }
        Ok(())
    }

    fn meta(&mut self, batch: &FeatureBatch<'_>, scores: &mut Vec<f32>) -> Result<()> {
        let network = self.network.ok_or("the network is not trained yet")?;
        self.asked += batch.rows();
        scores.extend((0..batch.rows()).filter_map(|r| Some(network.score(batch.row(r)?))));
        Ok(())
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let learning = generate(30_000, options.seed);
    let matrix = Matrix::learn(&learning);
    let started = Instant::now();
    let (low, high) = band(&learning, &matrix, UNCERTAIN);
    let network = train(&learning, &matrix, low)?;
    println!(
        "matrix and network learned from {} candidates in {:.1?}; uncertain from {low:.3} to {high:.3}",
        learning.candidates.len(),
        started.elapsed()
    );
    let mut bench = Bench {
        matrix: &matrix,
        network: &network,
        repeats: options.repeats.max(1),
        seed: options.seed + 1,
    };
    bench.sizes(low, high)?;
    bench.shares(&learning)
}

/// The band below the consensus' score that holds `share` of the candidates.
fn band(genome: &Genome, matrix: &Matrix, share: f64) -> (f32, f32) {
    let score = |c: &Candidate| matrix.score(&genome.bases, c.position);
    let mut scores: Vec<f32> = genome.candidates.iter().map(score).collect();
    scores.sort_by(f32::total_cmp);
    let high = scores[scores.len() - 1];
    let below = scores.partition_point(|s| *s < high);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a count"
    )]
    let wanted = (share * scores.len() as f64).round() as usize;
    (scores[below.saturating_sub(wanted)], high)
}

/// Trains on all candidates that score at least half of `low`, and on a few of the others.
fn train(genome: &Genome, matrix: &Matrix, low: f32) -> Result<Network> {
    struct Collect<'a> {
        inner: Splice<'a>,
        rows: Vec<Vec<f32>>,
    }
    impl CascadeModel for Collect<'_> {
        type Item = Candidate;
        type Group = Stretch;
        fn base(&mut self, items: &[Candidate], scores: &mut Vec<f32>) -> Result<()> {
            self.inner.base(items, scores)
        }
        fn group_of(&self, item: &Candidate) -> u64 {
            self.inner.group_of(item)
        }
        fn load_group(&mut self, group: u64) -> Result<Stretch> {
            self.inner.load_group(group)
        }
        fn features(
            &mut self,
            item: &Candidate,
            base_score: f32,
            group: &Stretch,
            row: &mut FeatureRow,
        ) -> Result<()> {
            self.inner.features(item, base_score, group, row)
        }
        fn meta(&mut self, batch: &FeatureBatch<'_>, scores: &mut Vec<f32>) -> Result<()> {
            let rows = (0..batch.rows()).filter_map(|r| batch.row(r));
            self.rows.extend(rows.map(<[f32]>::to_vec));
            scores.resize(batch.rows(), 0.0);
            Ok(())
        }
    }
    let keep = |(index, c): &(usize, &Candidate)| {
        matrix.score(&genome.bases, c.position) >= low / 2.0 || index % 12 == 0
    };
    let items: Vec<Candidate> = genome
        .candidates
        .iter()
        .enumerate()
        .filter(keep)
        .map(|(_, c)| *c)
        .collect();
    let inner = Splice {
        genome,
        matrix,
        network: None,
        asked: 0,
    };
    let collect = Collect {
        inner,
        rows: Vec::new(),
    };
    let everything = CascadeConfig::new().band(f32::NEG_INFINITY, f32::INFINITY);
    let mut cascade = Cascade::new(collect, schema(), everything)?;
    cascade.run(&items)?;
    let rows = cascade.into_model().rows.into_iter();
    let rows: Vec<(Vec<f32>, bool)> = rows.zip(&items).map(|(r, c)| (r, c.site)).collect();
    Ok(Network::train(&rows, COLUMNS, 7))
}

/// The measurements.
struct Bench<'a> {
    matrix: &'a Matrix,
    network: &'a Network,
    repeats: usize,
    seed: u64,
}

/// The fastest of several runs.
struct Measured {
    outcome: CascadeOutcome,
    time: Duration,
}

impl Bench<'_> {
    fn run(&self, genome: &Genome, low: f32, high: f32) -> Result<Measured> {
        let mut best: Option<Measured> = None;
        for _ in 0..self.repeats {
            let model = Splice {
                genome,
                matrix: self.matrix,
                network: Some(self.network),
                asked: 0,
            };
            let config = CascadeConfig::new()
                .band(low, high)
                .chunk_items(512)
                .batch_items(64)
                .cache_groups(2);
            let mut cascade = Cascade::new(model, schema(), config)?;
            let started = Instant::now();
            let outcome = cascade.run(&genome.candidates)?;
            let time = started.elapsed();
            if cascade.model().asked != outcome.report.uncertain {
                return Err("the network was asked about items that are not uncertain".into());
            }
            if best.as_ref().is_none_or(|b| time < b.time) {
                best = Some(Measured { outcome, time });
            }
        }
        best.ok_or_else(|| "no repetition was asked for".into())
    }

    /// The cascade beside the network alone, at growing numbers of candidates.
    fn sizes(&mut self, low: f32, high: f32) -> Result<()> {
        println!(
            "\n{:>9} {:>9} {:>11} {:>11} {:>7} {:>10} {:>8} {:>8} {:>8} {:>10}",
            "positions",
            "uncertain",
            "network us",
            "cascade us",
            "ratio",
            "agreement",
            "matrix",
            "network",
            "cascade",
            "bytes"
        );
        for count in [10, 30, 100, 300, 1000, 3000, 10_000] {
            let genome = generate(count, self.seed);
            let all = self.run(&genome, f32::NEG_INFINITY, f32::INFINITY)?;
            let cascade = self.run(&genome, low, high)?;
            unchanged(&genome, self.matrix, &cascade.outcome)?;
            let decisions = |o: &CascadeOutcome| -> Vec<bool> {
                o.scores.iter().map(|s| s.score >= YES).collect()
            };
            let (ours, theirs) = (decisions(&cascade.outcome), decisions(&all.outcome));
            let score = |c: &Candidate| self.matrix.score(&genome.bases, c.position) >= YES;
            let base: Vec<bool> = genome.candidates.iter().map(score).collect();
            let truth: Vec<bool> = genome.candidates.iter().map(|c| c.site).collect();
            println!(
                "{count:>9} {:>9} {:>11.1} {:>11.1} {:>6.1}x {:>9.2}% {:>7.2}% {:>7.2}% {:>7.2}% {:>10}",
                cascade.outcome.report.uncertain,
                all.time.as_secs_f64() * 1e6,
                cascade.time.as_secs_f64() * 1e6,
                all.time.as_secs_f64() / cascade.time.as_secs_f64(),
                same(&ours, &theirs),
                same(&base, &truth),
                same(&theirs, &truth),
                same(&ours, &truth),
                cascade.outcome.report.bytes_peak(),
            );
            let report = &cascade.outcome.report;
            if count == 10_000 {
                println!(
                    "\nat 10,000: matrix {:.1?} for {} items; features {:.1?} and network {:.1?} for {} \
                     ({} groups read, {} found); decisions of the certain {} are the matrix's own",
                    report.base.time,
                    report.base.items,
                    report.features.time,
                    report.meta.time,
                    report.uncertain,
                    report.groups_loaded,
                    report.group_hits,
                    report.items - report.uncertain
                );
            }
        }
        println!(
            "agreement: with the network alone. matrix, network, cascade: decisions that are right."
        );
        Ok(())
    }

    /// The cost of 10,000 candidates over the number of uncertain ones, and the line through it.
    fn shares(&self, learning: &Genome) -> Result<()> {
        let genome = generate(10_000, self.seed);
        let mut points = Vec::new();
        println!(
            "\n{:>9} {:>9} {:>11} {:>10}",
            "share", "uncertain", "time us", "bytes"
        );
        for share in [0.005, 0.01, 0.03, 0.06, 0.12, 0.25, 0.5, 0.8] {
            let (low, high) = band(learning, self.matrix, share);
            let measured = self.run(&genome, low, high)?;
            let report = &measured.outcome.report;
            let us = measured.time.as_secs_f64() * 1e6;
            println!(
                "{:>8.1}% {:>9} {us:>11.1} {:>10}",
                100.0 * report.escalated_share(),
                report.uncertain,
                report.bytes_peak()
            );
            points.push((report.uncertain as f64, us));
        }
        let (intercept, slope, r2) = line(&points);
        println!(
            "\ncost = {intercept:.1} us + {slope:.3} us per uncertain item, R^2 = {r2:.4}, for 10,000 candidates"
        );
        Ok(())
    }
}

/// Per cent of equal decisions.
fn same(a: &[bool], b: &[bool]) -> f64 {
    let equal = a.iter().zip(b).filter(|(a, b)| a == b).count();
    100.0 * equal as f64 / a.len().max(1) as f64
}

/// Every item has a score, and the certain ones have the matrix's.
fn unchanged(genome: &Genome, matrix: &Matrix, outcome: &CascadeOutcome) -> Result<()> {
    if outcome.scores.len() != genome.candidates.len() {
        return Err("not every candidate has a score".into());
    }
    for (candidate, scored) in genome.candidates.iter().zip(&outcome.scores) {
        let own = matrix.score(&genome.bases, candidate.position);
        if scored.stage == Stage::Base && scored.score.to_bits() != own.to_bits() {
            return Err(format!("a certain decision at {} was changed", candidate.position).into());
        }
    }
    Ok(())
}

/// Least squares: intercept, slope and the part of the variance that the line explains.
fn line(points: &[(f64, f64)]) -> (f64, f64, f64) {
    let n = points.len() as f64;
    let mean = |f: fn(&(f64, f64)) -> f64| points.iter().map(f).sum::<f64>() / n;
    let (mx, my) = (mean(|p| p.0), mean(|p| p.1));
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (x, y) in points {
        xx += (x - mx).powi(2);
        xy += (x - mx) * (y - my);
        yy += (y - my).powi(2);
    }
    let slope = xy / xx;
    (my - slope * mx, slope, xy * xy / (xx * yy))
}
