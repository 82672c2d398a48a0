//! The five teams.

use std::fmt;

/// A team of the collective; its name is also the capability that its tasks ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Team {
    /// Splits documents into words and sketches them.
    Analysis,
    /// Packs and unpacks documents.
    Compression,
    /// Writes to the vault and reads back.
    Storage,
    /// Continues texts with the model.
    Inference,
    /// Puts results together.
    Synthesis,
}

impl Team {
    /// All teams, in the order in which a document meets them.
    pub const ALL: [Self; 5] = [
        Self::Analysis,
        Self::Compression,
        Self::Storage,
        Self::Inference,
        Self::Synthesis,
    ];

    /// The team's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Analysis => "analysis",
            Self::Compression => "compression",
            Self::Storage => "storage",
            Self::Inference => "inference",
            Self::Synthesis => "synthesis",
        }
    }
}

impl fmt::Display for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
