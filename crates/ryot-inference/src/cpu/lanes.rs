//! Runs one plain function under the widest instructions of the machine.
//!
//! The functions are written over arrays of sixteen f32 with `mul_add`, which rounds once wherever
//! it runs; compiled three times they become vector code, and give the same bits each time.

/// Defines `$name`, which calls `$body` (an `#[inline(always)]` function) compiled for `isa`.
macro_rules! lanes {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)? = $body:path) => {
        $(#[$doc])*
        $vis fn $name(isa: $crate::cpu::Isa, $($arg: $type),*) $(-> $out)? {
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,fma")]
            fn wide($($arg: $type),*) $(-> $out)? {
                $body($($arg),*)
            }
            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn middle($($arg: $type),*) $(-> $out)? {
                $body($($arg),*)
            }
            match isa {
                $crate::cpu::Isa::Scalar => $body($($arg),*),
                // SAFETY: the instruction set is named only where it was found.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Isa::Avx2 => unsafe { middle($($arg),*) },
                // SAFETY: as above.
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Isa::Avx512 => unsafe { wide($($arg),*) },
                #[cfg(not(target_arch = "x86_64"))]
                _ => $body($($arg),*),
            }
        }
    };
}

pub(in crate::cpu) use lanes;
