//! How the minima of a signature were made.

/// How the minima of a signature were made; only signatures of one scheme compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Scheme {
    /// One permutation for each minimum, by [`MinHash`](crate::MinHash).
    #[default]
    Permutations,
    /// One permutation in all, by [`OnePermutation`](crate::similarity::OnePermutation).
    OnePermutation,
}

impl Scheme {
    pub(in crate::similarity) const fn name(self) -> &'static str {
        match self {
            Self::Permutations => "permutations",
            Self::OnePermutation => "one permutation",
        }
    }

    pub(in crate::similarity) const fn code(self) -> u8 {
        match self {
            Self::Permutations => 0,
            Self::OnePermutation => 1,
        }
    }

    pub(in crate::similarity) const fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Permutations),
            1 => Some(Self::OnePermutation),
            _ => None,
        }
    }
}
