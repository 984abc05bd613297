//! What shells and `man` need: completions, and a page about all commands. Both are made
//! from the command line itself, so they cannot fall behind it.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::cli::Cli;

/// Writes the script that completes commands, flags and values.
pub(crate) fn completions(shell: Shell) -> ExitCode {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "modash", &mut script);
    print(&script)
}

/// Writes the manual page.
pub(crate) fn man() -> ExitCode {
    match page() {
        Ok(page) => print(&page),
        Err(_) => ExitCode::FAILURE,
    }
}

/// Whoever closed standard output has read enough.
fn print(bytes: &[u8]) -> ExitCode {
    let _ = io::stdout().write_all(bytes);
    ExitCode::SUCCESS
}

/// The page: the program, each of its commands, and the settings.
fn page() -> io::Result<Vec<u8>> {
    let program = Cli::command();
    let mut page = Vec::new();
    let man = Man::new(program.clone()).manual("modash");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    // That of the library would list all settings once more.
    writeln!(page, ".SH SYNOPSIS\n.B modash\n[\\fISETTINGS\\fR] [\\fICOMMAND\\fR]")?;
    man.render_description_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for (path, command) in commands(&program, "modash") {
        writeln!(page, ".SS {}", path.replace('-', "\\-"))?;
        // Without its own help flag, which is everywhere.
        let man = Man::new(command.disable_help_flag(true).disable_help_subcommand(true));
        page.extend(without_headings(|part| man.render_description_section(part))?);
        page.extend(without_headings(|part| man.render_options_section(part))?);
    }
    man.render_options_section(&mut page)?;
    Ok(page)
}

/// All commands below this one, each with its whole name.
fn commands(command: &Command, path: &str) -> Vec<(String, Command)> {
    let mut found = Vec::new();
    for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
        let path = format!("{path} {}", command.get_name());
        let below = commands(command, &path);
        if below.is_empty() {
            found.push((path, command.clone()));
        }
        found.extend(below);
    }
    found
}

fn without_headings(
    render: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
) -> io::Result<Vec<u8>> {
    let mut part = Vec::new();
    render(&mut part)?;
    let text = String::from_utf8_lossy(&part);
    let kept = text.lines().filter(|line| !line.starts_with(".SH") && !line.starts_with(".ie"));
    let kept = kept.filter(|line| !line.starts_with(".el"));
    Ok(kept.map(|line| format!("{line}\n")).collect::<String>().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_all_commands_and_all_settings() {
        let page = String::from_utf8(page().unwrap()).unwrap();
        let program = Cli::command();
        let commands = commands(&program, "modash");
        assert!(commands.len() > 20, "{}", commands.len());
        for (path, command) in &commands {
            assert!(page.contains(&format!(".SS {}\n", path.replace('-', "\\-"))), "{path}");
            for flag in command.get_arguments().filter_map(clap::Arg::get_long) {
                assert!(page.contains(&flag.replace('-', "\\-")), "{path} --{flag}");
            }
        }
        for setting in program.get_arguments().filter_map(|arg| arg.get_env()?.to_str()) {
            assert!(page.contains(setting), "{setting}");
        }
    }

    #[test]
    fn completions_know_all_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "modash", &mut script);
            let script = String::from_utf8(script).unwrap();
            for (path, _) in commands(&Cli::command(), "modash") {
                let name = path.rsplit_once(' ').unwrap().1.to_owned();
                assert!(script.contains(&name), "{shell}: {path}");
            }
        }
    }
}
