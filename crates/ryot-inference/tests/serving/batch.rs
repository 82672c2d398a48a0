//! A batch gives what each request gives alone, and reads what prompts share once.

use std::sync::Arc;

use candle_core::quantized::GgmlDType;
use ryot_inference::{
    Completion, Engine, EngineConfig, LoadOptions, MemoryPrefixStore, Model, Request, Sampling,
    ServeConfig, Server, Ticket,
};

use crate::fixture::{self, Family};
use crate::gate::gated;
use crate::{letters, plain, request, toy};

/// Sixteen requests: a shared beginning, tails of every length, greedy and seeded by turns.
fn sixteen() -> Vec<Request> {
    let shared = letters(40);
    (0..16u64)
        .map(|i| {
            let tail = letters(usize::try_from(i * i % 97).unwrap());
            let tokens = 8 + usize::try_from(i * 5 % 23).unwrap();
            let sampling = match i % 2 {
                0 => Sampling::greedy(),
                _ => Sampling::random(i).temperature(0.9).top_p(0.95),
            };
            Request::new(format!("{shared}{i}{tail}"))
                .max_tokens(tokens)
                .sampling(sampling)
                .ignore_end(true)
        })
        .collect()
}

/// Submits with staggered arrivals: every third request comes after a piece of an earlier one.
fn staggered(server: &Server, requests: &[Request]) -> Vec<Completion> {
    let mut tickets: Vec<Ticket> = Vec::new();
    for (at, request) in requests.iter().enumerate() {
        if at % 3 == 2 {
            tickets[at - 1].next().unwrap().unwrap();
        }
        tickets.push(server.submit(request.clone()).unwrap());
    }
    tickets.into_iter().map(|t| t.finish().unwrap()).collect()
}

fn assert_batch_equals_alone(model: &Model, requests: &[Request], chunks: &[usize]) {
    let engine = Engine::new(model.clone(), EngineConfig::new()).unwrap();
    let run = |r: &Request| engine.generate(r.clone()).unwrap().finish().unwrap();
    let alone: Vec<Completion> = requests.iter().map(run).collect();
    let distinct: std::collections::HashSet<_> = alone.iter().map(|c| c.tokens.clone()).collect();
    assert!(distinct.len() > 8, "equal outputs would prove nothing");
    for &chunk in chunks {
        for stored in [false, true] {
            let mut config = EngineConfig::new();
            let store = Arc::new(MemoryPrefixStore::new(64 << 20));
            if stored {
                config = config.prefix_store(store.clone()).prefix_block_tokens(8);
            }
            let engine = Engine::new(model.clone(), config).unwrap();
            let config = ServeConfig::new().prefill_chunk_tokens(chunk);
            let server = engine.serve(config).unwrap();
            // with a store the second round finds every prompt
            for round in 0..=usize::from(stored) {
                let together = staggered(&server, requests);
                for (got, expected) in together.iter().zip(&alone) {
                    let what = format!("chunk {chunk}, store {stored}, round {round}");
                    assert_eq!(got.tokens, expected.tokens, "{what}");
                    assert_eq!(got.finish_reason, expected.finish_reason, "{what}");
                    if round == 1 {
                        assert!(got.metrics.restored_tokens >= 8, "{what}");
                    }
                }
            }
            let stats = server.stats();
            assert_eq!((stats.running, stats.waiting, stats.kv_bytes), (0, 0, 0));
        }
    }
}

#[test]
fn a_batch_gives_what_each_request_gives_alone() {
    assert_batch_equals_alone(&Model::toy(3).unwrap(), &sixteen(), &[1, 7, 64, 256]);
}

#[test]
fn a_batch_on_packed_weights_gives_what_each_request_gives_alone() {
    let folder = tempfile::tempdir().unwrap();
    for (family, kind) in [
        (Family::Llama, GgmlDType::Q8_0),
        (Family::Qwen3, GgmlDType::Q4K),
    ] {
        let path = fixture::gguf(folder.path(), family, kind);
        let model = Model::load(path, LoadOptions::new()).unwrap();
        assert_batch_equals_alone(&model, &sixteen(), &[5, 256]);
    }
}

#[test]
fn sixteen_that_arrive_together_share_their_steps() {
    let engine = plain();
    let run = |r: &Request| engine.generate(r.clone()).unwrap().finish().unwrap();
    let alone: Vec<Completion> = sixteen().iter().map(run).collect();
    let (gate, server, first) = gated(ServeConfig::new().batch_max(17));
    let tickets: Vec<Ticket> = sixteen()
        .into_iter()
        .map(|r| server.submit(r).unwrap())
        .collect();
    gate.open();
    for (ticket, expected) in tickets.into_iter().zip(&alone) {
        assert_eq!(ticket.finish().unwrap().tokens, expected.tokens);
    }
    first.finish().unwrap();
    let stats = server.stats();
    let largest = stats.batch_sizes.iter().rposition(|steps| *steps > 0);
    assert!(largest >= Some(8), "{stats:?}");
}

#[test]
fn prompts_that_begin_alike_are_read_once() {
    let store = Arc::new(MemoryPrefixStore::new(64 << 20));
    let config = EngineConfig::new()
        .prefix_store(store)
        .prefix_block_tokens(16);
    let server = toy(config)
        .serve(ServeConfig::new().prefill_chunk_tokens(8))
        .unwrap();
    // the begin token and 127 letters: 8 blocks
    let shared = letters(127);
    let tickets: Vec<_> = (0..8)
        .map(|i| {
            server
                .submit(request(&format!("{shared}{i} and more")))
                .unwrap()
        })
        .collect();
    let restored: Vec<usize> = tickets
        .into_iter()
        .map(|t| t.finish().unwrap().metrics.restored_tokens)
        .collect();
    assert_eq!(restored, [0, 128, 128, 128, 128, 128, 128, 128]);
    assert_eq!(server.stats().restored_tokens, 7 * 128);
    assert_eq!(server.stats().prompt_tokens, 128 + 8 * 10);
}
