//! Bytes of every token, in one arena.

/// Token id to bytes, with a mark for special tokens.
#[derive(Debug, Clone, Default)]
pub(super) struct PieceTable {
    arena: Vec<u8>,
    ends: Vec<usize>,
    special: Vec<bool>,
}

impl PieceTable {
    pub(super) fn push(&mut self, bytes: &[u8], special: bool) {
        self.arena.extend_from_slice(bytes);
        self.ends.push(self.arena.len());
        self.special.push(special);
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn bytes(&self, token: u32) -> Option<&[u8]> {
        let index = token as usize;
        let end = *self.ends.get(index)?;
        let start = index
            .checked_sub(1)
            .and_then(|i| self.ends.get(i))
            .copied()
            .unwrap_or(0);
        self.arena.get(start..end)
    }

    pub(super) fn is_special(&self, token: u32) -> bool {
        self.special.get(token as usize).copied().unwrap_or(false)
    }
}
