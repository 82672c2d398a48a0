//! What a worker's time is booked as.

/// What a worker does with its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Parked, nothing to do.
    Idle,
    /// Looking for work, stealing, bookkeeping.
    Overhead,
    /// Running a task or message of this team.
    Running(usize),
    /// Inside a task of this team that waits.
    Blocked(usize),
}

impl Phase {
    /// As one word: the kind in the low two bits, the team above.
    pub(crate) fn word(self) -> u64 {
        match self {
            Self::Idle => 0,
            Self::Overhead => 1,
            Self::Running(team) => (team as u64) << 2 | 2,
            Self::Blocked(team) => (team as u64) << 2 | 3,
        }
    }

    pub(crate) fn from_word(word: u64) -> Self {
        let team = usize::try_from(word >> 2).unwrap_or(0);
        match word & 3 {
            0 => Self::Idle,
            1 => Self::Overhead,
            2 => Self::Running(team),
            _ => Self::Blocked(team),
        }
    }
}
