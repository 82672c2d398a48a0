//! Who waits, who comes first, and what is bounded.

use std::time::Duration;

use ryot_inference::{CancelToken, FinishReason, InferError, Request, ServeConfig};

use crate::gate::gated;
use crate::{letters, plain, request};

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
