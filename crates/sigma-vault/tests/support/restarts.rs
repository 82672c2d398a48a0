//! Real processes that write until SIGKILL ends them, and the judgement of what they leave.
//!
//! Each writer counts its batches. Batch `n` writes the counter, a key of a small window, and now
//! and then removes another one, so the counter that is found says what all its keys must be.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::sync::mpsc;
use std::time::Duration;

use sigma_vault::{Batch, Compression, Durability, Options, Vault};

use super::Rng;

pub const KIND: &str = "kill-9";
pub const WHAT: &str = "real processes with 4 writers and compaction, killed at random moments";
/// The word by which a program is told that it is the child.
pub const CHILD: &str = "child-that-writes-until-it-is-killed";

/// How each writer waits. The last one is not promised anything.
const WRITERS: [Durability; 4] = [
    Durability::Synced,
    Durability::Grouped,
    Durability::Written,
    Durability::Buffered,
];
const WINDOW: u64 = 24;

fn options() -> Options {
    Options::new()
        .segment_bytes(32 << 10)
        .write_buffer_bytes(4 << 10)
        .index_snapshot_bytes_min(48 << 10)
        .compression(Compression::Lz4)
}

fn counter_key(writer: usize) -> Vec<u8> {
    format!("counter-{writer}").into_bytes()
}

fn key(writer: usize, slot: u64) -> Vec<u8> {
    format!("writer-{writer}/{slot}").into_bytes()
}

fn value(writer: usize, number: u64) -> Vec<u8> {
    let mut rng = Rng(number * 16 + writer as u64);
    let len = rng.below(900);
    rng.bytes(len)
}

/// The slots that batch `number` writes and, perhaps, removes.
fn slots(number: u64) -> (u64, Option<u64>) {
    let removed = (number * 7 + 3) % WINDOW;
    (number % WINDOW, number.is_multiple_of(3).then_some(removed))
}

fn batch(writer: usize, number: u64) -> Batch {
    let mut batch = Batch::new();
    let (written, removed) = slots(number);
    batch.put(&counter_key(writer), &number.to_le_bytes());
    batch.put(&key(writer, written), &value(writer, number));
    if let Some(removed) = removed {
        batch.delete(&key(writer, removed));
    }
    batch
}

/// What every slot of a writer holds after batch `number`: the number of the batch that wrote it.
fn window(number: u64) -> Vec<Option<u64>> {
    let mut window = vec![None; usize::try_from(WINDOW).unwrap()];
    // Every slot is written in any run of this many batches.
    for step in (number + 1).saturating_sub(WINDOW).max(1)..=number {
        let (written, removed) = slots(step);
        window[usize::try_from(written).unwrap()] = Some(step);
        if let Some(removed) = removed {
            window[usize::try_from(removed).unwrap()] = None;
        }
    }
    window
}

fn counter(vault: &Vault, writer: usize) -> Result<u64, String> {
    let found = vault.get(&counter_key(writer));
    let found = found.map_err(|error| format!("counter of writer {writer}: {error}"))?;
    let number: Result<[u8; 8], Vec<u8>> = found.map_or(Ok([0; 8]), Vec::try_into);
    let number = number.map_err(|bytes| format!("counter of writer {writer} is {bytes:?}"))?;
    Ok(u64::from_le_bytes(number))
}

fn say(line: &str) {
    // One write call per line, so that a kill leaves no half line behind.
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes()).unwrap();
    out.flush().unwrap();
}

/// The child's part: writes, and says what it was told is done, until it is killed.
pub fn write_until_killed(dir: &Path) -> ! {
    let vault = Vault::open(dir, options()).unwrap();
    // On a line of its own, whatever a test harness has begun to print.
    say("\nopened\n");
    std::thread::scope(|scope| {
        for (writer, durability) in WRITERS.into_iter().enumerate() {
            let vault = &vault;
            scope.spawn(move || {
                for number in counter(vault, writer).unwrap() + 1.. {
                    vault.write(batch(writer, number), durability).unwrap();
                    say(&format!("done {writer} {number}\n"));
                }
            });
        }
        loop {
            vault.compact().unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    })
}

#[derive(Debug, Default)]
pub struct Done {
    pub restarts: u64,
    /// Reopenings in this process, each followed by a judgement.
    pub judged: u64,
    pub acknowledged: u64,
    /// Kills after the child had the vault open; the others hit its start or recovery.
    pub kills_at_work: u64,
}

/// What the children said since the vault was last judged.
#[derive(Debug, Default)]
struct Said {
    numbers: [u64; WRITERS.len()],
    lives: u64,
    lines: u64,
    opened: bool,
}

impl Said {
    fn note(&mut self, line: &str) -> Result<(), String> {
        let mut words = line.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("opened"), None, None) => self.opened = true,
            (Some("done"), Some(writer), Some(number)) => {
                let writer: usize = writer.parse().map_err(|_| line)?;
                let number: u64 = number.parse().map_err(|_| line)?;
                let last = self.numbers.get_mut(writer).ok_or(line)?;
                *last = number.max(*last);
                self.lines += 1;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Reads all that a child says, on a thread of its own so that its pipe never fills up.
fn listen(out: ChildStdout) -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}

/// One life: started, killed within 6 ms (or that soon after it opened the vault), heard to the end.
fn one_life(child: &mut Child, rng: &mut Rng, said: &mut Said) -> Result<(), String> {
    said.opened = false;
    let out = child.stdout.take().ok_or("a child without a pipe")?;
    let lines = listen(out);
    // Every eighth child is killed wherever it is; the others once they have the vault open.
    if rng.below(8) > 0 {
        while !said.opened {
            said.note(&lines.recv().map_err(|_| "a child ended by itself")?)?;
        }
    }
    std::thread::sleep(Duration::from_micros(rng.below(6000)));
    if let Ok(Some(status)) = child.try_wait() {
        return Err(format!("a child ended by itself: {status}"));
    }
    child.kill().map_err(|error| error.to_string())?;
    child.wait().map_err(|error| error.to_string())?;
    said.lives += 1;
    lines.iter().try_for_each(|line| said.note(&line))
}

/// Every promise kept, every batch whole, nothing there that was never written.
fn judge(vault: &Vault, said: &mut Said, verify: bool) -> Result<(), String> {
    let recovery = vault.stats().recovery;
    if recovery.damage_count > 0 {
        return Err(format!("a kill was taken for rot: {recovery:?}"));
    }
    for (writer, durability) in WRITERS.into_iter().enumerate() {
        let (reached, last) = (counter(vault, writer)?, said.numbers[writer]);
        let promised = durability != Durability::Buffered;
        // A life may end between a write and its line.
        if (promised && reached < last) || reached > last + said.lives {
            return Err(format!(
                "writer {writer} was told {last} in {} lives, found {reached}",
                said.lives
            ));
        }
        for (slot, number) in window(reached).into_iter().enumerate() {
            let found = vault.get(&key(writer, slot as u64));
            let found = found.map_err(|error| format!("writer {writer}, slot {slot}: {error}"))?;
            if found != number.map(|number| value(writer, number)) {
                return Err(format!(
                    "writer {writer} at {reached}: slot {slot} is not that of {number:?}"
                ));
            }
        }
        said.numbers[writer] = reached;
    }
    said.lives = 0;
    if verify {
        let report = vault.verify().map_err(|error| error.to_string())?;
        if !report.is_sound() {
            return Err(format!("verify found {:?}", report.damage));
        }
    }
    Ok(())
}

/// Starts and kills children on one vault in `dir` until `restarts` of them died.
///
/// # Errors
/// The first broken promise, in words.
pub fn campaign(
    dir: &Path,
    seed: u64,
    restarts: u64,
    spawn: &mut dyn FnMut(&Path) -> std::io::Result<Child>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Done, String> {
    let (mut rng, mut done, mut said) = (Rng(seed), Done::default(), Said::default());
    while done.restarts < restarts {
        let mut child = spawn(dir).map_err(|error| format!("starting a child: {error}"))?;
        let lived = one_life(&mut child, &mut rng, &mut said);
        if lived.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        lived.map_err(|what| format!("restart {}: {what}", done.restarts))?;
        done.restarts += 1;
        done.kills_at_work += u64::from(said.opened);
        done.acknowledged = said.lines;
        progress(done.restarts, done.acknowledged);
        // Some crashes are left for the next child to recover from.
        if rng.below(3) == 0 && done.restarts < restarts {
            continue;
        }
        let judged: Result<(), String> = Vault::open(dir, options())
            .map_err(|error| format!("reopening failed: {error}"))
            .and_then(|vault| {
                judge(&vault, &mut said, rng.below(16) == 0)?;
                vault
                    .close()
                    .map_err(|error| format!("closing failed: {error}"))
            });
        judged.map_err(|what| format!("after restart {}: {what}", done.restarts))?;
        done.judged += 1;
    }
    Ok(done)
}
