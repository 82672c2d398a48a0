//! Cancellation tokens.

use crate::primitive::{AtomicBool, Ordering};
use std::sync::Arc;

/// A flag shared by any number of tasks; cancelling it cancels all of them and its children.
///
/// Cancellation is cooperative: a task that has not started will not start, a running one sees it
/// at [`TaskContext::is_cancelled`](crate::TaskContext::is_cancelled) or
/// [`checkpoint`](crate::TaskContext::checkpoint). Cost: one atomic load per level to ask.
///
/// ```
/// use agent_collective::CancelToken;
///
/// let session = CancelToken::new();
/// let request = session.child();
/// request.cancel();
/// assert!(request.is_cancelled() && !session.is_cancelled());
/// ```
#[derive(Clone, Debug)]
pub struct CancelToken {
    node: Arc<Node>,
}

#[derive(Debug)]
struct Node {
    cancelled: AtomicBool,
    parent: Option<CancelToken>,
}

impl CancelToken {
    /// A token that is not cancelled.
    pub fn new() -> Self {
        Self::with_parent(None)
    }

    /// A token that counts as cancelled when this one is; cancelling it leaves this one alone.
    pub fn child(&self) -> Self {
        Self::with_parent(Some(self.clone()))
    }

    fn with_parent(parent: Option<CancelToken>) -> Self {
        Self {
            node: Arc::new(Node {
                cancelled: AtomicBool::new(false),
                parent,
            }),
        }
    }

    /// Cancels the token; there is no way back.
    pub fn cancel(&self) {
        self.node.cancelled.store(true, Ordering::Release);
    }

    /// Whether this token or one it descends from was cancelled.
    pub fn is_cancelled(&self) -> bool {
        let mut token = Some(self);
        while let Some(current) = token {
            if current.node.cancelled.load(Ordering::Acquire) {
                return true;
            }
            token = current.node.parent.as_ref();
        }
        false
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;

    #[test]
    fn cancellation_goes_down_and_not_up() {
        let root = CancelToken::new();
        let (left, right) = (root.child(), root.child());
        let leaf = left.child();
        left.cancel();
        assert!(leaf.is_cancelled() && left.is_cancelled());
        assert!(!right.is_cancelled() && !root.is_cancelled());
        root.cancel();
        assert!(right.is_cancelled());
    }
}
