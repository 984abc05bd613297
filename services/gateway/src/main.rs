//! The process `modash-gateway`: settings, bind, run, exit code.

use std::process::ExitCode;

use clap::Parser;
use modash_access::AccessSettings;
use modash_gateway::{Gateway, GatewaySettings};
use modash_runtime::{Mistakes, ProcessSettings};

/// Serves the dashboard, its JSON and its live events.
#[derive(Debug, Parser)]
#[command(name = "modash-gateway", version)]
struct Settings {
    #[command(flatten)]
    gateway: GatewaySettings,
    #[command(flatten)]
    access: AccessSettings,
    #[command(flatten)]
    process: ProcessSettings,
}

fn main() -> ExitCode {
    let settings: Settings = match modash_runtime::parse() {
        Ok(settings) => settings,
        Err(code) => return code,
    };
    let mut mistakes = Mistakes::default();
    let mut gateway = settings.gateway.check(&mut mistakes);
    if let Some(gateway) = &mut gateway {
        let listeners = [("MODASH_GATEWAY_LISTEN", gateway.listen)];
        if let Some(access) = settings.access.check(&listeners, &mut mistakes) {
            gateway.access = access;
        }
    }
    let process = settings.process.check(&mut mistakes);
    let (Some(gateway), Some(process), true) = (gateway, process, mistakes.is_empty()) else {
        return mistakes.report("modash-gateway");
    };
    modash_runtime::run("modash-gateway", process, async |context| {
        Gateway::bind(gateway).await?.run(context).await
    })
}
