//! Generated DNA with planted splice donor sites, some of which only their surroundings give away.

/// SplitMix64.
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, n: usize) -> usize {
        usize::try_from((u128::from(self.next()) * n as u128) >> 64).unwrap_or(0)
    }

    pub(crate) fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1_u32 << 24) as f32
    }
}

/// Bases around the cut of a donor site: three of the exon, six of the intron, as 0 to 3 for ACGT.
pub(crate) const CONSENSUS: [u8; 9] = [1, 0, 2, 2, 3, 0, 0, 2, 3];
/// Where GT stands in it; every candidate has it there.
pub(crate) const GT_AT: usize = 3;
/// A weak site has the consensus base with this probability.
const WEAK: f32 = 0.72;
/// True weak sites have copies of this motif behind them; look-alikes have not.
pub(crate) const ENHANCER: [u8; 5] = [3, 2, 2, 2, 0];
/// Bases behind a site in which the motif is planted and counted.
pub(crate) const REACH: usize = 90;
/// Bases between planted sites, at least.
const SPACING: usize = 460;

/// A position to decide about: GT, where a donor site may be.
#[derive(Clone, Copy)]
pub(crate) struct Candidate {
    /// Of the G.
    pub(crate) position: usize,
    /// Whether a true site was planted here.
    pub(crate) site: bool,
}

/// A sequence and its candidates.
pub(crate) struct Genome {
    pub(crate) bases: Vec<u8>,
    pub(crate) candidates: Vec<Candidate>,
}

/// Makes a sequence with at least `count` candidates, and keeps as many.
pub(crate) fn generate(count: usize, seed: u64) -> Genome {
    let mut rng = Rng(seed);
    // GT is one pair in sixteen
    let length = count * 18 + 4 * SPACING;
    let mut bases: Vec<u8> = (0..length).map(|_| (rng.next() & 3) as u8).collect();
    let mut sites = Vec::new();
    let mut at = SPACING / 2;
    while at + SPACING < length {
        let kind = rng.below(3);
        for (offset, best) in CONSENSUS.iter().enumerate() {
            let fixed = kind == 0 || (GT_AT..GT_AT + 2).contains(&offset);
            let keeps = fixed || rng.unit() < WEAK;
            bases[at + offset] = if keeps { *best } else { (rng.next() & 3) as u8 };
        }
        if kind != 2 {
            for _ in 0..4 {
                let to = at + CONSENSUS.len() + rng.below(REACH - CONSENSUS.len() - ENHANCER.len());
                bases[to..to + ENHANCER.len()].copy_from_slice(&ENHANCER);
            }
            sites.push(at + GT_AT);
        }
        at += SPACING + rng.below(SPACING);
    }
    let mut candidates = Vec::with_capacity(count);
    for position in REACH..length - REACH {
        if bases[position] == 2 && bases[position + 1] == 3 {
            let site = sites.binary_search(&position).is_ok();
            candidates.push(Candidate { position, site });
        }
    }
    candidates.truncate(count);
    Genome { bases, candidates }
}
