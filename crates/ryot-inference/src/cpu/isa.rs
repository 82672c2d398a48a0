//! Which instructions the kernels may use, found out once at run time.

use std::sync::OnceLock;

/// Instruction sets that there are kernels for, each faster than the one before.
///
/// All of them give the same bits: dot products are whole numbers, and the steps in f32 around
/// them are the same in the same order. Only prompts on tiles of bfloat16 differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Isa {
    /// Plain Rust.
    Scalar,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 with byte dot products (VNNI).
    Avx512,
}

impl Isa {
    /// The best that this machine has. `NEURECTOMY_SIMD` set to `scalar`, `avx2` or `avx512`
    /// lowers it; any other value is ignored.
    pub(crate) fn detect() -> Self {
        static FOUND: OnceLock<Isa> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let best = Self::of_machine();
            let wished = std::env::var("NEURECTOMY_SIMD");
            match wished.as_deref() {
                Ok("scalar") => Self::Scalar,
                Ok("avx2") => best.min(Self::Avx2),
                Ok("avx512") => best.min(Self::Avx512),
                _ => best,
            }
        })
    }

    /// Whether batches of generated tokens go through tiles of bytes (AMX), which give the same bits
    /// as the other kernels; wherever prompts go through tiles of bfloat16.
    pub(crate) fn has_byte_tiles() -> bool {
        Self::has_bf16_tiles()
    }

    /// Whether prompts go through tiles of bfloat16 (AMX); not if `NEURECTOMY_SIMD` is `avx512`.
    pub(crate) fn has_bf16_tiles() -> bool {
        #[cfg(target_arch = "x86_64")]
        {
            static FOUND: OnceLock<bool> = OnceLock::new();
            *FOUND.get_or_init(|| {
                Self::detect() == Self::Avx512
                    && std::env::var("NEURECTOMY_SIMD").as_deref() != Ok("avx512")
                    && is_x86_feature_detected!("avx512bf16")
                    && is_x86_feature_detected!("avx512vbmi")
                    && super::kernel::amx::granted()
            })
        }
        #[cfg(not(target_arch = "x86_64"))]
        false
    }

    /// Every instruction set that this machine can run, slowest first.
    #[cfg(test)]
    pub(crate) fn all() -> Vec<Self> {
        [Self::Scalar, Self::Avx2, Self::Avx512]
            .into_iter()
            .filter(|isa| *isa <= Self::of_machine())
            .collect()
    }

    #[cfg(target_arch = "x86_64")]
    fn of_machine() -> Self {
        static FOUND: OnceLock<Isa> = OnceLock::new();
        *FOUND.get_or_init(|| {
            let avx2 = is_x86_feature_detected!("avx2")
                && is_x86_feature_detected!("fma")
                && is_x86_feature_detected!("f16c");
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vnni");
            match (avx2, avx512) {
                (true, true) => Self::Avx512,
                (true, false) => Self::Avx2,
                (false, _) => Self::Scalar,
            }
        })
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of_machine() -> Self {
        Self::Scalar
    }
}
