//! Memory seen as numbers that all threads may change: a file of zeros, or
//! anonymous memory where there is no file. What is stored into a mapped file is in
//! the system's hands at once and without a system call: it outlives a kill of the
//! process, though not of the machine.

#![allow(unsafe_code, reason = "memory that is a file has no safe form; this file is all of it")]

use std::{fs::File, io, slice, sync::Arc, sync::atomic::AtomicU64};

use memmap2::{MmapOptions, MmapRaw};

/// Mapped memory.
#[derive(Debug)]
pub(super) struct Mapped {
    memory: MmapRaw,
    /// Of the whole memory.
    numbers: usize,
    file: Option<Arc<File>>,
}

impl Mapped {
    /// Reserves and maps this many numbers from the beginning of a file.
    pub(super) fn of_file(file: File, numbers: usize) -> io::Result<Self> {
        let bytes = numbers * size_of::<u64>();
        reserve(&file, bytes as u64)?;
        let memory = MmapOptions::new().len(bytes).map_raw(&file)?;
        Ok(Self { memory, numbers, file: Some(Arc::new(file)) })
    }

    /// Maps this many numbers without a file: lost with the process. Pages that are
    /// never used take no memory.
    pub(super) fn anonymous(numbers: usize) -> io::Result<Self> {
        let memory = MmapOptions::new().len(numbers * size_of::<u64>()).map_anon()?;
        Ok(Self { memory: memory.into(), numbers, file: None })
    }

    /// The file that is mapped, if there is one.
    pub(super) fn file(&self) -> Option<&Arc<File>> {
        self.file.as_ref()
    }

    /// The numbers.
    pub(super) fn numbers(&self) -> &[AtomicU64] {
        // SAFETY: the mapping begins at a page, so it is aligned; it is readable,
        // writable, `numbers` long, and lives as long as `self`. Nothing forms any
        // other reference to it. Every bit pattern is an AtomicU64, and being
        // atomic they may change under a shared reference, by whomever. A store
        // cannot fail (SIGBUS): `reserve` gave each page its place on a file
        // system that changes files in place, and nobody shortens the file, which
        // only its owner can open and which is locked while it is mapped.
        unsafe { slice::from_raw_parts(self.memory.as_ptr().cast::<AtomicU64>(), self.numbers) }
    }
}

/// Gives the file its place on the disk, where that place is kept.
#[cfg(target_os = "linux")]
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    use rustix::fs::{FallocateFlags, fallocate, fstatfs};
    /// ext2 to ext4, xfs, tmpfs, and overlays, which lie on one of them in nearly
    /// every container.
    const IN_PLACE: [u64; 4] = [0xEF53, 0x5846_5342, 0x0102_1994, 0x794C_7630];
    let kind = fstatfs(file)?.f_type.cast_unsigned() & 0xFFFF_FFFF;
    if !IN_PLACE.contains(&kind) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "its file system may lack the space for a change in place",
        ));
    }
    Ok(fallocate(file, FallocateFlags::empty(), 0, bytes)?)
}

#[cfg(not(target_os = "linux"))]
fn reserve(_: &File, _: u64) -> io::Result<()> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this system cannot reserve a file's space"))
}
