//! Settings from flags, the environment and `.env`, by clap; values are checked
//! apart from parsing, so that all mistakes are reported together.

use std::{
    convert::Infallible,
    ffi::OsString,
    fmt::{self, Display},
    io::Write as _,
    process::ExitCode,
    str::FromStr,
    sync::OnceLock,
    time::Duration,
};

use url::Url;

/// Exit code for a mistake in flags or settings (`EX_USAGE` of sysexits.h).
pub const USAGE_EXIT_CODE: u8 = 64;

/// A setting whose text may or may not be a valid `T`. Parsing it never fails,
/// so clap goes on to the next one; `check` hands out the value or notes the
/// mistake.
#[derive(Debug, Clone)]
pub struct Checked<T>(Result<T, String>);

impl<T> FromStr for Checked<T>
where
    T: FromStr<Err: Display>,
{
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(text.trim().parse().map_err(|error: T::Err| error.to_string())))
    }
}

impl<T> From<T> for Checked<T> {
    fn from(value: T) -> Self {
        Self(Ok(value))
    }
}

impl<T> Checked<T> {
    /// The same, where the parser's own error would not help: `expected` says
    /// what the setting must be.
    pub fn check_as(self, expected: &str, name: &str, mistakes: &mut Mistakes) -> Option<T> {
        self.0.map_err(|_| mistakes.add(name, format!("must be {expected}"))).ok()
    }

    /// An absent setting is fine; a wrong one is noted.
    pub fn check_optional(
        setting: Option<Self>,
        name: &str,
        mistakes: &mut Mistakes,
    ) -> Option<Option<T>> {
        setting.map_or(Some(None), |setting| setting.check(name, mistakes).map(Some))
    }

    /// The value; a mistake is noted under the setting's environment name.
    pub fn check(self, name: &str, mistakes: &mut Mistakes) -> Option<T> {
        self.0.map_err(|error| mistakes.add(name, error)).ok()
    }
}

/// What is wrong with the configuration, one line for each setting.
#[derive(Debug, Default)]
pub struct Mistakes {
    lines: Vec<String>,
}

impl Mistakes {
    /// Notes that the setting `name` is wrong; the description says what it must
    /// be and does not repeat secret values.
    pub fn add(&mut self, name: &str, description: impl Display) {
        self.lines.push(format!("{name}: {description}"));
    }

    /// Notes the mistake unless `holds`.
    pub fn require(&mut self, holds: bool, name: &str, description: impl Display) {
        if !holds {
            self.add(name, description);
        }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Writes all mistakes to standard error; gives the exit code for them.
    #[must_use]
    pub fn report(&self, program: &str) -> ExitCode {
        let mut text = format!(
            "{program}: {} in the settings; nothing was started\n",
            match self.lines.len() {
                1 => "1 mistake".to_owned(),
                count => format!("{count} mistakes"),
            }
        );
        for line in &self.lines {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str(&format!("`{program} --help` lists all settings\n"));
        let _ = std::io::stderr().write_all(text.as_bytes());
        ExitCode::from(USAGE_EXIT_CODE)
    }
}

impl Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines.join("\n"))
    }
}

/// Reads flags, the environment, and `.env` of the working directory or one of
/// its parents (which never replaces what the environment has).
///
/// # Errors
/// The exit code, after help, the version or the mistake was printed.
pub fn parse<S: clap::Parser>() -> Result<S, ExitCode> {
    if let Err(error) = dotenvy::dotenv()
        && !error.not_found()
    {
        let _ = writeln!(std::io::stderr(), ".env cannot be read: {error}");
        return Err(ExitCode::from(USAGE_EXIT_CODE));
    }
    // An empty variable is how compose files and shells say "not set".
    let empty: Vec<OsString> =
        std::env::vars_os().filter(|(_, value)| value.is_empty()).map(|(name, _)| name).collect();
    let command = S::command().mut_args(|arg| match arg.get_env() {
        Some(name) if empty.iter().any(|empty| empty == name) => arg.env(None::<&str>),
        _ => arg,
    });
    let matches = command.clone().try_get_matches();
    let settings = matches.and_then(|mut matches| {
        let _ = EFFECTIVE.set(shown(&command, &matches));
        S::from_arg_matches_mut(&mut matches)
    });
    settings.map_err(|error| {
        let _ = error.print();
        ExitCode::from(if error.use_stderr() { USAGE_EXIT_CODE } else { 0 })
    })
}

/// The settings of this process, as [`parse`] found them.
static EFFECTIVE: OnceLock<String> = OnceLock::new();

/// A variable that is not a setting of modash: those of OpenTelemetry, for which its
/// specification says what wrong values mean.
#[allow(clippy::disallowed_methods, reason = "the SDK reads these variables too")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Variables by which programs are told of a forward proxy, as far as they are set, and
/// `NO_PROXY`. modash obeys none of them; the applications in front of it may.
#[must_use]
pub fn proxy_variables() -> Vec<(&'static str, String)> {
    const NAMES: [&str; 8] = [
        "HTTP_PROXY",
        "http_proxy",
        "HTTPS_PROXY",
        "https_proxy",
        "ALL_PROXY",
        "all_proxy",
        "NO_PROXY",
        "no_proxy",
    ];
    let set = |name| variable(name).filter(|value| !value.is_empty()).map(|value| (name, value));
    NAMES.into_iter().filter_map(set).collect()
}

/// All settings that have a value, by their environment names, for the log: secrets and
/// credentials in URLs are masked.
pub(crate) fn effective() -> &'static str {
    EFFECTIVE.get().map_or("", String::as_str)
}

fn shown(command: &clap::Command, matches: &clap::ArgMatches) -> String {
    let of_arg = |arg: &clap::Arg| {
        let name = arg.get_env()?.to_str()?;
        let values: Vec<_> = matches
            .try_get_raw(arg.get_id().as_str())
            .ok()??
            .map(|value| value.to_string_lossy())
            .collect();
        let value = match values.join(",") {
            value if value.is_empty() => return None,
            _ if arg.is_hide_env_values_set() => "***".to_owned(),
            value => masked(&value),
        };
        Some(if value.contains(' ') {
            format!("{name}={value:?}")
        } else {
            format!("{name}={value}")
        })
    };
    command.get_arguments().filter_map(of_arg).collect::<Vec<_>>().join(" ")
}

/// A value whose URLs have no credentials and no query.
fn masked(value: &str) -> String {
    let part = |part: &str| match part.split_once("://") {
        None => part.to_owned(),
        Some((before, rest)) => {
            // `name=https://…` in a list of upstreams.
            let (name, scheme) = before
                .rsplit_once('=')
                .map_or(("", before), |(name, scheme)| (&before[..=name.len()], scheme));
            format!("{name}{}", redact(&format!("{scheme}://{rest}")))
        }
    };
    value.split(',').map(part).collect::<Vec<_>>().join(",")
}

/// A duration given in seconds, fractions allowed: more than 0 and at most a
/// year.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seconds(pub Duration);

impl FromStr for Seconds {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const YEAR: f64 = 365.0 * 24.0 * 3600.0;
        match text.parse::<f64>() {
            Ok(seconds) if seconds > 0.0 && seconds <= YEAR => {
                Ok(Self(Duration::from_secs_f64(seconds)))
            }
            _ => Err("must be a number of seconds above 0, for example 30 or 0.5"),
        }
    }
}

/// A number of things, from 1 to a million.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count(pub usize);

impl FromStr for Count {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            Ok(count @ 1..=1_000_000) => Ok(Self(count)),
            _ => Err("must be a number from 1 to 1000000"),
        }
    }
}

/// Something that is on or off: `true` or `false`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Switch(pub bool);

impl FromStr for Switch {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self).map_err(|_| "must be \"true\" or \"false\"")
    }
}

/// A URL for logs and errors: without user, password, query and fragment.
#[must_use]
pub fn redact(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return "(not a URL)".to_owned();
    };
    // Both fail only for URLs that cannot have credentials.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_is_noted_and_the_next_setting_is_still_read() {
        let mut mistakes = Mistakes::default();
        let port: Checked<u16> = "99999".parse().unwrap();
        let wait: Checked<Seconds> = "-1".parse().unwrap();
        let good: Checked<u16> = " 80 ".parse().unwrap();
        assert_eq!(port.check("PORT", &mut mistakes), None);
        assert_eq!(wait.check("WAIT_SECONDS", &mut mistakes), None);
        assert_eq!(good.check("OTHER", &mut mistakes), Some(80));
        let text = mistakes.to_string();
        assert!(text.contains("PORT:") && text.contains("WAIT_SECONDS:"), "{text}");
        assert_eq!(mistakes.report("modash"), ExitCode::from(64));
    }

    #[test]
    fn effective_settings_show_values_and_no_secrets() {
        let command = clap::Command::new("kitchen")
            .arg(clap::Arg::new("port").long("port").env("KITCHEN_PORT").default_value("80"))
            .arg(clap::Arg::new("unset").long("unset").env("KITCHEN_UNSET"))
            .arg(clap::Arg::new("key").long("key").env("KITCHEN_KEY").hide_env_values(true))
            .arg(clap::Arg::new("urls").long("urls").env("KITCHEN_URLS"));
        let arguments = [
            "kitchen",
            "--key",
            "s3cret",
            "--urls",
            "a=https://u:s3cret@h/x?key=s3cret,b=http://i",
        ];
        let matches = command.clone().try_get_matches_from(arguments).unwrap();
        assert_eq!(
            shown(&command, &matches),
            "KITCHEN_PORT=80 KITCHEN_KEY=*** KITCHEN_URLS=a=https://h/x,b=http://i/"
        );
    }

    #[test]
    fn a_redacted_url_has_no_secrets() {
        assert_eq!(
            redact("postgresql://user:pass@db:5433/modash?password=x"),
            "postgresql://db:5433/modash"
        );
        assert_eq!(redact("user:pass"), "user:pass");
        assert_eq!(redact("no url"), "(not a URL)");
    }
}
