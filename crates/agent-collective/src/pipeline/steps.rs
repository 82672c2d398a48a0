//! The plain stages: filter, transform, dedupe.

use super::stage::{Items, Stage, StageRun, sealed::Sealed};
use super::verdict::{BoxError, Stop};
use crate::error::CollectiveError;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::hash::Hash;

/// Keeps the items that a function accepts.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::pipeline::{Filter, Pipeline};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let short = Pipeline::new("words").then(Filter::new("short", |word: &&str| word.len() < 4));
/// let run = short.run(&runtime, ["one", "three", "two"])?;
/// assert_eq!(run.passed().copied().collect::<Vec<_>>(), ["one", "two"]);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
#[derive(Clone)]
pub struct Filter<F> {
    name: String,
    keep: F,
}

impl<F> Filter<F> {
    /// Items for which `keep` is false stop as [`Stop::Filtered`].
    pub fn new<I>(name: impl Into<String>, keep: F) -> Self
    where
        F: Fn(&I) -> bool + Sync,
    {
        let name = name.into();
        Self { name, keep }
    }
}

impl<I, F> Stage<I> for Filter<F>
where
    I: Send,
    F: Fn(&I) -> bool + Sync,
{
    type Output = I;

    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, items: Items<I>, run: &StageRun<'_>) -> Result<Items<I>, CollectiveError> {
        let keep = |item: I| {
            if (self.keep)(&item) {
                Ok(item)
            } else {
                Err(Stop::Filtered)
            }
        };
        Ok(run.sort_out(run.each(items, keep)?))
    }
}

/// Makes something else of each item.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::pipeline::{Pipeline, Transform};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let parse = Pipeline::new("numbers").then(Transform::new("parse", |text: &str| text.parse::<i32>()));
/// let run = parse.run(&runtime, ["1", "one"])?;
/// assert_eq!(run.verdicts[0].passed(), Some(&1));
/// assert_eq!(run.verdicts[1].stopped().map(|(stage, _)| stage), Some("parse"));
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
#[derive(Clone)]
pub struct Transform<F> {
    name: String,
    make: F,
}

impl<F> Transform<F> {
    /// Items for which `make` fails stop as [`Stop::Failed`].
    pub fn new<I, O, E>(name: impl Into<String>, make: F) -> Self
    where
        F: Fn(I) -> Result<O, E> + Sync,
    {
        let name = name.into();
        Self { name, make }
    }
}

impl<I, O, E, F> Stage<I> for Transform<F>
where
    I: Send,
    O: Send,
    E: Into<BoxError>,
    F: Fn(I) -> Result<O, E> + Sync,
{
    type Output = O;

    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, items: Items<I>, run: &StageRun<'_>) -> Result<Items<O>, CollectiveError> {
        let make = |item: I| (self.make)(item).map_err(|error| Stop::Failed(error.into()));
        Ok(run.sort_out(run.each(items, make)?))
    }
}

/// Keeps the first item, in the order of the items, of each key.
///
/// ```
/// use agent_collective::Runtime;
/// use agent_collective::pipeline::{Dedupe, Pipeline};
///
/// let runtime = Runtime::builder().workers(2).build()?;
/// let distinct = Pipeline::new("words").then(Dedupe::new("case", |w: &&str| w.to_lowercase()));
/// let run = distinct.run(&runtime, ["a", "A", "b"])?;
/// assert_eq!(run.passed().copied().collect::<Vec<_>>(), ["a", "b"]);
/// # Ok::<(), agent_collective::CollectiveError>(())
/// ```
#[derive(Clone)]
pub struct Dedupe<F> {
    name: String,
    key: F,
}

impl<F> Dedupe<F> {
    /// Items whose key an earlier item has stop as [`Stop::Duplicate`]. Keys are made in parallel
    /// and compared on the calling thread; equality decides, not the hash alone.
    pub fn new<I, K>(name: impl Into<String>, key: F) -> Self
    where
        F: Fn(&I) -> K + Sync,
    {
        let name = name.into();
        Self { name, key }
    }
}

impl<I, K, F> Stage<I> for Dedupe<F>
where
    I: Send,
    K: Hash + Eq + Send,
    F: Fn(&I) -> K + Sync,
{
    type Output = I;

    fn name(&self) -> &str {
        &self.name
    }

    fn run(&self, items: Items<I>, run: &StageRun<'_>) -> Result<Items<I>, CollectiveError> {
        let keyed = run.sort_out(run.each(items, |item: I| Ok(((self.key)(&item), item)))?);
        let mut first: HashMap<K, usize> = HashMap::with_capacity(keyed.len());
        let mut passing = Vec::with_capacity(keyed.len());
        for (index, (key, item)) in keyed {
            match first.entry(key) {
                Entry::Vacant(free) => {
                    free.insert(index);
                    passing.push((index, item));
                }
                Entry::Occupied(taken) => run.stop(index, Stop::Duplicate { of: *taken.get() }),
            }
        }
        Ok(passing)
    }
}

impl<F> Sealed for Filter<F> {}
impl<F> Sealed for Transform<F> {}
impl<F> Sealed for Dedupe<F> {}

macro_rules! named {
    ($($stage:ident),*) => {$(
        impl<F> fmt::Debug for $stage<F> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($stage)).field("name", &self.name).finish_non_exhaustive()
            }
        }
    )*};
}

named!(Filter, Transform, Dedupe);
