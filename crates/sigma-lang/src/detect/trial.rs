//! The choice: candidates by the look of a sample, then a trial of each.

use super::sample::{spread, symbol_bits};
use crate::error::SigmaError;
use crate::transform::{Cut, Effort, Planes, Step, StreamEncoder, Transform};

/// Shorter content is never transformed: the streams' own cost is too much of it.
const CONTENT_BYTES_MIN: usize = 2 << 10;
/// Bytes of the sample on which all candidates are tried.
const FIRST_BYTES: usize = 16 << 10;
/// Bytes of the sample on which a close winner is tried again.
const SECOND_BYTES: usize = 64 << 10;
/// Bytes of the look on which shapes of elements are compared.
const SHAPE_BYTES: usize = 8 << 10;
/// Bytes of the first look.
const LOOK_BYTES: usize = 16 << 10;

/// What to do with a piece of content.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Plan {
    Plain,
    /// Noise.
    Store,
    /// With the bytes that plain zstd and the transform made of each byte of the sample; 0 if that
    /// says nothing about the whole.
    Transform {
        transform: Transform,
        plain_share: f64,
        own_share: f64,
    },
}

/// Tries transforms on samples.
#[derive(Debug)]
pub(crate) struct Trial {
    pub(crate) streams: StreamEncoder,
    /// At the level of plain frames, to compare with.
    plain: StreamEncoder,
    /// At a fast level, to see whether there is anything to find.
    quick: StreamEncoder,
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
            quick: StreamEncoder::new(1)?,
        })
    }

    /// Chooses for `content`.
    pub(crate) fn plan(&mut self, content: &[u8]) -> Result<Plan, SigmaError> {
        if content.len() < CONTENT_BYTES_MIN {
            return Ok(Plan::Plain);
        }
        let look = spread(content, LOOK_BYTES, 8);
        let candidates = if is_text(&look) {
            text_candidates(&look)
        } else {
            if symbol_bits(&look) > 7.9 && is_noise(&mut self.quick, &look)? {
                return Ok(Plan::Store);
            }
            binary_candidates(look.get(..SHAPE_BYTES).unwrap_or(&look))
        };
        if candidates.is_empty() {
            return Ok(Plan::Plain);
        }
        self.choose(content, &candidates)
    }

    /// Tries all candidates on a short sample, and, unless the best one wins there by far, that one
    /// on a longer sample.
    fn choose(&mut self, content: &[u8], candidates: &[Transform]) -> Result<Plan, SigmaError> {
        let sample = spread(content, FIRST_BYTES, 2);
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
            return Ok(plan(transform, [plain, bytes], sample.len()));
        }
        if content.len() <= 4 * SECOND_BYTES {
            // A second trial costs as much as comparing the whole: promise nothing.
            return Ok(Plan::Transform {
                transform,
                plain_share: 0.0,
                own_share: 0.0,
            });
        }
        let sample = spread(content, SECOND_BYTES, 2);
        let plain = self.plain.measure(&sample, Effort::Matches)?;
        Ok(match self.measure(transform, &sample)? {
            Some(bytes) if bytes < plain - plain / 32 => {
                plan(transform, [plain, bytes], sample.len())
            }
            _ => Plan::Plain,
        })
    }

    /// Bytes of the sample's payload, if it suits the transform.
    fn measure(
        &mut self,
        transform: Transform,
        sample: &[u8],
    ) -> Result<Option<usize>, SigmaError> {
        let mut payload = Vec::with_capacity(sample.len());
        let suits = transform.encode(sample, &mut self.streams, &mut payload)?;
        Ok(suits.then_some(payload.len()))
    }
}

#[expect(clippy::cast_precision_loss, reason = "lengths below 2^52")]
fn plan(transform: Transform, [plain, own]: [usize; 2], sample: usize) -> Plan {
    Plan::Transform {
        transform,
        plain_share: plain as f64 / sample as f64,
        own_share: own as f64 / sample as f64,
    }
}

/// Whether nothing is to be gained from the sample: no matches, and none of its byte planes (those of
/// the widest elements hold the others') is less than noise.
fn is_noise(quick: &mut StreamEncoder, look: &[u8]) -> Result<bool, SigmaError> {
    let widest = Planes {
        width: 8,
        step: Step::Nothing,
    };
    if plane_bits(look, widest) < 0.98 * symbol_bits(look) {
        return Ok(false);
    }
    Ok(quick.measure(look, Effort::Matches)? >= look.len())
}

/// Bits per byte of the planes of the sample.
#[expect(clippy::cast_precision_loss, reason = "at most 8")]
fn plane_bits(look: &[u8], planes: Planes) -> f64 {
    let split = planes.split(look);
    split.iter().map(|plane| symbol_bits(plane)).sum::<f64>() / split.len() as f64
}

/// Whether the bytes look like text: nearly all printable, or of a longer UTF-8 character.
fn is_text(look: &[u8]) -> bool {
    let printable = |byte: &&u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    let ascii = |byte: &&u8| byte.is_ascii();
    look.iter().filter(printable).count() >= look.len() - look.len() / 64
        && look.iter().filter(ascii).count() >= look.len() / 2
}

fn text_candidates(look: &[u8]) -> Vec<Transform> {
    let count = |wanted: u8| look.iter().filter(|&&byte| byte == wanted).count();
    let lines = count(b'\n');
    let per_mille = look.len() / 1000;
    let mut candidates = Vec::new();
    if count(b'"') > 20 * per_mille && count(b':') > 5 * per_mille {
        candidates.push(Transform::Templates(Cut::Json));
        return candidates;
    }
    if lines < 8 {
        return candidates;
    }
    let digits = look.iter().filter(|byte| byte.is_ascii_digit()).count();
    let separators = [b',', b'\t', b';', b'|'].map(|separator| (count(separator), separator));
    let (most, separator) = separators.into_iter().max().unwrap_or((0, b','));
    if most >= 2 * lines && most > 40 * per_mille {
        candidates.push(Transform::Templates(Cut::Table { separator }));
    }
    if digits > 50 * per_mille {
        candidates.push(Transform::Templates(Cut::Log));
    }
    candidates
}

/// The shapes of elements whose planes need the fewest bits.
fn binary_candidates(look: &[u8]) -> Vec<Transform> {
    let mut shapes: Vec<(f64, Planes)> = Planes::ALL
        .into_iter()
        .map(|planes| (plane_bits(look, planes), planes))
        .collect();
    shapes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut best: Vec<Planes> = shapes
        .into_iter()
        .take(3)
        .map(|(_, planes)| planes)
        .collect();
    // Pairs are for matches, which the bits of single bytes do not show.
    let small = |planes: &Planes| {
        planes.step == Step::Pairs
            && !best.contains(planes)
            && planes
                .split(look)
                .iter()
                .skip(1)
                .all(|plane| symbol_bits(plane) < 1.0)
    };
    let pairs: Vec<Planes> = Planes::ALL.into_iter().filter(small).collect();
    best.extend(pairs);
    best.into_iter().map(Transform::Planes).collect()
}
