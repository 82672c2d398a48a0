//! The low-level door: states that grow, shrink, fork, travel.

mod fixture;

use candle_core::quantized::GgmlDType;
use ryot_inference::{InferError, KvElement, KvState, LoadOptions, Logits, Model};

fn model() -> Model {
    Model::toy(5).unwrap()
}

const TOKENS: [u32; 12] = [256, 104, 101, 108, 108, 111, 32, 119, 111, 114, 108, 100];

/// Largest difference of two rows of logits.
fn distance(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

/// f32 sums in another order; the toy's logits have a spread of about 3.
const TOLERANCE: f32 = 2e-5;

fn one_shot(model: &Model) -> Logits {
    model.forward_all(&mut model.new_state(), &TOKENS).unwrap()
}

#[test]
fn any_split_of_a_prompt_gives_the_same_logits() {
    let model = model();
    let whole = one_shot(&model);
    assert_eq!((whole.rows(), whole.vocab()), (12, 260));
    assert!(distance(whole.row(3).unwrap(), whole.row(4).unwrap()) > 0.1);
    for sizes in [
        vec![1; 12],
        vec![5, 7],
        vec![11, 1],
        vec![1, 11],
        vec![3, 3, 3, 3],
    ] {
        let mut state = model.new_state();
        let mut at = 0;
        for size in sizes {
            let logits = model.forward(&mut state, &TOKENS[at..at + size]).unwrap();
            at += size;
            let d = distance(logits.last(), whole.row(at - 1).unwrap());
            assert!(d < TOLERANCE, "{at}: {d}");
        }
        assert_eq!(state.tokens(), TOKENS);
    }
}

#[test]
fn a_state_grows_past_its_first_capacity() {
    let model = model();
    let tokens: Vec<u32> = (0..300u32).map(|i| i * 31 % 256).collect();
    let whole = model.forward(&mut model.new_state(), &tokens).unwrap();
    let mut state = model.new_state();
    assert_eq!(state.kv_bytes(), 0);
    let mut last = None;
    for part in tokens.chunks(50) {
        last = Some(model.forward(&mut state, part).unwrap());
    }
    assert!(distance(last.unwrap().last(), whole.last()) < TOLERANCE);
    assert_eq!(state.kv_bytes(), 512 * 2 * 2 * 2 * 16 * 4);
}

#[test]
fn truncate_and_fork_are_independent() {
    let model = model();
    let whole = one_shot(&model);
    let mut state = model.new_state();
    model.forward(&mut state, &TOKENS).unwrap();
    let mut fork = state.fork().unwrap();
    fork.truncate(6);
    model.forward(&mut fork, &[1, 2, 3]).unwrap();
    assert_eq!((fork.len(), state.len()), (9, 12));
    // the original still continues as if the fork had not been
    state.truncate(11);
    let again = model.forward(&mut state, &TOKENS[11..]).unwrap();
    assert!(distance(again.last(), whole.last()) < TOLERANCE);
    // and the fork can be cut back to the shared part
    fork.truncate(6);
    let again = model.forward(&mut fork, &TOKENS[6..]).unwrap();
    assert!(distance(again.last(), whole.last()) < TOLERANCE);
}

#[test]
fn exported_state_continues_bit_for_bit_in_a_fresh_model() {
    let model = model();
    let mut state = model.new_state();
    model.forward(&mut state, &TOKENS[..8]).unwrap();
    let bytes = state.export().unwrap().to_bytes();
    let expected = model.forward(&mut state, &TOKENS[8..]).unwrap();

    let fresh = Model::toy(5).unwrap();
    let mut restored = fresh
        .restore(&KvState::from_bytes(&bytes).unwrap())
        .unwrap();
    assert_eq!(restored.tokens(), &TOKENS[..8]);
    assert_eq!(
        fresh.forward(&mut restored, &TOKENS[8..]).unwrap(),
        expected
    );
    assert_eq!(restored.export().unwrap(), state.export().unwrap());
}

const CHILD_FILE: &str = "RYOT_TEST_KV_FILE";

/// The other process of [`kv_state_continues_in_another_process`].
#[test]
#[ignore = "started by kv_state_continues_in_another_process"]
fn child_continues_from_a_file() {
    let path = std::path::PathBuf::from(std::env::var(CHILD_FILE).unwrap());
    let model = model();
    let bytes = std::fs::read(&path).unwrap();
    let mut state = model
        .restore(&KvState::from_bytes(&bytes).unwrap())
        .unwrap();
    let logits = model.forward(&mut state, &TOKENS[8..]).unwrap();
    let bytes: Vec<u8> = logits.last().iter().flat_map(|l| l.to_le_bytes()).collect();
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn kv_state_continues_in_another_process() {
    let model = model();
    let mut state = model.new_state();
    model.forward(&mut state, &TOKENS[..8]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("kv");
    std::fs::write(&path, state.export().unwrap().to_bytes()).unwrap();
    let status = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "child_continues_from_a_file"])
        .env(CHILD_FILE, &path)
        .stdout(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    let expected = model.forward(&mut state, &TOKENS[8..]).unwrap();
    let expected: Vec<u8> = expected
        .last()
        .iter()
        .flat_map(|l| l.to_le_bytes())
        .collect();
    assert_eq!(std::fs::read(&path).unwrap(), expected);
}

#[test]
fn pieces_join_only_where_they_belong() {
    let model = model();
    let mut state = model.new_state();
    model.forward(&mut state, &TOKENS).unwrap();
    let (a, b) = (
        state.export_range(0, 5).unwrap(),
        state.export_range(5, 12).unwrap(),
    );
    let mut joined = model.new_state();
    let error = joined.append(&b).unwrap_err();
    assert_eq!(
        error.to_string(),
        "kv state starts at token 5, the state holds 0 tokens"
    );
    joined.append(&a).unwrap();
    joined.append(&b).unwrap();
    assert_eq!(joined.export().unwrap(), state.export().unwrap());

    let other = Model::toy(6).unwrap();
    assert!(matches!(
        other.restore(&a),
        Err(InferError::ModelMismatch {
            what: "kv state",
            ..
        })
    ));
    assert!(matches!(
        other.forward(&mut state, &[1]),
        Err(InferError::ModelMismatch { what: "state", .. })
    ));
    assert!(state.export_range(3, 3).is_err());
    assert!(state.export_range(3, 13).is_err());
    assert!(model.new_state().export().is_err());
}

#[test]
fn refused_calls_leave_the_state_alone() {
    let model = model();
    let mut state = model.new_state();
    model.forward(&mut state, &TOKENS).unwrap();
    assert!(matches!(
        model.forward(&mut state, &[]),
        Err(InferError::NoTokens)
    ));
    let error = model.forward(&mut state, &[260]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "token id 260 is not in the vocabulary of 260 tokens"
    );
    let error = model.forward(&mut state, &[1; 1013]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "context is full: 12 tokens held, 1013 to add, 1024 allowed"
    );
    assert_eq!(state.tokens(), TOKENS);
    assert!(model.forward(&mut state, &[1; 1012]).is_ok());
}

#[test]
fn the_toy_is_seeded_and_says_that_it_is_a_toy() {
    let (a, b, c) = (
        Model::toy(5).unwrap(),
        Model::toy(5).unwrap(),
        Model::toy(6).unwrap(),
    );
    assert_eq!(a.info(), b.info());
    assert_ne!(a.info().fingerprint, c.info().fingerprint);
    assert!(!a.info().trained);
    assert_eq!(a.info().name, "toy (untrained, seed 5)");
    assert_eq!(a.info().parameters, 107_328);
    assert_eq!(one_shot(&a), one_shot(&b));
    assert_ne!(one_shot(&a), one_shot(&c));
}

/// Keys and values as f32 and as bf16 are two models to each other; each travels whole.
#[test]
fn states_of_either_element_travel_and_do_not_mix() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture::gguf(folder.path(), fixture::Family::Llama, GgmlDType::Q8_0);
    let load = |options| Model::load(&path, options).unwrap();
    let plain = load(LoadOptions::new());
    assert_eq!(plain.info().kv_element, KvElement::Bf16);
    let [wide, narrow] = [KvElement::F32, KvElement::Bf16]
        .map(|element| load(LoadOptions::new().kv_element(element)));
    assert_eq!(plain.info(), narrow.info());
    assert_ne!(wide.info().fingerprint, narrow.info().fingerprint);
    let tokens: Vec<u32> = (0..70).map(|i| i * 37 % 250).collect();
    let mut last = Vec::new();
    for model in [&wide, &narrow] {
        let mut whole = model.new_state();
        model.forward(&mut whole, &tokens[..60]).unwrap();
        let expected = model.forward(&mut whole, &tokens[60..]).unwrap();
        // whole blocks and a part of one, which join
        let pieces = [(0, 16), (16, 48), (48, 60)].map(|(from, to)| {
            let bytes = whole.export_range(from, to).unwrap().to_bytes();
            KvState::from_bytes(&bytes).unwrap()
        });
        assert_eq!(pieces[0].values().element(), model.info().kv_element);
        let mut joined = model.new_state();
        joined.append_all(&pieces.each_ref()).unwrap();
        let continued = model.forward(&mut joined, &tokens[60..]).unwrap();
        assert_eq!(continued, expected);
        assert_eq!(joined.export().unwrap(), whole.export().unwrap());
        // a gap: none of them is taken
        let mut gap = model.new_state();
        let error = gap.append_all(&[&pieces[0], &pieces[2]]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "kv state starts at token 48, the state holds 16 tokens"
        );
        assert!(gap.is_empty());
        last.push((expected, whole));
    }
    let foreign = last[0].1.export().unwrap();
    assert!(matches!(
        narrow.restore(&foreign),
        Err(InferError::ModelMismatch { .. })
    ));
    assert_eq!(last[0].1.kv_bytes(), 2 * last[1].1.kv_bytes());
    // keys and values of eight significant bits
    let apart = distance(last[0].0.last(), last[1].0.last());
    let largest = last[0].0.last().iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(apart > 0.0 && apart < 0.1 * largest, "{apart} of {largest}");
}

/// A state that was cut back goes on as one that never held more, whatever it held.
#[test]
fn a_cut_state_forgets() {
    let folder = tempfile::tempdir().unwrap();
    let path = fixture::gguf(folder.path(), fixture::Family::Llama, GgmlDType::Q8_0);
    let model = Model::load(&path, LoadOptions::new()).unwrap();
    let tokens: Vec<u32> = (0..90).map(|i| i * 37 % 250).collect();
    let mut fresh = model.new_state();
    model.forward(&mut fresh, &tokens[..37]).unwrap();
    let expected = model.forward(&mut fresh, &tokens[37..50]).unwrap();
    let mut cut = model.new_state();
    model.forward(&mut cut, &tokens).unwrap();
    cut.truncate(37);
    assert_eq!(model.forward(&mut cut, &tokens[37..50]).unwrap(), expected);
}
