//! Without `UPSTREAM_URL`: which LLM server runs on this machine?

use std::{net::SocketAddr, time::Duration};

use modash_proxy::BaseUrl;
use tokio::{net::TcpStream, time::timeout};

/// Local servers and the ports that they use unless told otherwise.
const KNOWN: [(&str, u16); 5] = [
    ("LM Studio", 1234),
    ("Ollama", 11434),
    ("llama.cpp", 8080),
    ("vLLM", 8000),
    ("SGLang", 30000),
];

/// An upstream that nobody named.
pub(crate) struct LocalServer {
    /// Its address.
    pub(crate) url: BaseUrl,
    /// How it was chosen, for the banner.
    pub(crate) note: String,
}

/// The first known server whose port answers; else the first known one, which
/// may be started later.
pub(crate) async fn find() -> Option<LocalServer> {
    if let Some((name, port)) = answering().await {
        let note = format!("found running, {name}'s port; UPSTREAM_URL chooses another");
        return Some(LocalServer { url: url(port)?, note });
    }
    let (name, port) = KNOWN[0];
    let note = format!(
        "{name}'s port; nothing listens there yet; for a server on another port, start modash again \
         when it runs, or set UPSTREAM_URL"
    );
    Some(LocalServer { url: url(port)?, note })
}

/// The first known server whose port answers.
pub(crate) async fn running() -> Option<BaseUrl> {
    let (_, port) = answering().await?;
    url(port)
}

async fn answering() -> Option<(&'static str, u16)> {
    for (name, port) in KNOWN {
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let connected = timeout(Duration::from_millis(200), TcpStream::connect(address)).await;
        if matches!(connected, Ok(Ok(_))) {
            return Some((name, port));
        }
    }
    None
}

fn url(port: u16) -> Option<BaseUrl> {
    format!("http://127.0.0.1:{port}").parse().ok()
}
