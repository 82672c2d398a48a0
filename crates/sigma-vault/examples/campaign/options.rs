//! What the command line asks for.

use std::path::PathBuf;
use std::time::Duration;

use crate::kinds::KINDS;
#[cfg(feature = "encryption")]
use crate::support;
use crate::support::forgetful::{no_directory_syncs, no_file_syncs};
use crate::support::judge::{Wrap, honest};
use crate::support::restarts;

pub(crate) const HELP: &str = "campaign [options]: exits with 1 when anything was lost or wrong

  --kinds A,B        kinds of faults, see below (default: all)
  --seeds N          seeds of each kind (default 20)
  --first-seed N     the first of them (default 1)
  --seconds N        stop the simulation after this time (default: no limit)
  --crashes N        stop the simulation after this many crashes (default: no limit)
  --threads N        default 1
  --restarts N       real processes killed (default 200)
  --dir PATH         where their vault lies (default: the folder for temporary files)
  --values KIND      plain (default) or encrypted (feature encryption), of the simulated kinds
  --planted BUG      file-syncs or directory-syncs: they are answered and not done; the campaign
                     must find that

kinds:";

pub(crate) struct Options {
    kinds: Vec<String>,
    pub(crate) seeds: u64,
    pub(crate) first_seed: u64,
    pub(crate) seconds: Option<Duration>,
    pub(crate) crashes: u64,
    pub(crate) threads: u64,
    pub(crate) restarts: u64,
    pub(crate) dir: PathBuf,
    pub(crate) disk: Wrap,
}

impl Options {
    /// `None` when help is asked for.
    pub(crate) fn parse(arguments: &[String]) -> Result<Option<Self>, String> {
        let mut options = Self {
            kinds: Vec::new(),
            seeds: 20,
            first_seed: 1,
            seconds: None,
            crashes: u64::MAX,
            threads: 1,
            restarts: 200,
            dir: std::env::temp_dir(),
            disk: honest,
        };
        let mut rest = arguments.iter();
        while let Some(name) = rest.next() {
            if name == "--help" || name == "-h" {
                return Ok(None);
            }
            let value = rest.next().ok_or_else(|| format!("{name} needs a value"))?;
            options.set(name, value)?;
        }
        Ok(Some(options))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number = || {
            let parsed = value.parse::<u64>();
            parsed.map_err(|_| format!("{name} is {value}: a whole number is allowed"))
        };
        match name {
            "--kinds" => {
                for kind in value.split(',') {
                    if kind != restarts::KIND && KINDS.iter().all(|known| known.name != kind) {
                        return Err(format!("--kinds: there is no kind {kind}"));
                    }
                    self.kinds.push(kind.to_owned());
                }
            }
            "--seeds" => self.seeds = number()?,
            "--first-seed" => self.first_seed = number()?,
            "--seconds" => self.seconds = Some(Duration::from_secs(number()?)),
            "--crashes" => self.crashes = number()?,
            "--threads" => self.threads = number()?.clamp(1, 256),
            "--restarts" => self.restarts = number()?,
            "--dir" => self.dir = value.into(),
            "--values" => match value {
                "plain" => {}
                #[cfg(feature = "encryption")]
                "encrypted" => support::ENCRYPTED.store(true, std::sync::atomic::Ordering::Relaxed),
                _ => return Err(format!("--values: {value} is none, or not built in")),
            },
            "--planted" => {
                self.disk = match value {
                    "file-syncs" => no_file_syncs,
                    "directory-syncs" => no_directory_syncs,
                    _ => return Err(format!("--planted: there is no bug {value}")),
                }
            }
            _ => return Err(format!("there is no option {name}")),
        }
        Ok(())
    }

    pub(crate) fn wants(&self, kind: &str) -> bool {
        self.kinds.is_empty() || self.kinds.iter().any(|wanted| wanted == kind)
    }
}
