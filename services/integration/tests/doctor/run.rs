//! Runs the doctor and reads its report.

use std::{path::Path, process::Stdio};

use modash_integration::program;
use serde_json::Value;
use tempfile::TempDir;

/// What the doctor said.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) code: i32,
    pub(crate) json: Value,
}

/// A directory that the database's account can enter too.
pub(crate) fn data_directory() -> TempDir {
    let directory = TempDir::new().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), open).unwrap();
    directory
}

/// Runs `modash` with these settings and no others, and gives its exit code, standard
/// output and standard error.
pub(crate) async fn modash(
    data: &Path,
    settings: &[(&str, String)],
    arguments: &[&str],
) -> (i32, String, String) {
    let mut command = tokio::process::Command::new(program("modash"));
    command.current_dir(std::env::temp_dir()).env_clear().args(arguments);
    for kept in ["PATH", "HOME", "TMPDIR", "LANG"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command.env("MODASH_DATA_DIRECTORY", data).env("PORT", "0");
    for listener in ["PROXY_ADMIN", "GATEWAY", "GATEWAY_ADMIN", "ANALYTICS", "ANALYTICS_ADMIN"] {
        command.env(format!("MODASH_{listener}_LISTEN"), "127.0.0.1:0");
    }
    command.envs(settings.iter().map(|(name, value)| (*name, value)));
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Runs `modash doctor --json`.
pub(crate) async fn doctor(data: &Path, settings: &[(&str, String)], arguments: &[&str]) -> Report {
    let arguments = [&["doctor", "--json"], arguments].concat();
    let (code, stdout, stderr) = modash(data, settings, &arguments).await;
    let json: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{stdout}{stderr}"));
    let report = Report { code, json };
    let bad = report.levels("mend");
    assert_eq!(code, i32::from(!bad.is_empty()), "{report:?}");
    assert_eq!(report.json["well"], bad.is_empty());
    for finding in report.json["findings"].as_array().unwrap() {
        let complete =
            finding["level"] != "mend" || (finding["why"].is_string() && finding["do"].is_string());
        assert!(complete, "{finding} says neither why nor what to do");
    }
    report
}

impl Report {
    /// The checks with this level.
    pub(crate) fn levels(&self, level: &str) -> Vec<&str> {
        let findings = self.json["findings"].as_array().unwrap().iter();
        let those = findings.filter(|finding| finding["level"] == level);
        those.map(|finding| finding["check"].as_str().unwrap()).collect()
    }

    /// A finding as text: what, why, what to do.
    pub(crate) fn finding(&self, check: &str) -> String {
        let findings = self.json["findings"].as_array().unwrap();
        let found = findings.iter().find(|finding| finding["check"] == check);
        found.unwrap_or_else(|| panic!("no {check} in {:#}", self.json)).to_string()
    }

    /// Whether there is a finding about that.
    pub(crate) fn has(&self, check: &str) -> bool {
        let findings = self.json["findings"].as_array().unwrap();
        findings.iter().any(|finding| finding["check"] == check)
    }
}
