//! Many requests in one batch, through the public API only.

mod fixture;

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use candle_core::quantized::GgmlDType;
use candle_core::{Device, Tensor};
use fixture::{Family, Noise};
use futures_core::Stream;
use ryot_inference::{
    BlockKey, BoxError, CancelToken, Completion, Engine, EngineConfig, FinishReason, InferError,
    KvBlock, KvState, LoadOptions, MemoryPrefixStore, Model, PrefixStore, Request, Sampling,
    ServeConfig, Server, Ticket,
};

fn toy(config: EngineConfig) -> Engine {
    Engine::new(Model::toy(3).unwrap(), config).unwrap()
}

fn plain() -> Engine {
    toy(EngineConfig::new())
}

fn request(prompt: &str) -> Request {
    Request::new(prompt).max_tokens(24).ignore_end(true)
}

/// A prompt of `n` letters; one token each plus the begin token.
fn letters(n: usize) -> String {
    (0..n)
        .map(|i| char::from(b'a' + u8::try_from(i * 7 % 26).unwrap()))
        .collect()
}

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

/// A store that holds nothing, stops in `get` while it is shut, and notes what it was asked.
#[derive(Default)]
struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    asked: Vec<BlockKey>,
}

impl Gate {
    fn wait_for_visitor(&self) {
        let state = self.state.lock().unwrap();
        drop(
            self.changed
                .wait_while(state, |s| s.asked.is_empty())
                .unwrap(),
        );
    }

    fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    fn asked(&self) -> Vec<BlockKey> {
        std::mem::take(&mut self.state.lock().unwrap().asked)
    }
}

impl PrefixStore for Gate {
    fn get(&self, keys: &[BlockKey]) -> Result<Vec<Arc<KvState>>, BoxError> {
        let mut state = self.state.lock().unwrap();
        // the key of the last block stands for the whole prompt
        state.asked.push(*keys.last().unwrap());
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |s| !s.open).unwrap());
        Ok(Vec::new())
    }

    fn put(&self, _blocks: &[KvBlock]) -> Result<(), BoxError> {
        Ok(())
    }
}

/// A server whose thread stands at a gate with one request, named `gate`, in the batch.
fn gated(config: ServeConfig) -> (Arc<Gate>, Server, Ticket) {
    let gate = Arc::new(Gate::default());
    let engine = toy(EngineConfig::new()
        .prefix_store(gate.clone())
        .prefix_block_tokens(1));
    let server = engine.serve(config).unwrap();
    let first = server.submit(request("gate")).unwrap();
    gate.wait_for_visitor();
    (gate, server, first)
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
fn the_queue_is_bounded_and_says_so() {
    let (gate, server, first) = gated(ServeConfig::new().queue_max(2));
    let waiting = [(); 2].map(|()| server.submit(request("x")).unwrap());
    let error = server.submit(request("y")).unwrap_err();
    assert!(matches!(
        error,
        InferError::QueueFull { depth: 2, limit: 2 }
    ));
    assert_eq!(
        error.to_string(),
        "the queue is full: 2 requests wait, allowed: at most 2"
    );
    gate.open();
    for ticket in waiting.into_iter().chain([first]) {
        assert_eq!(ticket.finish().unwrap().tokens.len(), 24);
    }
    let stats = server.stats();
    assert_eq!((stats.submitted, stats.finished, stats.rejected), (3, 3, 1));
    assert_eq!(stats.waiting_peak, 2);
}

#[test]
fn priorities_come_first_then_arrival() {
    let (gate, server, first) = gated(ServeConfig::new().batch_max(1));
    let order = [
        ("low", -1),
        ("mid a", 0),
        ("high a", 5),
        ("mid b", 0),
        ("high b", 5),
    ];
    let tickets = order.map(|(name, priority)| {
        let asked = request(&format!("{name}.")).priority(priority);
        server.submit(asked).unwrap()
    });
    gate.open();
    for ticket in tickets.into_iter().chain([first]) {
        ticket.finish().unwrap();
    }
    let served = gate.asked();
    let engine = server.engine();
    for name in ["gate", "high a.", "high b.", "mid a.", "mid b.", "low."] {
        engine.generate(request(name)).unwrap().finish().unwrap();
    }
    assert_eq!(served, gate.asked());
    assert_eq!(served.len(), 6);
}

#[test]
fn cancelled_and_late_requests_leave_the_queue_without_running() {
    let (gate, server, first) = gated(ServeConfig::new().batch_max(1));
    let token = CancelToken::new();
    let by_ticket = server.submit(request("a")).unwrap();
    let by_token = server.submit(request("b").cancel(token.clone())).unwrap();
    let late = server
        .submit(request("c").deadline(Duration::ZERO))
        .unwrap();
    drop(server.submit(request("d")).unwrap());
    let kept = server.submit(request("e")).unwrap();
    by_ticket.cancel();
    token.cancel();
    gate.open();
    for (ticket, reason) in [
        (by_ticket, FinishReason::Cancelled),
        (by_token, FinishReason::Cancelled),
        (late, FinishReason::DeadlineExceeded),
        (kept, FinishReason::MaxTokens),
        (first, FinishReason::MaxTokens),
    ] {
        let got = ticket.finish().unwrap();
        assert_eq!(got.finish_reason, reason);
        assert_eq!(got.tokens.is_empty(), reason != FinishReason::MaxTokens);
    }
    let stats = server.stats();
    assert_eq!(
        (stats.cancelled, stats.deadline_exceeded, stats.finished),
        (3, 1, 2)
    );
    assert_eq!(gate.asked().len(), 2, "nobody else came to the store");
}

#[test]
fn a_dropped_ticket_frees_its_slot() {
    let (gate, server, first) = gated(ServeConfig::new().batch_max(1));
    let second = server.submit(request("y")).unwrap();
    drop(first);
    gate.open();
    assert_eq!(second.finish().unwrap().tokens.len(), 24);
    let stats = server.stats();
    assert_eq!((stats.cancelled, stats.finished, stats.kv_bytes), (1, 1, 0));
    assert!(stats.generated_tokens < 2 * 24);
}

#[test]
fn a_slow_reader_holds_up_nobody() {
    let server = plain().serve(ServeConfig::new().batch_max(2)).unwrap();
    let unread = server.submit(request("x").max_tokens(200)).unwrap();
    for _ in 0..20 {
        server.submit(request("y")).unwrap().finish().unwrap();
    }
    // 20 requests of 24 tokens have passed through the other slot
    assert_eq!(unread.finish_reason(), Some(FinishReason::MaxTokens));
    assert_eq!(unread.metrics().generated_tokens, 200);
    assert_eq!(unread.count(), 200);
}

#[test]
fn the_budget_of_bytes_bounds_the_batch() {
    // 512 bytes per token, room for 64 tokens at least: 32 KiB each
    let config = ServeConfig::new().kv_bytes_max(3 * (32 << 10) + 100);
    let server = plain().serve(config).unwrap();
    let tickets: Vec<_> = (0..9)
        .map(|_| server.submit(request("x")).unwrap())
        .collect();
    for ticket in tickets {
        ticket.finish().unwrap();
    }
    let stats = server.stats();
    assert!(stats.batch_sizes[4..].iter().all(|n| *n == 0), "{stats:?}");
    assert!(stats.kv_bytes_reserved_peak <= 3 * (32 << 10));
    assert_eq!((stats.kv_bytes, stats.kv_bytes_reserved), (0, 0));
    let error = server.submit(request("x").max_tokens(300)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "keys and values of the request need 262144 bytes for 302 tokens, allowed: at most 98404 bytes"
    );
    assert_eq!(server.stats().rejected, 1);
}

#[test]
fn wrong_limits_are_named() {
    let engine = plain();
    for (config, expected) in [
        (
            ServeConfig::new().batch_max(0),
            "batch_max is 0 requests, allowed: 1 to 1024 requests",
        ),
        (
            ServeConfig::new().batch_max(1025),
            "batch_max is 1025 requests",
        ),
        (
            ServeConfig::new().queue_max(0),
            "queue_max is 0 requests, allowed: 1 to 16384 requests",
        ),
        (
            ServeConfig::new().kv_bytes_max(0),
            "kv_bytes_max is 0 bytes, allowed: 1 to ",
        ),
        (
            ServeConfig::new().prefill_chunk_tokens(0),
            "prefill_chunk_tokens is 0 tokens, allowed: 1 to 8192 tokens",
        ),
    ] {
        let message = engine.serve(config).unwrap_err().to_string();
        assert!(message.starts_with(expected), "{message}");
    }
    let server = engine.serve(ServeConfig::new()).unwrap();
    let error = server.submit(request("x").max_tokens(0)).unwrap_err();
    assert_eq!(error.to_string(), "max_tokens is 0, allowed: at least 1");
    assert!(matches!(
        server.submit(Request::new(Vec::<u32>::new())),
        Err(InferError::EmptyPrompt)
    ));
    assert!(matches!(
        server.submit(request(&letters(2000))),
        Err(InferError::PromptTooLong { .. })
    ));
    assert_eq!(server.stats().submitted, 0);
}

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

/// Wakes a thread.
struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

#[test]
fn a_stream_wakes_its_task() {
    let (gate, server, first) = gated(ServeConfig::new().batch_max(1));
    let expected = plain().generate(request("gate")).unwrap();
    let expected = expected.finish().unwrap();
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut stream = first.into_stream();
    let mut poll = || Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
    assert!(poll().is_pending());
    gate.open();
    let mut tokens = Vec::new();
    loop {
        match poll() {
            Poll::Ready(Some(piece)) => tokens.push(piece.unwrap().token),
            Poll::Ready(None) => break,
            Poll::Pending => thread::park(),
        }
    }
    assert_eq!(tokens, expected.tokens);
    let rest = stream.into_ticket().finish().unwrap();
    assert_eq!((rest.tokens, rest.text), (tokens, String::new()));
    drop(server);
}

#[test]
fn times_are_reported() {
    let (gate, server, first) = gated(ServeConfig::new().batch_max(1));
    let second = server.submit(request("y")).unwrap();
    let wait = Duration::from_millis(2);
    thread::sleep(wait);
    gate.open();
    first.finish().unwrap();
    let second = second.finish().unwrap().metrics;
    assert!(second.queue_time >= wait);
    assert!(second.queue_time <= second.time_to_first_token.unwrap());
    assert_eq!(second.inter_token.len(), 23);
    assert!(second.elapsed >= second.time_to_first_token.unwrap());
    let stats = server.stats();
    assert_eq!((stats.prompt_tokens, stats.generated_tokens), (5 + 2, 48));
    assert!(stats.tokens_per_second().unwrap() > 0.0 && stats.batch_mean() == Some(1.0));
}

/// What a client saw of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Seen {
    Finished,
    Cancelled,
    Late,
    Dropped,
    Rejected,
}

/// One client: submits a random request and reads, cancels, drops or is late.
fn client(server: &Server, noise: &mut Noise) -> (Seen, Vec<Duration>) {
    let prompt = format!("{}{}", letters(20), letters(noise.below(80)));
    let mut asked = request(&prompt).max_tokens(1 + noise.below(60));
    let kind = noise.below(10);
    if kind == 0 {
        asked = asked.deadline(Duration::from_micros(noise.below(3000) as u64));
    }
    let mut ticket = match server.submit(asked.priority(i32::try_from(kind % 3).unwrap())) {
        Ok(ticket) => ticket,
        Err(InferError::QueueFull { depth, limit }) => {
            assert!(depth >= limit);
            return (Seen::Rejected, Vec::new());
        }
        Err(error) => panic!("{error}"),
    };
    let taken = noise.below(20);
    if kind <= 3 {
        for _ in 0..taken {
            if ticket.next().is_none() {
                break;
            }
        }
    }
    match kind {
        1 => ticket.cancel(),
        2 => {
            drop(ticket);
            return (Seen::Dropped, Vec::new());
        }
        3 => thread::sleep(Duration::from_micros(noise.below(2000) as u64)),
        _ => {}
    }
    let done = ticket.finish().unwrap();
    assert_eq!(done.tokens.len(), done.metrics.generated_tokens);
    let seen = match done.finish_reason {
        FinishReason::Cancelled => Seen::Cancelled,
        FinishReason::DeadlineExceeded => Seen::Late,
        _ => Seen::Finished,
    };
    (seen, done.metrics.inter_token)
}

#[test]
fn two_hundred_streams_are_all_accounted_for() {
    const QUEUE: usize = 120;
    let store = Arc::new(MemoryPrefixStore::new(1 << 20));
    let engine = toy(EngineConfig::new()
        .prefix_store(store)
        .prefix_block_tokens(16));
    let config = ServeConfig::new().queue_max(QUEUE).kv_bytes_max(1 << 20);
    let server = engine.serve(config.prefill_chunk_tokens(32)).unwrap();
    let seen: Vec<Seen> = thread::scope(|scope| {
        let clients: Vec<_> = (0..200u64)
            .map(|seed| {
                let server = &server;
                scope.spawn(move || client(server, &mut Noise(seed)).0)
            })
            .collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    });
    server.drain();
    let count = |what: Seen| seen.iter().filter(|s| **s == what).count() as u64;
    let stats = server.stats();
    assert_eq!(stats.submitted + stats.rejected, 200);
    assert_eq!(stats.rejected, count(Seen::Rejected));
    assert_eq!(stats.deadline_exceeded, count(Seen::Late));
    // a dropped request may have been at its end already
    let ended = stats.finished + stats.cancelled;
    let expected = [Seen::Finished, Seen::Cancelled, Seen::Dropped].map(count);
    assert_eq!(ended, expected.iter().sum::<u64>());
    assert!(stats.finished >= count(Seen::Finished) && stats.finished > 50);
    assert_eq!(stats.failed, 0);
    assert!(stats.waiting_peak <= QUEUE, "{stats:?}");
    assert!(stats.kv_bytes_reserved_peak <= 1 << 20);
    assert_eq!((stats.running, stats.waiting), (0, 0));
    assert_eq!((stats.kv_bytes, stats.kv_bytes_reserved), (0, 0));
}

/// Resident memory of this process in KiB, where the system says.
fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|l| l.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Times between tokens, counted by powers of `2^(1/4)` microseconds.
struct Gaps(Mutex<Vec<u64>>);

impl Gaps {
    #[expect(clippy::cast_possible_truncation, reason = "a small positive number")]
    fn add(&self, gaps: &[Duration]) {
        let mut counts = self.0.lock().unwrap();
        for gap in gaps {
            let at = 4.0 * (gap.as_secs_f64() * 1e6).max(1.0).log2();
            counts[(at as usize).min(127)] += 1;
        }
    }

    /// Upper edge of the bucket in which the quantile lies.
    fn quantile_ms(&self, q: f64) -> f64 {
        let counts = self.0.lock().unwrap();
        let wanted = q * counts.iter().sum::<u64>() as f64;
        let mut seen = 0;
        let mut reached = counts.iter().take_while(|n| {
            seen += **n;
            (seen as f64) < wanted
        });
        let edge = reached.by_ref().count() + 1;
        2f64.powf(edge as f64 / 4.0) / 1e3
    }
}

/// Clients come and go for as long as asked: memory must not grow.
///
/// `RYOT_SOAK_MINUTES=30 cargo test --release -p ryot-inference --test serving -- --ignored
/// --nocapture soak`; with `NEURECTOMY_GGUF=FILE` on that model, else on the toy.
#[test]
#[ignore = "runs for RYOT_SOAK_MINUTES minutes"]
fn soak() {
    let minutes = std::env::var("RYOT_SOAK_MINUTES").map_or(1.0, |m| m.parse::<f64>().unwrap());
    let model = match std::env::var_os("NEURECTOMY_GGUF") {
        Some(path) => Model::load(path, LoadOptions::new()).unwrap(),
        None => Model::toy(3).unwrap(),
    };
    let store = Arc::new(MemoryPrefixStore::new(16 << 20));
    let config = EngineConfig::new()
        .prefix_store(store)
        .prefix_block_tokens(16);
    let server = Engine::new(model, config)
        .unwrap()
        .serve(ServeConfig::new().queue_max(160))
        .unwrap();
    let end = Instant::now() + Duration::from_secs_f64(minutes * 60.0);
    let warm = Instant::now() + Duration::from_secs_f64(minutes * 6.0);
    let times = Gaps(Mutex::new(vec![0; 128]));
    let mut start_kib = resident_kib();
    thread::scope(|scope| {
        for seed in 0..200u64 {
            let (server, times) = (&server, &times);
            scope.spawn(move || {
                let mut noise = Noise(seed);
                while Instant::now() < end {
                    let (seen, gaps) = client(server, &mut noise);
                    times.add(&gaps);
                    if seen == Seen::Rejected {
                        thread::sleep(Duration::from_millis(5));
                    }
                }
            });
        }
        thread::sleep(warm.saturating_duration_since(Instant::now()));
        start_kib = resident_kib();
    });
    server.drain();
    let (stats, end_kib) = (server.stats(), resident_kib());
    println!(
        "{minutes} minutes, {} requests, {} tokens",
        stats.submitted, stats.generated_tokens
    );
    println!("resident KiB: {start_kib:?} after a tenth of the time, {end_kib:?} at the end");
    println!(
        "inter-token p50 <= {:.2} ms, p99 <= {:.2} ms",
        times.quantile_ms(0.5),
        times.quantile_ms(0.99)
    );
    println!("{stats:?}");
    let ended = stats.finished + stats.cancelled + stats.deadline_exceeded;
    assert_eq!((stats.submitted, stats.failed), (ended, 0));
    assert!(stats.waiting_peak <= 160);
    assert_eq!((stats.kv_bytes, stats.running, stats.waiting), (0, 0, 0));
    if let (Some(start), Some(end)) = (start_kib, end_kib) {
        assert!(
            end < start + start / 10 + 8192,
            "{start} KiB grew to {end} KiB"
        );
    }
}

#[test]
fn handles_cross_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Server>();
    shared::<Ticket>();
    shared::<ryot_inference::PieceStream>();
}
