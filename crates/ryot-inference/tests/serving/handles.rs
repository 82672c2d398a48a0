//! Streams, times and threads of one ticket.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

use futures_core::Stream;
use ryot_inference::{ServeConfig, Server, Ticket};

use crate::gate::gated;
use crate::{plain, request};

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

#[test]
fn handles_cross_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Server>();
    shared::<Ticket>();
    shared::<ryot_inference::PieceStream>();
}
