//! Futures without a runtime and under tokio: answers, durability, full queues, failing disks.
#![cfg(feature = "async")]

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use sigma_vault::io::{DiskError, MemoryStorage, SimulatedStorage};
use sigma_vault::{
    AsyncOptions, AsyncVault, Batch, Durability, Options, Reply, Rsu, Vault, VaultError,
};
use support::judge::error_at;
use support::small;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A runtime of its own: this thread.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn open(disk: &SimulatedStorage, options: AsyncOptions) -> AsyncVault {
    let vault = Vault::open_with(Arc::new(disk.clone()), small()).unwrap();
    AsyncVault::new(Arc::new(vault), options).unwrap()
}

async fn every_operation(vault: &AsyncVault) -> Result<(), VaultError> {
    vault.put(b"a", b"1", Durability::Grouped).await?;
    let mut batch = Batch::new();
    batch.put(b"b", b"2").put(b"c", b"3");
    vault.write(batch, Durability::Written).await?;
    let hour = std::time::Duration::from_secs(3600);
    vault
        .put_with_ttl(b"d", b"4", hour, Durability::Buffered)
        .await?;
    assert!(vault.delete(b"c", Durability::Synced).await?);
    assert!(vault.contains(b"d").await? && !vault.contains(b"c").await?);
    assert_eq!(vault.get(b"b").await?.as_deref(), Some(&b"2"[..]));
    let tokens: Vec<u32> = (0..100).collect();
    vault
        .put_rsu(b"unit", Rsu::new(tokens.clone()), Durability::Grouped)
        .await?;
    assert_eq!(vault.find_similar_tokens(&tokens, 0.9).await?.len(), 1);
    assert_eq!(vault.get_rsu(b"unit").await?.unwrap().tokens, tokens);
    vault.sync().await?;
    vault.compact().await?;
    assert_eq!(vault.call(|vault| Ok(vault.iter().count())).await?, 3);
    Ok(())
}

#[test]
fn every_operation_without_a_runtime() {
    let vault = open(&SimulatedStorage::new(1), AsyncOptions::default());
    block_on(every_operation(&vault)).unwrap();
}

#[test]
fn every_operation_under_tokio() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let vault = open(&SimulatedStorage::new(1), AsyncOptions::default());
    runtime.block_on(every_operation(&vault)).unwrap();
}

/// A thousand durable writes in flight on one thread share syncs, and all survive a power cut.
#[test]
fn durable_writes_in_flight_share_syncs_and_survive() {
    let disk = SimulatedStorage::new(2);
    let vault = open(&disk, AsyncOptions::default().threads(1));
    let key = |number: u32| number.to_le_bytes();
    let replies: Vec<Reply<()>> = (0..1000)
        .map(|number| vault.put(&key(number), b"value", Durability::Grouped))
        .collect();
    for reply in replies {
        block_on(reply).unwrap();
    }
    let syncs = vault.vault().stats().syncs;
    assert!(syncs < 900, "{syncs} syncs");
    disk.power_cut();
    drop(vault);
    let vault = Vault::open_with(Arc::new(disk), small()).unwrap();
    assert!((0..1000).all(|number| vault.contains(&key(number)).unwrap()));
}

#[test]
fn a_full_queue_makes_futures_wait_and_loses_none() {
    let options = AsyncOptions::default().threads(1).queue_max(2);
    let vault = open(&SimulatedStorage::new(3), options);
    let replies: Vec<_> = (0..200_u8)
        .map(|number| vault.put(&[number], b"value", Durability::Written))
        .collect();
    // The last ones first: each poll finds its own way in.
    for reply in replies.into_iter().rev() {
        block_on(reply).unwrap();
    }
    assert_eq!(vault.vault().stats().keys, 200);
}

#[test]
fn what_was_queued_is_done_when_the_handle_is_dropped() {
    let disk = SimulatedStorage::new(4);
    let vault = open(&disk, AsyncOptions::default());
    let inner = Arc::clone(vault.vault());
    let options = AsyncOptions::default().threads(1).queue_max(1);
    let slow = AsyncVault::new(Arc::clone(&inner), options).unwrap();
    let parked: Vec<_> = (0..50_u8)
        .map(|number| slow.put(&[number], b"value", Durability::Synced))
        .collect();
    drop(slow);
    // Either it got into the queue, and is done, or its future says that it is not.
    let mut done = 0;
    for (number, reply) in (0..50_u8).zip(parked) {
        let there = inner.contains(&[number]).unwrap();
        match block_on(reply) {
            Ok(()) => done += u32::from(there),
            Err(VaultError::Closed) => assert!(!there),
            Err(error) => panic!("{error}"),
        }
    }
    assert!(done >= 1);
}

/// Every writer whose sync failed is told, and none is told that its write is durable.
#[test]
fn a_failed_sync_reaches_all_who_wait() {
    let disk = SimulatedStorage::new(5);
    let vault = open(&disk, AsyncOptions::default().threads(1));
    block_on(vault.put(b"first", b"1", Durability::Grouped)).unwrap();
    let mut refused = 0;
    for call in 0..40 {
        let disk = disk.fork(call);
        let vault = open(&disk, AsyncOptions::default().threads(1));
        disk.set_faults(error_at(disk.calls() + call, DiskError::Failed));
        let replies: Vec<_> = (0..20_u8)
            .map(|number| vault.put(&[number], &[number; 300], Durability::Grouped))
            .collect();
        let told: Vec<bool> = replies
            .into_iter()
            .map(|reply| block_on(reply).is_ok())
            .collect();
        disk.power_cut();
        drop(vault);
        let vault = Vault::open_with(Arc::new(disk), small()).unwrap();
        for (number, told) in (0..20_u8).zip(&told) {
            assert!(
                !told || vault.contains(&[number]).unwrap(),
                "call {call}, key {number}"
            );
            refused += u32::from(!told);
        }
    }
    assert!(refused > 20, "{refused}");
}

#[test]
fn a_panic_in_a_call_answers_its_own_future_only() {
    let storage = Arc::new(MemoryStorage::new());
    let vault = Arc::new(Vault::open_with(storage, Options::new()).unwrap());
    let vault = AsyncVault::new(vault, AsyncOptions::default().threads(1)).unwrap();
    let broken: Reply<()> = vault.call(|_| panic!("on purpose"));
    assert!(matches!(block_on(broken), Err(VaultError::Closed)));
    block_on(vault.put(b"key", b"value", Durability::Grouped)).unwrap();
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let vault = Arc::new(Vault::open_with(Arc::new(MemoryStorage::new()), Options::new()).unwrap());
    for options in [
        AsyncOptions::default().threads(0),
        AsyncOptions::default().threads(257),
        AsyncOptions::default().queue_max(0),
        AsyncOptions::default().queue_max((1 << 20) + 1),
    ] {
        let result = AsyncVault::new(Arc::clone(&vault), options);
        assert!(matches!(result, Err(VaultError::InvalidArgument { .. })));
    }
}
