//! One process that asks for tokens, and what was told to it.

use std::net::SocketAddr;

use http::{HeaderMap, StatusCode};
use modash_access::Token;
use modash_integration::{AllInOne, Reply, get_with};
use modash_runtime::Shutdown;
use modash_simulator::{Simulator, SimulatorConfig};
use modash_test_support::TokensFile;
use tempfile::TempDir;

/// `modash` with a tokens file and a simulated LLM server.
pub(crate) struct System {
    pub(crate) tokens: TokensFile,
    pub(crate) modash: AllInOne,
    _directory: TempDir,
}

impl System {
    /// Starts it with more settings.
    pub(crate) async fn start(tokens: TokensFile, settings: &[(&str, String)]) -> Self {
        let simulator = Simulator::bind(SimulatorConfig::default()).await.unwrap();
        let upstream = simulator.url();
        tokio::spawn(simulator.run(Shutdown::new(std::time::Duration::from_secs(1))));
        // The database's account has to enter it too.
        let directory = TempDir::new().unwrap();
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let mut all = vec![
            ("UPSTREAM_URL", upstream),
            ("MODASH_TOKENS_FILE", tokens.path().display().to_string()),
        ];
        all.extend_from_slice(settings);
        let modash = AllInOne::start(directory.path(), &all, &[]).await;
        Self { tokens, modash, _directory: directory }
    }

    /// Where an admin server listens: of `proxy`, `gateway` or `analytics`.
    pub(crate) async fn admin(&self, service: &str) -> SocketAddr {
        self.modash.process.address(&format!("{service} admin")).await
    }
}

/// A GET that shows a token, or none.
pub(crate) async fn get(url: &str, token: Option<&Token>) -> (StatusCode, HeaderMap, String) {
    let bearer = token.map(|token| format!("Bearer {}", token.expose()));
    let headers: Vec<_> = bearer.iter().map(|bearer| ("authorization", bearer.as_str())).collect();
    let Reply { status, headers, body } = get_with(url, &headers).await.unwrap();
    (status, headers, String::from_utf8_lossy(&body).into_owned())
}
