//! Who runs PostgreSQL: the own user, or, since it refuses root, another
//! account when this process is root.

use std::{
    fs, io,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::{Command, Stdio},
};

use crate::Error;

/// Accounts to use as root, best first: `_postgres` is macOS' own.
const CANDIDATES: [&str; 3] = ["postgres", "_postgres", "nobody"];

/// Under whom PostgreSQL's programs run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Account {
    /// This process' own user.
    Own,
    /// Another one, as this process is root.
    Other { name: String, uid: u32, gid: u32 },
}

/// Whether this process is root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl Account {
    /// The owner of `directory` where it exists, so that a cluster keeps its
    /// account whatever is installed later; as root otherwise a service account.
    pub(crate) fn for_directory(directory: &Path) -> Result<Self, Error> {
        let owner = match fs::metadata(directory) {
            Ok(found) => Some((found.uid(), found.gid())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(Error::io("look at", directory)(source)),
        };
        let own = rustix::process::geteuid().as_raw();
        match owner {
            _ if own != 0 && owner.is_none_or(|(uid, _)| uid == own) => Ok(Self::Own),
            Some((uid, gid)) if own == 0 && uid != 0 => {
                Ok(Self::Other { name: uid.to_string(), uid, gid })
            }
            Some((owner, _)) if own != 0 => {
                Err(Error::ForeignOwner { path: directory.to_owned(), owner })
            }
            _ => CANDIDATES.into_iter().find_map(Self::named).ok_or(Error::NoAccount),
        }
    }

    /// An existing account other than root's. Asks `id`, which knows more than
    /// `/etc/passwd` does.
    fn named(name: &str) -> Option<Self> {
        let uid = ask_id("-u", name)?;
        let gid = ask_id("-g", name)?;
        (uid != 0).then(|| Self::Other { name: name.to_owned(), uid, gid })
    }

    /// A command that runs under this account, in an environment of its own, so
    /// that no PG* or locale variable of the caller changes the database.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/local/bin:/usr/bin:/bin")
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .current_dir("/");
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Hands a file or directory to this account.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        match self {
            Self::Own => Ok(()),
            Self::Other { uid, gid, .. } => {
                chown(path, Some(*uid), Some(*gid)).map_err(Error::io("change the owner of", path))
            }
        }
    }

    /// Number of the user.
    pub(crate) fn uid(&self) -> u32 {
        match self {
            Self::Own => rustix::process::geteuid().as_raw(),
            Self::Other { uid, .. } => *uid,
        }
    }

    /// For messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Own => "of this process".to_owned(),
            Self::Other { name, .. } => name.clone(),
        }
    }

    /// Whether this account can really enter and write `directory`, whatever
    /// mode bits, access lists and mount options say.
    pub(crate) fn can_write(&self, directory: &Path) -> bool {
        self.finds("test -x \"$1\" && test -w \"$1\"", directory)
    }

    /// Whether this account can enter `directory`.
    pub(crate) fn can_enter(&self, directory: &Path) -> bool {
        self.finds("test -x \"$1\"", directory)
    }

    fn finds(&self, test: &str, directory: &Path) -> bool {
        let mut command = self.command(Path::new("/bin/sh"));
        command.args(["-c", test, "sh"]).arg(directory);
        command.status().is_ok_and(|status| status.success())
    }
}

fn ask_id(flag: &str, name: &str) -> Option<u32> {
    let output = Command::new("id").args([flag, name]).stderr(Stdio::null()).output().ok()?;
    let number = String::from_utf8(output.stdout).ok()?.trim().parse::<i64>().ok()?;
    // macOS has accounts such as nobody with the number -2.
    output.status.success().then_some(number as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_account_is_none() {
        assert_eq!(Account::named("no-such-account-here"), None);
        assert_eq!(Account::named("root"), None);
    }

    #[test]
    fn root_never_runs_postgres_as_root() {
        let account = Account::for_directory(Path::new("/no/such/directory")).unwrap();
        assert_ne!(account.uid(), 0);
    }
}
