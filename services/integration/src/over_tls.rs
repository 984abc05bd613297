//! Three services that speak TLS: analytics and the gateway with their callers, and
//! proxy and gateway with analytics. The certificates are those of an authority that
//! nobody knows but the test.

use std::path::{Path, PathBuf};

use modash_access::Role;
use modash_test_support::{Authority, TestDatabase, TokensFile, eventually};
use tempfile::TempDir;

use crate::{PATIENCE, Process, get};

/// The services, with a database of their own.
pub struct ServicesOverTls {
    /// `https://` and the address of analytics.
    pub analytics: String,
    /// `https://` and the address of the gateway.
    pub gateway: String,
    /// `http://` and the address of the proxy.
    pub proxy: String,
    /// File of the certificate of the authority.
    pub authority: PathBuf,
    _processes: [Process; 3],
    _database: TestDatabase,
    _files: TempDir,
}

/// Settings of a service as they are given.
type Settings = Vec<(&'static str, String)>;

impl ServicesOverTls {
    /// Starts all three in front of an upstream, and waits until analytics is ready.
    /// With a tokens file they ask for tokens; that of the proxy is added.
    /// `dashboard`: a folder that the gateway serves in place of the dashboard.
    ///
    /// # Panics
    /// If a file cannot be written.
    pub async fn start(
        upstream: &str,
        tokens: Option<&TokensFile>,
        dashboard: Option<&Path>,
    ) -> Self {
        let files = tempfile::tempdir().expect("a directory can be made");
        let authority = Authority::new("of the test");
        let authority_file = authority.write(files.path());
        let certificates = text(&authority_file);
        let identity = authority.sign(&["localhost", "127.0.0.1"]);
        let (certificate, key) = identity.write(files.path());
        let database = TestDatabase::create().await;
        let common: Settings =
            tokens.map(|tokens| ("MODASH_TOKENS_FILE", text(&tokens.path()))).into_iter().collect();

        let mut settings = common.clone();
        // Analytics must know the page that asks it before that page has a port.
        let gateway_listen = free_address();
        settings.extend([
            ("MODASH_ANALYTICS_CORS_ORIGINS", format!("https://{gateway_listen}")),
            ("MODASH_ANALYTICS_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_ANALYTICS_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_ANALYTICS_TLS_CERT_FILE", text(&certificate)),
            ("MODASH_ANALYTICS_TLS_KEY_FILE", text(&key)),
            ("DATABASE_URL", database.url()),
        ]);
        let analytics = Process::start("modash-analytics", &settings, &[]);
        let url = format!("https://{}", analytics.address("analytics").await);

        let mut settings = common;
        settings.extend([
            ("MODASH_GATEWAY_LISTEN", gateway_listen),
            ("MODASH_GATEWAY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("MODASH_GATEWAY_TLS_CERT_FILE", text(&certificate)),
            ("MODASH_GATEWAY_TLS_KEY_FILE", text(&key)),
            ("MODASH_GATEWAY_ANALYTICS_URL", url.clone()),
            ("MODASH_GATEWAY_DASHBOARD_ANALYTICS_URL", url.clone()),
            ("MODASH_GATEWAY_ANALYTICS_CA_FILE", certificates.clone()),
        ]);
        settings.extend(dashboard.map(|folder| ("MODASH_GATEWAY_DASHBOARD_DIR", text(folder))));
        let gateway = Process::start("modash-gateway", &settings, &[]);
        let gateway_url = format!("https://{}", gateway.address("gateway").await);

        let mut settings: Settings = vec![
            ("PORT", "0".to_owned()),
            ("MODASH_PROXY_ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
            ("UPSTREAM_URL", upstream.to_owned()),
            ("MODASH_PROXY_ANALYTICS_URL", url.clone()),
            ("MODASH_PROXY_ANALYTICS_CA_FILE", certificates),
        ];
        if let Some(tokens) = tokens {
            let token = tokens.add("proxy", Role::Ingest);
            let file = files.path().join("proxy.token");
            std::fs::write(&file, token.expose()).expect("a file can be written");
            settings.push(("MODASH_PROXY_ANALYTICS_TOKEN_FILE", text(&file)));
        }
        let proxy = Process::start("modash-proxy", &settings, &[]);
        let proxy_url = format!("http://{}", proxy.address("proxy").await);

        let ready = format!("http://{}/readyz", analytics.address("analytics admin").await);
        eventually(PATIENCE, || async {
            get(&ready).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
        Self {
            analytics: url,
            gateway: gateway_url,
            proxy: proxy_url,
            authority: authority_file,
            _processes: [analytics, gateway, proxy],
            _database: database,
            _files: files,
        }
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// An address that nobody listened on a moment ago: two services must know each other's
/// before both start.
fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a listener has an address").to_string()
}
