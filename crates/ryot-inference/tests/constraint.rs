//! Constrained output: what comes out follows the schema or the expression, whatever the model.
#![cfg(feature = "grammar")]

use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use proptest::{prelude::*, strategy::ValueTree as _};
use ryot_inference::{
    Completion, Constraint, Engine, EngineConfig, FinishReason, InferError, Model, Request,
    Sampling, Speculation,
};
use serde_json::{Value, json};

fn engine() -> Engine {
    Engine::new(Model::toy(3).unwrap(), EngineConfig::new()).unwrap()
}

fn run(engine: &Engine, constraint: Constraint, seed: u64) -> Completion {
    let request = Request::new("x")
        .max_tokens(900)
        .sampling(Sampling::random(seed))
        .constraint(constraint);
    engine.generate(request).unwrap().finish().unwrap()
}

/// Schemas of the shape of JSON-Schema-Test-Suite: types, enum, const, bounds, lengths, items,
/// properties, required, additionalProperties, anyOf, nested. Strings and arrays are bounded, so
/// that an untrained model comes to an end.
fn schemas() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(json!({"type": "boolean"})),
        Just(json!({"type": "null"})),
        (-50_i64..50, 0_i64..60).prop_map(
            |(low, more)| json!({"type": "integer", "minimum": low, "maximum": low + more})
        ),
        (0_i64..50).prop_map(
            |low| json!({"type": "integer", "exclusiveMinimum": low, "maximum": low + 9})
        ),
        (0_usize..4, 0_usize..6).prop_map(
            |(low, more)| json!({"type": "string", "minLength": low, "maxLength": low + more})
        ),
        Just(json!({"type": "string", "pattern": "^[a-c]{2,4}$"})),
        Just(json!({"type": "string", "enum": ["red", "amber", "green"]})),
        Just(json!({"enum": [1, "one", null, [2, 3], {"k": false}]})),
        "[a-z ]{0,6}".prop_map(|text| json!({"const": text})),
        Just(json!({"type": ["boolean", "null"]})),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), 0_usize..3, 0_usize..3).prop_map(|(items, low, more)| {
                json!({"type": "array", "items": items, "minItems": low, "maxItems": low + more})
            }),
            proptest::collection::vec((inner.clone(), any::<bool>()), 1..4).prop_map(|fields| {
                let name = |i: usize| format!("f{i}");
                let required: Vec<String> = fields
                    .iter()
                    .enumerate()
                    .filter(|(_, (_, required))| *required)
                    .map(|(i, _)| name(i))
                    .collect();
                let properties: serde_json::Map<String, Value> = fields
                    .into_iter()
                    .enumerate()
                    .map(|(i, (schema, _))| (name(i), schema))
                    .collect();
                json!({
                    "type": "object", "properties": properties, "required": required,
                    "additionalProperties": false
                })
            }),
            proptest::collection::vec(inner, 2..4).prop_map(|any| json!({"anyOf": any})),
        ]
    })
}

/// The plain validator of those schemas.
fn valid(value: &Value, schema: &Value) -> bool {
    if let Some(any) = schema.get("anyOf").and_then(Value::as_array) {
        return any.iter().any(|s| valid(value, s));
    }
    if let Some(all) = schema.get("enum").and_then(Value::as_array) {
        return all.contains(value);
    }
    if let Some(constant) = schema.get("const") {
        return value == constant;
    }
    let is = |name: &str| match name {
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        // -0.0 and 3.0 are whole numbers, too
        "integer" => value.as_f64().is_some_and(|n| n.fract() == 0.0),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("type {other}"),
    };
    let typed = match schema.get("type") {
        Some(Value::String(name)) => is(name),
        Some(Value::Array(names)) => names.iter().any(|n| is(n.as_str().unwrap())),
        _ => true,
    };
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    let within = |size: usize, low: &str, high: &str| {
        let size = size as f64;
        number(low).is_none_or(|n| size >= n) && number(high).is_none_or(|n| size <= n)
    };
    typed
        && match value {
            Value::Number(n) => {
                let n = n.as_f64().unwrap();
                number("minimum").is_none_or(|low| n >= low)
                    && number("exclusiveMinimum").is_none_or(|low| n > low)
                    && number("maximum").is_none_or(|high| n <= high)
            }
            Value::String(text) => {
                let letters = text.chars().count();
                let pattern = schema.get("pattern").is_none_or(|_| {
                    (2..=4).contains(&letters) && text.chars().all(|c| ('a'..='c').contains(&c))
                });
                pattern && within(letters, "minLength", "maxLength")
            }
            Value::Array(items) => {
                within(items.len(), "minItems", "maxItems")
                    && items.iter().all(|item| valid(item, &schema["items"]))
            }
            Value::Object(fields) => {
                let known = schema["properties"].as_object().unwrap();
                let required = schema["required"].as_array().unwrap();
                required
                    .iter()
                    .all(|name| fields.contains_key(name.as_str().unwrap()))
                    && fields
                        .iter()
                        .all(|(name, v)| known.get(name).is_some_and(|s| valid(v, s)))
            }
            Value::Null | Value::Bool(_) => true,
        }
}

#[test]
fn a_thousand_random_schemas_are_followed() {
    let engine = engine();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut nested = 0;
    for seed in 0..1000 {
        let schema = schemas().new_tree(&mut runner).unwrap().current();
        nested += u32::from(schema.get("properties").is_some());
        let done = run(
            &engine,
            Constraint::json_schema(&schema.to_string()).unwrap(),
            seed,
        );
        assert_eq!(
            done.finish_reason,
            FinishReason::EndOfSequence,
            "{schema}: {}",
            done.text
        );
        let value: Value = serde_json::from_str(&done.text)
            .unwrap_or_else(|e| panic!("{schema}: {e}: {}", done.text));
        assert!(valid(&value, &schema), "{schema}: {value}");
    }
    assert!(nested > 100, "{nested} objects");
}

#[test]
fn expressions_match_whole_and_speculation_changes_nothing() {
    let plain = engine();
    let config = EngineConfig::new().speculation(Speculation::prompt_lookup().adaptive(false));
    let guessing = Engine::new(Model::toy(3).unwrap(), config).unwrap();
    for seed in 0..20 {
        let constraint = Constraint::regex("(ab|cd){3,12}-[0-9]{4}").unwrap();
        let done = run(&plain, constraint.clone(), seed);
        let (letters, digits) = done.text.split_once('-').unwrap();
        assert!(
            letters.len() >= 6 && letters.len() <= 24 && digits.len() == 4,
            "{}",
            done.text
        );
        let pairs: Vec<&[u8]> = letters.as_bytes().chunks(2).collect();
        assert!(
            pairs.iter().all(|p| [&b"ab"[..], b"cd"].contains(p)),
            "{}",
            done.text
        );
        assert_eq!(done.text, run(&guessing, constraint, seed).text);
    }
}

#[test]
fn what_cannot_be_enforced_is_a_clear_error() {
    let engine = engine();
    let reason = |what: &str, constraint: Result<Constraint, InferError>| {
        let error =
            constraint.and_then(|c| engine.generate(Request::new("x").constraint(c)).map(drop));
        let error = error.expect_err(what);
        assert!(matches!(error, InferError::BadConstraint { .. }), "{error}");
        let message = error.to_string();
        assert!(!message.contains('\n') && message.len() < 400, "{message}");
        message
    };
    for schema in [
        "",
        "3",
        "false",
        "{",
        r#"{"type": "strange"}"#,
        r#"{"type": "integer", "minimum": 3, "maximum": 1}"#,
        r##"{"$ref": "#/nowhere"}"##,
        r#"{"type": "array", "uniqueItems": true}"#,
        r#"{"minLength": "x"}"#,
        r#"{"type": "string", "pattern": "("}"#,
    ] {
        let message = reason(schema, Constraint::json_schema(schema));
        assert!(
            message.starts_with("the JSON schema cannot be used: "),
            "{message}"
        );
    }
    for pattern in ["", "(", "a{3,1}", "(?=a)b"] {
        let message = reason(pattern, Constraint::regex(pattern));
        assert!(
            message.starts_with("the regular expression cannot be used: "),
            "{message}"
        );
    }
}
