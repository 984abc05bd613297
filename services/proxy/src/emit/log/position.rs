//! Remembers across starts which events need no sending any more. One small
//! write in place: if a power cut tears it, everything is sent again, which
//! changes nothing, because analytics knows events by their id.

use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::Path,
};

use super::header::{HeaderError, Kind};

#[derive(Debug)]
pub(super) struct Position {
    file: File,
    written: u64,
}

impl Position {
    /// Opens or makes the file of a directory.
    pub(super) fn open(directory: &Path) -> io::Result<Result<Self, HeaderError>> {
        let path = directory.join("acknowledged");
        let file =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)?;
        Ok(match Kind::Position.read(&fs::read(&path)?) {
            Ok(written) => Ok(Self { file, written }),
            // New, or torn.
            Err(HeaderError::Damaged) => Ok(Self { file, written: 0 }),
            Err(newer) => Err(newer),
        })
    }

    /// The highest sequence number that needs no sending any more.
    pub(super) fn get(&self) -> u64 {
        self.written
    }

    pub(super) fn set(&mut self, sequence: u64) -> io::Result<()> {
        if sequence != self.written {
            self.file.write_all_at(&Kind::Position.header(sequence), 0)?;
            self.written = sequence;
        }
        Ok(())
    }
}
