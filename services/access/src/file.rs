//! The tokens file on disk: read as a whole, written as a whole. A reader never sees
//! half of it, and only its owner can read it.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use crate::{Tokens, TokensError};

/// Largest file that is read: a thousand tokens with long scopes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// A tokens file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The system refuses it.
    #[error("{} cannot be {what}: {error}", .path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// `read` or `written`.
        what: &'static str,
        /// Why.
        error: io::Error,
    },
    /// What it holds is wrong.
    #[error("{}: {error}", .path.display())]
    Content {
        /// Which one.
        path: PathBuf,
        /// What is wrong.
        error: TokensError,
    },
}

fn failed(path: &Path, what: &'static str) -> impl Fn(io::Error) -> FileError {
    move |error| FileError::Io { path: path.to_owned(), what, error }
}

fn content(path: &Path) -> impl Fn(TokensError) -> FileError {
    move |error| FileError::Content { path: path.to_owned(), error }
}

/// The tokens of a file.
pub(crate) fn read(path: &Path) -> Result<Tokens, FileError> {
    Tokens::parse(&text(path)?).map_err(content(path))
}

fn text(path: &Path) -> Result<String, FileError> {
    let mut text = String::new();
    let read = File::open(path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text));
    read.map(|_| text).map_err(failed(path, "read"))
}

/// Changes a file, or makes it; `change` gets the text and gives the new one, or
/// `None` to leave it. Waits for another process that changes a file of the same
/// directory.
pub(crate) fn change(
    path: &Path,
    change: impl FnOnce(&str) -> Result<Option<String>, TokensError>,
) -> Result<bool, FileError> {
    // A link stays a link.
    let path = &path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let directory = File::open(directory_of(path)).map_err(failed(path, "written"))?;
    directory.lock().map_err(failed(path, "written"))?;
    let before = match text(path) {
        Err(FileError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => {
            String::new()
        }
        text => text?,
    };
    let Some(after) = change(&before).map_err(content(path))? else { return Ok(false) };
    write(path, &after).map_err(failed(path, "written"))?;
    Ok(true)
}

/// Makes the directory of a file, unless it is there. The last part of its path only: more
/// that is missing was probably misspelt.
pub(crate) fn make_directory(path: &Path) -> Result<(), FileError> {
    match std::fs::create_dir(directory_of(path)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
            Err(failed(path, "written")(error))
        }
        _ => Ok(()),
    }
}

/// Replaces a file by one that only its owner can read, in one step.
pub(crate) fn write(path: &Path, text: &str) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let new = path.with_file_name(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)
        .and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&new, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written?;
    // The new name survives a crash too.
    File::open(directory_of(path))?.sync_all()
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_changed_file_is_whole_and_only_its_owner_reads_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.toml");
        assert!(change(&path, |before| Ok(Some(format!("{before}# one\n")))).unwrap());
        assert!(change(&path, |before| Ok(Some(format!("{before}# two\n")))).unwrap());
        assert!(!change(&path, |_| Ok(None)).unwrap());
        assert_eq!(text(&path).unwrap(), "# one\n# two\n");
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn changes_at_the_same_time_are_all_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.toml");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let path = &path;
                scope.spawn(move || {
                    change(path, |before| Ok(Some(format!("{before}# {number}\n")))).unwrap();
                });
            }
        });
        assert_eq!(text(&path).unwrap().lines().count(), 8);
    }

    #[test]
    fn the_directory_of_a_file_is_made_but_no_path_of_several() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("modash/tokens.toml");
        make_directory(&path).unwrap();
        make_directory(&path).unwrap();
        assert!(change(&path, |_| Ok(Some(String::new()))).unwrap());
        let error = make_directory(&directory.path().join("a/b/tokens.toml")).unwrap_err();
        assert!(error.to_string().contains("a/b/tokens.toml cannot be written"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named_with_the_reason() {
        let error = read(Path::new("/nowhere/tokens.toml")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/tokens.toml cannot be read: "), "{error}");
    }
}
