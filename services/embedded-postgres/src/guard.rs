//! Holds the running server by a guard, a small shell process that ends the
//! server when this process closes a pipe or is gone, however it went.

use std::{
    os::unix::process::CommandExt as _,
    path::Path,
    process::{ChildStdin, Command, Stdio},
    thread::JoinHandle,
};

use tokio::sync::watch;

use crate::{Error, account::Account, directory::DataDirectory};

/// A running server.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Never written to: its end is the message.
    lifeline: Option<ChildStdin>,
    waiter: Option<JoinHandle<()>>,
    ended: watch::Receiver<bool>,
}

impl Guard {
    /// Starts the server that `command` describes.
    pub(crate) fn start(
        command: &Command,
        account: &Account,
        directory: &DataDirectory,
        remove_afterwards: bool,
    ) -> Result<Self, Error> {
        let log = directory.open_log()?;
        let shell = Path::new("/bin/sh");
        let mut guard = account.command(shell);
        guard.args(["-c", include_str!("guard.sh"), "modash-postgres-guard"]);
        guard.arg(if remove_afterwards { directory.root.as_os_str() } else { "".as_ref() });
        guard.arg(command.get_program()).args(command.get_args());
        guard.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut child = guard.spawn().map_err(Error::io("run", shell))?;
        let lifeline = child.stdin.take();
        let (sender, ended) = watch::channel(false);
        let waiter = std::thread::spawn(move || {
            if let Err(error) = child.wait() {
                tracing::warn!(%error, "the database's guard cannot be watched");
            }
            sender.send_replace(true);
        });
        Ok(Self { lifeline, waiter: Some(waiter), ended })
    }

    /// Whether the server has ended.
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Changes to true when the server has ended.
    pub(crate) fn ended(&self) -> watch::Receiver<bool> {
        self.ended.clone()
    }

    /// Ends the server and waits for it: some 50 ms, by force after 20 s.
    pub(crate) fn stop(&mut self) {
        self.lifeline = None;
        if let Some(waiter) = self.waiter.take() {
            let _ = waiter.join();
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.stop();
    }
}
