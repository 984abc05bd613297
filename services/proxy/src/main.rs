//! The proxy as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use modash_proxy::{Error, Proxy, ProxySettings};
use modash_runtime::{Mistakes, ProcessSettings, parse, run};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Forwards LLM API traffic unchanged and sends what it used to analytics.
#[derive(Debug, Parser)]
#[command(name = "modash-proxy", version)]
struct Cli {
    #[command(flatten)]
    proxy: ProxySettings,
    #[command(flatten)]
    process: ProcessSettings,
}

fn main() -> ExitCode {
    let cli: Cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let mut mistakes = Mistakes::default();
    let (proxy, process) = (cli.proxy.check(&mut mistakes), cli.process.check(&mut mistakes));
    if let Some(proxy) = &proxy {
        mistakes.require(
            proxy.upstream.is_some(),
            "UPSTREAM_URL",
            "is not set; give the base URL of the LLM server, for example \
             https://api.openai.com or http://127.0.0.1:11434",
        );
    }
    match (proxy, process) {
        (Some(proxy), Some(process)) if mistakes.is_empty() => {
            run("modash-proxy", process, async |context| {
                Proxy::bind(proxy.with_default_spool()).await?.run(context).await?;
                Ok::<_, Error>(())
            })
        }
        _ => mistakes.report("modash-proxy"),
    }
}
