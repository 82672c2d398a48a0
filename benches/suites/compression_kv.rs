//! Keys and values at about four bits each beside the 8-bit form: bytes, error of the channels, speed.

use neurectomy_bench::corpus::Input;
use neurectomy_bench::{BenchError, Goal, Row, Suite};
use sigma_lang::Limits;
use sigma_lang::tensor::{
    FloatType, Int8Config, KvConfig, KvShape, compress_int8, compress_kv, decompress_int8,
    decompress_kv,
};
use std::hint::black_box;

use crate::compression_goals::{best_of, megabytes_per_second};
use crate::ratio;

/// Channels of the keys and values of the corpora; of other states some number as good as another.
const CHANNELS: usize = 384;

/// All rows of this file.
pub(crate) fn rows(suite: &mut Suite, inputs: &[Input]) -> Result<(), BenchError> {
    let Some(input) = inputs.iter().find(|input| input.class.ends_with("kv")) else {
        return Ok(());
    };
    let whole = input.bytes.len() / (2 * CHANNELS) * (2 * CHANNELS);
    let bytes = input.bytes.get(..whole).unwrap_or_default();
    let shape = KvShape::new((whole / (2 * CHANNELS)).max(1), CHANNELS);
    let (config, limits) = (KvConfig::new(), Limits::default());
    let (mut packed, mut packed_int8) = (Vec::new(), Vec::new());
    let [own_in, int8_in] = best_of(
        suite.repeats(15),
        [
            &mut || {
                packed = compress_kv(black_box(bytes), FloatType::Bf16, shape, &config)?;
                Ok(())
            },
            &mut || {
                packed_int8 = compress_int8(black_box(bytes), FloatType::Bf16, &Int8Config::new())?;
                Ok(())
            },
        ],
    )?;
    let (mut back, mut back_int8) = (Vec::new(), Vec::new());
    let [own_out, int8_out] = best_of(
        suite.repeats(25),
        [
            &mut || {
                back = decompress_kv(black_box(&packed), &limits)?.1;
                Ok(())
            },
            &mut || {
                back_int8 = decompress_int8(black_box(&packed_int8), &limits)?.1;
                Ok(())
            },
        ],
    )?;
    let name = "kv, steps of channels (lossy)";
    let row = |what: &str, unit: &str, own: f64, int8: f64| {
        Row::new(&format!("{name}, {what}"), unit, own).against("int8", int8)
    };
    let share = |packed: &[u8]| 1.0 / ratio(bytes.len(), packed.len());
    suite.record(
        row("share of bf16", "x", share(&packed), share(&packed_int8)).goal(Goal::OursAtMost(0.25)),
    );
    let (own, int8) = (
        channel_errors(bytes, &back),
        channel_errors(bytes, &back_int8),
    );
    for (what, place) in [
        ("median", own.len() / 2),
        ("worst", own.len().saturating_sub(1)),
    ] {
        let figure = |errors: &[f64]| errors.get(place).copied().unwrap_or_default();
        let what = format!("relative error, {what} channel");
        suite.record(row(&what, "x", figure(&own), figure(&int8)));
    }
    let speed = |seconds| megabytes_per_second(bytes.len(), seconds);
    for (what, seconds, goal) in [
        ("compress", [own_in, int8_in], 1000.0),
        ("decompress", [own_out, int8_out], 2000.0),
    ] {
        let [own, int8] = seconds.map(speed);
        suite.record(row(what, "MB/s", own, int8).goal(Goal::OursAtLeast(goal)));
    }
    Ok(())
}

/// Root mean square of the error of each channel to that of its values, in order.
fn channel_errors(bytes: &[u8], back: &[u8]) -> Vec<f64> {
    let value = |element: &[u8; 2]| f64::from(f32::from_le_bytes([0, 0, element[0], element[1]]));
    let mut sums = vec![[0.0; 2]; CHANNELS];
    let elements = bytes.as_chunks().0.iter().zip(back.as_chunks().0);
    for (index, (exact, found)) in elements.enumerate() {
        let (exact, found) = (value(exact), value(found));
        if let Some([error, signal]) = sums.get_mut(index % CHANNELS) {
            *error += (exact - found).powi(2);
            *signal += exact.powi(2);
        }
    }
    let nonzero = sums.iter().filter(|[_, signal]| *signal > 0.0);
    let mut errors: Vec<f64> = nonzero
        .map(|[error, signal]| (error / signal).sqrt())
        .collect();
    errors.sort_by(f64::total_cmp);
    errors
}
