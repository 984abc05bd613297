//! The proxy as a process alone: nobody takes its events, and it is looked at
//! from outside.

use std::{fs, net::SocketAddr};

use tempfile::TempDir;

use crate::{Process, get};

/// A running `modash-proxy`.
pub struct ProxyAlone {
    /// The process.
    pub process: Process,
    /// Where applications reach it.
    pub address: SocketAddr,
    /// Where `/readyz` and `/metrics` are.
    pub admin: SocketAddr,
    _spool: TempDir,
}

impl ProxyAlone {
    /// Starts it before an upstream, with these settings besides.
    ///
    /// # Panics
    /// Without a directory for its spool.
    pub async fn start(upstream_url: &str, settings: &[(&str, String)]) -> Self {
        let spool = TempDir::new().expect("a directory of its own");
        let mut all = vec![
            ("PORT", "0".to_owned()),
            ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_PROXY_SPOOL_DIRECTORY", spool.path().display().to_string()),
            // Nothing listens there.
            ("MODASH_PROXY_ANALYTICS_URL", "http://127.0.0.1:1".to_owned()),
            ("UPSTREAM_URL", upstream_url.to_owned()),
        ];
        all.extend_from_slice(settings);
        let process = Process::start("modash-proxy", &all, &[]);
        let address = process.address("proxy").await;
        let admin = process.address("proxy admin").await;
        Self { process, address, admin, _spool: spool }
    }

    /// `http://` and the address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What `/readyz` says: 200 or 503.
    ///
    /// # Errors
    /// If nobody answers.
    pub async fn readiness(&self) -> Result<u16, String> {
        Ok(get(&format!("http://{}/readyz", self.admin)).await?.status.as_u16())
    }

    /// Memory in bytes by the name that it has in `/proc/<pid>/status`: `VmRSS`
    /// now, `VmHWM` the most so far.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    #[must_use]
    pub fn memory(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.process.id());
        let status = fs::read_to_string(path).expect("/proc of Linux");
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        kib.expect("a size in kB") * 1024
    }

    /// Processor time so far, user and system, in ticks of the system (10 ms,
    /// mostly).
    ///
    /// # Panics
    /// Where there is no `/proc`.
    #[must_use]
    pub fn processor_time(&self) -> u64 {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = fs::read_to_string(path).expect("/proc of Linux");
        // The name before them may hold spaces and parentheses.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        after_name
            .split_whitespace()
            .skip(11)
            .take(2)
            .filter_map(|text| text.parse::<u64>().ok())
            .sum()
    }

    /// Files and connections that it has open.
    ///
    /// # Panics
    /// Where there is no `/proc`.
    #[must_use]
    pub fn open_files(&self) -> usize {
        let files = fs::read_dir(format!("/proc/{}/fd", self.process.id()));
        files.expect("/proc of Linux").count()
    }
}
