//! Shutdown, lost handles, panics and errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor};
use ryot_inference::{
    BlockKey, BoxError, Engine, EngineConfig, InferError, KvBlock, KvState, LoadOptions, Model,
    PrefixStore, Request, Sampling, ServeConfig, Ticket,
};

use crate::fixture::{self, Family};
use crate::gate::gated;
use crate::{plain, request, toy};

#[test]
fn shutdown_ends_those_that_run_and_those_that_wait() {
    let (gate, server, first) = gated(ServeConfig::new().batch_max(2));
    let mut tickets = vec![first];
    tickets.extend((0..4).map(|_| server.submit(request("x")).unwrap()));
    thread::scope(|scope| {
        scope.spawn(|| server.shutdown());
        let error = loop {
            match server.submit(request("x")) {
                Ok(ticket) => tickets.push(ticket),
                // before the shutdown has begun
                Err(InferError::QueueFull { .. }) => thread::yield_now(),
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "the server is shut down");
        gate.open();
    });
    let count = tickets.len() as u64;
    for ticket in tickets {
        assert!(matches!(ticket.finish(), Err(InferError::ServerClosed)));
    }
    let stats = server.stats();
    assert_eq!((stats.submitted, stats.failed), (count, count));
    assert_eq!((stats.running, stats.waiting, stats.kv_bytes), (0, 0, 0));
    server.shutdown();
}

#[test]
fn drain_runs_everybody_to_the_end() {
    let server = plain().serve(ServeConfig::new().batch_max(2)).unwrap();
    let tickets: Vec<_> = (0..7)
        .map(|_| server.submit(request("x")).unwrap())
        .collect();
    server.drain();
    assert!(matches!(
        server.submit(request("x")),
        Err(InferError::ServerClosed)
    ));
    for ticket in tickets {
        assert_eq!(ticket.finish().unwrap().tokens.len(), 24);
    }
    assert_eq!(server.stats().finished, 7);
}

#[test]
fn a_dropped_server_ends_its_tickets() {
    let (gate, server, first) = gated(ServeConfig::new());
    let waiting = server.submit(request("x")).unwrap();
    thread::scope(|scope| {
        scope.spawn(move || drop(server));
        // long enough for the drop to begin; the thread of the server stands at the gate
        thread::sleep(Duration::from_millis(100));
        gate.open();
    });
    assert!(matches!(first.finish(), Err(InferError::ServerClosed)));
    assert!(matches!(waiting.finish(), Err(InferError::ServerClosed)));
}

/// Panics when asked for the first time.
#[derive(Default)]
struct Explosive {
    used: AtomicBool,
}

impl PrefixStore for Explosive {
    fn get(&self, _keys: &[BlockKey]) -> Result<Vec<Arc<KvState>>, BoxError> {
        assert!(self.used.swap(true, Ordering::Relaxed), "boom");
        Ok(Vec::new())
    }

    fn put(&self, _blocks: &[KvBlock]) -> Result<(), BoxError> {
        Ok(())
    }
}

#[test]
fn a_panic_in_a_step_is_an_error_and_the_server_goes_on() {
    let store = Arc::new(Explosive::default());
    let engine = toy(EngineConfig::new()
        .prefix_store(store)
        .prefix_block_tokens(2));
    let server = engine.serve(ServeConfig::new().batch_max(1)).unwrap();
    let tickets: Vec<_> = (0..3)
        .map(|_| server.submit(request("abc")).unwrap())
        .collect();
    let mut results = tickets.into_iter().map(Ticket::finish);
    let error = results.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "a step of the server panicked: boom");
    assert!(results.all(|r| r.unwrap().tokens.len() == 24));
    let stats = server.stats();
    assert_eq!((stats.failed, stats.finished, stats.kv_bytes), (1, 2, 0));
}

#[test]
fn an_error_of_one_request_is_its_own() {
    let server = plain().serve(ServeConfig::new()).unwrap();
    let mut nothing = Sampling::greedy();
    for token in 0..260 {
        nothing = nothing.logit_bias(token, f32::NEG_INFINITY);
    }
    let good: Vec<_> = (0..4)
        .map(|_| server.submit(request("x")).unwrap())
        .collect();
    let bad = server.submit(request("y").sampling(nothing)).unwrap();
    assert!(matches!(bad.finish(), Err(InferError::NoCandidates { .. })));
    for ticket in good {
        assert_eq!(ticket.finish().unwrap().tokens.len(), 24);
    }
    assert_eq!(server.stats().failed, 1);
}

#[test]
fn logits_that_are_not_numbers_end_one_request_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.gguf");
    let mut weights = fixture::weights(1, Family::Llama);
    let rows = weights.get_mut("model.embed_tokens.weight").unwrap();
    let mut values: Vec<Vec<f32>> = rows.to_vec2().unwrap();
    values[7].fill(f32::NAN);
    *rows = Tensor::new(values, &Device::Cpu).unwrap();
    let metadata = fixture::metadata(Family::Llama);
    fixture::write_gguf(&path, &metadata, &weights, GgmlDType::F32);
    let model = Model::load(path, LoadOptions::new()).unwrap();
    let engine = Engine::new(model, EngineConfig::new()).unwrap();
    let asked = |tokens: Vec<u32>| Request::new(tokens).max_tokens(12).ignore_end(true);
    // the bad token must not be generated
    let clean = |start: u32| {
        let sampling = Sampling::greedy().logit_bias(7, f32::NEG_INFINITY);
        asked((start..start + 30).collect()).sampling(sampling)
    };
    let alone = engine.generate(clean(20)).unwrap().finish().unwrap();
    let server = engine
        .serve(ServeConfig::new().prefill_chunk_tokens(64))
        .unwrap();
    let good = server.submit(clean(20)).unwrap();
    let bad = server.submit(asked(vec![1, 7, 2])).unwrap();
    let error = bad.finish().unwrap_err();
    assert!(
        matches!(error, InferError::NonFiniteLogit { .. }),
        "{error}"
    );
    assert_eq!(good.finish().unwrap().tokens, alone.tokens);
}
