//! A small disk that can be filled: a tmpfs of the test's own, which needs root.
//! Elsewhere it is a directory, and faults of disks are left out.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Where something is kept; gone when dropped.
#[derive(Debug)]
pub(crate) struct Disk {
    directory: PathBuf,
    small: bool,
}

impl Disk {
    /// Of this size where that is possible.
    pub(crate) fn new(bytes: u64) -> Self {
        let directory = tempfile::Builder::new().prefix("modash-disk-").tempdir().unwrap().keep();
        let small = mounts::mount(&directory, bytes);
        Self { directory, small }
    }

    /// Its directory.
    pub(crate) fn path(&self) -> &Path {
        &self.directory
    }

    /// Whether it can be filled.
    pub(crate) fn is_small(&self) -> bool {
        self.small
    }

    /// Takes all the space that is left.
    pub(crate) fn fill(&self) {
        if !self.small {
            return;
        }
        let ballast = fs::File::create(self.ballast()).unwrap();
        let mut end = 0;
        // Others write meanwhile: smaller and smaller pieces until nothing fits.
        let mut piece: u64 = 64 << 20;
        while piece >= 4096 {
            let mode = rustix::fs::FallocateFlags::empty();
            match rustix::fs::fallocate(&ballast, mode, end, piece) {
                Ok(()) => end += piece,
                Err(_) => piece /= 2,
            }
        }
    }

    /// Gives it back.
    pub(crate) fn free(&self) {
        let _ = fs::remove_file(self.ballast());
    }

    fn ballast(&self) -> PathBuf {
        self.directory.join("ballast")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.small {
            mounts::unmount(&self.directory);
        }
        let _ = fs::remove_dir_all(&self.directory);
    }
}

pub(crate) use mounts::with_own_mounts;

#[cfg(target_os = "linux")]
mod mounts {
    use std::{cell::Cell, path::Path};

    use nix::{
        mount::{MntFlags, MsFlags, mount as mount_at, umount2},
        sched::{CloneFlags, unshare},
    };

    thread_local! {
        static OWN: Cell<bool> = const { Cell::new(false) };
    }

    /// Runs a test with mounts that nobody else sees and that end with it, however
    /// it ends: threads and processes that it starts inherit them.
    pub(crate) fn with_own_mounts(test: impl Future<Output = ()> + Send + 'static) {
        let thread = std::thread::spawn(|| {
            let own = unshare(CloneFlags::CLONE_NEWNS).is_ok() && {
                let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
                mount_at(None::<&str>, "/", None::<&str>, private, None::<&str>).is_ok()
            };
            let mut runtime = tokio::runtime::Builder::new_multi_thread();
            let runtime = runtime.worker_threads(2).enable_all();
            let runtime = runtime.on_thread_start(move || OWN.set(own)).build().unwrap();
            runtime.block_on(async { tokio::spawn(test).await })
        });
        if let Err(panic) = thread.join().unwrap() {
            std::panic::resume_unwind(panic.into_panic());
        }
    }

    pub(super) fn mount(directory: &Path, bytes: u64) -> bool {
        let options = format!("size={bytes}");
        OWN.get()
            && mount_at(
                Some("modash-test"),
                directory,
                Some("tmpfs"),
                MsFlags::empty(),
                Some(options.as_str()),
            )
            .is_ok()
    }

    pub(super) fn unmount(directory: &Path) {
        let _ = umount2(directory, MntFlags::MNT_DETACH);
    }
}

#[cfg(not(target_os = "linux"))]
mod mounts {
    use std::path::Path;

    /// Runs a test.
    pub(crate) fn with_own_mounts(test: impl Future<Output = ()> + Send + 'static) {
        tokio::runtime::Runtime::new().unwrap().block_on(test);
    }

    pub(super) fn mount(_: &Path, _: u64) -> bool {
        false
    }

    pub(super) fn unmount(_: &Path) {}
}
