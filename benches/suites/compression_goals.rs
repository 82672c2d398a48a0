//! The rows of the design's goal table that are not of one class, beside the peers that are not zstd at
//! our level: threads, noise, tensors and numbers by kind, and what the first targets of the project asked for.
//!
//! Times are the best of a few passes, ours and the peer's in turns, so that a slow moment of the machine hits both.

use neurectomy_bench::corpus::Input;
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use sigma_lang::{Compressor, Config, Decompressor, Dictionary, Level, Limits};
use std::cell::RefCell;
use std::hint::black_box;
use std::io::{Read, Write};
use std::time::Instant;
use zstd::zstd_safe::CParameter;

use crate::{LEVEL, config, expect_equal, ratio, zstd_at};

/// All rows of this file.
pub(crate) fn rows(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    kinds(suite, inputs)?;
    noise(suite)?;
    other_peers(suite, inputs)?;
    threads(suite, inputs)?;
    birth(suite, inputs)
}

/// Best seconds of each function over `passes` rounds in turns.
pub(crate) fn best_of<const N: usize>(
    passes: usize,
    mut work: [&mut dyn FnMut() -> Result<(), BenchError>; N],
) -> Result<[f64; N], BenchError> {
    let mut best = [f64::INFINITY; N];
    for _ in 0..passes {
        for (best, work) in best.iter_mut().zip(&mut work) {
            let start = Instant::now();
            work()?;
            *best = best.min(start.elapsed().as_secs_f64());
        }
    }
    Ok(best)
}

#[expect(clippy::cast_precision_loss, reason = "sizes below 2^52")]
pub(crate) fn megabytes_per_second(bytes: usize, seconds: f64) -> f64 {
    bytes as f64 / seconds / 1e6
}

/// Ours and a zstd level on the same input: packed bytes and seconds in, seconds out.
struct Beside {
    ours: usize,
    theirs: usize,
    seconds_in: [f64; 2],
    seconds_out: [f64; 2],
}

fn beside(input: &[u8], level: i32, passes: usize) -> Result<Beside, BenchError> {
    let mut compressor = Compressor::new(&config())?;
    let mut decompressor = Decompressor::new(Limits::default());
    let mut zstd = zstd_at(level)?;
    let mut unzstd = zstd::bulk::Decompressor::new()?;
    let bound = zstd::zstd_safe::compress_bound(input.len());
    let (mut packed, mut peer) = (Vec::with_capacity(bound), Vec::with_capacity(bound));
    let seconds_in = best_of(
        passes,
        [
            &mut || {
                packed.clear();
                Ok(compressor.compress_into(black_box(input), &mut packed)?)
            },
            &mut || {
                peer.clear();
                zstd.compress_to_buffer(black_box(input), &mut peer)?;
                Ok(())
            },
        ],
    )?;
    let (mut back, mut peer_back) = (
        Vec::with_capacity(input.len()),
        Vec::with_capacity(input.len()),
    );
    let seconds_out = best_of(
        passes,
        [
            &mut || {
                back.clear();
                Ok(decompressor.decompress_into(black_box(&packed), &mut back)?)
            },
            &mut || {
                peer_back.clear();
                unzstd.decompress_to_buffer(black_box(&peer), &mut peer_back)?;
                Ok(())
            },
        ],
    )?;
    expect_equal("sigma-lang", input, &back)?;
    expect_equal("zstd", input, &peer_back)?;
    Ok(Beside {
        ours: packed.len(),
        theirs: peer.len(),
        seconds_in,
        seconds_out,
    })
}

/// What a kind of data is held to.
struct Kind {
    /// Beginning of the name of its files, and the class of generated data in its place.
    names: [&'static str; 2],
    level: i32,
    /// Ratio to the peer's; our own ratio; our speed to the peer's; MB/s in and out. 0 for none.
    gain: f64,
    ratio: f64,
    speed: f64,
    speed_in: f64,
    speed_out: f64,
}

const KINDS: [Kind; 4] = [
    Kind {
        names: ["tok_u32", "gen-tok"],
        level: 1,
        gain: 1.30,
        ratio: 0.0,
        speed: 1.3,
        speed_in: 0.0,
        speed_out: 0.0,
    },
    Kind {
        names: ["kv_bf16", "gen-kv"],
        level: 1,
        gain: 0.0,
        ratio: 1.46,
        speed: 0.0,
        speed_in: 1000.0,
        speed_out: 2500.0,
    },
    Kind {
        names: ["emb_f32", "-"],
        level: 1,
        gain: 0.0,
        ratio: 1.18,
        speed: 0.0,
        speed_in: 1000.0,
        speed_out: 2500.0,
    },
    Kind {
        names: ["num_", "-"],
        level: 1,
        gain: 1.8,
        ratio: 0.0,
        speed: 0.0,
        speed_in: 0.0,
        speed_out: 0.0,
    },
];

fn kinds(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    for kind in &KINDS {
        let is_kind = |input: &&Input| kind.names.iter().any(|name| input.name.starts_with(name));
        let Some(input) = inputs.iter().find(is_kind) else {
            continue;
        };
        let bytes = input.bytes.len();
        let found = beside(&input.bytes, kind.level, suite.repeats(15))?;
        let peer = format!("zstd-{}", kind.level);
        let row = |what: &str, unit: &str, ours, theirs, goals: [Option<Goal>; 2]| {
            let row =
                Row::new(&format!("{} {what}", input.name), unit, ours).against(&peer, theirs);
            let [first, second] = goals;
            match first.or(second) {
                Some(goal) => row.goal(goal),
                None => row,
            }
        };
        let ratio_at_least = |least: f64| (least > 0.0).then_some(Goal::RatioAtLeast(least));
        let ours_at_least = |least: f64| (least > 0.0).then_some(Goal::OursAtLeast(least));
        suite.record(row(
            "ratio",
            "x",
            ratio(bytes, found.ours),
            ratio(bytes, found.theirs),
            [ratio_at_least(kind.gain), ours_at_least(kind.ratio)],
        ));
        let [ours, theirs] = found.seconds_in.map(|s| megabytes_per_second(bytes, s));
        suite.record(row(
            "compress",
            "MB/s",
            ours,
            theirs,
            [ratio_at_least(kind.speed), ours_at_least(kind.speed_in)],
        ));
        let [ours, theirs] = found.seconds_out.map(|s| megabytes_per_second(bytes, s));
        suite.record(row(
            "decompress",
            "MB/s",
            ours,
            theirs,
            [None, ours_at_least(kind.speed_out)],
        ));
    }
    Ok(())
}

/// Bytes that no coder can shrink, at every level.
fn noise(suite: &mut Suite) -> Result<(), BenchError> {
    let mut seeded = neurectomy_bench::corpus::SplitMix64::new(11);
    let input: Vec<u8> = (0..suite.size(1_000, 250_000))
        .flat_map(|_| seeded.bits().to_le_bytes())
        .collect();
    for level in [1, 3, 9, 19] {
        let mut compressor = Compressor::new(&Config::new().level(Level::Zstd(level)))?;
        let mut zstd = zstd_at(1)?;
        let mut packed = Vec::new();
        let mut peer = Vec::with_capacity(zstd::zstd_safe::compress_bound(input.len()));
        let [ours, theirs] = best_of(
            suite.repeats(30),
            [
                &mut || {
                    packed.clear();
                    Ok(compressor.compress_into(black_box(&input), &mut packed)?)
                },
                &mut || {
                    peer.clear();
                    zstd.compress_to_buffer(black_box(&input), &mut peer)?;
                    Ok(())
                },
            ],
        )?;
        let back = sigma_lang::decompress(&packed, &Limits::default())?;
        expect_equal("sigma-lang", &input, &back)?;
        suite.record(
            Row::new(
                &format!("incompressible, level {level}, compress"),
                "MB/s",
                megabytes_per_second(input.len(), ours),
            )
            .against("zstd-1", megabytes_per_second(input.len(), theirs))
            .goal(Goal::OursAtLeast(10_000.0)),
        );
    }
    Ok(())
}

fn brotli_5(input: &[u8]) -> Result<Vec<u8>, BenchError> {
    let mut writer = brotli::CompressorWriter::new(Vec::new(), 1 << 16, 5, 22);
    writer.write_all(input)?;
    writer.flush()?;
    Ok(writer.into_inner())
}

/// brotli 5 and lz4_flex on every class; pco on numbers.
fn other_peers(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    let mut classes: Vec<&str> = inputs.iter().map(|input| input.class.as_str()).collect();
    classes.dedup();
    for class in classes {
        let of_class: Vec<&Input> = inputs.iter().filter(|i| i.class == class).collect();
        let bytes: usize = of_class.iter().map(|input| input.bytes.len()).sum();
        let mut compressor = Compressor::new(&config())?;
        let (mut ours, mut brotli, mut lz4) = (0, 0, 0);
        let mut packed = Vec::new();
        let seconds = best_of(
            suite.size(1, 2),
            [
                &mut || {
                    ours = 0;
                    for input in &of_class {
                        packed.clear();
                        compressor.compress_into(black_box(&input.bytes), &mut packed)?;
                        ours += packed.len();
                    }
                    Ok(())
                },
                &mut || {
                    brotli = 0;
                    for input in &of_class {
                        brotli += brotli_5(black_box(&input.bytes))?.len();
                    }
                    Ok(())
                },
                &mut || {
                    lz4 = 0;
                    for input in &of_class {
                        lz4 += lz4_flex::block::compress(black_box(&input.bytes)).len();
                    }
                    Ok(())
                },
            ],
        )?;
        let mut back = Vec::new();
        for input in of_class.iter().take(1) {
            let packed = brotli_5(&input.bytes)?;
            brotli::Decompressor::new(packed.as_slice(), 1 << 16).read_to_end(&mut back)?;
            expect_equal("brotli", &input.bytes, &back)?;
        }
        let [own_s, brotli_s, lz4_s] = seconds.map(|s| megabytes_per_second(bytes, s));
        for (peer, packed, speed) in [("brotli-5", brotli, brotli_s), ("lz4_flex", lz4, lz4_s)] {
            let ratio_row = Row::new(&format!("{class} ratio"), "x", ratio(bytes, ours));
            suite.record(ratio_row.against(peer, ratio(bytes, packed)));
            let speed_row = Row::new(&format!("{class} compress"), "MB/s", own_s);
            suite.record(speed_row.against(peer, speed));
        }
    }
    pco_rows(suite, inputs)
}

/// Decimal numbers as f64: prices, a walk in steps of a cent; and rows of a time, a price, a count, a
/// measured value and one that is missing at times.
fn decimals(rows: usize) -> [(&'static str, Vec<f64>); 2] {
    let mut seeded = neurectomy_bench::corpus::SplitMix64::new(5);
    let mut below = |n: usize| i32::try_from(seeded.below(n)).unwrap_or(0);
    let mut cents = 10_000i32;
    let prices = (0..rows)
        .map(|_| {
            cents += below(41) - 20;
            f64::from(cents) / 100.0
        })
        .collect();
    let (mut time, mut cents) = (1_700_000_000, 5_000);
    let table = (0..rows / 5)
        .flat_map(|row| {
            time += 1 + below(3);
            cents += below(21) - 10;
            let sum: i32 = (0..6).map(|_| below(1_000)).sum();
            let rate = f64::from(below(1_000)) / 10.0;
            [
                f64::from(time),
                f64::from(cents) / 100.0,
                f64::from(below(50)),
                f64::from(sum - 3_000) / 1_000.0,
                if row % 17 == 3 { f64::NAN } else { rate },
            ]
        })
        .collect();
    [("decimal f64", prices), ("decimal f64, rows of 5", table)]
}

/// Integers of 4 bytes and decimal numbers beside pco.
fn pco_rows(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    for (name, numbers) in decimals(suite.size(2_000, 200_000)) {
        let bytes: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
        pco_row(suite, name, &bytes, &numbers)?;
    }
    if let Some(input) = inputs.iter().find(|input| input.name.starts_with("num_")) {
        let (elements, _) = input.bytes.as_chunks::<4>();
        let numbers: Vec<i32> = elements.iter().map(|e| i32::from_le_bytes(*e)).collect();
        pco_row(suite, &input.name, elements.as_flattened(), &numbers)?;
    }
    Ok(())
}

/// The same numbers as bytes and as themselves: ratio and speed beside pco and zstd.
fn pco_row<T: pco::data_types::Number>(
    suite: &mut Suite,
    name: &str,
    bytes: &[u8],
    numbers: &[T],
) -> Result<(), BenchError> {
    let found = beside(bytes, LEVEL, suite.repeats(9))?;
    let pco_config = pco::ChunkConfig::default();
    let mut packed = Vec::new();
    let [pco_in] = best_of(
        suite.size(1, 3),
        [&mut || {
            packed = pco::standalone::simple_compress(black_box(numbers), &pco_config)?;
            Ok(())
        }],
    )?;
    let [own_in, zstd_in] = found.seconds_in;
    let speed = |seconds| megabytes_per_second(bytes.len(), seconds);
    let ours = ratio(bytes.len(), found.ours);
    let peers = [
        ("pco", packed.len(), pco_in, [None, None]),
        (
            "zstd-3",
            found.theirs,
            zstd_in,
            [Some(Goal::RatioAtLeast(1.5)), Some(Goal::RatioAtLeast(1.0))],
        ),
    ];
    for (peer, peer_bytes, peer_in, [ratio_goal, speed_goal]) in peers {
        let with = |row: Row, goal: Option<Goal>| match goal {
            Some(goal) => row.goal(goal),
            None => row,
        };
        let row = Row::new(&format!("{name} ratio"), "x", ours);
        let row = row.against(peer, ratio(bytes.len(), peer_bytes));
        suite.record(with(row, ratio_goal));
        let row = Row::new(&format!("{name} compress"), "MB/s", speed(own_in));
        suite.record(with(row.against(peer, speed(peer_in)), speed_goal));
    }
    Ok(())
}

/// Seconds of each function in `rounds` rounds in turns, behind one that is not counted: in that, memory is
/// touched for the first time.
fn in_turns<const N: usize>(
    rounds: usize,
    mut work: [&mut dyn FnMut() -> Result<(), BenchError>; N],
) -> Result<[Vec<f64>; N], BenchError> {
    let mut seconds = std::array::from_fn(|_| Vec::with_capacity(rounds));
    for round in 0..=rounds {
        for (seconds, work) in seconds.iter_mut().zip(&mut work) {
            let start = Instant::now();
            work()?;
            if round > 0 {
                seconds.push(start.elapsed().as_secs_f64());
            }
        }
    }
    Ok(seconds)
}

fn shortest(seconds: &[f64]) -> f64 {
    seconds.iter().copied().fold(f64::INFINITY, f64::min)
}

/// Median of `first / second` of the same round: a slow moment of the machine hits both.
fn median_ratio(first: &[f64], second: &[f64]) -> f64 {
    let mut ratios: Vec<f64> = first.iter().zip(second).map(|(a, b)| a / b).collect();
    ratios.sort_by(f64::total_cmp);
    ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
}

/// zstd's contexts and memory of one of two threads that each do the whole.
struct Lone {
    zstd: zstd::bulk::Compressor<'static>,
    unzstd: zstd::bulk::Decompressor<'static>,
    packed: Vec<u8>,
    back: Vec<u8>,
}

impl Lone {
    fn new(content_bytes: usize) -> Result<Lone, BenchError> {
        Ok(Lone {
            zstd: zstd_at(LEVEL)?,
            unzstd: zstd::bulk::Decompressor::new()?,
            packed: Vec::with_capacity(zstd::zstd_safe::compress_bound(content_bytes)),
            back: Vec::with_capacity(content_bytes),
        })
    }

    fn compress(&mut self, content: &[u8]) -> std::io::Result<usize> {
        self.packed.clear();
        self.zstd
            .compress_to_buffer(black_box(content), &mut self.packed)
    }

    fn decompress(&mut self) -> std::io::Result<usize> {
        self.back.clear();
        self.unzstd
            .decompress_to_buffer(black_box(&self.packed), &mut self.back)
    }
}

/// The same work on two threads at once.
fn on_both(
    [first, second]: &mut [Lone; 2],
    work: impl Fn(&mut Lone) -> std::io::Result<usize> + Sync,
) -> Result<(), BenchError> {
    std::thread::scope(|scope| {
        let other = scope.spawn(|| work(second));
        work(first)?;
        match other.join() {
            Ok(done) => done.map(|_| ()).map_err(BenchError::from),
            Err(_) => Err("a thread failed".into()),
        }
    })
}

/// Seconds of a direction in rounds: one zstd frame; ours on two threads, on one; and a zstd frame of the whole
/// on each of two threads at once.
struct Turns<'t> {
    bytes: usize,
    direction: &'t str,
    frame: &'t [f64],
    two: &'t [f64],
    one: &'t [f64],
    both: &'t [f64],
    goal: f64,
}

impl Turns<'_> {
    fn record(&self, suite: &mut Suite) {
        const PEER: &str = "zstd-3, one frame";
        let speed = |seconds| megabytes_per_second(self.bytes, shortest(seconds));
        let direction = self.direction;
        let frame = speed(self.frame);
        let mut speed_row = |what: &str, ours: f64| {
            let row = Row::new(&format!("{what}, {direction}"), "MB/s", ours);
            suite.record(row.against(PEER, frame));
        };
        speed_row("plain frames, 2 threads", speed(self.two));
        speed_row("plain frames, 1 thread", speed(self.one));
        let ceiling = "what the machine can do: a zstd-3 frame on each of 2 threads";
        speed_row(ceiling, 2.0 * speed(self.both));
        let mut ratio_row = |what: &str, ratio: f64, goal: Option<Goal>| {
            let row = Row::new(
                &format!("{what}, {direction}, to one zstd-3 frame"),
                "x",
                ratio,
            );
            suite.record(goal.into_iter().fold(row, Row::goal));
        };
        let two = median_ratio(self.frame, self.two);
        let goal = Some(Goal::OursAtLeast(self.goal));
        ratio_row("2 threads, median of neighbouring runs", two, goal);
        let both = 2.0 * median_ratio(self.frame, self.both);
        ratio_row("the machine, median of neighbouring runs", both, None);
    }
}

/// Two threads beside one zstd frame on one thread, beside zstd's own threads, and beside what the machine gives
/// to two threads that have nothing to do with each other.
fn threads(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    let whole: Vec<u8> = inputs
        .iter()
        .flat_map(|input| input.bytes.clone())
        .collect();
    let own = |threads| config().threads(threads).transforms(false);
    let mut one = Compressor::new(&own(1))?;
    let mut two = Compressor::new(&own(2))?;
    let mut zstd = zstd_at(LEVEL)?;
    let mut zstdmt = zstd_at(LEVEL)?;
    zstdmt.set_parameter(CParameter::NbWorkers(2))?;
    // One buffer for all: where its pages lie moves the times by up to a tenth.
    let bound = zstd::zstd_safe::compress_bound(whole.len()) + 4096;
    let out = RefCell::new(Vec::with_capacity(bound));
    let cleared = || {
        let mut out = out.borrow_mut();
        out.clear();
        out
    };
    let mut lone = [Lone::new(whole.len())?, Lone::new(whole.len())?];
    let [frame_s, two_s, one_s, both_s, mt_s] = in_turns(
        suite.repeats(15),
        [
            &mut || {
                zstd.compress_to_buffer(black_box(&whole), &mut *cleared())?;
                Ok(())
            },
            &mut || Ok(two.compress_into(black_box(&whole), &mut cleared())?),
            &mut || Ok(one.compress_into(black_box(&whole), &mut cleared())?),
            &mut || on_both(&mut lone, |lone| lone.compress(&whole)),
            &mut || {
                zstdmt.compress_to_buffer(black_box(&whole), &mut *cleared())?;
                Ok(())
            },
        ],
    )?;
    let (mut out_one, mut out_two) = (Vec::new(), Vec::new());
    one.compress_into(&whole, &mut out_one)?;
    two.compress_into(&whole, &mut out_two)?;
    let out_zstd = zstd.compress(&whole)?;
    if out_one != out_two {
        return Err("two threads made other bytes than one".into());
    }
    Turns {
        bytes: whole.len(),
        direction: "compress",
        frame: &frame_s,
        two: &two_s,
        one: &one_s,
        both: &both_s,
        goal: 1.85,
    }
    .record(suite);
    let speed = |seconds: &[f64]| megabytes_per_second(whole.len(), shortest(seconds));
    let row = Row::new("plain frames, 2 threads, compress", "MB/s", speed(&two_s));
    suite.record(row.against("zstdmt-3, 2 threads", speed(&mt_s)));
    let kept = ratio(whole.len(), out_two.len());
    suite.record(
        Row::new("plain frames, ratio kept", "x", kept)
            .against("zstd-3, one frame", ratio(whole.len(), out_zstd.len()))
            .goal(Goal::RatioAtLeast(0.99)),
    );
    threads_out(suite, &whole, [&out_two, &out_zstd], &mut lone)
}

/// The way back: `packed` is by us, by zstd.
fn threads_out(
    suite: &mut Suite,
    whole: &[u8],
    [ours, theirs]: [&[u8]; 2],
    lone: &mut [Lone; 2],
) -> Result<(), BenchError> {
    let mut unpack_one = Decompressor::new(Limits::default());
    let mut unpack_two = Decompressor::new(Limits::default()).with_threads(2);
    let mut unzstd = zstd::bulk::Decompressor::new()?;
    let back = RefCell::new(Vec::with_capacity(whole.len()));
    let cleared = || {
        let mut back = back.borrow_mut();
        back.clear();
        back
    };
    let [frame_s, two_s, one_s, both_s] = in_turns(
        suite.repeats(41),
        [
            &mut || {
                unzstd.decompress_to_buffer(black_box(theirs), &mut *cleared())?;
                Ok(())
            },
            &mut || Ok(unpack_two.decompress_into(black_box(ours), &mut cleared())?),
            &mut || Ok(unpack_one.decompress_into(black_box(ours), &mut cleared())?),
            &mut || on_both(lone, Lone::decompress),
        ],
    )?;
    for (what, unpack) in [
        ("two threads", &mut unpack_two),
        ("one thread", &mut unpack_one),
    ] {
        unpack.decompress_into(ours, &mut cleared())?;
        expect_equal(what, whole, &back.borrow())?;
    }
    unzstd.decompress_to_buffer(theirs, &mut *cleared())?;
    expect_equal("zstd", whole, &back.borrow())?;
    Turns {
        bytes: whole.len(),
        direction: "decompress",
        frame: &frame_s,
        two: &two_s,
        one: &one_s,
        both: &both_s,
        goal: 1.75,
    }
    .record(suite);
    Ok(())
}

/// What the first documents of the project asked for, over all inputs.
fn birth(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    let bytes: usize = inputs.iter().map(|input| input.bytes.len()).sum();
    let mut compressor = Compressor::new(&config())?;
    let mut plain = Compressor::new(&config().transforms(false))?;
    let mut decompressor = Decompressor::new(Limits::default());
    let mut packed: Vec<Vec<u8>> = vec![Vec::new(); inputs.len()];
    let mut plain_packed = Vec::new();
    let mut plain_bytes = 0;
    let [ours, _] = best_of(
        suite.size(1, 3),
        [
            &mut || {
                for (input, packed) in inputs.iter().zip(&mut packed) {
                    packed.clear();
                    compressor.compress_into(black_box(&input.bytes), packed)?;
                }
                Ok(())
            },
            &mut || {
                plain_bytes = 0;
                for input in inputs {
                    plain_packed.clear();
                    plain.compress_into(black_box(&input.bytes), &mut plain_packed)?;
                    plain_bytes += plain_packed.len();
                }
                Ok(())
            },
        ],
    )?;
    let mut back = Vec::new();
    let [out] = best_of(
        suite.size(1, 3),
        [&mut || {
            for packed in &packed {
                back.clear();
                decompressor.decompress_into(black_box(packed), &mut back)?;
            }
            Ok(())
        }],
    )?;
    let packed_bytes: usize = packed.iter().map(Vec::len).sum();
    let speed = megabytes_per_second(bytes, ours);
    let out_speed = megabytes_per_second(bytes, out);
    let rows = [
        Row::new("all inputs, ratio", "x", ratio(bytes, packed_bytes)).goal(Goal::OursAtLeast(3.0)),
        Row::new("all inputs, compress", "MB/s", speed).goal(Goal::OursAtLeast(100.0)),
        Row::new("all inputs, compress a MB", "ms", 1e3 / speed).goal(Goal::OursAtMost(10.0)),
        Row::new("all inputs, decompress a MB", "ms", 1e3 / out_speed).goal(Goal::OursAtMost(5.0)),
        Row::new(
            "all inputs, gain of transforms",
            "x",
            ratio(bytes, packed_bytes),
        )
        .against("sigma-lang without", ratio(bytes, plain_bytes))
        .goal(Goal::RatioAtLeast(1.0)),
    ];
    for row in rows {
        suite.record(row);
    }
    dictionary_gain(suite, inputs)
}

/// Messages with a dictionary beside the same without.
fn dictionary_gain(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    let Some(input) = inputs.iter().find(|input| input.class.ends_with("msgs")) else {
        return Ok(());
    };
    let lines: Vec<&[u8]> = input.bytes.split(|byte| *byte == b'\n').collect();
    let (train, test) = lines.split_at(lines.len() / 2);
    let bytes_max = suite.size(4 << 10, crate::DICTIONARY_BYTES);
    let dictionary = std::sync::Arc::new(Dictionary::train(train, bytes_max)?);
    let mut with = Compressor::new(&config().dictionary(dictionary))?;
    let mut without = Compressor::new(&config())?;
    let (mut with_bytes, mut without_bytes) = (0, 0);
    let mut out = Vec::new();
    for line in test {
        out.clear();
        with.compress_record_into(line, &mut out)?;
        with_bytes += out.len();
        out.clear();
        without.compress_record_into(line, &mut out)?;
        without_bytes += out.len();
    }
    let bytes = test.iter().map(|line| line.len()).sum();
    suite.record(
        Row::new(
            "messages, gain of a dictionary",
            "x",
            ratio(bytes, with_bytes),
        )
        .against("sigma-lang without", ratio(bytes, without_bytes))
        .goal(Goal::RatioAtLeast(1.0)),
    );
    Ok(())
}
