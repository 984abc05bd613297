//! The proxy as a process of its own.

use std::process::ExitCode;

use clap::Parser;
use modash_access::AccessSettings;
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
    access: AccessSettings,
    #[command(flatten)]
    process: ProcessSettings,
}

fn main() -> ExitCode {
    let cli: Cli = match parse() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    let mut mistakes = Mistakes::default();
    let (mut proxy, process) = (cli.proxy.check(&mut mistakes), cli.process.check(&mut mistakes));
    if let Some(proxy) = &mut proxy {
        // Its port is the applications'; the tokens are for its metrics, and for what
        // it hands on to the gateway, which takes the proxy for a program beside it.
        let to_gateway = proxy.gateway.is_some().then_some(("MODASH_PROXY_HOST", proxy.listen));
        if let Some(access) = cli.access.check(to_gateway.as_slice(), &mut mistakes) {
            proxy.access = access.clone();
            proxy.gateway_access = access;
        }
    }
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
