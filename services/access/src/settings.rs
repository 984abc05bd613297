//! Settings of access, one set for each process, and the rule for a process without
//! tokens: it answers its own machine only.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use modash_runtime::Mistakes;

use crate::Access;

/// Settings of access, as given.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Access")]
pub struct AccessSettings {
    /// File of the tokens that let callers in; made and changed by `token new`, read
    /// again when it changes. Without it everybody is let in, from this machine only
    #[arg(long, env = "MODASH_TOKENS_FILE", global = true)]
    tokens_file: Option<PathBuf>,

    /// Let everybody in who reaches a port, from other machines too, without a token
    #[arg(long, env = "MODASH_INSECURE_OPEN", value_parser = clap::builder::BoolishValueParser::new(),
          default_value_t = false, num_args = 0..=1, default_missing_value = "true", hide_default_value = true)]
    insecure_open: bool,
}

impl AccessSettings {
    /// The file, if there is one.
    #[must_use]
    pub fn tokens_file(&self) -> Option<&PathBuf> {
        self.tokens_file.as_ref()
    }

    /// Reads the file, and checks that no listener lets strangers in: each with the
    /// setting that moves it.
    pub fn check(
        self,
        listeners: &[(&str, SocketAddr)],
        mistakes: &mut Mistakes,
    ) -> Option<Access> {
        if let Some(path) = &self.tokens_file {
            let access = Access::from_file(path);
            return access.map_err(|error| mistakes.add("MODASH_TOKENS_FILE", error)).ok();
        }
        let beyond =
            listeners.iter().filter(|(_, address)| !address.ip().to_canonical().is_loopback());
        for (setting, address) in beyond {
            mistakes.require(
                self.insecure_open,
                setting,
                format!(
                    "{address} lets other machines in and there are no tokens: make one with \
                     `modash token new` and name the file in MODASH_TOKENS_FILE, or listen on \
                     127.0.0.1 (--insecure-open lets everybody in)"
                ),
            );
        }
        Some(Access::open())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(settings: AccessSettings, address: &str) -> String {
        let mut mistakes = Mistakes::default();
        settings.check(&[("LISTEN", address.parse().unwrap())], &mut mistakes);
        mistakes.to_string()
    }

    #[test]
    fn without_tokens_only_this_machine_is_answered_unless_told_otherwise() {
        for loopback in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1", "[::ffff:127.0.0.1]:1"] {
            assert_eq!(check(AccessSettings::default(), loopback), "");
        }
        for beyond in ["0.0.0.0:1", "[::]:1", "10.0.0.7:1"] {
            let mistake = check(AccessSettings::default(), beyond);
            assert!(mistake.starts_with(&format!("LISTEN: {beyond} lets")), "{mistake}");
            assert!(mistake.contains("MODASH_TOKENS_FILE"), "{mistake}");
            let open = AccessSettings { insecure_open: true, ..AccessSettings::default() };
            assert_eq!(check(open, beyond), "");
        }
    }

    #[test]
    fn a_tokens_file_that_is_not_there_is_a_mistake() {
        let settings =
            AccessSettings { tokens_file: Some("/nowhere".into()), ..AccessSettings::default() };
        let mistake = check(settings, "0.0.0.0:1");
        assert!(mistake.starts_with("MODASH_TOKENS_FILE: /nowhere cannot be read"), "{mistake}");
    }
}
