//! What the scheduler needs to know about a task or message, whatever it computes.

use super::spec::Priority;
use crate::cancel::CancelToken;
use crate::clock::NEVER_NS;
use crate::primitive::{AtomicBool, Ordering};

/// Routing, conditions and time stamps of one unit of work.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) runtime: u64,
    /// When it was accepted.
    pub(crate) accepted_ns: u64,
    pub(crate) deadline_ns: u64,
    pub(crate) token: Option<CancelToken>,
    pub(crate) team: usize,
    /// 0 when submitted from outside, else one more than the submitting task.
    pub(crate) depth: u16,
    /// The worker that its affinity key points to.
    pub(crate) preferred: Option<u16>,
    pub(crate) priority: Priority,
    /// Set through the handle.
    pub(crate) cancelled: AtomicBool,
}

impl Header {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
            || self.token.as_ref().is_some_and(CancelToken::is_cancelled)
    }

    pub(crate) fn has_deadline(&self) -> bool {
        self.deadline_ns != NEVER_NS
    }
}
