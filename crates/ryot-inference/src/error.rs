//! The one error type of the crate.

use std::path::PathBuf;

/// A boxed source error of a library below this one.
pub type BoxError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What can go wrong while loading a model or generating with it.
///
/// A message names the operation, the value that was seen and the value that is allowed. Errors of
/// libraries below are kept as `source()` and never show up in a signature.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// A state of the native backend was given to a model of the candle backend, or the reverse.
    #[error("the state belongs to another backend of the model; make it with `new_state`")]
    ForeignState,
    /// The threads of a model could not be started.
    #[error("cannot start {threads} threads for a model")]
    Threads {
        /// How many were to be started.
        threads: usize,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// A file could not be opened or read.
    #[error("cannot {operation} {}", path.display())]
    Io {
        /// What was tried, for example `read`.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The first bytes are not those of the format.
    #[error("{format}: magic bytes {found:02x?} are not {expected:02x?}")]
    BadMagic {
        /// The format that was expected.
        format: &'static str,
        /// The four bytes found.
        found: [u8; 4],
        /// The four bytes a file of this format starts with.
        expected: [u8; 4],
    },
    /// The version of the format is not one this crate reads.
    #[error("{format}: version {found} is not supported, allowed: {allowed}")]
    UnsupportedVersion {
        /// The format.
        format: &'static str,
        /// Version in the file.
        found: u32,
        /// Versions that are read.
        allowed: &'static str,
    },
    /// The bytes end before the value does.
    #[error(
        "{format}: {what} at byte {offset} needs {needed} bytes, only {available} bytes are left"
    )]
    Truncated {
        /// The format.
        format: &'static str,
        /// What was being read.
        what: &'static str,
        /// Byte offset of the value.
        offset: u64,
        /// Bytes the value needs.
        needed: u64,
        /// Bytes left.
        available: u64,
    },
    /// A count, length or size is over its cap.
    #[error("{format}: {what} is {value}, allowed: at most {limit}")]
    OverLimit {
        /// The format.
        format: &'static str,
        /// What was counted.
        what: &'static str,
        /// The value found.
        value: u64,
        /// The largest value allowed.
        limit: u64,
    },
    /// A field holds a value that is not allowed.
    #[error("{format}: {field} is {value}, allowed: {allowed}")]
    BadField {
        /// The format.
        format: &'static str,
        /// Name of the field.
        field: String,
        /// The value found, shortened.
        value: String,
        /// What is allowed.
        allowed: String,
    },
    /// A field that the loader needs is not there.
    #[error("{format}: {field} is missing")]
    MissingField {
        /// The format.
        format: &'static str,
        /// Name of the field.
        field: String,
    },
    /// The same name appears twice.
    #[error("{format}: {what} `{name}` appears twice")]
    Duplicate {
        /// The format.
        format: &'static str,
        /// What carries the name.
        what: &'static str,
        /// The name.
        name: String,
    },
    /// A numeric type tag is unknown.
    #[error("{format}: {what} has unknown type id {id}")]
    UnknownType {
        /// The format.
        format: &'static str,
        /// What carries the type.
        what: String,
        /// The tag found.
        id: u32,
    },
    /// The tensor's number format is known but not computed with here.
    #[error("tensor `{tensor}` has type {found}, supported: {supported}")]
    UnsupportedTensorType {
        /// Name of the tensor.
        tensor: String,
        /// Its type.
        found: String,
        /// The types that are supported.
        supported: &'static str,
    },
    /// A tensor of the architecture is not in the file.
    #[error("tensor `{tensor}` is missing")]
    MissingTensor {
        /// Name of the tensor.
        tensor: String,
    },
    /// A tensor that the architecture has no place for is in the file.
    #[error("tensor `{tensor}` does not belong to architecture {architecture}")]
    UnexpectedTensor {
        /// Name of the tensor.
        tensor: String,
        /// The architecture.
        architecture: String,
    },
    /// A tensor has another shape than the configuration says.
    #[error("tensor `{tensor}` has shape {found:?}, expected {expected:?} (rows first)")]
    TensorShape {
        /// Name of the tensor.
        tensor: String,
        /// Shape in the file, rows first.
        found: Vec<u64>,
        /// Shape the configuration asks for.
        expected: Vec<u64>,
    },
    /// A tensor's data does not lie inside its file.
    #[error("tensor `{tensor}` spans bytes {start}..{end}, the file has {file_bytes} bytes")]
    TensorRange {
        /// Name of the tensor.
        tensor: String,
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
        /// Size of the file.
        file_bytes: u64,
    },
    /// Two tensors share bytes.
    #[error("tensors `{first}` and `{second}` overlap in the file")]
    TensorOverlap {
        /// The tensor that starts first.
        first: String,
        /// The tensor that starts inside it.
        second: String,
    },
    /// A JSON file does not parse.
    #[error("cannot parse {}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: BoxError,
    },
    /// The architecture is not one this crate runs.
    #[error("architecture `{found}` is not supported, supported: {supported}")]
    UnsupportedArchitecture {
        /// Name in the file.
        found: String,
        /// The names that are supported.
        supported: &'static str,
    },
    /// The model uses a feature that is not implemented.
    #[error("{feature} is {value}, supported: {supported}")]
    Unsupported {
        /// The feature.
        feature: &'static str,
        /// The value found.
        value: String,
        /// What is supported.
        supported: &'static str,
    },
    /// There is no tokenizer beside or inside the weights.
    #[error("no tokenizer: {looked_for} not found")]
    MissingTokenizer {
        /// Where it was looked for.
        looked_for: String,
    },
    /// The tokenizer could not be built or could not encode.
    #[error("tokenizer: cannot {operation}")]
    Tokenizer {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
    /// The model carries no chat template.
    #[error("the model has no chat template")]
    MissingChatTemplate,
    /// The chat template does not parse or fails when rendered.
    #[error("chat template: cannot {operation}")]
    ChatTemplate {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
    /// A parameter of a request or configuration is out of range.
    #[error("{name} is {value}, allowed: {allowed}")]
    Parameter {
        /// Name of the parameter.
        name: &'static str,
        /// The value given.
        value: String,
        /// The legal range.
        allowed: String,
    },
    /// A token id is not in the vocabulary.
    #[error("token id {token} is not in the vocabulary of {vocab} tokens")]
    TokenOutOfRange {
        /// The id.
        token: u32,
        /// Number of tokens in the vocabulary.
        vocab: usize,
    },
    /// The prompt has no tokens and the model adds none.
    #[error("the prompt is empty and the model adds no begin-of-sequence token")]
    EmptyPrompt,
    /// `forward` was called without tokens.
    #[error("forward: 0 tokens given, allowed: at least 1")]
    NoTokens,
    /// The prompt leaves no room to generate.
    #[error(
        "the prompt has {prompt_tokens} tokens, allowed: at most {limit} (context of {context_tokens} tokens less one to generate)"
    )]
    PromptTooLong {
        /// Tokens in the prompt.
        prompt_tokens: usize,
        /// Most tokens a prompt may have.
        limit: usize,
        /// Tokens in the context.
        context_tokens: usize,
    },
    /// A text to embed is too long.
    #[error("the text has {tokens} tokens, allowed: at most {limit}")]
    TextTooLong {
        /// Tokens in the text.
        tokens: usize,
        /// Most tokens a text may have.
        limit: usize,
    },
    /// A text's vector came out wrong: the weights are broken.
    #[error("number {dimension} of the text's vector is not finite")]
    NonFiniteEmbedding {
        /// Its place in the vector.
        dimension: usize,
    },
    /// The context has no room for the tokens.
    #[error("context is full: {held} tokens held, {added} to add, {context_tokens} allowed")]
    ContextFull {
        /// Tokens in the state.
        held: usize,
        /// Tokens to add.
        added: usize,
        /// Tokens the context can hold.
        context_tokens: usize,
    },
    /// The state or KV bytes belong to another model.
    #[error("{what} belongs to model {found:032x}, this model is {expected:032x}")]
    ModelMismatch {
        /// What was given.
        what: &'static str,
        /// Fingerprint it carries.
        found: u128,
        /// Fingerprint of this model.
        expected: u128,
    },
    /// A KV piece does not continue the state.
    #[error("kv state starts at token {found}, the state holds {expected} tokens")]
    KvPosition {
        /// First token of the piece.
        found: usize,
        /// Tokens in the state.
        expected: usize,
    },
    /// Stored and computed checksums differ.
    #[error("{format}: checksum {stored:#018x} does not match computed {computed:#018x}")]
    Checksum {
        /// The format.
        format: &'static str,
        /// Checksum in the bytes.
        stored: u64,
        /// Checksum of the bytes.
        computed: u64,
    },
    /// The model produced a logit that is not a number or infinite.
    #[error("logit of token {token} is {value} at position {position}")]
    NonFiniteLogit {
        /// The vocabulary entry.
        token: u32,
        /// The value.
        value: f32,
        /// Tokens in the context when it appeared.
        position: usize,
    },
    /// No token is left to choose from.
    #[error("every token is masked out at position {position}")]
    NoCandidates {
        /// Tokens in the context.
        position: usize,
    },
    /// The server has as many waiting requests as it may have.
    #[error("the queue is full: {depth} requests wait, allowed: at most {limit}")]
    QueueFull {
        /// Requests waiting.
        depth: usize,
        /// Most that may wait.
        limit: usize,
    },
    /// The keys and values of one request would not fit the server's memory, even alone.
    #[error(
        "keys and values of the request need {needed_bytes} bytes for {tokens} tokens, allowed: at most {limit_bytes} bytes"
    )]
    KvBudget {
        /// Prompt and most generated tokens.
        tokens: usize,
        /// Bytes for them.
        needed_bytes: usize,
        /// The server's `kv_bytes_max`.
        limit_bytes: usize,
    },
    /// The server was shut down before the request ended.
    #[error("the server is shut down")]
    ServerClosed,
    /// A step of the server panicked; all requests in it end with this error.
    #[error("a step of the server panicked: {message}")]
    StepPanicked {
        /// The panic's message.
        message: String,
    },
    /// The generation has given an error before.
    #[error("the generation has already failed")]
    AlreadyFailed,
    /// A schema or expression cannot be enforced.
    #[error("the {kind} cannot be used: {reason}")]
    BadConstraint {
        /// `JSON schema` or `regular expression`.
        kind: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The constraint of a generation could not be followed further, for example because it takes
    /// too much work.
    #[error("the constraint cannot be followed: {reason}")]
    ConstraintFailed {
        /// Why.
        reason: String,
    },
    /// A draft model has another vocabulary than the model that checks its guesses.
    #[error("the draft model does not fit: {detail}")]
    DraftMismatch {
        /// What differs.
        detail: String,
    },
    /// A scorer of a cascade failed.
    #[error("the {stage} stage of the cascade failed")]
    Cascade {
        /// `base`, `group`, `features` or `meta`.
        stage: &'static str,
        /// Why.
        #[source]
        source: BoxError,
    },
    /// A scorer of a cascade gave too few or too many scores.
    #[error("the {stage} scorer gave {found} scores for {expected} items")]
    ScoreCount {
        /// `base` or `meta`.
        stage: &'static str,
        /// Scores given.
        found: usize,
        /// Items to score.
        expected: usize,
    },
    /// A scorer of a cascade gave a score that is not a number.
    #[error("the {stage} scorer gave no number for item {item}")]
    ScoreNotANumber {
        /// `base` or `meta`.
        stage: &'static str,
        /// Index of the item.
        item: usize,
    },
    /// A probability that a scorer needs is missing.
    #[error("feature {feature} of item {item} is missing, and a probability has no default")]
    MissingFeature {
        /// Name of the feature.
        feature: String,
        /// Index of the item.
        item: usize,
    },
    /// A feature holds a value that its kind does not allow.
    #[error("feature {feature} of item {item} is {value}, allowed: {allowed}")]
    FeatureValue {
        /// Name of the feature.
        feature: String,
        /// Index of the item.
        item: usize,
        /// The value.
        value: f32,
        /// What is allowed.
        allowed: &'static str,
    },
    /// The tensor library failed.
    #[error("{operation} failed in the tensor library")]
    Backend {
        /// What was computed.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
}

/// `Result` with [`InferError`].
pub type Result<T, E = InferError> = std::result::Result<T, E>;

impl InferError {
    /// Wraps an error of the tensor library.
    pub(crate) fn backend(operation: &'static str) -> impl FnOnce(candle_core::Error) -> Self {
        move |source| Self::Backend {
            operation,
            source: Box::new(source),
        }
    }

    /// Wraps an I/O error with its file.
    pub(crate) fn io(
        operation: &'static str,
        path: &std::path::Path,
    ) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        move |source| Self::Io {
            operation,
            path,
            source,
        }
    }

    /// A parameter out of range.
    pub(crate) fn parameter(
        name: &'static str,
        value: impl ToString,
        allowed: impl Into<String>,
    ) -> Self {
        Self::Parameter {
            name,
            value: value.to_string(),
            allowed: allowed.into(),
        }
    }
}
