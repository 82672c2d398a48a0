//! Tool calls in what a model wrote.

use serde_json::{Map, Value};

/// A call of a tool.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ToolCall {
    /// Name of the tool.
    pub name: String,
    /// Its arguments.
    pub arguments: Map<String, Value>,
}

/// Objects that are looked at in one text; more are left.
const OBJECTS_MAX: usize = 1024;

impl ToolCall {
    /// The calls in `text`, in order.
    ///
    /// A call is a JSON object with its name under `tool` or `name`. Arguments are the object under
    /// `arguments` or `parameters` (which may also be a string of JSON), or, without one, all
    /// other fields. What stands around the objects, tags or prose, does not matter; text that is no
    /// JSON is passed over.
    ///
    /// Cost: linear in the text but for braces that open no object.
    ///
    /// ```
    /// use ryot_inference::ToolCall;
    /// let text = r#"I will read it. {"tool": "read_file", "path": "a.txt"}"#;
    /// let calls = ToolCall::parse(text);
    /// assert_eq!(calls[0].name, "read_file");
    /// assert_eq!(calls[0].arguments["path"], "a.txt");
    /// ```
    pub fn parse(text: &str) -> Vec<Self> {
        let mut calls = Vec::new();
        let mut rest = text;
        for _ in 0..OBJECTS_MAX {
            let Some(at) = rest.find('{') else {
                break;
            };
            rest = rest.get(at..).unwrap_or_default();
            let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
            match stream.next() {
                Some(Ok(Value::Object(fields))) => {
                    let used = stream.byte_offset();
                    calls.extend(Self::from_object(fields));
                    rest = rest.get(used..).unwrap_or_default();
                }
                _ => rest = rest.get(1..).unwrap_or_default(),
            }
        }
        calls
    }

    fn from_object(mut fields: Map<String, Value>) -> Option<Self> {
        let key = ["tool", "name"]
            .into_iter()
            .find(|key| fields.get(*key).is_some_and(Value::is_string))?;
        let Some(Value::String(name)) = fields.remove(key) else {
            return None;
        };
        let inner = ["arguments", "parameters"]
            .into_iter()
            .find_map(|key| as_object(fields.get(key)?));
        Some(Self {
            name,
            arguments: inner.unwrap_or(fields),
        })
    }
}

/// An object, or a string that holds one.
fn as_object(value: &Value) -> Option<Map<String, Value>> {
    match value {
        Value::Object(fields) => Some(fields.clone()),
        Value::String(text) => serde_json::from_str(text).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        ToolCall::parse(text).into_iter().map(|c| c.name).collect()
    }

    #[test]
    fn the_published_shapes_are_read() {
        let flat = r#"{"tool": "copy", "from": "a", "to": "b"}"#;
        let call = ToolCall::parse(flat).remove(0);
        assert_eq!((call.name.as_str(), call.arguments.len()), ("copy", 2));
        for text in [
            r#"<tool_call>{"name": "f", "arguments": {"x": 1}}</tool_call>"#,
            r#"{"name": "f", "parameters": {"x": 1}}"#,
            r#"so: {"type": "function", "name": "f", "arguments": "{\"x\": 1}"} end"#,
        ] {
            let call = ToolCall::parse(text).remove(0);
            assert_eq!(
                (call.name.as_str(), &call.arguments["x"]),
                ("f", &Value::from(1))
            );
            assert_eq!(call.arguments.len(), 1);
        }
    }

    #[test]
    fn what_is_no_call_is_passed_over() {
        assert!(names("no braces").is_empty());
        assert!(names("{ {} {\"tool\": 3} {\"a\": {\"tool\": \"inner\"}}").is_empty());
        assert_eq!(
            names("{oops {\"tool\": \"a\"} and {\"name\": \"b\"} {\"tool\":"),
            ["a", "b"]
        );
        assert!(names(&"{".repeat(5000)).is_empty());
    }
}
