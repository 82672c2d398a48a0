//! A task that nobody waits for: it lies in the queue itself, without an allocation; one of the
//! files with `unsafe`.
//!
//! A closure of up to three words is stored as it is, a larger one in a box. What is common to
//! both is a table of two functions made for the closure's type.

use super::context::TaskContext;
use super::header::Header;
use super::spec::Priority;
use crate::lanes::Lane;
use crate::primitive::{AtomicBool, Ordering};
use crate::runtime::Shared;
use crate::worker::{Worker, drop_quietly};
use std::mem::{ManuallyDrop, MaybeUninit, align_of, size_of};

/// Words that a closure may take to be stored without a box. With the rest of an entry and the
/// queue's own word this fills a cache line.
const WORDS: usize = 3;

type Words = [MaybeUninit<usize>; WORDS];

/// What can be done with a stored closure whose type is forgotten. Each function takes it out.
struct Table {
    call: unsafe fn(*mut Words, &TaskContext<'_>),
    drop: unsafe fn(*mut Words),
}

/// A closure of any type.
pub(crate) struct Job {
    table: &'static Table,
    words: Words,
}

/// A task without a handle.
pub(crate) struct InlineTask {
    job: Job,
    accepted_ns: u64,
    deadline_ns: u64,
    team: u32,
    depth: u16,
    priority: Priority,
}

/// A closure of one type and its way in and out of the words.
struct Stored<F>(std::marker::PhantomData<F>);

#[expect(unsafe_code, reason = "a closure of any type in a place of one size")]
impl<F> Stored<F>
where
    F: FnOnce(&TaskContext<'_>) + Send + 'static,
{
    const FITS: bool =
        size_of::<F>() <= size_of::<Words>() && align_of::<F>() <= align_of::<Words>();

    const TABLE: Table = Table {
        call: Self::call,
        drop: Self::drop,
    };

    fn put(job: F) -> Words {
        let mut words: Words = [MaybeUninit::uninit(); WORDS];
        let place = words.as_mut_ptr();
        if Self::FITS {
            // SAFETY: `FITS` says that size and alignment of the words suffice for an `F`.
            unsafe { place.cast::<F>().write(job) };
        } else {
            // SAFETY: a thin pointer is one word.
            unsafe { place.cast::<*mut F>().write(Box::into_raw(Box::new(job))) };
        }
        words
    }

    /// # Safety
    /// `words` must come from [`put`](Self::put) for the same `F`, and nobody may take the closure
    /// out of them again.
    unsafe fn take(words: *mut Words) -> F {
        if Self::FITS {
            // SAFETY: `put` wrote an `F` here, by the caller's promise, and it is read once.
            unsafe { words.cast::<F>().read() }
        } else {
            // SAFETY: `put` wrote a pointer here, by the caller's promise.
            let boxed = unsafe { words.cast::<*mut F>().read() };
            // SAFETY: it came from `Box::into_raw` and is turned back once.
            *unsafe { Box::from_raw(boxed) }
        }
    }

    /// # Safety
    /// As [`take`](Self::take).
    unsafe fn call(words: *mut Words, context: &TaskContext<'_>) {
        // SAFETY: the caller's promise is the same.
        let job = unsafe { Self::take(words) };
        job(context);
    }

    /// # Safety
    /// As [`take`](Self::take).
    unsafe fn drop(words: *mut Words) {
        // SAFETY: the caller's promise is the same.
        drop(unsafe { Self::take(words) });
    }
}

#[expect(unsafe_code, reason = "a closure of any type in a place of one size")]
impl Job {
    pub(crate) fn new<F>(job: F) -> Self
    where
        F: FnOnce(&TaskContext<'_>) + Send + 'static,
    {
        Self {
            table: &Stored::<F>::TABLE,
            words: Stored::<F>::put(job),
        }
    }

    pub(crate) fn call(self, context: &TaskContext<'_>) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: table and words were made together in `new`, and the closure is taken out once:
        // `self` is used up and its destructor does not run.
        unsafe { (this.table.call)(&raw mut this.words, context) };
    }
}

#[expect(unsafe_code, reason = "a closure of any type in a place of one size")]
impl Drop for Job {
    fn drop(&mut self) {
        // SAFETY: table and words were made together in `new`, and the closure is still in them:
        // `call` does not run this destructor.
        unsafe { (self.table.drop)(&raw mut self.words) };
    }
}

#[expect(unsafe_code, reason = "a closure of any type in a place of one size")]
// SAFETY: `new` takes closures that are `Send` only.
unsafe impl Send for Job {}

impl InlineTask {
    /// The task; the job comes back if the header says what has no room here: a preferred worker,
    /// a token.
    pub(crate) fn new(header: &Header, job: Job) -> Result<Self, Job> {
        let Ok(team) = u32::try_from(header.team) else {
            return Err(job);
        };
        if header.preferred.is_some() || header.token.is_some() {
            return Err(job);
        }
        Ok(Self {
            job,
            accepted_ns: header.accepted_ns,
            deadline_ns: header.deadline_ns,
            team,
            depth: header.depth,
            priority: header.priority,
        })
    }

    pub(crate) fn team(&self) -> usize {
        self.team as usize
    }

    pub(crate) fn priority(&self) -> Priority {
        self.priority
    }

    fn header(&self, runtime: u64) -> Header {
        Header {
            runtime,
            accepted_ns: self.accepted_ns,
            deadline_ns: self.deadline_ns,
            token: None,
            team: self.team(),
            depth: self.depth,
            preferred: None,
            priority: self.priority,
            cancelled: AtomicBool::new(false),
        }
    }

    pub(crate) fn run(self, worker: &Worker) {
        let header = self.header(worker.shared().id);
        let address = std::ptr::from_ref(&header).addr();
        let job = self.job;
        // Nobody waits for the outcome; it is in the books.
        let _ = worker.run_unit(&header, address, false, |context| job.call(context));
        worker.end_one();
    }

    /// Ends it without running, because the runtime stops.
    pub(crate) fn discard(self, shared: &Shared) {
        let team = self.team();
        drop_quietly(self);
        shared.teams[team].cancelled.fetch_add(1, Ordering::Relaxed);
        shared.end_one(Lane::Outside);
    }
}

#[cfg(all(test, not(neurectomy_loom)))]
mod tests {
    use super::*;
    use crate::{Runtime, Task};
    use std::sync::Arc;

    /// Stored and dropped, of a size that fits and of one that does not, and of odd alignment.
    #[test]
    fn a_job_that_is_not_called_drops_what_it_holds_once() {
        #[repr(align(64))]
        struct Wide(Arc<()>);
        let held = Arc::new(());
        let (a, b, c) = (
            Arc::clone(&held),
            Arc::clone(&held),
            Wide(Arc::clone(&held)),
        );
        let wide = [7u64; 9];
        let jobs = [
            Job::new(move |_| drop(a)),
            Job::new(move |_| assert!(Arc::strong_count(&b) as u64 + wide[8] > 0)),
            Job::new(move |_| drop(c.0)),
        ];
        assert_eq!(Arc::strong_count(&held), 4);
        drop(jobs);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn jobs_of_any_size_are_called_with_what_they_hold() {
        let runtime = Runtime::builder().workers(1).build().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        let (small, large) = (sender.clone(), sender);
        let block = [3u64; 20];
        runtime
            .spawn(Task::new("any", move |_| small.send(1).unwrap()))
            .unwrap();
        runtime
            .spawn(Task::new("any", move |_| {
                large.send(block.iter().sum()).unwrap();
            }))
            .unwrap();
        assert_eq!(receiver.iter().collect::<Vec<u64>>(), [1, 60]);
        assert_eq!(runtime.shutdown().teams[0].completed, 2);
    }

    #[test]
    fn an_entry_fits_a_cache_line_with_the_word_of_the_queue() {
        assert!(size_of::<crate::queue::Entry>() <= 56);
    }
}
