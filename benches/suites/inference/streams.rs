//! The engine around the model: what one stream sees, and many streams of one server.

use crate::prompt;
use neurectomy_bench::{BenchError, Row, Suite};
use ryot_inference::{Engine, Request, Sampling, ServeConfig};
use std::time::Instant;

/// The engine's own metrics: first token and the time between tokens, sampling and text included.
pub(crate) fn rows(suite: &mut Suite, engine: &Engine, name: &str) -> Result<(), BenchError> {
    let request = Request::new(prompt(suite.size(8, 128)))
        .max_tokens(suite.size(4, 128))
        .sampling(Sampling::random(1))
        .ignore_end(true);
    let completion = engine.generate(request)?.finish()?;
    if completion.tokens.len() != suite.size(4, 128) {
        return Err(format!("{} tokens came", completion.tokens.len()).into());
    }
    let metrics = completion.metrics;
    let millis = |time: Option<std::time::Duration>| {
        time.map(|time| time.as_secs_f64() * 1e3)
            .ok_or("no token was timed")
    };
    for (measure, value) in [
        ("first token", millis(metrics.time_to_first_token)?),
        (
            "between tokens, p50",
            millis(metrics.inter_token_quantile(0.5))?,
        ),
        (
            "between tokens, p99",
            millis(metrics.inter_token_quantile(0.99))?,
        ),
    ] {
        suite.record(Row::new(&format!("{name} {measure}"), "ms", value));
    }
    if !suite.is_short() {
        long(suite, engine, name)?;
    }
    served(suite, engine, name)
}

/// A thousand tokens of one stream, or as many as the model's context has room for.
fn long(suite: &mut Suite, engine: &Engine, name: &str) -> Result<(), BenchError> {
    let read = suite.size(8, 32);
    let context = engine.model().info().context_tokens;
    let room = context.saturating_sub(read + 1);
    let tokens = suite.size(16, 1000).min(room);
    let request = Request::new(prompt(read))
        .max_tokens(tokens)
        .sampling(Sampling::random(1))
        .ignore_end(true);
    let start = Instant::now();
    let completion = engine.generate(request)?.finish()?;
    let seconds = start.elapsed().as_secs_f64();
    if completion.tokens.len() != tokens {
        return Err(format!("{} of {tokens} tokens came", completion.tokens.len()).into());
    }
    let measure = format!("{name} generation of {tokens} tokens");
    suite.record(Row::new(&measure, "s", seconds));
    Ok(())
}

/// Tokens a second over all streams of a server, prompts included; every stream gets the tokens
/// that its request gets alone.
fn served(suite: &mut Suite, engine: &Engine, name: &str) -> Result<(), BenchError> {
    let tokens = suite.size(4, 64);
    let request = |stream: u32| {
        let prompt: Vec<u32> = (0..32).map(|i| (i * 31 + stream * 7) % 250).collect();
        let request = Request::new(prompt).max_tokens(tokens);
        request.sampling(Sampling::greedy()).ignore_end(true)
    };
    let alone = |stream| Ok::<_, BenchError>(engine.generate(request(stream))?.finish()?.tokens);
    let mut single = None;
    for streams in [1, 4, 16] {
        let server = engine.serve(ServeConfig::new().batch_max(streams as usize))?;
        let start = Instant::now();
        let tickets = (0..streams).map(|stream| server.submit(request(stream)));
        let tickets = tickets.collect::<Result<Vec<_>, _>>()?;
        let results: Vec<_> = tickets.into_iter().map(|t| t.finish()).collect();
        let seconds = start.elapsed().as_secs_f64();
        for (stream, result) in (0..).zip(results) {
            if result?.tokens != alone(stream)? {
                return Err(format!("stream {stream} of {streams} differs from alone").into());
            }
        }
        let rate = f64::from(streams) * tokens as f64 / seconds;
        let one = *single.get_or_insert(rate);
        let measure = format!("{name} served, {streams} streams");
        suite.record(Row::new(&measure, "token/s", rate).against("one stream", one));
    }
    Ok(())
}
