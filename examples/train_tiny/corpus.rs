//! Training and held-out windows of tokens: the grammar's documents and the workspace's own.

use std::fs;
use std::path::Path;

use super::Result;
use super::grammar::Grammar;
use super::rng::Rng;
use super::vocabulary::Vocabulary;

/// One document in this many is a piece of the workspace's Markdown.
const MARKDOWN_ONE_IN: usize = 14;
/// One Markdown piece in this many is held out.
const HELD_OUT_ONE_IN: usize = 10;
/// Bytes that a Markdown piece has at least, but for the last of a file.
const PIECE_BYTES: usize = 900;

/// Which documents a window is made of.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Split {
    Train,
    /// Documents of the grammar with seeds that training never uses.
    HeldOut,
    /// Pieces of Markdown that training never uses.
    HeldOutMarkdown,
}

/// The source of all text.
pub(crate) struct Corpus {
    grammar: Grammar,
    markdown: Vec<String>,
    markdown_held_out: Vec<String>,
    pub(crate) markdown_bytes: usize,
    seed: u64,
}

impl Corpus {
    /// Reads the grammar, and every Markdown file under `root`.
    pub(crate) fn open(root: &Path, seed: u64) -> Result<Self> {
        let mut files = Vec::new();
        markdown_files(root, &mut files)?;
        files.sort();
        let (mut markdown, mut markdown_held_out) = (Vec::new(), Vec::new());
        let mut markdown_bytes = 0;
        let mut count = 0;
        for file in &files {
            let text = fs::read_to_string(file)?;
            markdown_bytes += text.len();
            for piece in pieces(&text) {
                count += 1;
                match count % HELD_OUT_ONE_IN {
                    0 => markdown_held_out.push(piece),
                    _ => markdown.push(piece),
                }
            }
        }
        if markdown_held_out.is_empty() {
            return Err(format!("no Markdown to learn from under {}", root.display()).into());
        }
        Ok(Self {
            grammar: Grammar::load()?,
            markdown,
            markdown_held_out,
            markdown_bytes,
            seed,
        })
    }

    /// One document.
    pub(crate) fn document(&self, split: Split, rng: &mut Rng) -> Result<String> {
        let pieces = match split {
            Split::Train if rng.below(MARKDOWN_ONE_IN) == 0 => &self.markdown,
            Split::HeldOutMarkdown => &self.markdown_held_out,
            Split::Train | Split::HeldOut => return self.grammar.document(rng),
        };
        Ok(format!(
            "<|begin|>{}<|end|>",
            pieces[rng.below(pieces.len())]
        ))
    }

    /// `count` documents of training text, for the vocabulary.
    pub(crate) fn sample(&self, count: usize) -> Result<Vec<String>> {
        let mut rng = self.rng(Split::Train, u64::MAX);
        let one = |_| self.document(Split::Train, &mut rng);
        (0..count).map(one).collect()
    }

    fn rng(&self, split: Split, index: u64) -> Rng {
        let split = match split {
            Split::Train => 1,
            Split::HeldOut => 2,
            Split::HeldOutMarkdown => 3,
        };
        let mut rng = Rng::new(self.seed ^ (split << 60));
        Rng::new(rng.next() ^ index.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// Window `index`: whole documents one after the other, the last one cut at `tokens`.
    pub(crate) fn window(
        &self,
        split: Split,
        index: u64,
        tokens: usize,
        vocabulary: &Vocabulary,
    ) -> Result<Vec<u32>> {
        let mut rng = self.rng(split, index);
        let mut window = Vec::with_capacity(tokens + 512);
        while window.len() < tokens {
            let text = self.document(split, &mut rng)?;
            vocabulary.encode(&text, &mut window)?;
        }
        window.truncate(tokens);
        Ok(window)
    }
}

fn markdown_files(folder: &Path, files: &mut Vec<std::path::PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_dir() {
            let skipped = name.starts_with('.') || ["target", "models"].contains(&&*name);
            if !skipped {
                markdown_files(&path, files)?;
            }
        } else if name.ends_with(".md") {
            files.push(path);
        }
    }
    Ok(())
}

/// Splits at empty lines into pieces of at least [`PIECE_BYTES`].
fn pieces(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for paragraph in text.split("\n\n") {
        if !piece.is_empty() {
            piece.push_str("\n\n");
        }
        piece.push_str(paragraph);
        if piece.len() >= PIECE_BYTES {
            pieces.push(std::mem::take(&mut piece));
        }
    }
    if !piece.trim().is_empty() {
        pieces.push(piece);
    }
    pieces
}
