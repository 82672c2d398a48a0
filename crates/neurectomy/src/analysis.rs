//! What the analysis team learns about a document: words, their frequencies, a signature.

use crate::documents::Document;
use crate::error::NeurectomyError;
use serde::{Deserialize, Serialize};
use sketches::{HyperLogLog, MinHash, Signature, SketchError, SpaceSaving};

/// Words in one shingle of the similarity signature.
const SHINGLE_WORDS: usize = 3;
/// Counters for the most frequent words of one document.
const TOP_CAPACITY: usize = 256;
/// Words reported per document.
const TOP_WORDS: usize = 8;
/// Precision of the distinct counter: 2^12 registers, 1.6 % standard error.
const DISTINCT_PRECISION: u8 = 12;
/// Permutations of the signature: standard error of a similarity at most 4.4 %.
pub(crate) const PERMUTATIONS: usize = 128;
/// Seed of every sketch made here, so that all of them can be merged and compared.
pub(crate) const SEED: u64 = sketches::hash::DEFAULT_SEED;

/// A frequent word of a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopWord {
    /// The word, lower case.
    pub word: String,
    /// Its estimated count, never below the true one.
    pub count: u64,
    /// By how much `count` may exceed the true count.
    pub error: u64,
}

/// Sketches of one document.
#[derive(Debug, Clone)]
pub struct Analysis {
    /// Words in the document.
    pub words: u64,
    /// The distinct words, mergeable across documents.
    pub distinct: HyperLogLog,
    /// Most frequent words, most frequent first.
    pub top: Vec<TopWord>,
    /// MinHash signature of the document's three-word shingles.
    pub signature: Signature,
}

impl Analysis {
    /// Splits `document` into words (runs of letters, digits and `_`, lower case) and sketches them.
    ///
    /// Cost: one pass; memory independent of the document's length beyond its text.
    ///
    /// # Errors
    /// [`NeurectomyError::Sketch`] where a sketch refuses its parameters.
    pub fn of(document: &Document) -> Result<Self, NeurectomyError> {
        Self::of_text(&document.text()).map_err(|source| NeurectomyError::Sketch {
            what: document.path.display().to_string(),
            source: source.into(),
        })
    }

    /// Memory of the sketches in bytes.
    pub(crate) fn sketch_bytes(&self) -> usize {
        self.distinct.memory_bytes() + size_of_val(self.signature.minima())
    }

    fn of_text(text: &str) -> Result<Self, SketchError> {
        let mut distinct = HyperLogLog::with_seed(DISTINCT_PRECISION, SEED)?;
        let mut top = SpaceSaving::<String>::new(TOP_CAPACITY)?;
        let mut minhash = MinHash::new(PERMUTATIONS, SEED)?;
        let mut shingle: Vec<String> = Vec::with_capacity(SHINGLE_WORDS);
        let mut words = 0_u64;
        for word in words_of(text) {
            words += 1;
            distinct.insert(word.as_str());
            if shingle.len() == SHINGLE_WORDS {
                shingle.rotate_left(1);
                shingle[SHINGLE_WORDS - 1].clone_from(&word);
            } else {
                shingle.push(word.clone());
            }
            if shingle.len() == SHINGLE_WORDS {
                minhash.insert(&shingle);
            }
            top.insert(word);
        }
        if words < SHINGLE_WORDS as u64 {
            // Too short for a shingle: the words themselves are the document.
            minhash.insert(&shingle);
        }
        let top = top
            .top(TOP_WORDS)
            .into_iter()
            .map(|heavy| TopWord {
                word: heavy.item,
                count: heavy.count,
                error: heavy.error,
            })
            .collect();
        Ok(Self {
            words,
            distinct,
            top,
            signature: minhash.signature(),
        })
    }
}

fn words_of(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_and_ranked() {
        let analysis = Analysis::of_text("To be, or not to be: that is. to!").unwrap();
        assert_eq!(analysis.words, 9);
        assert!((analysis.distinct.estimate() - 6.0).abs() < 0.5);
        assert_eq!(
            (analysis.top[0].word.as_str(), analysis.top[0].count),
            ("to", 3)
        );
        assert_eq!(analysis.top[0].error, 0);
    }

    #[test]
    fn a_small_edit_keeps_the_signature_close_and_another_text_does_not() {
        let text: String = (0..400)
            .map(|i| format!("word{} ", i * 7919 % 1009))
            .collect();
        let edited = text.replacen("word0 ", "changed ", 1);
        let other: String = (0..400).map(|i| format!("term{i} ")).collect();
        let signature = |text: &str| Analysis::of_text(text).unwrap().signature;
        let close = signature(&text).jaccard(&signature(&edited)).unwrap();
        let far = signature(&text).jaccard(&signature(&other)).unwrap();
        assert!(close > 0.9 && far < 0.1, "{close} {far}");
    }

    #[test]
    fn empty_and_one_word_documents_are_analysed() {
        assert_eq!(Analysis::of_text("").unwrap().words, 0);
        let one = Analysis::of_text("alpha").unwrap();
        let two = Analysis::of_text("beta").unwrap();
        assert!(one.signature.jaccard(&two.signature).unwrap() < 0.5);
    }
}
