//! The server's directory of keys and data, made when it is not there.
//!
//! A start that fails takes back what it made, so that a slip in a setting leaves no directories
//! behind. Only empty ones go: what holds anything may be somebody's data.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::failure::Failure;

/// The directory, and which of the directories above it were made with it.
#[derive(Debug)]
pub(crate) struct DataDirectory {
    /// Made for this start, the outermost first.
    made: Vec<PathBuf>,
}

impl DataDirectory {
    /// Makes the directory, for its owner only, as the database holds secrets; or uses the one there.
    ///
    /// # Errors
    /// If it is a file, or cannot be made.
    pub(crate) fn prepare(path: &Path) -> Result<Self, Failure> {
        let failed = |why: &str| {
            Failure::new(format!("data-dir: {why}"))
                .hint("choose a directory that this user may write to, with --data-dir DIR")
        };
        if path.exists() && !path.is_dir() {
            return Err(failed(&format!(
                "{} is a file, and a directory is wanted",
                path.display()
            )));
        }
        let missing = missing(path);
        let made = Self { made: missing };
        let mut builder = DirBuilder::new();
        if let Err(error) = builder.recursive(true).mode(0o700).create(path) {
            made.take_back();
            return Err(failed(&format!("cannot make {}: {error}", path.display())));
        }
        Ok(made)
    }

    /// Removes what was made and is still empty.
    pub(crate) fn take_back(&self) {
        for directory in self.made.iter().rev() {
            // One that is not empty, or was never made, stays as it is.
            let _ = std::fs::remove_dir(directory);
        }
    }
}

/// The directories of a path that are not there, the outermost first.
fn missing(path: &Path) -> Vec<PathBuf> {
    let mut missing: Vec<PathBuf> = path
        .ancestors()
        .filter(|path| !path.as_os_str().is_empty())
        .take_while(|path| !path.exists())
        .map(Path::to_owned)
        .collect();
    missing.reverse();
    missing
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_goes_and_what_was_there_stays() {
        let root = tempfile::tempdir().unwrap();
        let there = root.path().join("there");
        std::fs::create_dir(&there).unwrap();
        let deep = there.join("a/b");
        DataDirectory::prepare(&deep).unwrap().take_back();
        assert!(!there.join("a").exists());
        assert!(there.exists());

        DataDirectory::prepare(&there).unwrap().take_back();
        assert!(there.exists(), "an empty directory of the user's own");

        let made = DataDirectory::prepare(&deep).unwrap();
        std::fs::write(deep.join("state.db"), "data").unwrap();
        made.take_back();
        assert!(deep.join("state.db").exists());
    }

    #[test]
    fn a_file_is_said_to_be_one() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let failure = DataDirectory::prepare(file.path()).unwrap_err();
        assert!(failure.message().contains("is a file"), "{failure}");
        let failure = DataDirectory::prepare(&file.path().join("a")).unwrap_err();
        assert!(failure.message().contains("cannot make"), "{failure}");
    }
}
