//! The synthesis team's work: one picture of all documents.

use super::continuing::Continuation;
use super::desk::Desk;
use super::storing::StoredDocument;
use super::team::Team;
use crate::analysis::{Analysis, PERMUTATIONS, SEED, TopWord};
use crate::error::NeurectomyError;
use sigma_vault::Durability;
use sketches::{HyperLogLog, LshIndex, SketchError, SpaceSaving};
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

/// Words in the report.
const TOP_WORDS: usize = 12;
/// Counters for them.
const TOP_CAPACITY: usize = 4096;
/// Rows of the report's lists.
const LIST_ROWS: usize = 10;
/// Characters of a continuation in the report.
const PREVIEW_CHARS: usize = 60;

/// One document on its way into the synthesis.
#[derive(Debug, Clone)]
pub(crate) struct Digest {
    pub(crate) path: PathBuf,
    pub(crate) stored: StoredDocument,
    pub(crate) analysis: Arc<Analysis>,
    pub(crate) continuation: Option<Continuation>,
}

/// Two documents with much the same text.
#[derive(Debug, Clone, PartialEq)]
pub struct NearDuplicates {
    /// First document.
    pub first: PathBuf,
    /// Second document.
    pub second: PathBuf,
    /// Estimated Jaccard similarity of their three-word shingles, 0 to 1.
    pub similarity: f64,
}

/// What all documents have in common.
#[derive(Debug, Clone)]
pub struct Synthesis {
    /// Documents.
    pub documents: usize,
    /// Bytes of their text.
    pub bytes: u64,
    /// Bytes of their containers.
    pub packed_bytes: u64,
    /// Words in all of them.
    pub words: u64,
    /// Different words in all of them, estimated within 1.6 % (one standard error).
    pub distinct_words: f64,
    /// The most frequent words, from each document's own most frequent ones: a word that is in no
    /// document's first eight does not appear.
    pub top: Vec<TopWord>,
    /// Pairs above the similarity limit, most similar first.
    pub near_duplicates: Vec<NearDuplicates>,
    /// The report, Markdown.
    pub markdown: String,
}

impl Desk {
    pub(crate) fn synthesise(&self, digests: &[Digest]) -> Result<Synthesis, NeurectomyError> {
        let mut synthesis = merge(digests, self.config.similarity_min).map_err(|source| {
            NeurectomyError::Sketch {
                what: "all documents".to_owned(),
                source: source.into(),
            }
        })?;
        synthesis.markdown = markdown(&synthesis, digests);
        let sketch_bytes = digests
            .iter()
            .map(|digest| digest.analysis.sketch_bytes())
            .sum();
        self.traffic
            .add(Team::Synthesis, sketch_bytes, synthesis.markdown.len());
        Ok(synthesis)
    }

    /// Keeps the report; a failure here loses nothing but the report's stored copy.
    pub(crate) fn store_report(&self, synthesis: &Synthesis) -> Result<(), NeurectomyError> {
        let report = synthesis.markdown.as_bytes();
        self.vault
            .put(b"report/latest", report, Durability::Grouped)
            .map_err(self.vault_error("store the report"))
    }
}

fn merge(digests: &[Digest], similarity_min: f64) -> Result<Synthesis, SketchError> {
    let mut distinct: Option<HyperLogLog> = None;
    let mut top = SpaceSaving::<String>::new(TOP_CAPACITY)?;
    let mut index = LshIndex::<usize>::with_seed(similarity_min, PERMUTATIONS, SEED)?;
    for (place, digest) in digests.iter().enumerate() {
        match &mut distinct {
            Some(all) => all.merge(&digest.analysis.distinct)?,
            None => distinct = Some(digest.analysis.distinct.clone()),
        }
        for word in &digest.analysis.top {
            top.add(word.word.clone(), word.count);
        }
        // Documents without words are all alike and say nothing.
        if digest.analysis.words > 0 {
            index.insert(place, digest.analysis.signature.clone())?;
        }
    }
    let mut near_duplicates: Vec<NearDuplicates> = index
        .similar_pairs()
        .into_iter()
        .map(|(first, second, similarity)| NearDuplicates {
            first: digests[first].path.clone(),
            second: digests[second].path.clone(),
            similarity,
        })
        .collect();
    near_duplicates.sort_by(|a, b| {
        b.similarity
            .total_cmp(&a.similarity)
            .then_with(|| a.first.cmp(&b.first))
    });
    let top = top
        .top(TOP_WORDS)
        .into_iter()
        .map(|heavy| TopWord {
            word: heavy.item,
            count: heavy.count,
            error: heavy.error,
        })
        .collect();
    let sum = |of: fn(&StoredDocument) -> u64| digests.iter().map(|d| of(&d.stored)).sum();
    Ok(Synthesis {
        documents: digests.len(),
        bytes: sum(|stored| stored.bytes),
        packed_bytes: sum(|stored| stored.packed_bytes),
        words: sum(|stored| stored.words),
        distinct_words: distinct.map_or(0.0, |all| all.estimate()),
        top,
        near_duplicates,
        markdown: String::new(),
    })
}

fn markdown(synthesis: &Synthesis, digests: &[Digest]) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "# {} documents\n", synthesis.documents);
    let _ = writeln!(
        text,
        "{} bytes packed to {}; {} words, about {:.0} different ones.\n",
        synthesis.bytes, synthesis.packed_bytes, synthesis.words, synthesis.distinct_words,
    );
    let words: Vec<String> = synthesis
        .top
        .iter()
        .map(|top| format!("{} ({})", top.word, top.count))
        .collect();
    let _ = writeln!(text, "Most frequent words: {}.\n", words.join(", "));
    let pairs = &synthesis.near_duplicates;
    let _ = writeln!(text, "## {} pairs of near-duplicates\n", pairs.len());
    for pair in pairs.iter().take(LIST_ROWS) {
        let (first, second) = (pair.first.display(), pair.second.display());
        let _ = writeln!(
            text,
            "- {:.0} %: {first} and {second}",
            100.0 * pair.similarity
        );
    }
    rest(&mut text, pairs.len());
    let continued: Vec<&Digest> = digests
        .iter()
        .filter(|d| d.continuation.is_some())
        .collect();
    let _ = writeln!(
        text,
        "\n## {} continuations by the model\n",
        continued.len()
    );
    for digest in continued.iter().take(LIST_ROWS) {
        let written = digest.continuation.as_ref().map_or("", |c| c.text.as_str());
        let preview: String = written
            .chars()
            .take(PREVIEW_CHARS)
            .flat_map(char::escape_debug)
            .collect();
        let _ = writeln!(text, "- {}: `{preview}`", digest.path.display());
    }
    rest(&mut text, continued.len());
    text
}

fn rest(text: &mut String, rows: usize) {
    if rows > LIST_ROWS {
        let _ = writeln!(text, "- and {} more", rows - LIST_ROWS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::{ContentId, Document};

    fn digest(path: &str, text: &str) -> Digest {
        let bytes = text.as_bytes().to_vec();
        let document = Document {
            path: path.into(),
            id: ContentId::of(&bytes),
            bytes,
        };
        let analysis = Analysis::of(&document).unwrap();
        let stored = StoredDocument {
            path: path.to_owned(),
            bytes: text.len() as u64,
            packed_bytes: 10,
            words: analysis.words,
            top: analysis.top.clone(),
        };
        Digest {
            path: path.into(),
            stored,
            analysis: Arc::new(analysis),
            continuation: None,
        }
    }

    #[test]
    fn copies_are_found_and_empty_documents_are_not_copies() {
        let long: String = (0..200).map(|i| format!("word{} ", i * i % 97)).collect();
        let other: String = (0..200).map(|i| format!("else{i} ")).collect();
        let digests = [
            digest("a", &long),
            digest("b", &other),
            digest("c", &long),
            digest("d", ""),
            digest("e", ""),
        ];
        let synthesis = merge(&digests, 0.8).unwrap();
        assert_eq!(synthesis.words, 600);
        let [pair] = synthesis.near_duplicates.as_slice() else {
            panic!("{:?}", synthesis.near_duplicates)
        };
        let mut paths = [pair.first.to_str().unwrap(), pair.second.to_str().unwrap()];
        paths.sort_unstable();
        assert_eq!((paths, pair.similarity), (["a", "c"], 1.0));
    }

    #[test]
    fn no_documents_make_an_empty_report() {
        let synthesis = merge(&[], 0.8).unwrap();
        assert!(markdown(&synthesis, &[]).starts_with("# 0 documents"));
    }
}
