//! Actor libraries: a question from a task to an actor of the same runtime, and messages told.
//!
//! kameo and ractor run on tokio with as many workers as ours has; actix runs its actors on one
//! thread, here with the task that asks, which is its usual shape. ractor's and actix's mailboxes
//! are told without a bound, kameo's and ours hold 1,024 messages.

use crate::ask::{Echo, quantile_ns, tokio_runtime};
use actix::Actor as _;
use agent_collective::{AgentConfig, Runtime, Task, TaskContext};
use kameo::actor::Spawn as _;
use neurectomy_bench::{BenchError, Row, Suite};
use std::future::Future;
use std::time::{Duration, Instant};

const MAILBOX: usize = 1_024;

/// What one library needed: the time of each question, and of a message told.
struct Times {
    asked: Vec<Duration>,
    told_ns: f64,
}

/// Asks `asks` times and tells `tells` times; a last question says that all were handled.
async fn measure<A, T>(
    asks: u64,
    tells: u64,
    ask: impl Fn(u64) -> A,
    tell: impl Fn(u64) -> T,
) -> Times
where
    A: Future<Output = u64>,
    T: Future<Output = ()>,
{
    let mut asked = Vec::new();
    for i in 0..asks {
        let start = Instant::now();
        let answer = ask(i).await;
        asked.push(start.elapsed());
        assert_eq!(answer, i);
    }
    let start = Instant::now();
    for i in 0..tells {
        tell(i).await;
    }
    assert_eq!(ask(7).await, 7);
    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
    let told_ns = start.elapsed().as_secs_f64() * 1e9 / tells as f64;
    Times { asked, told_ns }
}

struct KameoEcho;

impl kameo::Actor for KameoEcho {
    type Args = Self;
    type Error = std::convert::Infallible;

    async fn on_start(
        args: Self::Args,
        _: kameo::actor::ActorRef<Self>,
    ) -> Result<Self, Self::Error> {
        Ok(args)
    }
}

impl kameo::message::Message<u64> for KameoEcho {
    type Reply = u64;

    async fn handle(
        &mut self,
        message: u64,
        _: &mut kameo::message::Context<Self, Self::Reply>,
    ) -> Self::Reply {
        message
    }
}

async fn by_kameo(asks: u64, tells: u64) -> Times {
    let actor = KameoEcho::spawn_with_mailbox(KameoEcho, kameo::mailbox::bounded(MAILBOX));
    let ask = async |i| actor.ask(i).await.expect("the actor lives");
    let tell = async |i| actor.tell(i).await.expect("the actor lives");
    measure(asks, tells, ask, tell).await
}

struct RactorEcho;

enum RactorMessage {
    Ask(u64, ractor::RpcReplyPort<u64>),
    Tell(u64),
}

impl ractor::Actor for RactorEcho {
    type Msg = RactorMessage;
    type State = u64;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ractor::ActorRef<Self::Msg>,
        (): (),
    ) -> Result<u64, ractor::ActorProcessingErr> {
        Ok(0)
    }

    async fn handle(
        &self,
        _: ractor::ActorRef<Self::Msg>,
        message: RactorMessage,
        sum: &mut u64,
    ) -> Result<(), ractor::ActorProcessingErr> {
        match message {
            RactorMessage::Ask(i, port) => port.send(i)?,
            RactorMessage::Tell(i) => *sum = sum.wrapping_add(i),
        }
        Ok(())
    }
}

async fn by_ractor(asks: u64, tells: u64) -> Times {
    let spawned = ractor::Actor::spawn(None, RactorEcho, ()).await;
    let (actor, ended) = spawned.expect("the actor starts");
    let ask = async |i| {
        let answer = actor.call(|port| RactorMessage::Ask(i, port), None).await;
        match answer {
            Ok(ractor::rpc::CallResult::Success(answer)) => answer,
            _ => panic!("the actor lives"),
        }
    };
    let tell = async |i| actor.cast(RactorMessage::Tell(i)).expect("the actor lives");
    let times = measure(asks, tells, ask, tell).await;
    actor.stop(None);
    let _ = ended.await;
    times
}

struct ActixEcho;

struct ActixMessage(u64);

impl actix::Message for ActixMessage {
    type Result = u64;
}

impl actix::Actor for ActixEcho {
    type Context = actix::Context<Self>;
}

impl actix::Handler<ActixMessage> for ActixEcho {
    type Result = u64;

    fn handle(&mut self, message: ActixMessage, _: &mut Self::Context) -> u64 {
        message.0
    }
}

fn by_actix(asks: u64, tells: u64) -> Times {
    actix::System::new().block_on(async {
        let actor = ActixEcho.start();
        let ask = async |i| actor.send(ActixMessage(i)).await.expect("the actor lives");
        let tell = async |i| actor.do_send(ActixMessage(i));
        measure(asks, tells, ask, tell).await
    })
}

fn by_us(runtime: &Runtime, asks: u64, tells: u64) -> Result<Times, BenchError> {
    let config = AgentConfig::new("echo", "work").mailbox_capacity(MAILBOX);
    let agent = runtime.spawn_agent(config, Echo::default)?;
    let task = Task::new("work", move |_: &TaskContext<'_>| {
        let ask = async |i| agent.call(i).expect("the agent lives");
        let tell = async |i| agent.tell(i).expect("the agent lives");
        futures_lite::future::block_on(measure(asks, tells, ask, tell))
    });
    Ok(runtime.submit(task)?.join()?)
}

pub(crate) fn rows(suite: &mut Suite, runtime: &Runtime) -> Result<(), BenchError> {
    let asks = suite.size(20, 10_000) as u64;
    let tells = suite.size(20, 50_000) as u64;
    let tokio = tokio_runtime()?;
    let mut asked = [const { Vec::new() }; 4];
    let mut told = [const { Vec::new() }; 4];
    for _ in 0..suite.size(1, 5) {
        let in_turn = [
            by_us(runtime, asks, tells)?,
            tokio.block_on(tokio.spawn(by_kameo(asks, tells)))?,
            tokio.block_on(tokio.spawn(by_ractor(asks, tells)))?,
            by_actix(asks, tells),
        ];
        for (index, times) in in_turn.into_iter().enumerate() {
            asked[index].extend(times.asked);
            told[index].push(times.told_ns);
        }
    }
    let told = told.map(|mut figures| {
        figures.sort_unstable_by(f64::total_cmp);
        figures[figures.len() / 2]
    });
    let peers = ["kameo", "ractor", "actix (one thread)"];
    for (name, q) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999)] {
        let figures = asked.each_mut().map(|times| quantile_ns(times, q));
        for (peer, figure) in peers.into_iter().zip(&figures[1..]) {
            let row = Row::new(
                &format!("ask an actor from a task, {name}"),
                "ns",
                figures[0],
            );
            suite.record(row.against(peer, *figure));
        }
    }
    for (peer, figure) in peers.into_iter().zip(&told[1..]) {
        let row = Row::new("tell an actor from a task", "ns", told[0]);
        suite.record(row.against(peer, *figure));
    }
    Ok(())
}
