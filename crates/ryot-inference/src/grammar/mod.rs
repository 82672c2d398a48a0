//! Output that follows a JSON schema or a regular expression, and tool calls read out of text.

#[cfg(feature = "grammar")]
mod constraint;
#[cfg(feature = "grammar")]
mod matcher;
mod tool_call;

#[cfg(feature = "grammar")]
pub use constraint::Constraint;
#[cfg(feature = "grammar")]
pub(crate) use matcher::{Matcher, Vocabulary};
pub use tool_call::ToolCall;
