//! A store that holds a server up, so that tests see its queue.

use std::sync::{Arc, Condvar, Mutex};

use ryot_inference::{
    BlockKey, BoxError, EngineConfig, KvBlock, KvState, PrefixStore, ServeConfig, Server, Ticket,
};

use crate::{request, toy};

/// A store that holds nothing, stops in `get` while it is shut, and notes what it was asked.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<GateState>,
    changed: Condvar,
}

#[derive(Default)]
struct GateState {
    open: bool,
    asked: Vec<BlockKey>,
}

impl Gate {
    pub(crate) fn wait_for_visitor(&self) {
        let state = self.state.lock().unwrap();
        drop(
            self.changed
                .wait_while(state, |s| s.asked.is_empty())
                .unwrap(),
        );
    }

    pub(crate) fn open(&self) {
        self.state.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    pub(crate) fn asked(&self) -> Vec<BlockKey> {
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
pub(crate) fn gated(config: ServeConfig) -> (Arc<Gate>, Server, Ticket) {
    let gate = Arc::new(Gate::default());
    let engine = toy(EngineConfig::new()
        .prefix_store(gate.clone())
        .prefix_block_tokens(1));
    let server = engine.serve(config).unwrap();
    let first = server.submit(request("gate")).unwrap();
    gate.wait_for_visitor();
    (gate, server, first)
}
