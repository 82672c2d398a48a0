//! Which names an entry may have.

use crate::error::SigmaError;

/// Longest path in bytes.
pub(super) const PATH_BYTES_MAX: usize = 4096;

/// Takes only plain relative paths: joined to a folder, they stay within it on every system.
pub(super) fn check_path(path: &str) -> Result<(), SigmaError> {
    let refused = |detail| SigmaError::ArchivePathRefused {
        path: path.chars().take(200).collect(),
        detail,
    };
    if path.is_empty() || path.len() > PATH_BYTES_MAX {
        return Err(refused("length is not 1..=4096 bytes"));
    }
    if path.contains(['\\', ':']) || path.chars().any(char::is_control) {
        return Err(refused(
            "it has a backslash, a colon or a control character",
        ));
    }
    for part in path.split('/') {
        match part {
            "" => return Err(refused("it is absolute or has an empty part")),
            "." | ".." => return Err(refused("it has a part '.' or '..'")),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_relative_paths() {
        for good in ["a", "a/b.c", "..a/b..", "with space/\u{fc}", ".hidden"] {
            check_path(good).unwrap();
        }
        let long = "a/".repeat(2100) + "a";
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/..",
            "a/../b",
            ".",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "C:/x",
            "c:x",
            "a\\b",
            "\\\\host\\share",
            "a\0b",
            "a\nb",
            long.as_str(),
        ] {
            assert!(
                matches!(check_path(bad), Err(SigmaError::ArchivePathRefused { .. })),
                "{bad}"
            );
        }
    }
}
