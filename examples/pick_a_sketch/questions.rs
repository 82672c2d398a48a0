//! Each question, answered exactly and by a sketch.

use crate::text::{Text, words};
use indicatif::ProgressBar;
use sketches::{
    BloomFilter, CountMin, DdSketch, HyperLogLog, LshIndex, MinHash, SketchError, SpaceSaving,
    hash::{DEFAULT_SEED, hash_of},
};
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

/// What an answer took.
pub(crate) struct Cost {
    pub(crate) answer: String,
    pub(crate) bytes: usize,
    pub(crate) time: Duration,
}

/// One row of the table.
pub(crate) struct Row {
    pub(crate) question: String,
    pub(crate) structure: &'static str,
    pub(crate) exact: Cost,
    pub(crate) sketched: Cost,
    pub(crate) off: String,
}

/// A frequent word: its count, and what the counters say of it.
pub(crate) struct Frequent {
    pub(crate) word: String,
    pub(crate) count: u64,
    /// Least and greatest count by Space-Saving; nothing where it did not keep the word.
    pub(crate) kept: Option<(u64, u64)>,
    pub(crate) count_min: u64,
}

/// Two documents, and their similarity.
pub(crate) struct Pair {
    pub(crate) documents: [usize; 2],
    pub(crate) exact: f64,
    pub(crate) sketched: f64,
}

pub(crate) struct Answers {
    pub(crate) rows: Vec<Row>,
    pub(crate) frequent: Vec<Frequent>,
    /// Of the pairs that the index found, the most alike that are not equal.
    pub(crate) alike: Option<Pair>,
}

pub(crate) fn all(text: &Text, top: usize, alike: f64) -> Result<Answers, SketchError> {
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(200));
    let step = |name: &'static str| progress.set_message(name);
    step("different words");
    let mut rows = vec![different_words(text)?];
    step("seen words");
    rows.push(seen_words(text)?);
    step("frequent words");
    let (frequency, frequent) = frequent_words(text, top)?;
    rows.extend(frequency);
    step("lengths of lines");
    rows.extend(line_lengths(text)?);
    step("documents that are alike");
    let (row, alike) = alike_documents(text, alike)?;
    rows.push(row);
    progress.finish_and_clear();
    Ok(Answers {
        rows,
        frequent,
        alike,
    })
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}

/// Bytes of a hash table of the standard library: a power of two of places, at most 7/8 full, with one
/// byte beside each.
fn table_bytes(capacity: usize, entry_bytes: usize) -> usize {
    (capacity + capacity / 7).next_power_of_two() * (entry_bytes + 1)
}

fn text_bytes<'a>(words: impl Iterator<Item = &'a &'a str>) -> usize {
    words.map(|word| word.len()).sum()
}

fn percent(off: f64, of: f64) -> String {
    format!("{:+.2} %", 100.0 * off / of)
}

fn different_words(text: &Text) -> Result<Row, SketchError> {
    let (set, exact_time) = timed(|| text.words().collect::<HashSet<&str>>());
    let mut sketch = HyperLogLog::new(14)?;
    let (estimate, time) = timed(|| {
        sketch.extend(text.words());
        sketch.estimate()
    });
    let exact = set.len() as f64;
    Ok(Row {
        question: "how many different words?".into(),
        structure: "HyperLogLog",
        exact: Cost {
            answer: set.len().to_string(),
            bytes: table_bytes(set.capacity(), size_of::<&str>()) + text_bytes(set.iter()),
            time: exact_time,
        },
        sketched: Cost {
            answer: format!("{estimate:.0}"),
            bytes: sketch.memory_bytes(),
            time,
        },
        off: percent(estimate - exact, exact),
    })
}

fn seen_words(text: &Text) -> Result<Row, SketchError> {
    let (set, exact_time) = timed(|| text.words().collect::<HashSet<&str>>());
    let mut filter = BloomFilter::with_rate(set.len() as u64, 0.01)?;
    let ((), time) = timed(|| filter.extend(text.words()));
    // Words that are not there: every word with a mark that no word holds.
    let absent = set.iter().map(|word| format!("{word}!"));
    let wrong = absent.filter(|word| filter.contains(word.as_str())).count();
    let lost = set.iter().filter(|word| !filter.contains(**word)).count();
    Ok(Row {
        question: "was this word there?".into(),
        structure: "BloomFilter 1 %",
        exact: Cost {
            answer: format!("{} yes, {} no", set.len(), set.len()),
            bytes: table_bytes(set.capacity(), size_of::<&str>()) + text_bytes(set.iter()),
            time: exact_time,
        },
        sketched: Cost {
            answer: format!(
                "{} yes, {} no",
                set.len() - lost + wrong,
                set.len() - wrong + lost
            ),
            bytes: filter.memory_bytes(),
            time,
        },
        off: percent(wrong as f64, set.len() as f64),
    })
}

fn frequent_words(text: &Text, top: usize) -> Result<(Vec<Row>, Vec<Frequent>), SketchError> {
    let (counts, exact_time) = timed(|| {
        let mut counts: HashMap<&str, u64> = HashMap::new();
        for word in text.words() {
            *counts.entry(word).or_insert(0) += 1;
        }
        counts
    });
    let exact_bytes =
        table_bytes(counts.capacity(), size_of::<(&str, u64)>()) + text_bytes(counts.keys());
    let mut order: Vec<(&str, u64)> = counts.iter().map(|(word, count)| (*word, *count)).collect();
    order.sort_unstable_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    order.truncate(top);

    let mut all = CountMin::with_size(4, 8192)?;
    let ((), count_time) = timed(|| text.words().for_each(|word| all.insert(word)));
    let mut kept = SpaceSaving::<&str>::new(20 * top)?;
    let ((), kept_time) = timed(|| kept.extend(text.words()));
    let found = kept.top(top);
    let right = found
        .iter()
        .filter(|heavy| order.iter().any(|(word, _)| *word == heavy.item))
        .count();
    let mean = counts
        .iter()
        .map(|(word, count)| all.estimate(*word) - count)
        .sum::<u64>() as f64
        / counts.len().max(1) as f64;
    let cost = |answer: String, bytes, time| Cost {
        answer,
        bytes,
        time,
    };
    let most = order.first().copied().unwrap_or_default();
    let estimate = all.estimate(most.0);
    let rows = vec![
        Row {
            question: format!("how often \"{}\"?", most.0),
            structure: "CountMin 4 x 8192",
            exact: cost(most.1.to_string(), exact_bytes, exact_time),
            sketched: cost(estimate.to_string(), all.memory_bytes(), count_time),
            off: format!("{mean:+.2} a word"),
        },
        Row {
            question: format!("which {top} words most often?"),
            structure: "SpaceSaving",
            exact: cost(format!("{} words", order.len()), exact_bytes, exact_time),
            sketched: cost(format!("{right} of them"), kept.memory_bytes(), kept_time),
            off: format!("{:+}", right.cast_signed() - order.len().cast_signed()),
        },
    ];
    let frequent = order.into_iter().map(|(word, count)| Frequent {
        word: word.to_owned(),
        count,
        kept: kept
            .get(&word)
            .map(|heavy| (heavy.count - heavy.error, heavy.count)),
        count_min: all.estimate(word),
    });
    Ok((rows, frequent.collect()))
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a position in a row of lines"
)]
fn line_lengths(text: &Text) -> Result<Vec<Row>, SketchError> {
    let length = |line: &str| line.chars().count() as f64;
    let (sorted, exact_time) = timed(|| {
        let mut lengths: Vec<f64> = text.lines().map(length).collect();
        lengths.sort_unstable_by(f64::total_cmp);
        lengths
    });
    let mut sketch = DdSketch::new(0.01)?;
    let ((), time) = timed(|| sketch.extend(text.lines().map(length)));
    let row = |(name, q): (&str, f64)| {
        let exact = sorted
            .get((q * (sorted.len().max(1) - 1) as f64) as usize)
            .copied()
            .unwrap_or(0.0);
        let estimate = sketch.quantile(q).unwrap_or(0.0);
        Row {
            question: format!("{name} length of lines?"),
            structure: "DdSketch 1 %",
            exact: Cost {
                answer: format!("{exact}"),
                bytes: sorted.capacity() * size_of::<f64>(),
                time: exact_time,
            },
            sketched: Cost {
                answer: format!("{estimate:.1}"),
                bytes: sketch.memory_bytes(),
                time,
            },
            off: percent(estimate - exact, exact.max(1.0)),
        }
    };
    Ok([("median", 0.5), ("99th percentile", 0.99)].map(row).into())
}

/// Hashes of the triples of words that follow each other, each once.
fn triples(text: &str) -> HashSet<u64> {
    let words: Vec<&str> = words(text).collect();
    words
        .windows(3)
        .map(|triple| hash_of(triple, DEFAULT_SEED))
        .collect()
}

/// Exactly: each pair of sets. By sketch: signatures in an index that finds its pairs.
fn alike_documents(text: &Text, alike: f64) -> Result<(Row, Option<Pair>), SketchError> {
    let sets: Vec<HashSet<u64>> = text
        .documents
        .iter()
        .map(|document| triples(&document.text))
        .collect();
    let (pairs, exact_time) = timed(|| {
        let mut pairs = HashSet::new();
        for (i, a) in sets.iter().enumerate() {
            for (j, b) in sets.iter().enumerate().take(i) {
                if !a.is_empty() && !b.is_empty() && jaccard(a, b) >= alike {
                    pairs.insert((j, i));
                }
            }
        }
        pairs
    });
    let mut index = LshIndex::new(alike, 128)?;
    let (found, time) = timed(|| -> Result<_, SketchError> {
        for (at, set) in sets.iter().enumerate().filter(|(_, set)| !set.is_empty()) {
            let mut signature = MinHash::new(128, DEFAULT_SEED)?;
            signature.insert_hashes(&set.iter().copied().collect::<Vec<_>>());
            index.insert(at, signature.into_signature())?;
        }
        Ok(index.similar_pairs())
    });
    let found = found?;
    let right = found
        .iter()
        .filter(|(i, j, _)| pairs.contains(&(*i.min(j), *i.max(j))))
        .count();
    let exactly = |i: usize, j: usize| jaccard(&sets[i], &sets[j]);
    let squares: f64 = found
        .iter()
        .map(|(i, j, similarity)| (similarity - exactly(*i, *j)).powi(2))
        .sum();
    let rms = (squares / found.len().max(1) as f64).sqrt();
    let most = found.iter().map(|(i, j, sketched)| Pair {
        documents: [*i, *j],
        exact: exactly(*i, *j),
        sketched: *sketched,
    });
    let row = Row {
        question: format!("pairs of documents at least {:.0} % alike?", 100.0 * alike),
        structure: "MinHash, LshIndex",
        exact: Cost {
            answer: format!("{} pairs", pairs.len()),
            bytes: sets
                .iter()
                .map(|set| table_bytes(set.capacity(), size_of::<u64>()))
                .sum(),
            time: exact_time,
        },
        sketched: Cost {
            answer: format!("{right} of them, {} more", found.len() - right),
            bytes: index.memory_bytes(),
            time,
        },
        off: format!("{:.2} % RMS", 100.0 * rms),
    };
    Ok((
        row,
        most.filter(|pair| pair.exact < 1.0)
            .max_by(|a, b| a.exact.total_cmp(&b.exact)),
    ))
}

/// Share of all elements that both sets hold.
fn jaccard(a: &HashSet<u64>, b: &HashSet<u64>) -> f64 {
    let common = a.intersection(b).count() as f64;
    common / ((a.len() + b.len()) as f64 - common)
}
