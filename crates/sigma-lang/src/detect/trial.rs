//! The choice: candidates by the look of a sample, then a trial where the look leaves it open.

use super::numbers;
use super::sample::{Counts, FarScan, repeats, repeats_far, spread, spread_lines};
use crate::error::SigmaError;
use crate::frame::{NOISE_BLOCK_BYTES, write_stored_frame_with};
use crate::transform::{
    Cut, Effort, FAST_LEVEL_MAX, Numbers, Planes, Step, StreamEncoder, Tokens, Transform,
    json_text_share,
};

/// Shorter content is never transformed: the streams' own cost is too much of it.
const CONTENT_BYTES_MIN: usize = 2 << 10;
/// And where speed comes first, the trial's own cost is too much.
const FAST_CONTENT_BYTES_MIN: usize = 4 << 10;
/// Bytes of the look, from several places.
const LOOK_BYTES: usize = 8 << 10;
const LOOK_PLACES: usize = 4;
/// Bytes of the sample on which candidates are tried.
const SAMPLE_BYTES: usize = 16 << 10;
/// Bytes of the sample on which a close winner is tried again.
const LONG_SAMPLE_BYTES: usize = 64 << 10;
/// Bytes of the first and the last sample on which cuts are tried, doubled in between.
const FIRST_CUT_BYTES: usize = 8 << 10;
const CUT_BYTES_MAX: usize = 64 << 10;
/// Share of a sample beside plain zstd's at which a cut is taken at once.
const CLEAR_CUT_SHARE: f64 = 0.75;

/// Elements so wide that nothing of numbers is left in their planes.
const WIDEST: Planes = Planes {
    width: 8,
    step: Step::Nothing,
};

/// zstd level for tables of numbers, whose repetitions are 6 or 7 bytes or more.
pub(crate) const DIGITS_LEVEL: i32 = 1;

/// What to do with a piece of content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plan {
    Plain,
    /// Digits mostly: zstd at [`DIGITS_LEVEL`](crate::detect::DIGITS_LEVEL).
    PlainDigits,
    /// Noise.
    Store,
    /// Noise, and its stored frame, with this check, is appended.
    Stored {
        check: u32,
    },
    /// With the bytes that plain zstd and the transform made of each byte of the sample; 0 if that
    /// says nothing about the whole.
    Transform {
        transform: Transform,
        plain_share: f64,
        own_share: f64,
        /// Whether growing samples say that the whole will keep the promise.
        sure: bool,
    },
}

/// Tries transforms on samples.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) streams: StreamEncoder,
    /// At the level of plain frames, to compare with.
    plain: StreamEncoder,
    zstd_level: i32,
    fast: bool,
    buffers: Vec<Vec<u8>>,
    payload: Vec<u8>,
}

/// Level for streams: structure is found already, so less search gives nearly the same.
fn stream_level(zstd_level: i32) -> i32 {
    match zstd_level {
        4..=12 => (zstd_level - 3).max(3),
        level => level,
    }
}

impl Trial {
    pub(crate) fn new(zstd_level: i32) -> Result<Trial, SigmaError> {
        Ok(Trial {
            streams: StreamEncoder::new(stream_level(zstd_level))?,
            plain: StreamEncoder::new(zstd_level)?,
            zstd_level,
            fast: zstd_level <= FAST_LEVEL_MAX,
            buffers: Vec::new(),
            payload: Vec::new(),
        })
    }

    /// Chooses for `content`. What looks like noise is copied to `room`, if that is given, while it is
    /// looked at as a whole; `room` is as before unless that makes its frame, for which it has the room.
    pub(crate) fn plan(
        &mut self,
        content: &[u8],
        room: Option<&mut Vec<u8>>,
    ) -> Result<Plan, SigmaError> {
        if content.len()
            < if self.fast {
                FAST_CONTENT_BYTES_MIN
            } else {
                CONTENT_BYTES_MIN
            }
        {
            return Ok(Plan::Plain);
        }
        let look = spread(content, LOOK_BYTES, LOOK_PLACES);
        let counts = Counts::of(&look);
        if is_text(&counts, look.len()) {
            let candidates = text_candidates(&counts, look.len());
            return if self.fast {
                let plan = self.choose_cut_fast(content, &candidates)?;
                let less = plan == Plan::Plain
                    && self.searches_less(content, &candidates, &counts, look.len())?;
                Ok(if less { Plan::PlainDigits } else { plan })
            } else {
                self.choose_cut(content, &candidates)
            };
        }
        self.plan_binary(content, &look, &counts, room)
    }

    /// Whether zstd makes less of this with less search: tables of numbers, in which a short repetition
    /// takes more bits than its digits do.
    fn searches_less(
        &mut self,
        content: &[u8],
        candidates: &[Cut],
        counts: &Counts,
        total: usize,
    ) -> Result<bool, SigmaError> {
        const SAMPLE_BYTES: usize = 32 << 10;
        let digits = counts.of_all(|byte| byte.is_ascii_digit());
        let is_table = matches!(candidates, [Cut::Table { .. }, ..]);
        if !is_table || 5 * digits < 2 * total || self.zstd_level <= DIGITS_LEVEL {
            return Ok(false);
        }
        let sample = spread_lines(content, SAMPLE_BYTES);
        let less = self.streams.measure(&sample, Effort::Quick)?;
        Ok(less <= self.plain.measure(&sample, Effort::Matches)?)
    }

    /// Chooses for what is not text: by the bits of its byte planes, and by a trial if it repeats
    /// itself, which bits do not show.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    fn plan_binary(
        &mut self,
        content: &[u8],
        look: &[u8],
        counts: &Counts,
        room: Option<&mut Vec<u8>>,
    ) -> Result<Plan, SigmaError> {
        /// Share of repeated places below which plain zstd finds nothing but symbols.
        const REPEATS_MAX: f64 = 0.01;
        const NOISE_SHARE: f64 = 0.985;
        const CLEAR_SHARE: f64 = 0.95;
        const HOPEFUL_SHARE: f64 = 0.8;
        /// Share above which plain zstd found little to repeat in the sample.
        const FEW_SHARE: f64 = 0.5;
        let whole = counts.bits();
        let total = 8.0 * look.len() as f64;
        // What looks like noise all over is looked at as a whole in one pass.
        let noisy = whole > NOISE_SHARE * total && content.len() > look.len();
        let near = !noisy && repeats(look, whole / look.len() as f64) >= REPEATS_MAX;
        let spread_bits = |trial: &mut Trial| {
            let widest = trial.plane_counts(look, WIDEST);
            widest.iter().map(Counts::bits).sum::<f64>()
        };
        if whole > NOISE_SHARE * total && !near && spread_bits(self) > NOISE_SHARE * total {
            let scan = FarScan::new(content, look, counts);
            if let Some(plan) = plan_noise(content, scan, room) {
                return Ok(plan);
            }
        }
        let far = !near && repeats_far(content, look, counts);
        let lone = !near && !far;
        let numbers = numbers::candidates(content);
        let tokens = if near {
            self.choose_tokens(content, look)?
        } else {
            None
        };
        if let Some((shape, tried)) = tokens {
            let plan = tried.plan(Transform::Tokens(shape), false);
            if numbers.is_empty() {
                return Ok(plan);
            }
            let other = self.choose_numbers(content, &numbers, None)?;
            return Ok(match other {
                Some(other) if other.own_share() < tried.own_share() => other,
                _ => plan,
            });
        }
        let shapes = self.shapes(look, |_| true);
        let best = shapes.first().copied();
        let planes = best.map(|(_, planes)| planes);
        if let Some(plan) = self.choose_numbers(content, &numbers, planes)? {
            return Ok(plan);
        }
        if lone && let Some((bits, planes)) = best {
            return Ok(if bits < CLEAR_SHARE * whole {
                Plan::Transform {
                    transform: Transform::Planes(planes),
                    plain_share: whole / total,
                    own_share: bits / total,
                    sure: false,
                }
            } else {
                Plan::Plain
            });
        }
        // Symbols hardly fewer in planes gain too little beside the repetitions to be worth a trial.
        let bits_max = if self.fast {
            HOPEFUL_SHARE * whole
        } else {
            f64::INFINITY
        };
        let hopeful = shapes.iter().take(2).filter(|(bits, _)| *bits < bits_max);
        let mut candidates: Vec<Transform> = hopeful
            .map(|&(_, planes)| Transform::Planes(planes))
            .collect();
        candidates.extend(self.pairs(look).map(Transform::Planes));
        if near && !self.fast {
            candidates.push(Transform::Tokens(Tokens {
                width: 2,
                bits_seen: 16,
            }));
        }
        if candidates.is_empty() {
            return Ok(Plan::Plain);
        }
        let plan = self.choose_planes(content, &candidates)?;
        Ok(match plan {
            // The sample says nothing about repetition over a distance: compare the whole.
            Plan::Transform {
                transform,
                plain_share,
                ..
            } if far || (plain_share > FEW_SHARE && repeats_far(content, look, counts)) => {
                Plan::compare(transform)
            }
            plan => plan,
        })
    }

    /// Tries cuts into templates. A short sample says little of the whole, because it pays for most of
    /// the templates and finds few of the repetitions: what counts is what twice the sample costs more.
    fn choose_cut(&mut self, content: &[u8], candidates: &[Cut]) -> Result<Plan, SigmaError> {
        /// Growth beside plain zstd below which the cut is taken, and above which it is not.
        const CLEAR: f64 = 0.9;
        const HOPELESS: f64 = 1.15;
        /// It must fall at least by this from sample to sample, where it is not below 1.
        const FALL: f64 = 0.05;
        for &cut in candidates {
            let transform = Transform::Templates(cut);
            let mut before: Option<Tried> = None;
            let mut growth_max = HOPELESS;
            let mut sample_bytes = FIRST_CUT_BYTES;
            let hopeful = loop {
                let Some(tried) = self.try_cut(transform, content, sample_bytes)? else {
                    break false;
                };
                let growth = before.map_or(1.0, |before| tried.growth(before));
                if growth < CLEAR || tried.share() < CLEAR_CUT_SHARE {
                    return Ok(tried.plan(transform, false));
                }
                let Tried { plain, own, .. } = tried;
                if growth > growth_max {
                    break content.len() <= 4 * CUT_BYTES_MAX && own < plain + plain / 8;
                }
                if before.is_some() {
                    growth_max = (growth - FALL).max(1.0);
                }
                before = Some(tried);
                sample_bytes *= 2;
                if sample_bytes > CUT_BYTES_MAX || 2 * sample_bytes > content.len() {
                    let close = content.len() <= CUT_BYTES_MAX && own < plain + plain / 8;
                    break close || own < plain;
                }
            };
            if hopeful {
                return Ok(Plan::compare(transform));
            }
        }
        Ok(Plan::Plain)
    }

    /// The same where speed comes first: fewer and shorter samples, and only what gains much.
    fn choose_cut_fast(&mut self, content: &[u8], candidates: &[Cut]) -> Result<Plan, SigmaError> {
        for &cut in candidates {
            let plan = match cut {
                // A table gains little beside what a search at this speed finds in it.
                Cut::Table { .. } => Plan::Plain,
                Cut::Log => self.choose_log_fast(content)?,
                Cut::Json => self.choose_json_fast(content)?,
            };
            if plan != Plan::Plain {
                return Ok(plan);
            }
        }
        Ok(Plan::Plain)
    }

    fn choose_log_fast(&mut self, content: &[u8]) -> Result<Plan, SigmaError> {
        const SAMPLE_BYTES: usize = 16 << 10;
        /// Share of the sample beside plain zstd's at which nothing more is looked at, and from which
        /// twice the sample would not show a gain either.
        const SHARE: f64 = 0.9;
        const SHARE_MAX: f64 = 1.25;
        /// Growth up to which structure is worth its time.
        const GROWTH_MAX: f64 = 0.85;
        let transform = Transform::Templates(Cut::Log);
        let Some(tried) = self.try_cut(transform, content, SAMPLE_BYTES)? else {
            return Ok(Plan::Plain);
        };
        if tried.share() < SHARE {
            return Ok(tried.plan(transform, true));
        }
        if tried.share() > SHARE_MAX || content.len() < 4 * SAMPLE_BYTES {
            return Ok(Plan::Plain);
        }
        Ok(match self.try_cut(transform, content, 2 * SAMPLE_BYTES)? {
            Some(more) if more.growth(tried) < GROWTH_MAX => more.plan(transform, true),
            _ => Plan::Plain,
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "lengths below 2^52")]
    fn choose_json_fast(&mut self, content: &[u8]) -> Result<Plan, SigmaError> {
        const SAMPLE_BYTES: usize = 16 << 10;
        /// Growth up to which structure is worth its time.
        const GROWTH_MAX: f64 = 0.85;
        /// Bytes that plain zstd makes of each more byte of JSON, below which it is so fast that structure
        /// takes several times as long as it does.
        const PLAIN_GROWTH_MIN: f64 = 1.0 / 16.0;
        /// Share of bytes in texts, from which zstd does as well.
        const TEXT_SHARE_MAX: f64 = 0.5;
        let transform = Transform::Templates(Cut::Json);
        if json_text_share(&spread_lines(content, LOOK_BYTES)) > TEXT_SHARE_MAX {
            return Ok(Plan::Plain);
        }
        let sample = spread_lines(content, SAMPLE_BYTES);
        let plain = self.plain.measure(&sample, Effort::Matches)?;
        if content.len() < 4 * SAMPLE_BYTES {
            let tried = self.try_beside(plain, transform, &sample)?;
            let clear = tried.filter(|tried| tried.share() < CLEAR_CUT_SHARE);
            return Ok(clear.map_or(Plan::Plain, |tried| tried.plan(transform, true)));
        }
        let twice = spread_lines(content, 2 * SAMPLE_BYTES);
        let plain_twice = self.plain.measure(&twice, Effort::Matches)?;
        let more = plain_twice.saturating_sub(plain) as f64;
        if more < PLAIN_GROWTH_MIN * twice.len().saturating_sub(sample.len()) as f64 {
            return Ok(Plan::Plain);
        }
        let tried = self.try_beside(plain, transform, &sample)?;
        let tried_twice = self.try_beside(plain_twice, transform, &twice)?;
        Ok(match tried.zip(tried_twice) {
            Some((tried, twice)) if twice.growth(tried) < GROWTH_MAX => twice.plan(transform, true),
            _ => Plan::Plain,
        })
    }

    /// What plain zstd and the transform make of a sample, if it suits the transform.
    fn try_cut(
        &mut self,
        transform: Transform,
        content: &[u8],
        sample_bytes: usize,
    ) -> Result<Option<Tried>, SigmaError> {
        let sample = spread_lines(content, sample_bytes);
        let plain = self.plain.measure(&sample, Effort::Matches)?;
        self.try_beside(plain, transform, &sample)
    }

    /// What the transform makes of a sample, of which zstd makes `plain` bytes.
    fn try_beside(
        &mut self,
        plain: usize,
        transform: Transform,
        sample: &[u8],
    ) -> Result<Option<Tried>, SigmaError> {
        let own = self.measure(transform, sample)?;
        let sample = sample.len();
        Ok(own.map(|own| Tried { plain, own, sample }))
    }

    /// Tries shapes of elements on a sample beside plain zstd.
    fn choose_planes(
        &mut self,
        content: &[u8],
        candidates: &[Transform],
    ) -> Result<Plan, SigmaError> {
        let sample = spread(content, SAMPLE_BYTES, 2);
        let plain = self.plain.measure(&sample, Effort::Matches)?;
        let mut best: Option<(usize, Transform)> = None;
        for &transform in candidates {
            let bytes = self.measure(transform, &sample)?;
            if bytes.is_some_and(|bytes| best.is_none_or(|(best, _)| bytes < best)) {
                best = bytes.map(|bytes| (bytes, transform));
            }
        }
        let Some((bytes, transform)) = best.filter(|(bytes, _)| *bytes < plain + plain / 8) else {
            return Ok(Plan::Plain);
        };
        if bytes < plain - plain / 8 {
            let tried = Tried {
                plain,
                own: bytes,
                sample: sample.len(),
            };
            return Ok(tried.plan(transform, false));
        }
        if self.fast {
            // To make sure would cost more time than the little that there is to gain is worth.
            return Ok(Plan::Plain);
        }
        if content.len() <= 4 * LONG_SAMPLE_BYTES {
            // A second trial costs as much as comparing the whole: promise nothing.
            return Ok(Plan::compare(transform));
        }
        let sample = spread(content, LONG_SAMPLE_BYTES, 2);
        let plain = self.plain.measure(&sample, Effort::Matches)?;
        Ok(match self.measure(transform, &sample)? {
            Some(own) if own < plain - plain / 32 => {
                let sample = sample.len();
                Tried { plain, own, sample }.plan(transform, false)
            }
            _ => Plan::Plain,
        })
    }

    /// Tries tokens on a sample in one piece, if no element uses its upper bytes: small numbers that come again
    /// as wholes.
    fn choose_tokens(
        &mut self,
        content: &[u8],
        look: &[u8],
    ) -> Result<Option<(Tokens, Tried)>, SigmaError> {
        /// Share of the bytes of plain zstd, and of planes, below which tokens are taken.
        const SHARE: f64 = 0.95;
        const PLANES_SHARE: f64 = 1.05;
        /// What the tables of codes take, about, which the bits of planes do without.
        const TABLES_BYTES: usize = 256;
        let Some(shape) = Tokens::by_look(look) else {
            return Ok(None);
        };
        let one = Numbers {
            width: shape.width,
            columns: 1,
        };
        let sample = numbers::sample(content, one, SAMPLE_BYTES);
        let plain = self.plain.measure(sample, Effort::Matches)?;
        let Some(tried) = self.try_beside(plain, Transform::Tokens(shape), sample)? else {
            return Ok(None);
        };
        if tried.share() > SHARE {
            return Ok(None);
        }
        let shapes = self.shapes(look, |planes| planes.width == shape.width);
        let bits = shapes.first().map_or(f64::INFINITY, |(bits, _)| *bits);
        #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
        let (own, planes) = (
            tried.own.saturating_sub(TABLES_BYTES) as f64 / sample.len() as f64,
            bits / (8 * look.len()) as f64,
        );
        Ok((own < PLANES_SHARE * planes).then_some((shape, tried)))
    }

    /// Tries rows of numbers on a sample in one piece beside plain zstd and planes.
    fn choose_numbers(
        &mut self,
        content: &[u8],
        candidates: &[Numbers],
        planes: Option<Planes>,
    ) -> Result<Option<Plan>, SigmaError> {
        /// Share of the bytes of plain zstd, and of planes, below which numbers are taken.
        const SHARE: f64 = 0.9;
        const PLANES_SHARE: f64 = 0.95;
        let mut best: Option<(Numbers, Tried)> = None;
        for &shape in candidates {
            let sample = numbers::sample(content, shape, 2 * SAMPLE_BYTES);
            let plain = self.plain.measure(sample, Effort::Matches)?;
            let tried = self.try_beside(plain, Transform::Numbers(shape), sample)?;
            let less = tried.filter(|tried| {
                let least = best.map_or(SHARE, |(_, best)| best.share());
                tried.share() < least
            });
            best = less.map(|tried| (shape, tried)).or(best);
        }
        let Some((shape, tried)) = best else {
            return Ok(None);
        };
        if let Some(planes) = planes {
            let sample = numbers::sample(content, shape, 2 * SAMPLE_BYTES);
            let other = self.try_beside(tried.plain, Transform::Planes(planes), sample)?;
            if other.is_some_and(|other| tried.share() > PLANES_SHARE * other.share()) {
                return Ok(None);
            }
        }
        let transform = Transform::Numbers(shape);
        Ok(Some(if numbers::repeats_far(content, shape) {
            Plan::compare(transform)
        } else {
            tried.plan(transform, self.fast)
        }))
    }

    /// Bytes of the sample's payload, if it suits the transform.
    fn measure(
        &mut self,
        transform: Transform,
        sample: &[u8],
    ) -> Result<Option<usize>, SigmaError> {
        self.payload.clear();
        let suits = transform.encode(sample, &mut self.streams, &mut self.payload)?;
        Ok(suits.then_some(self.payload.len()))
    }

    fn plane_counts(&mut self, look: &[u8], planes: Planes) -> Vec<Counts> {
        let split = planes.split(look, &mut self.buffers);
        split.iter().map(|plane| Counts::of(plane)).collect()
    }

    /// Shapes of elements that pass by the bits of their planes, fewest first. Pairs are left out: they are
    /// for repetitions, which bits do not show.
    fn shapes(&mut self, look: &[u8], pass: impl Fn(&Planes) -> bool) -> Vec<(f64, Planes)> {
        let singles = Planes::ALL
            .into_iter()
            .filter(|planes| planes.step != Step::Pairs && pass(planes));
        let mut shapes: Vec<(f64, Planes)> = singles
            .map(|planes| {
                let counts = self.plane_counts(look, planes);
                (counts.iter().map(Counts::bits).sum(), planes)
            })
            .collect();
        // Elements of twice the width show nearly the same bits: they must show fewer.
        let rank = |&(bits, planes): &(f64, Planes)| match planes.width {
            2 => bits,
            4 => 1.005 * bits,
            _ => 1.01 * bits,
        };
        shapes.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        shapes
    }

    /// Pairs of bytes, for elements whose upper pairs are nearly all the same.
    fn pairs(&mut self, look: &[u8]) -> Option<Planes> {
        let all = Planes::ALL.into_iter();
        let wide = |planes: &Planes| planes.step == Step::Pairs;
        let mut small = all.filter(wide).filter(|&planes| {
            #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
            let is_small = |plane: &Vec<u8>| Counts::of(plane).bits() < plane.len() as f64;
            let split = planes.split(look, &mut self.buffers);
            split.iter().skip(1).all(is_small)
        });
        // Elements of 8 bytes are also elements of 4, of which every other one is small.
        small.next_back()
    }
}

/// Stores what looks like noise, in `room` if that is given; nothing if `scan` finds that it repeats itself.
fn plan_noise(
    content: &[u8],
    mut scan: Option<FarScan>,
    room: Option<&mut Vec<u8>>,
) -> Option<Plan> {
    let mut look = |block: &[u8]| {
        if let Some(scan) = &mut scan {
            scan.look(block);
        }
    };
    let Some(room) = room else {
        content.chunks(NOISE_BLOCK_BYTES).for_each(look);
        let repeats = scan.is_some_and(|scan| scan.repeats());
        return (!repeats).then_some(Plan::Store);
    };
    let start = room.len();
    let check = write_stored_frame_with(content, room, &mut look);
    if scan.is_some_and(|scan| scan.repeats()) {
        room.truncate(start);
        return None;
    }
    Some(Plan::Stored { check })
}

/// Bytes that plain zstd and a transform made of a sample.
#[derive(Debug, Clone, Copy)]
struct Tried {
    plain: usize,
    own: usize,
    sample: usize,
}

#[expect(clippy::cast_precision_loss, reason = "lengths below 2^52")]
impl Tried {
    /// The transform's bytes for each byte of plain zstd.
    fn share(self) -> f64 {
        self.own as f64 / self.plain as f64
    }

    /// The same for what this sample has more than one before.
    fn growth(self, before: Tried) -> f64 {
        let own = self.own.saturating_sub(before.own) as f64;
        own / (self.plain.saturating_sub(before.plain) as f64).max(1.0)
    }

    /// The transform's bytes for each byte of the sample.
    fn own_share(self) -> f64 {
        self.own as f64 / self.sample as f64
    }

    fn plan(self, transform: Transform, sure: bool) -> Plan {
        Plan::Transform {
            transform,
            plain_share: self.plain as f64 / self.sample as f64,
            own_share: self.own_share(),
            sure,
        }
    }
}

impl Plan {
    /// Bytes that a transform made of each byte of the sample; more than any of whatever else.
    fn own_share(&self) -> f64 {
        match self {
            Plan::Transform { own_share, .. } => *own_share,
            _ => f64::INFINITY,
        }
    }

    /// Neither clear nor hopeless: make both forms of the whole.
    fn compare(transform: Transform) -> Plan {
        Plan::Transform {
            transform,
            plain_share: 0.0,
            own_share: 0.0,
            sure: false,
        }
    }
}

/// Whether the bytes look like text: nearly all printable, or of a longer UTF-8 character.
fn is_text(counts: &Counts, total: usize) -> bool {
    let printable = |byte| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    counts.of_all(printable) >= total - total / 64
        && counts.of_all(|byte| byte.is_ascii()) >= total / 2
}

/// Cuts that the marks of structure speak for, the most special one first. Space is left out of
/// account: it is what pretty printing adds.
fn text_candidates(counts: &Counts, total: usize) -> Vec<Cut> {
    let count = |byte| counts.of_byte(byte);
    let lines = count(b'\n');
    let per_mille = (total - count(b' ')) / 1000;
    if count(b'"') > 40 * per_mille && count(b':') > 10 * per_mille {
        return vec![Cut::Json];
    }
    if lines < 8 {
        return Vec::new();
    }
    let separators = [b',', b'\t', b';', b'|'].map(|separator| (count(separator), separator));
    let (most, separator) = separators.into_iter().max().unwrap_or((0, b','));
    if most >= 4 * lines && most > 80 * per_mille {
        return vec![Cut::Table { separator }];
    }
    let mut candidates = Vec::new();
    if most >= 2 * lines && most > 40 * per_mille {
        candidates.push(Cut::Table { separator });
    }
    if counts.of_all(|byte| byte.is_ascii_digit()) > 100 * per_mille {
        candidates.push(Cut::Log);
    }
    candidates
}
