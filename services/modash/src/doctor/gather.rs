//! Collects facts: the only part of the doctor that asks anybody. Everything is asked at
//! the same time, and nothing is changed.

use std::{
    net::{SocketAddr, TcpListener},
    path::{Path, PathBuf},
};

use modash_analytics::{DatabaseUrl, Inspected, inspect};
use modash_embedded_postgres::{Config as PostgresConfig, State, url_of_running};
use modash_proxy::{
    BaseUrl, UpstreamConfig,
    probe::{Probe, Unreached, UnreachedKind},
};
use modash_runtime::{BindError, proxy_variables, raise_file_limit};
use rustix::fs::{Access, access, statvfs};

use super::{
    DoctorOptions,
    facts::{
        Chosen, Database, Disk, Facts, Listener, PortState, Purpose, TlsFiles, Upstream, Upstreams,
    },
    owner,
};
use crate::{Config, DatabaseConfig, all_in_one::listeners, database, local_server};

/// Free space that a private database needs to be started for a look.
const ROOM_TO_START: u64 = 64 << 20;

/// Names of the programs that listen on these ports, as the system keeps them: 15 bytes.
const SERVICES: [&str; 4] = ["modash", "modash-proxy", "modash-gateway", "modash-analytic"];

/// Collects facts.
pub(crate) async fn gather(config: Config, options: &DoctorOptions) -> Facts {
    let disks = disks(&config);
    let tls = tls(&config);
    let stream_usage = config.proxy.stream_usage;
    let client_tokens = !config.proxy.client_tokens.is_open();
    let (upstreams, database, listen_database, read_database, listeners) = tokio::join!(
        upstreams(&config, options),
        look_at_database(&config, &disks),
        look_at(config.analytics.listen_database_url.as_ref()),
        look_at(config.analytics.read_database_url.as_ref()),
        ports(&config),
    );
    Facts {
        upstreams,
        stream_usage,
        database,
        listen_database,
        read_database,
        disks,
        listeners,
        tls,
        file_limit: raise_file_limit(),
        proxy_variables: proxy_variables(),
        client_tokens,
    }
}

async fn upstreams(config: &Config, options: &DoctorOptions) -> Upstreams {
    if config.demo {
        return Upstreams {
            configured: Vec::new(),
            chosen: Chosen::Simulated,
            key_withheld: false,
        };
    }
    let (unnamed, chosen) = match &config.proxy.upstream {
        Some(url) => (Some(url.clone()), Chosen::BySetting),
        None => match local_server::running().await {
            Some(url) => (Some(url), Chosen::ByPort),
            None => (None, Chosen::ByNothing),
        },
    };
    let unnamed = unnamed.map(|url| (None, url));
    let named = config.proxy.named_upstreams.iter();
    let named = named.map(|(name, url)| (Some(name.clone()), url.clone()));
    let all: Vec<_> = unnamed.into_iter().chain(named).collect();
    let several = all.windows(2).any(|two| two[0].1.authority() != two[1].1.authority());
    let key_withheld = several && options.api_key.is_some();
    let mut options = options.clone();
    options.api_key = options.api_key.filter(|_| !several);
    let looking: Vec<_> = all
        .into_iter()
        .map(|(name, url)| {
            let (config, options) = (config.proxy.upstream_config.clone(), options.clone());
            tokio::spawn(async move { upstream(name, url, &config, &options).await })
        })
        .collect();
    let mut configured = Vec::new();
    for upstream in looking {
        match upstream.await {
            Ok(upstream) => configured.push(upstream),
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
    Upstreams { configured, chosen, key_withheld }
}

async fn upstream(
    name: Option<String>,
    url: BaseUrl,
    config: &UpstreamConfig,
    options: &DoctorOptions,
) -> Upstream {
    let (shown, is_https) = (url.to_string(), url.is_https());
    let key = options.api_key.clone();
    let with_key = key.is_some();
    let (found, trial) = match Probe::new(url, config, key) {
        Ok(mut probe) => {
            let found = probe.look().await;
            // One model, one upstream: that without a name.
            let model = options.r#try.as_ref().filter(|_| name.is_none());
            let trial = match (&found, model) {
                (Ok(server), Some(model)) => Some(probe.try_model(server.kind, model).await),
                _ => None,
            };
            (found, trial)
        }
        Err(error) => {
            let why = error.to_string();
            (Err(Unreached { kind: UnreachedKind::Tls, why }), None)
        }
    };
    Upstream { name, url: shown, is_https, with_key, found, trial }
}

async fn look_at(url: Option<&DatabaseUrl>) -> Option<(String, Inspected)> {
    let url = url?;
    Some((url.to_string(), inspect(url).await))
}

async fn look_at_database(config: &Config, disks: &[Disk]) -> Database {
    if let Some(url) = &config.analytics.database_url {
        return Database::External { url: url.to_string(), inspected: inspect(url).await };
    }
    let directory = config.database.directory();
    let postgres = PostgresConfig {
        binaries: config.database.postgres_binaries.clone(),
        ..PostgresConfig::new(&directory)
    };
    let asked = postgres.clone();
    let inspecting = tokio::task::spawn_blocking(move || modash_embedded_postgres::inspect(&asked));
    let inspection = match inspecting.await {
        Ok(inspection) => inspection,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    };
    let inside = match &inspection.state {
        State::InUse(_) => match url_of_running(&directory) {
            Ok(url) => Some(inside(&url).await),
            Err(error) => Some(Err(error.to_string())),
        },
        // Only its server can read it. It is started as for `modash data size`.
        State::Ready if inspection.programs.is_ok() && has_room(disks) => {
            Some(started(&config.database, config).await)
        }
        State::Ready | State::Absent | State::Refused(_) => None,
    };
    Database::Private { directory, inspection, inside }
}

async fn started(database: &DatabaseConfig, config: &Config) -> Result<Inspected, String> {
    let mut analytics = config.analytics.clone();
    let running = database::Database::start_or_join(database, &mut analytics).await;
    let running = running.map_err(|error| error.to_string())?;
    let inspected = match &analytics.database_url {
        Some(url) => Ok(inspect(url).await),
        None => Err("it has no address".to_owned()),
    };
    running.stop().await;
    inspected
}

async fn inside(url: &str) -> Result<Inspected, String> {
    let url = url.parse().map_err(|error: &str| error.to_owned())?;
    Ok(inspect(&url).await)
}

fn has_room(disks: &[Disk]) -> bool {
    let data = disks.iter().find(|disk| disk.purpose == Purpose::Data);
    data.is_none_or(|disk| disk.free.as_ref().is_ok_and(|free| *free >= ROOM_TO_START))
}

fn disks(config: &Config) -> Vec<Disk> {
    let data = &config.database.data_directory;
    let spool = config.proxy.spool_directory.clone().unwrap_or_else(|| data.join("spool"));
    let mut disks = Vec::new();
    if config.analytics.database_url.is_none() {
        disks.push(disk(Purpose::Data, data, None));
    }
    disks.push(disk(Purpose::Spool, &spool, Some(config.proxy.spool_bytes)));
    disks
}

fn disk(purpose: Purpose, path: &Path, most: Option<u64>) -> Disk {
    let there = existing(path);
    let free = statvfs(&there)
        .map(|found| found.f_bavail.saturating_mul(found.f_frsize))
        .map_err(|error| error.to_string());
    let writable = access(&there, Access::WRITE_OK | Access::EXEC_OK).is_ok();
    Disk { purpose, path: path.to_owned(), free, writable, most }
}

/// The directory itself, or the nearest one above it that exists.
fn existing(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let found = path.ancestors().find(|ancestor| ancestor.exists());
    found.unwrap_or(Path::new("/")).to_owned()
}

fn tls(config: &Config) -> TlsFiles {
    let mut tls = TlsFiles::default();
    let checks = [
        config.proxy.clients.tls.as_ref().map(modash_proxy::check_listener_tls),
        config.gateway.tls.as_ref().map(modash_gateway::check_listener_tls),
    ];
    for check in checks.into_iter().flatten() {
        tls.listeners += 1;
        tls.problems.extend(check.err().map(|error| error.to_string()));
    }
    tls
}

async fn ports(config: &Config) -> Vec<Listener> {
    let mut found = Vec::new();
    for (purpose, setting, address) in listeners(config) {
        let is_https = match setting {
            "PORT" => config.proxy.clients.tls.is_some(),
            "MODASH_GATEWAY_LISTEN" => config.gateway.tls.is_some(),
            _ => false,
        };
        let state = match TcpListener::bind(address) {
            Ok(_) => PortState::Free,
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                taken(config, address).await
            }
            Err(error) => {
                let error = BindError::new(purpose, setting, address, &error);
                PortState::Unusable(error.to_string())
            }
        };
        found.push(Listener { purpose, setting, address, is_https, state });
    }
    found
}

/// Whose the port is.
async fn taken(config: &Config, address: SocketAddr) -> PortState {
    match owner::of_port(address) {
        Some(owner) if SERVICES.contains(&owner.name.as_str()) => PortState::Modash,
        Some(owner) => {
            PortState::Taken(Some(format!("{} (process {})", owner.name, owner.process)))
        }
        // Another user's process, or not Linux: then the lock of its data tells.
        None if runs_elsewhere(config) => PortState::Modash,
        None => PortState::Taken(None),
    }
}

fn runs_elsewhere(config: &Config) -> bool {
    let directory = config.database.directory();
    config.analytics.database_url.is_none()
        && matches!(
            modash_embedded_postgres::inspect(&PostgresConfig::new(directory)).state,
            State::InUse(_)
        )
}
