//! Inputs of the suites: a folder of real files where the user names one, generated data otherwise.
//!
//! `NEURECTOMY_CORPORA=FOLDER` makes every file directly in the folder one input whose class is
//! the file name up to its first underscore. Without it the inputs come from seeded generators, so
//! that a fresh clone measures something repeatable; figures on generated data are not figures on
//! real data, and each row says which it was through the class (`gen-log` against `log`).

mod folder;
mod generated;
mod seeded;

pub use folder::folder;
pub use generated::generated;
pub use seeded::SplitMix64;

/// One input.
#[derive(Debug, Clone)]
pub struct Input {
    /// File name or generator name.
    pub name: String,
    /// Class: what kind of data this is.
    pub class: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

/// The corpora named by the environment, or generated ones of about `bytes` bytes per class.
///
/// # Errors
/// The folder named by `NEURECTOMY_CORPORA` cannot be read or holds no file.
pub fn load(bytes: usize) -> std::io::Result<Vec<Input>> {
    // The one place where the suites read their environment.
    match std::env::var_os("NEURECTOMY_CORPORA") {
        Some(path) => folder(path.as_ref()),
        None => Ok(generated(bytes)),
    }
}
