//! Tokenizers out of GGUF and out of `tokenizer.json`, through loaded models.

mod fixture;

use std::path::Path;

use candle_core::DType;
use candle_core::quantized::GgmlDType;
use candle_core::quantized::gguf_file::Value;
use fixture::{Family, VOCAB};
use ryot_inference::{EncodeOptions, LoadOptions, Message, Model, StreamDecoder};

fn load(path: &Path) -> Model {
    Model::load(path, LoadOptions::new()).unwrap()
}

/// The same vocabulary out of both kinds of files.
fn both() -> [Model; 2] {
    let folder = tempfile::tempdir().unwrap();
    let gguf = load(&fixture::gguf(
        folder.path(),
        Family::Llama,
        GgmlDType::Q8_0,
    ));
    [
        gguf,
        load(&fixture::folder(folder.path(), Family::Llama, DType::F32)),
    ]
}

const TEXTS: [&str; 8] = [
    "the hello in there",
    "",
    " ",
    "\u{e9}\u{20ac}\u{1f980} \u{4e2d}\u{6587}",
    "don't  stop\n\n  1234567 a.b,c",
    "<|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>",
    "a <|eot_id|> b",
    "tabs\tand\r\nlines  ",
];

#[test]
fn gguf_and_json_agree_and_round_trip() {
    let [gguf, json] = both();
    let plain = EncodeOptions::new().add_bos(false).parse_special(false);
    for text in TEXTS {
        let tokens = gguf.tokenizer().encode(text).unwrap();
        assert_eq!(tokens, json.tokenizer().encode(text).unwrap(), "{text:?}");
        assert_eq!(tokens[0] as usize, VOCAB - 5);
        let literal = gguf.tokenizer().encode_with(text, plain).unwrap();
        assert_eq!(
            literal,
            json.tokenizer().encode_with(text, plain).unwrap(),
            "{text:?}"
        );
        // without special tokens nothing is lost
        for model in [&gguf, &json] {
            assert_eq!(model.tokenizer().decode(&literal), text);
            let mut stream = StreamDecoder::new();
            let push = |t: &u32| stream.push(model.tokenizer(), *t);
            assert_eq!(literal.iter().map(push).collect::<String>(), text);
        }
    }
    for model in [&gguf, &json] {
        let t = model.tokenizer();
        assert_eq!(t.vocab(), VOCAB);
        assert_eq!(t.bos(), Some(u32::try_from(VOCAB - 5).unwrap()));
        let mut end = t.end_tokens().to_vec();
        end.sort_unstable();
        let expected = [VOCAB - 4, VOCAB - 1].map(|n| u32::try_from(n).unwrap());
        assert_eq!(end, expected, "end-of-text and end-of-turn");
        assert!(t.adds_bos());
    }
}

#[test]
fn merges_and_specials_are_used() {
    let [gguf, _] = both();
    let t = gguf.tokenizer();
    let bytes = |token: &u32| t.token_bytes(*token).unwrap().to_vec();
    let pieces = |text: &str| -> Vec<Vec<u8>> {
        t.encode(text).unwrap().iter().skip(1).map(bytes).collect()
    };
    assert_eq!(
        pieces("the in"),
        [b"the".to_vec(), b" i".to_vec(), b"n".to_vec()]
    );
    assert_eq!(
        pieces("a<|eot_id|>"),
        [b"a".to_vec(), b"<|eot_id|>".to_vec()]
    );
    let tokens = t.encode("a<|eot_id|>").unwrap();
    assert!(t.is_special(tokens[2]) && !t.is_special(tokens[1]));
    assert_eq!(t.decode(&tokens), "a");
}

#[test]
fn chat_prompts_are_rendered_and_begin_once() {
    for model in both() {
        let messages = [Message::system("s"), Message::user("u")];
        let prompt = model.chat_prompt(&messages).unwrap();
        assert_eq!(
            prompt,
            "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|>\
             <|start_header_id|>user<|end_header_id|>\n\nu<|eot_id|>\
             <|start_header_id|>assistant<|end_header_id|>\n\n"
        );
        let tokens = model.tokenizer().encode(&prompt).unwrap();
        let bos = model.tokenizer().bos().unwrap();
        assert_eq!(tokens.iter().filter(|t| **t == bos).count(), 1);
    }
}

#[test]
fn options_replace_template_tokenizer_and_context() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture::gguf(folder.path(), Family::Qwen2, GgmlDType::Q8_0);
    let json = fixture::folder(folder.path(), Family::Llama, DType::F32).join("tokenizer.json");
    let options = LoadOptions::new()
        .chat_template("{{ messages[0].content | upper }}")
        .tokenizer_path(json)
        .context_tokens_max(100);
    let model = Model::load(&path, options).unwrap();
    assert_eq!(model.chat_prompt(&[Message::user("loud")]).unwrap(), "LOUD");
    assert_eq!(model.info().context_tokens, 100);
    assert_eq!(model.info().fingerprint, load(&path).info().fingerprint);
    // qwen2 adds no begin token by itself, the tokenizer.json does
    assert!(model.tokenizer().adds_bos());
    assert!(!load(&path).tokenizer().adds_bos());
}

/// A SentencePiece vocabulary as llama.cpp's converter writes it.
fn sentencepiece() -> fixture::Metadata {
    let mut tokens: Vec<(String, i32, f32)> = vec![
        ("<unk>".into(), 2, 0.0),
        ("<s>".into(), 3, 0.0),
        ("</s>".into(), 3, 0.0),
    ];
    tokens.extend((0..256).map(|b| (format!("<0x{b:02X}>"), 6, 0.0)));
    let pieces = [
        "\u{2581}t",
        "he",
        "\u{2581}the",
        "ll",
        "\u{2581}he",
        "llo",
        "\u{2581}hello",
        "\u{2581}\u{2581}",
    ];
    tokens.extend(
        pieces
            .iter()
            .enumerate()
            .map(|(i, p)| ((*p).into(), 1, -(i as f32))),
    );
    tokens.extend("\u{2581}thelo".chars().map(|c| (c.to_string(), 1, -100.0)));
    let mut metadata = fixture::metadata(Family::Llama);
    let mut put = |key: &str, value| metadata.insert(format!("tokenizer.ggml.{key}"), value);
    put("model", Value::String("llama".into()));
    let list =
        |f: &dyn Fn(&(String, i32, f32)) -> Value| Value::Array(tokens.iter().map(f).collect());
    put("tokens", list(&|t| Value::String(t.0.clone())));
    put("token_type", list(&|t| Value::I32(t.1)));
    put("scores", list(&|t| Value::F32(t.2)));
    put("bos_token_id", Value::U32(1));
    put("eos_token_id", Value::U32(2));
    metadata.remove("tokenizer.ggml.merges");
    metadata.remove("tokenizer.ggml.pre");
    metadata
}

#[test]
fn sentencepiece_models_load_and_round_trip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("spm.gguf");
    let weights = fixture::weights(1, Family::Llama);
    fixture::write_gguf(&path, &sentencepiece(), &weights, GgmlDType::Q8_0);
    let model = load(&path);
    let t = model.tokenizer();
    let pieces = |text: &str| -> Vec<String> {
        let tokens = t.encode(text).unwrap();
        assert_eq!(tokens[0], 1);
        let name = |id: &u32| String::from_utf8_lossy(t.token_bytes(*id).unwrap()).into_owned();
        tokens[1..].iter().map(name).collect()
    };
    assert_eq!(pieces("the hello"), [" the", " hello"]);
    assert_eq!(pieces("the</s>the"), [" the", "</s>", " the"]);
    assert_eq!(pieces("\u{e9}"), [" ", "\u{fffd}", "\u{fffd}"]);
    for text in ["the hello", "  two  spaces", "\u{1f980}!", "x"] {
        let tokens = t.encode(text).unwrap();
        assert_eq!(t.decode(&tokens), text);
    }
    // a stream continues a text, so it keeps the first space
    let mut stream = StreamDecoder::new();
    let tokens = t.encode("hello").unwrap();
    assert_eq!(
        tokens
            .iter()
            .map(|id| stream.push(t, *id))
            .collect::<String>(),
        " hello"
    );
}
