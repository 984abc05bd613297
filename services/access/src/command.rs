//! `token new`, `token list`, `token revoke`.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use chrono::{SecondsFormat, Utc};
use clap::{Args, Subcommand};

use crate::{AccessSettings, Expiry, FileError, Grant, Role, Scope, Token, Tokens, file};

/// Make, show or revoke the tokens of MODASH_TOKENS_FILE. Running processes follow
/// within a second.
#[derive(Debug, Clone, Subcommand)]
pub enum TokenCommand {
    /// Make a token, write it to standard output once, and keep its hash
    New(NewToken),
    /// Show names, roles, scopes and ends of all tokens
    List,
    /// Remove a token; whoever uses it is refused from then on
    Revoke {
        /// Name of the token
        name: String,
    },
}

/// What a new token allows.
#[derive(Debug, Clone, Args)]
pub struct NewToken {
    /// Name, for people: who or what will use it
    #[arg(long)]
    name: String,

    /// What it allows: read (queries, live events, dashboard, metrics), ingest (usage
    /// events of proxies), use (requests through the proxy, where it asks for tokens) or
    /// admin (changes, and everything of read)
    #[arg(long)]
    role: Role,

    /// Show only these requests to a reader: tag:NAME=VALUE, client:FINGERPRINT,
    /// upstream:NAME or model:NAME; several of a kind are alternatives, kinds must all
    /// match
    #[arg(long)]
    only: Vec<String>,

    /// Take events of these replicas only (MODASH_PROXY_REPLICA_ID of the proxies)
    #[arg(long)]
    replica: Vec<String>,

    /// Let it speak for the replicas of the token of this name too, which it replaces
    #[arg(long)]
    replaces: Option<String>,

    /// How long it is valid: 90d, 12h or 30m [default: until it is revoked]
    #[arg(long)]
    expires: Option<Expiry>,

    /// Write the token into this file, which only its owner can read, instead of to
    /// standard output
    #[arg(long)]
    write_to: Option<PathBuf>,

    /// Do nothing if there is a token of this name
    #[arg(long)]
    if_missing: bool,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// No file is named.
    #[error(
        "MODASH_TOKENS_FILE is not set; name the file of the tokens, for example \
         MODASH_TOKENS_FILE=/etc/modash/tokens.toml"
    )]
    NoFile,
    /// The file cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
    /// What was asked for is wrong.
    #[error("{0}")]
    Wrong(String),
    /// The token cannot be handed over.
    #[error("the token cannot be written: {0}")]
    Output(#[from] io::Error),
}

/// Runs a command of a program to its exit code; an error is one line.
#[must_use]
pub fn run_command(program: &str, command: TokenCommand, settings: &AccessSettings) -> ExitCode {
    match command.run(settings, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            remark(&format!("{program}: {error}"));
            ExitCode::FAILURE
        }
    }
}

impl TokenCommand {
    /// Does it. Tokens and lists go to `out`, remarks to standard error.
    ///
    /// # Errors
    /// What is wrong and what to do.
    pub fn run(self, settings: &AccessSettings, out: &mut dyn Write) -> Result<(), CommandError> {
        let path = settings.tokens_file().ok_or(CommandError::NoFile)?;
        match self {
            Self::New(new) => new.run(path, out),
            Self::List => list(path, out),
            Self::Revoke { name } => revoke(path, &name),
        }
    }
}

impl NewToken {
    fn run(self, path: &Path, out: &mut dyn Write) -> Result<(), CommandError> {
        let scope = Scope::parse(&self.only)
            .map_err(|error| CommandError::Wrong(format!("--only: {error}")))?;
        let token = Token::generate();
        let grant = Grant {
            name: self.name,
            role: self.role,
            scope,
            replicas: self.replica,
            replaces: self.replaces,
            expires: self.expires.map(|expiry| expiry.after(Utc::now())),
            hash: token.hash(),
        };
        let is_missing = |text: &str| {
            Ok(Tokens::parse(text)?.grants().iter().all(|other| other.name != grant.name))
        };
        // The token is in its file before its hash is kept: what is interrupted here can
        // be done again, also with --if-missing.
        let mut written = Ok(());
        file::make_directory(path)?;
        let added = file::change(path, |text| {
            if self.if_missing && !is_missing(text)? {
                return Ok(None);
            }
            let text = Tokens::with(text, &grant)?;
            if let Some(to) = &self.write_to {
                written = file::write(to, &format!("{}\n", token.expose()));
            }
            Ok(written.is_ok().then_some(text))
        })?;
        written?;
        if !added {
            remark(&format!("there is a token {:?} already; nothing was changed", grant.name));
            return Ok(());
        }
        if self.write_to.is_none()
            && let Err(error) = writeln!(out, "{}", token.expose()).and_then(|()| out.flush())
        {
            // Nobody has it, and its name is free again.
            file::change(path, |text| Tokens::without(text, &grant.name))?;
            return Err(error.into());
        }
        let sees = match grant.role {
            Role::Read | Role::Admin => format!(" and sees {}", grant.scope),
            Role::Ingest | Role::Use => String::new(),
        };
        remark(&format!(
            "token {:?} has the role {}{sees}; its hash is in {}; the token is shown only now",
            grant.name,
            grant.role,
            path.display()
        ));
        Ok(())
    }
}

fn list(path: &Path, out: &mut dyn Write) -> Result<(), CommandError> {
    let tokens = file::read(path)?;
    let now = Utc::now();
    let mut rows = vec![["NAME", "ROLE", "EXPIRES", "ONLY"].map(str::to_owned)];
    rows.extend(tokens.grants().iter().map(|grant| {
        let expires = grant.expires.map_or_else(
            || "never".to_owned(),
            |at| {
                let text = at.to_rfc3339_opts(SecondsFormat::Secs, true);
                if at <= now { format!("{text} (expired)") } else { text }
            },
        );
        let only = match grant.role {
            Role::Ingest if grant.replicas.is_empty() => "all replicas".to_owned(),
            Role::Ingest => grant.replicas.join(" "),
            Role::Use => "nothing".to_owned(),
            Role::Read | Role::Admin => grant.scope.to_string(),
        };
        [grant.name.clone(), grant.role.to_string(), expires, only]
    }));
    let width = |column: usize| {
        rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let (name, role, expires) = (width(0), width(1), width(2));
    for row in &rows {
        writeln!(out, "{:name$}  {:role$}  {:expires$}  {}", row[0], row[1], row[2], row[3])?;
    }
    Ok(())
}

fn revoke(path: &Path, name: &str) -> Result<(), CommandError> {
    // A missing file must not be made by a revocation.
    file::read(path)?;
    if file::change(path, |text| Tokens::without(text, name))? {
        remark(&format!("token {name:?} is revoked; running processes refuse it within a second"));
        return Ok(());
    }
    let text = format!("there is no token {name:?} in {}; `token list` shows all", path.display());
    Err(CommandError::Wrong(text))
}

fn remark(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsString, os::unix::fs::PermissionsExt as _};

    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Program {
        #[command(flatten)]
        access: AccessSettings,
        #[command(subcommand)]
        command: TokenCommand,
    }

    fn run(directory: &Path, arguments: &str) -> Result<String, String> {
        let file = directory.join("tokens.toml");
        let first = [OsString::from("modash"), "--tokens-file".into(), file.into()];
        let all = first.into_iter().chain(arguments.split(' ').map(OsString::from));
        let program = Program::try_parse_from(all).map_err(|error| error.to_string())?;
        let mut out = Vec::new();
        program.command.run(&program.access, &mut out).map_err(|error| error.to_string())?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_token_is_made_shown_and_revoked() {
        let directory = tempfile::tempdir().unwrap();
        let run = |arguments: &str| run(directory.path(), arguments);
        let made = run("new --name grafana --role read --only tag:team=search --expires 90d");
        let token = Token::parse(made.unwrap().trim_end()).unwrap();
        run("new --name proxy --role ingest --replica proxy-1").unwrap();
        let text = std::fs::read_to_string(directory.path().join("tokens.toml")).unwrap();
        let found = Tokens::parse(&text).unwrap();
        let grant = found.valid(&token.hash(), Utc::now()).unwrap();
        assert_eq!((grant.name.as_str(), grant.role), ("grafana", Role::Read));
        let list = run("list").unwrap();
        assert!(list.contains("grafana  read") && list.contains("tag:team=search"), "{list}");
        assert!(list.contains("ingest  never") && list.contains("proxy-1"), "{list}");
        assert!(!list.contains("sha256") && !text.contains(token.expose()), "{list}{text}");
        run("revoke grafana").unwrap();
        assert!(!run("list").unwrap().contains("grafana"));
        assert!(run("revoke grafana").unwrap_err().contains("there is no token"));
    }

    #[test]
    fn a_token_can_go_into_a_file_and_a_second_start_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("proxy.token");
        let command =
            format!("new --name proxy --role ingest --if-missing --write-to {}", file.display());
        assert_eq!(run(directory.path(), &command).unwrap(), "");
        let token = std::fs::read_to_string(&file).unwrap();
        assert!(Token::parse(token.trim_end()).is_some());
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        run(directory.path(), &command).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), token);
    }

    #[test]
    fn a_token_that_nobody_got_leaves_no_hash_and_the_next_attempt_works() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let directory = tempfile::tempdir().unwrap();
        let (tokens, nowhere) = (directory.path().join("tokens.toml"), "nowhere/proxy.token");
        let file = directory.path().join(nowhere);
        let command =
            format!("new --name proxy --role ingest --if-missing --write-to {}", file.display());
        assert!(run(directory.path(), &command).unwrap_err().contains("cannot be written"));
        assert!(!tokens.exists());
        std::fs::create_dir(directory.path().join("nowhere")).unwrap();
        run(directory.path(), &command).unwrap();
        assert!(file.exists() && run(directory.path(), "list").unwrap().contains("proxy"));

        let arguments = ["modash", "--tokens-file"].map(OsString::from).into_iter();
        let arguments = arguments.chain([tokens.into()]);
        let program = Program::parse_from(
            arguments.chain("new --name a --role read".split(' ').map(OsString::from)),
        );
        assert!(program.command.run(&program.access, &mut Closed).is_err());
        assert!(!run(directory.path(), "list").unwrap().contains("read"));
    }

    #[test]
    fn a_mistake_says_what_to_write_and_leaves_the_file() {
        let directory = tempfile::tempdir().unwrap();
        for (arguments, expected) in [
            ("new --name a --role reader", "read, ingest, use or admin"),
            ("new --name a --role read --only team=a", "tag:NAME=VALUE"),
            ("new --name a --role ingest --only model:a", "role must be read"),
            ("new --name a --role read --replica a", "role must be ingest"),
            ("new --name a --role read --expires 90", "90d, 12h"),
            ("revoke a", "cannot be read"),
            ("list", "cannot be read"),
        ] {
            let error = run(directory.path(), arguments).unwrap_err();
            assert!(error.contains(expected), "{arguments}: {error}");
        }
        assert!(!directory.path().join("tokens.toml").exists());
        run(directory.path(), "new --name a --role read").unwrap();
        let twice = run(directory.path(), "new --name a --role read").unwrap_err();
        assert!(twice.contains("taken"), "{twice}");
    }
}
