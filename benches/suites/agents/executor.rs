//! async-executor as a pool: threads that run its tasks until the pool is dropped.

use std::sync::Arc;
use std::thread::JoinHandle;

use async_executor::Executor;

/// An executor and the threads that run it; dropping it ends and joins them.
pub(crate) struct ExecutorPool {
    pub(crate) executor: Arc<Executor<'static>>,
    stop: Option<kanal::AsyncSender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl ExecutorPool {
    pub(crate) fn new(threads: usize) -> Self {
        let executor = Arc::new(Executor::new());
        let (stop, stopped) = kanal::bounded_async::<()>(1);
        let threads = (0..threads)
            .map(|_| {
                let (executor, stopped) = (Arc::clone(&executor), stopped.clone());
                std::thread::spawn(move || {
                    async_io::block_on(executor.run(async move {
                        let _ = stopped.recv().await;
                    }));
                })
            })
            .collect();
        Self {
            executor,
            stop: Some(stop),
            threads,
        }
    }
}

impl Drop for ExecutorPool {
    fn drop(&mut self) {
        drop(self.stop.take());
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(
                ended.is_ok() || std::thread::panicking(),
                "a thread of the executor panicked"
            );
        }
    }
}
