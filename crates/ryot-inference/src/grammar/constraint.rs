//! What an output has to follow.

use llguidance::api::TopLevelGrammar;
use serde_json::{Map, Value};

use crate::error::{InferError, Result};

/// Longest schema or expression.
const BYTES_MAX: usize = 1 << 20;
/// Settings of the compiler inside a schema.
const SETTINGS: &str = "x-guidance";

/// What the text of a generation has to follow; see
/// [`Request::constraint`](crate::Request::constraint).
///
/// ```
/// use ryot_inference::{Constraint, Engine, EngineConfig, Model, Request};
/// # fn main() -> Result<(), ryot_inference::InferError> {
/// let engine = Engine::new(Model::toy(42)?, EngineConfig::new())?;
/// let request = Request::new("a date: ").constraint(Constraint::regex("[0-9]{4}-[0-9]{2}")?);
/// let text = engine.generate(request)?.finish()?.text;
/// assert_eq!((text.len(), &text[4..5]), (7, "-"));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
enum Kind {
    Schema(Value),
    Regex(String),
}

impl Constraint {
    /// JSON that the schema allows, without white space between its parts. A keyword that is part
    /// of JSON Schema but cannot be enforced is an error when the request is prepared; unknown
    /// keywords are ignored, as the standard says.
    ///
    /// # Errors
    /// [`InferError::BadConstraint`] if `schema` is no JSON object or boolean, or longer than 1 MiB.
    pub fn json_schema(schema: &str) -> Result<Self> {
        const KIND: &str = "JSON schema";
        check_length(KIND, schema)?;
        let bad = |reason: String| bad(KIND, reason);
        let mut value: Value = serde_json::from_str(schema).map_err(|e| bad(e.to_string()))?;
        if value == Value::Bool(true) {
            value = Value::Object(Map::new());
        }
        match &mut value {
            Value::Object(fields) => {
                let compact = serde_json::json!({ "whitespace_flexible": false });
                fields.entry(SETTINGS).or_insert(compact);
            }
            Value::Bool(_) => return Err(bad("`false` allows no output".to_owned())),
            _ => return Err(bad("a schema is an object or a boolean".to_owned())),
        }
        Ok(Self {
            kind: Kind::Schema(value),
        })
    }

    /// Text that the whole of `pattern` matches, in the syntax of the regex crate, without
    /// look-around and back-references.
    ///
    /// # Errors
    /// [`InferError::BadConstraint`] if `pattern` is empty or longer than 1 MiB; what is wrong
    /// inside it is found when the request is prepared.
    pub fn regex(pattern: &str) -> Result<Self> {
        const KIND: &str = "regular expression";
        check_length(KIND, pattern)?;
        if pattern.is_empty() {
            return Err(bad(KIND, "it is empty".to_owned()));
        }
        Ok(Self {
            kind: Kind::Regex(pattern.to_owned()),
        })
    }

    pub(super) fn name(&self) -> &'static str {
        match self.kind {
            Kind::Schema(_) => "JSON schema",
            Kind::Regex(_) => "regular expression",
        }
    }

    pub(super) fn grammar(&self) -> TopLevelGrammar {
        match &self.kind {
            Kind::Schema(schema) => TopLevelGrammar::from_json_schema(schema.clone()),
            Kind::Regex(pattern) => TopLevelGrammar::from_regex(pattern),
        }
    }
}

fn check_length(kind: &'static str, text: &str) -> Result<()> {
    match text.len() > BYTES_MAX {
        true => Err(bad(
            kind,
            format!("it has {} bytes, allowed: at most {BYTES_MAX}", text.len()),
        )),
        false => Ok(()),
    }
}

pub(super) fn bad(kind: &'static str, reason: String) -> InferError {
    InferError::BadConstraint { kind, reason }
}
