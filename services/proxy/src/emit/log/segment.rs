//! One file of the log, and the place up to which the log was read back.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom},
    path::{Path, PathBuf},
};

use super::{
    header::{self, HeaderError, Kind},
    record,
};

/// A file of events with consecutive sequence numbers.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    /// Sequence number of the first event.
    pub(super) first: u64,
    /// Sequence number after the last event.
    pub(super) next: u64,
    /// Length up to the end of the last event.
    pub(super) bytes: u64,
}

/// What a look through a file found.
pub(super) struct Scanned {
    pub(super) segment: Segment,
    /// There is more in the file, but no whole record.
    pub(super) torn: bool,
}

impl Segment {
    /// The file whose first event has this number.
    pub(super) fn path(directory: &Path, first: u64) -> PathBuf {
        directory.join(format!("{first:020}.events"))
    }

    /// All segments of a directory, by number.
    pub(super) fn list(directory: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let number = path.file_stem().and_then(|stem| stem.to_str()?.parse().ok());
            if let Some(first) = number.filter(|_| path.extension().is_some_and(|e| e == "events"))
            {
                files.push((first, path));
            }
        }
        files.sort_unstable();
        Ok(files)
    }

    /// Reads a file through and shows the payload of every record.
    pub(super) fn scan(
        first: u64,
        path: PathBuf,
        see: &mut dyn FnMut(&[u8]),
    ) -> io::Result<Result<Scanned, HeaderError>> {
        let bytes = fs::read(&path)?;
        // The name says the number, too.
        if let Err(newer @ HeaderError::Version(_)) = Kind::Segment.read(&bytes) {
            return Ok(Err(newer));
        }
        let (mut end, mut next) = (header::LENGTH.min(bytes.len()), first);
        while let Some(record) = record::find(&bytes, end, next) {
            see(record.payload);
            end = record.end;
            next = record.sequence + 1;
        }
        let segment = Self { path, first, next, bytes: end as u64 };
        Ok(Ok(Scanned { segment, torn: end < bytes.len() }))
    }
}

/// Where reading goes on.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// First sequence number of the segment that is read.
    segment: u64,
    /// Where in the file `buffer` ends.
    offset: u64,
    /// Sequence number after the last event of `buffer`.
    buffer_next: u64,
    buffer: Vec<u8>,
    at: usize,
    /// Sequence number that the next record should have.
    next: u64,
}

/// One step of reading.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Read<'a> {
    /// An event, and how many before it are damaged.
    Event { sequence: u64, payload: &'a [u8], damaged: u64 },
    /// This many events to the end of the segment are damaged.
    Damaged(u64),
    /// Nothing more for now.
    End,
}

impl Reader {
    /// Goes on behind what a segment holds now.
    pub(super) fn skip_to_end(&mut self, segment: &Segment) {
        *self = Self {
            segment: segment.first,
            offset: segment.bytes,
            buffer_next: segment.next,
            next: segment.next,
            ..Self::default()
        };
    }

    /// The next event of `segment` whose number is at least `from`.
    pub(super) fn read(&mut self, segment: &Segment, from: u64) -> io::Result<Read<'_>> {
        if self.segment != segment.first || self.offset == 0 {
            *self = Self {
                segment: segment.first,
                offset: header::LENGTH as u64,
                buffer_next: segment.first,
                next: segment.first,
                ..Self::default()
            };
        }
        self.next = self.next.max(from.min(segment.next));
        if self.next >= self.buffer_next && self.next < segment.next {
            self.fill(segment)?;
        }
        if self.next >= segment.next {
            return Ok(Read::End);
        }
        let expected = self.next;
        match record::find(&self.buffer, self.at, expected) {
            Some(found) if found.sequence < self.buffer_next => {
                self.at = found.end;
                self.next = found.sequence + 1;
                let damaged = found.sequence - expected;
                Ok(Read::Event { sequence: found.sequence, payload: found.payload, damaged })
            }
            _ => {
                self.next = self.buffer_next;
                Ok(Read::Damaged(self.buffer_next - expected))
            }
        }
    }

    /// Reads what was added to the segment since.
    fn fill(&mut self, segment: &Segment) -> io::Result<()> {
        let mut file = File::open(&segment.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        self.buffer.clear();
        self.at = 0;
        let length = segment.bytes.saturating_sub(self.offset);
        file.take(length).read_to_end(&mut self.buffer)?;
        self.offset = segment.bytes;
        self.buffer_next = segment.next;
        Ok(())
    }

    /// Gives the buffer's memory back.
    pub(super) fn release(&mut self) {
        if self.next >= self.buffer_next {
            self.buffer = Vec::new();
            self.at = 0;
        }
    }
}
