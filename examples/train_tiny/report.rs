//! Held-out figures beside the 5-gram's, the model card, and checks of what was written.

use std::fmt::Write as _;
use std::path::Path;

use ryot_inference::{LoadOptions, Model};

use super::Result;
use super::corpus::Split;
use super::net::Net;
use super::ngram::{NGram, ORDER};
use super::train::Run;

/// Held-out windows of each kind for the card.
const WINDOWS: u64 = 64;
const WINDOWS_MARKDOWN: u64 = 16;

/// Losses in nats per token.
pub(crate) struct Held {
    pub(crate) name: &'static str,
    pub(crate) tokens: usize,
    pub(crate) network: f64,
    /// The network as it was written: Q8_0, evaluated by `ryot_inference`.
    pub(crate) written: f64,
    pub(crate) ngram: f64,
}

/// Measures the network, the written file and a 5-gram that counted every token the network has
/// learned from.
pub(crate) fn measure(run: &Run<'_>, file: &Path) -> Result<Vec<Held>> {
    let mut windows = Vec::new();
    for step in 0..run.progress.step {
        windows.extend(run.batch(step)?);
    }
    let ngram = NGram::train(windows.iter().map(Vec::as_slice), run.progress.shape.vocab);
    drop(windows);
    let model = Model::load(file, LoadOptions::new())?;
    let kinds = [
        ("documents of the grammar", Split::HeldOut, WINDOWS),
        (
            "pieces of Markdown",
            Split::HeldOutMarkdown,
            WINDOWS_MARKDOWN,
        ),
    ];
    let one = |(name, split, count): (&'static str, Split, u64)| -> Result<Held> {
        let windows = run.held_out_windows(split, count)?;
        let mut written = 0.0;
        for window in &windows {
            written += loss_of(&model, window)? / windows.len() as f64;
        }
        Ok(Held {
            name,
            tokens: windows.iter().map(|w| w.len() - 1).sum(),
            network: f64::from(run.held_out(split, count)?),
            written,
            ngram: ngram.loss(windows.iter().map(Vec::as_slice)),
        })
    };
    kinds.into_iter().map(one).collect()
}

/// Mean `-ln p` of `window` under the written model.
fn loss_of(model: &Model, window: &[u32]) -> Result<f64> {
    let mut state = model.new_state();
    let logits = model.forward_all(&mut state, &window[..window.len() - 1])?;
    let mut sum = 0.0;
    for (row, target) in window[1..].iter().enumerate() {
        let row = logits.row(row).ok_or("a row of logits is missing")?;
        let max = row.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let total: f64 = row.iter().map(|x| f64::from(x - max).exp()).sum();
        sum += total.ln() - f64::from(row[*target as usize] - max);
    }
    Ok(sum / (window.len() - 1) as f64)
}

/// Holds derivatives to finite differences; gives the largest relative difference.
pub(crate) fn check_gradient(net: &Net, windows: &[Vec<u32>]) -> Result<f64> {
    let (_, gradient) = net.gradient(windows)?;
    let mut worst = 0.0_f64;
    for (parameter, gradient) in net.parameters.iter().zip(&gradient) {
        let var = &parameter.var;
        // along the gradient itself the difference is large against f32 rounding
        let length = gradient
            .iter()
            .map(|g| f64::from(*g).powi(2))
            .sum::<f64>()
            .sqrt();
        let values = var.flatten_all()?.to_vec1::<f32>()?;
        let loss_at = |by: f64| -> Result<f64> {
            let moved = values.iter().zip(gradient);
            #[expect(clippy::cast_possible_truncation, reason = "parameters are f32")]
            let moved = moved.map(|(v, g)| v + (by * f64::from(*g) / length) as f32);
            let moved: Vec<f32> = moved.collect();
            var.set(&candle_core::Tensor::from_vec(
                moved,
                var.shape(),
                var.device(),
            )?)?;
            Ok(f64::from(net.loss(windows)?.to_scalar::<f32>()?))
        };
        let by = 0.02;
        let difference = (loss_at(by)? - loss_at(-by)?) / (2.0 * by);
        loss_at(0.0)?;
        worst = worst.max((difference - length).abs() / length.max(1e-4));
    }
    Ok(worst)
}

/// The model card.
pub(crate) fn card(run: &Run<'_>, name: &str, file: &Path, held: &[Held]) -> Result<String> {
    let shape = &run.progress.shape;
    let mut out = String::new();
    writeln!(out, "# {name}\n")?;
    writeln!(
        out,
        "A Llama-architecture model trained by `examples/train_tiny` (seed {}).\n",
        run.progress.seed
    )?;
    writeln!(out, "| | |\n|---|---|")?;
    let parameters = run.net.count();
    let bytes = std::fs::metadata(file)?.len();
    writeln!(out, "| parameters | {parameters} |")?;
    writeln!(
        out,
        "| file | {bytes} bytes, matrices in Q8_0, norms in F32 |"
    )?;
    writeln!(
        out,
        "| shape | {} layers, width {}, feed-forward {}, {} heads over {} key heads of {}, tied embeddings |",
        shape.layers, shape.hidden, shape.feed_forward, shape.heads, shape.kv_heads, shape.head_dim
    )?;
    writeln!(out, "| context | {} tokens |", shape.context)?;
    writeln!(
        out,
        "| vocabulary | {} byte-level BPE tokens |",
        shape.vocab
    )?;
    let (steps, tokens, minutes) = (run.progress.step, run.tokens(), run.progress.seconds / 60.0);
    writeln!(
        out,
        "| training | {steps} steps, {tokens} tokens, each seen once but for Markdown; {minutes:.0} minutes |"
    )?;
    writeln!(
        out,
        "| corpus | documents of `examples/train_tiny/grammar.txt` (agent tasks, tool calls, reports, questions), \
         and one in 14 a piece of the workspace's Markdown ({} bytes, a tenth of it held out) |\n",
        run.corpus.markdown_bytes
    )?;
    writeln!(out, "## Held-out text\n")?;
    writeln!(
        out,
        "Loss in nats per token and perplexity. The {ORDER}-gram (modified Kneser-Ney, interpolated) counted the same \
         {tokens} training tokens. \"As written\" is this file, evaluated by ryot-inference.\n"
    )?;
    writeln!(
        out,
        "| text | tokens | loss | as written | perplexity, as written | {ORDER}-gram loss | {ORDER}-gram perplexity | ratio |"
    )?;
    writeln!(out, "|---|---|---|---|---|---|---|---|")?;
    for h in held {
        writeln!(
            out,
            "| {} | {} | {:.4} | {:.4} | {:.2} | {:.4} | {:.2} | {:.2} |",
            h.name,
            h.tokens,
            h.network,
            h.written,
            h.written.exp(),
            h.ngram,
            h.ngram.exp(),
            (h.ngram - h.written).exp()
        )?;
    }
    writeln!(out, "\n## Limits\n")?;
    writeln!(
        out,
        "It knows the documents of its grammar and little else: other questions get an answer in the same style that \
         need not be true. It does not calculate. Text beyond {} tokens was never seen. The Markdown is too little text \
         to learn English from; it is there for the words.",
        shape.context
    )?;
    Ok(out)
}
