//! The two ways to run modash: all in one, and as services of their own.

use std::{net::SocketAddr, path::Path};

use crate::{Process, rpc_value};

/// The all-in-one process.
pub struct AllInOne {
    /// The process.
    pub process: Process,
    /// `http://` and the proxy's address.
    pub proxy: String,
    /// `http://` and the gateway's address.
    pub gateway: String,
    /// Address of analytics.
    pub analytics: SocketAddr,
}

impl AllInOne {
    /// Starts it with a data directory, and waits until it is ready.
    pub async fn start(
        data_directory: &Path,
        settings: &[(&str, String)],
        arguments: &[&str],
    ) -> Self {
        let process = Self::launch(data_directory, settings, arguments);
        process.says("modash is ready").await;
        Self {
            proxy: format!("http://{}", process.address("proxy").await),
            gateway: format!("http://{}", process.address("gateway").await),
            analytics: process.address("analytics").await,
            process,
        }
    }

    /// Starts it and does not wait.
    #[must_use]
    pub fn launch(
        data_directory: &Path,
        settings: &[(&str, String)],
        arguments: &[&str],
    ) -> Process {
        let mut all = vec![
            ("MODASH_DATA_DIRECTORY", data_directory.display().to_string()),
            ("PORT", "0".to_owned()),
        ];
        all.extend(any_ports(&["PROXY_ADMIN", "GATEWAY", "GATEWAY_ADMIN"]));
        all.extend(any_ports(&["ANALYTICS", "ANALYTICS_ADMIN"]));
        all.extend_from_slice(settings);
        Process::start("modash", &all, arguments)
    }
}

/// Three services of their own and a database that somebody else runs.
pub struct Services {
    /// `modash-analytics`.
    pub analytics: Process,
    /// `modash-gateway`.
    pub gateway: Process,
    /// `modash-proxy`.
    pub proxy: Process,
    /// Address of analytics.
    pub analytics_address: SocketAddr,
    /// `http://` and the gateway's address.
    pub gateway_url: String,
    /// `http://` and the proxy's address.
    pub proxy_url: String,
}

impl Services {
    /// Starts all three, and waits until a query is answered.
    pub async fn start(database_url: &str, upstream_url: &str) -> Self {
        Self::start_with(database_url, upstream_url, &[]).await
    }

    /// The same with settings that all three get.
    pub async fn start_with(
        database_url: &str,
        upstream_url: &str,
        common: &[(&'static str, String)],
    ) -> Self {
        let analytics = Self::start_analytics_with(database_url, "127.0.0.1:0", common);
        let analytics_address = analytics.address("analytics").await;
        let analytics_url = format!("http://{analytics_address}");
        let mut settings = any_ports(&["GATEWAY", "GATEWAY_ADMIN"]);
        settings.extend_from_slice(common);
        settings.push(("MODASH_GATEWAY_ANALYTICS_URL", analytics_url.clone()));
        let gateway = Process::start("modash-gateway", &settings, &[]);
        let gateway_url = format!("http://{}", gateway.address("gateway").await);
        let mut settings = any_ports(&["PROXY_ADMIN"]);
        settings.extend_from_slice(common);
        settings.extend([
            ("PORT", "0".to_owned()),
            ("UPSTREAM_URL", upstream_url.to_owned()),
            ("GATEWAY_URL", gateway_url.clone()),
            ("MODASH_PROXY_ANALYTICS_URL", analytics_url),
        ]);
        let proxy = Process::start("modash-proxy", &settings, &[]);
        let proxy_url = format!("http://{}", proxy.address("proxy").await);
        modash_test_support::eventually(crate::PATIENCE, || async {
            rpc_value(&gateway_url, "UsageSummary", &serde_json::json!({})).await
        })
        .await;
        Self { analytics, gateway, proxy, analytics_address, gateway_url, proxy_url }
    }

    /// Starts analytics alone.
    #[must_use]
    pub fn start_analytics(database_url: &str, listen: &str) -> Process {
        Self::start_analytics_with(database_url, listen, &[])
    }

    /// The same with further settings.
    #[must_use]
    pub fn start_analytics_with(
        database_url: &str,
        listen: &str,
        more: &[(&'static str, String)],
    ) -> Process {
        let mut settings = any_ports(&["ANALYTICS_ADMIN"]);
        settings.extend_from_slice(more);
        settings.push(("MODASH_ANALYTICS_LISTEN", listen.to_owned()));
        settings.push(("DATABASE_URL", database_url.to_owned()));
        Process::start("modash-analytics", &settings, &[])
    }
}

/// Free ports for these listeners.
fn any_ports(listeners: &[&str]) -> Vec<(&'static str, String)> {
    const SETTINGS: [&str; 5] = [
        "MODASH_PROXY_ADMIN_LISTEN",
        "MODASH_GATEWAY_LISTEN",
        "MODASH_GATEWAY_ADMIN_LISTEN",
        "MODASH_ANALYTICS_LISTEN",
        "MODASH_ANALYTICS_ADMIN_LISTEN",
    ];
    let wanted = |setting: &&str| {
        listeners.iter().any(|listener| **setting == format!("MODASH_{listener}_LISTEN"))
    };
    SETTINGS.into_iter().filter(wanted).map(|setting| (setting, "127.0.0.1:0".to_owned())).collect()
}
