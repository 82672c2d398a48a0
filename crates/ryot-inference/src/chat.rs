//! Conversations: messages, and the model's own template that turns them into a prompt.

use crate::error::{InferError, Result};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Value, from_args};
use minijinja::{Environment, Error, ErrorKind, State};

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Who speaks: `system`, `user` or `assistant` in most templates.
    pub role: String,
    /// What is said.
    pub content: String,
}

impl Message {
    /// A turn of any role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self {
            role: role.into(),
            content: content.into(),
        }
    }

    /// A turn of the person.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// A turn of the model.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }

    /// Instructions for the whole conversation.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }
}

/// Longest template that is compiled.
pub(crate) const TEMPLATE_BYTES_MAX: usize = 256 * 1024;
/// Template instructions that one rendering may use.
const FUEL: u64 = 1_000_000;
/// Nesting of macros and includes.
const RECURSION_MAX: usize = 64;
/// Name under which the one template is registered.
const NAME: &str = "chat";

/// A compiled chat template (Jinja, as in `tokenizer_config.json` and GGUF).
///
/// A template is a program from the model file. It can read only what it is given; instructions
/// and recursion are limited, the memory it builds up is not.
#[derive(Debug)]
pub(crate) struct ChatTemplate {
    environment: Environment<'static>,
}

impl ChatTemplate {
    pub(crate) fn new(source: String) -> Result<Self> {
        if source.len() > TEMPLATE_BYTES_MAX {
            return Err(InferError::OverLimit {
                format: "chat template",
                what: "length in bytes",
                value: source.len() as u64,
                limit: TEMPLATE_BYTES_MAX as u64,
            });
        }
        let mut environment = Environment::new();
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION_MAX);
        // as Hugging Face compiles chat templates
        let syntax = SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build();
        environment.set_syntax(syntax.map_err(failed("configure"))?);
        environment.set_unknown_method_callback(python_method);
        environment.add_function("raise_exception", |message: String| -> Result<(), Error> {
            Err(Error::new(ErrorKind::InvalidOperation, message))
        });
        environment
            .add_template_owned(NAME, source)
            .map_err(failed("compile"))?;
        Ok(Self { environment })
    }

    pub(crate) fn render(&self, messages: &[Message], bos: String, eos: String) -> Result<String> {
        let template = self
            .environment
            .get_template(NAME)
            .map_err(failed("find"))?;
        template
            .render(minijinja::context! {
                messages => as_values(messages),
                bos_token => bos,
                eos_token => eos,
                add_generation_prompt => true,
            })
            .map_err(failed("render"))
    }
}

fn as_values(messages: &[Message]) -> Value {
    let one = |m: &Message| {
        Value::from_pairs([("role", m.role.as_str()), ("content", m.content.as_str())])
    };
    messages.iter().map(one).collect::<Vec<Value>>().into()
}

fn failed(operation: &'static str) -> impl FnOnce(Error) -> InferError {
    move |source| InferError::ChatTemplate {
        operation,
        source: Box::new(source),
    }
}

/// The methods of Python strings and mappings that published templates call.
fn python_method(
    _state: &mut State<'_, '_>,
    value: &Value,
    method: &str,
    args: &[Value],
) -> Result<Value, Error> {
    let unknown = || Error::from(ErrorKind::UnknownMethod);
    if let Some(text) = value.as_str() {
        let chars = |args: &[Value]| -> Result<Option<String>, Error> {
            from_args::<(Option<String>,)>(args).map(|(c,)| c)
        };
        let strip = |c: char, set: &Option<String>| match set {
            Some(set) => set.contains(c),
            None => c.is_whitespace(),
        };
        return match method {
            "strip" => chars(args).map(|s| text.trim_matches(|c| strip(c, &s)).into()),
            "lstrip" => chars(args).map(|s| text.trim_start_matches(|c| strip(c, &s)).into()),
            "rstrip" => chars(args).map(|s| text.trim_end_matches(|c| strip(c, &s)).into()),
            "upper" => Ok(text.to_uppercase().into()),
            "lower" => Ok(text.to_lowercase().into()),
            "startswith" => from_args(args).map(|(p,): (&str,)| text.starts_with(p).into()),
            "endswith" => from_args(args).map(|(p,): (&str,)| text.ends_with(p).into()),
            "split" => {
                let (separator,): (Option<&str>,) = from_args(args)?;
                let parts: Vec<String> = match separator {
                    Some("") => {
                        return Err(Error::new(ErrorKind::InvalidOperation, "empty separator"));
                    }
                    Some(separator) => text.split(separator).map(str::to_owned).collect(),
                    None => text.split_whitespace().map(str::to_owned).collect(),
                };
                Ok(Value::from(parts))
            }
            "replace" => {
                let (from, to): (&str, &str) = from_args(args)?;
                Ok(text.replace(from, to).into())
            }
            _ => Err(unknown()),
        };
    }
    match method {
        "get" => {
            let (key, default): (Value, Option<Value>) = from_args(args)?;
            let found = value.get_item(&key).ok().filter(|v| !v.is_undefined());
            Ok(found.or(default).unwrap_or_else(|| Value::from(())))
        }
        "items" => {
            let mut pairs = Vec::new();
            for key in value.try_iter()? {
                let item = value.get_item(&key)?;
                pairs.push(Value::from(vec![key, item]));
            }
            Ok(pairs.into())
        }
        "keys" => Ok(value.try_iter()?.collect::<Vec<Value>>().into()),
        _ => Err(unknown()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(source: &str, messages: &[Message]) -> Result<String> {
        ChatTemplate::new(source.to_owned())?.render(messages, "<s>".into(), "</s>".into())
    }

    #[test]
    fn llama3_style_template_renders() {
        let source = "{% set loop_messages = messages %}{% for message in loop_messages %}\
            {% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'\
            + message['content'] | trim + '<|eot_id|>' %}\
            {% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}\
            {{ content }}{% endfor %}\
            {% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}\
            {% endif %}";
        let got = render(
            source,
            &[Message::system("be brief"), Message::user(" hi ")],
        )
        .unwrap();
        assert_eq!(
            got,
            "<s><|start_header_id|>system<|end_header_id|>\n\nbe brief<|eot_id|>\
             <|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n"
        );
    }

    #[test]
    fn python_methods_work() {
        let source = "{% for m in messages %}{{ m.content.strip().upper() }}\
            {{ m.content.split('b')[0].lstrip() }}{{ m.get('tools', 'none') }}\
            {{ m.content.replace('a', 'c').startswith(' c') }}{% endfor %}";
        assert_eq!(
            render(source, &[Message::user(" ab ")]).unwrap(),
            "ABanoneTrue"
        );
    }

    #[test]
    fn a_template_that_refuses_is_an_error() {
        let e = render("{{ raise_exception('roles must alternate') }}", &[]).unwrap_err();
        assert_eq!(e.to_string(), "chat template: cannot render");
        let source = std::error::Error::source(&e).unwrap().to_string();
        assert!(source.contains("roles must alternate"), "{source}");
    }

    #[test]
    fn endless_and_deep_templates_stop() {
        let nested =
            "{% for a in range(10000) %}{% for b in range(10000) %}{% endfor %}{% endfor %}";
        assert!(matches!(
            render(nested, &[]),
            Err(InferError::ChatTemplate { .. })
        ));
        let recursive = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
        assert!(matches!(
            render(recursive, &[]),
            Err(InferError::ChatTemplate { .. })
        ));
        let long = "x".repeat(TEMPLATE_BYTES_MAX + 1);
        assert!(matches!(
            render(&long, &[]),
            Err(InferError::OverLimit { .. })
        ));
        assert!(matches!(
            render("{% if %}", &[]),
            Err(InferError::ChatTemplate { .. })
        ));
    }
}
