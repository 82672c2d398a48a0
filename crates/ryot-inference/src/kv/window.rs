//! How much of a long text a sequence remembers.

/// Keys and values of the first tokens and of the latest ones; what lies between is forgotten.
///
/// When a sequence holds [`KvWindow::tokens`] and one more comes, it forgets the oldest quarter of
/// those behind the first [`KvWindow::sinks`], and the others move up: their keys are turned to their
/// new places. So a text may grow beyond the model's context in constant memory, and the model no
/// longer sees what was forgotten.
///
/// # Source
/// Xiao et al., "Efficient Streaming Language Models with Attention Sinks", 2024: attention collects at
/// the first tokens, and a window without them fails.
///
/// ```
/// use ryot_inference::{Engine, EngineConfig, KvWindow, Model, Request};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let config = EngineConfig::new().kv_window(KvWindow::new(64));
/// let engine = Engine::new(Model::toy(1)?, config)?;
/// let request = Request::new("a long story").max_tokens(200).ignore_end(true);
/// let completion = engine.generate(request)?.finish()?;
/// assert_eq!(completion.tokens.len(), 200);
/// assert!(completion.metrics.forgotten_tokens > 100);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KvWindow {
    tokens: usize,
    sinks: usize,
}

/// Fewest tokens of a window.
pub(crate) const WINDOW_MIN: usize = 16;

impl KvWindow {
    /// At most `tokens` tokens are held: 16 to the model's context. Sinks: 4.
    pub fn new(tokens: usize) -> Self {
        Self { tokens, sinks: 4 }
    }

    /// First tokens that are never forgotten. Default 4, legal 0 to half of the window. Instructions
    /// at the beginning of every prompt can be kept so.
    pub fn sinks(mut self, tokens: usize) -> Self {
        self.sinks = tokens;
        self
    }

    /// Tokens held at most.
    pub fn tokens(&self) -> usize {
        self.tokens
    }

    /// First tokens that are never forgotten.
    pub fn sink_tokens(&self) -> usize {
        self.sinks
    }

    /// What a sequence that holds all it may forgets.
    pub(crate) fn oldest(&self) -> std::ops::Range<usize> {
        let quarter = self.tokens.saturating_sub(self.sinks) / 4;
        self.sinks..self.sinks + quarter.max(2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_quarter_behind_the_sinks_goes() {
        assert_eq!(KvWindow::new(100).oldest(), 4..28);
        assert_eq!(KvWindow::new(16).sinks(8).oldest(), 8..10);
        assert_eq!(KvWindow::new(1024).sinks(0).oldest(), 0..256);
    }
}
