//! What changed: each item's text against an earlier version.

use super::files::Written;
use super::stage::{Items, Stage, StageRun, sealed::Sealed};
use super::verdict::{BoxError, Stop};
use crate::error::CollectiveError;
use similar::{Algorithm, ChangeTag, TextDiff};
use std::fmt;

/// An earlier and a later version of something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// The earlier one; `None` if there was none.
    pub before: Option<String>,
    /// The later one; `None` if it is gone.
    pub after: Option<String>,
}

/// How two versions differ.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// There was none before.
    Added {
        /// Lines of the new version.
        lines: usize,
    },
    /// There is none any more.
    Removed {
        /// Lines of the old version.
        lines: usize,
    },
    /// The same bytes, or twice nothing.
    Unchanged,
    /// Lines differ.
    Modified {
        /// Lines that only the later version has.
        added: usize,
        /// Lines that only the earlier version has.
        removed: usize,
        /// The difference with three lines of context, as `diff -u` prints it.
        unified: String,
    },
    /// They differ, and are too long to be compared line by line.
    TooLong {
        /// Lines of both versions together.
        lines: usize,
        /// The stage's limit.
        lines_max: usize,
    },
}

/// An item with what changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diffed<I> {
    /// The item.
    pub item: I,
    /// What changed.
    pub change: Change,
}

/// Compares two versions of each item line by line.
///
/// # Source
/// Myers' O(ND) algorithm, 1986, by the crate `similar`; its time grows with lines times
/// differences, so `lines_max` bounds it, independent of the clock.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::pipeline::{Change, Diff, Pipeline, Versions};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let diff = Diff::new("changes", |(before, after): &(&str, &str)| {
///     Ok::<_, String>(Versions { before: Some(before.to_string()), after: Some(after.to_string()) })
/// });
/// let run = Pipeline::new("texts").then(diff).run(&runtime, [("a\nb\n", "a\nc\n")])?;
/// let change = run.passed().next().map(|diffed| &diffed.change);
/// assert!(matches!(change, Some(Change::Modified { added: 1, removed: 1, .. })));
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
#[derive(Clone)]
pub struct Diff<F> {
    name: String,
    versions: F,
    lines_max: usize,
}

impl<F> Diff<F> {
    /// Compares what `versions` gives. Every item goes on; whether unchanged ones should is the
    /// business of a filter behind this stage.
    pub fn new<I, E>(name: impl Into<String>, versions: F) -> Self
    where
        F: Fn(&I) -> Result<Versions, E> + Sync,
    {
        Self {
            name: name.into(),
            versions,
            lines_max: 100_000,
        }
    }

    /// The most lines of both versions together that are compared. Default 100,000.
    #[must_use]
    pub fn lines_max(mut self, lines: usize) -> Self {
        self.lines_max = lines;
        self
    }
}

/// The versions that [`WriteFiles::keep_contents`](super::WriteFiles::keep_contents) kept, as text.
impl<I> Written<I> {
    /// What was there before and what is there now; bytes that are no UTF-8 become replacement
    /// characters. Both are `None` if contents were not kept.
    pub fn versions(&self) -> Versions {
        let text = |bytes: &Option<Vec<u8>>| {
            bytes
                .as_ref()
                .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        Versions {
            before: text(&self.previous),
            after: text(&self.content),
        }
    }
}

impl<I, E, F> Stage<I> for Diff<F>
where
    I: Send,
    E: Into<BoxError>,
    F: Fn(&I) -> Result<Versions, E> + Sync,
{
    type Output = Diffed<I>;

    fn name(&self) -> &str {
        &self.name
    }

    fn run(
        &self,
        items: Items<I>,
        run: &StageRun<'_>,
    ) -> Result<Items<Diffed<I>>, CollectiveError> {
        let compare = |item: I| {
            let versions = (self.versions)(&item).map_err(|error| Stop::Failed(error.into()))?;
            let change = change(&versions, self.lines_max);
            Ok(Diffed { item, change })
        };
        Ok(run.sort_out(run.each(items, compare)?))
    }
}

fn change(versions: &Versions, lines_max: usize) -> Change {
    let (before, after) = match (&versions.before, &versions.after) {
        (None, None) => return Change::Unchanged,
        (None, Some(after)) => {
            return Change::Added {
                lines: after.lines().count(),
            };
        }
        (Some(before), None) => {
            return Change::Removed {
                lines: before.lines().count(),
            };
        }
        (Some(before), Some(after)) => (before, after),
    };
    if before == after {
        return Change::Unchanged;
    }
    let lines = before.lines().count() + after.lines().count();
    if lines > lines_max {
        return Change::TooLong { lines, lines_max };
    }
    let diff = TextDiff::configure()
        .algorithm(Algorithm::Myers)
        .diff_lines(before, after);
    let count = |tag| {
        diff.iter_all_changes()
            .filter(|change| change.tag() == tag)
            .count()
    };
    Change::Modified {
        added: count(ChangeTag::Insert),
        removed: count(ChangeTag::Delete),
        unified: diff.unified_diff().context_radius(3).to_string(),
    }
}

impl<F> Sealed for Diff<F> {}

impl<F> fmt::Debug for Diff<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Diff")
            .field("name", &self.name)
            .field("lines_max", &self.lines_max)
            .finish_non_exhaustive()
    }
}
