//! `modash open`: shows the dashboard of the modash that runs, in the browser.

use std::{
    io::Write as _,
    net::{SocketAddr, TcpStream},
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use clap::Args;
use modash_runtime::Mistakes;

use crate::{Config, Settings, banner::reachable};

/// How long the gateway may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// How to show it.
#[derive(Debug, Clone, Args)]
pub struct OpenOptions {
    /// Print the address and start no browser
    #[arg(long)]
    print: bool,
}

/// Prints the address of the dashboard and opens it.
pub(crate) fn main(options: &OpenOptions, settings: Settings) -> ExitCode {
    let mut mistakes = Mistakes::default();
    let config = match settings.check(&mut mistakes) {
        Some(config) if mistakes.is_empty() => config,
        _ => return mistakes.report("modash"),
    };
    let address = config.gateway.listen;
    if let Err(problem) = answers(address) {
        let _ = writeln!(
            std::io::stderr(),
            "modash: no dashboard answers at {address} ({problem}); start modash, or say where it \
             listens with MODASH_GATEWAY_LISTEN"
        );
        return ExitCode::FAILURE;
    }
    let scheme = if config.gateway.tls.is_some() { "https" } else { "http" };
    let url = format!("{scheme}://{}", reachable(address));
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{url}");
    if let Some(hint) = sign_in(&config) {
        let _ = writeln!(out, "{hint}");
    }
    if !options.print
        && let Err(problem) = browse(&url)
    {
        // The address is there; that is enough on a machine without a screen.
        let _ = writeln!(std::io::stderr(), "modash: {problem}; open the address yourself");
    }
    ExitCode::SUCCESS
}

/// Whether something listens there.
fn answers(address: SocketAddr) -> std::io::Result<()> {
    let mut address = address;
    if address.ip().is_unspecified() {
        address.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
    }
    TcpStream::connect_timeout(&address, CONNECT_WITHIN).map(|_| ())
}

/// What a browser is asked for, where there are tokens. A token never goes into an
/// address, which browsers keep and show.
fn sign_in(config: &Config) -> Option<String> {
    if config.access.is_open() {
        return None;
    }
    let file = config.database.data_directory.join("dashboard.token");
    Some(if file.exists() {
        format!("sign in with the token in {}", file.display())
    } else {
        "sign in with a token of the role read or admin; `modash token new` makes one".to_owned()
    })
}

fn browse(url: &str) -> Result<(), String> {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let mut command = Command::new(program);
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{program} failed ({status})")),
        Err(error) => Err(format!("{program} cannot be started: {error}")),
    }
}
