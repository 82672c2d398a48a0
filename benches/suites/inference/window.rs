//! What a window of keys and values costs in quality: the shipped model's own texts, read with the
//! whole context in sight and with the middle forgotten.

use neurectomy_bench::own_texts::{loss_of, shipped_model, written_by};
use neurectomy_bench::{BenchError, Row, Suite};
use ryot_inference::Model;

/// First tokens that every window keeps.
const SINKS: usize = 4;

pub(crate) fn measure(suite: &mut Suite) -> Result<(), BenchError> {
    let model = shipped_model()?;
    let context = model.info().context_tokens;
    let read = suite.size(48, context);
    let texts = written_by(&model, read)?;
    let from = read / 2;
    let whole = loss(&model, &texts, from, read)?;
    for window in [read / 2, read / 4] {
        let part = loss(&model, &texts, from, window)?;
        let measure = format!("shipped model, perplexity with {window} of {read} tokens held");
        suite.record(Row::new(&measure, "ppl", part.exp()).against("all held", whole.exp()));
    }
    Ok(())
}

/// Mean loss of the tokens from `from` on, in nats, where at most `window` are held.
fn loss(model: &Model, texts: &[Vec<u32>], from: usize, window: usize) -> Result<f64, BenchError> {
    let (mut sum, mut count) = (0.0, 0_u32);
    for text in texts {
        let mut state = model.new_state();
        for (place, pair) in text.windows(2).enumerate() {
            let [token, next] = pair else { continue };
            if state.len() == window {
                model.forget(&mut state, SINKS..SINKS + (window - SINKS) / 4)?;
            }
            let logits = model.forward(&mut state, &[*token])?;
            if place + 1 >= from {
                sum += loss_of(logits.last(), *next)?;
                count += 1;
            }
        }
    }
    Ok(sum / f64::from(count))
}
