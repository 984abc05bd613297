//! What an upstream is and what it speaks, asked as seldom as possible: for `modash
//! doctor`. Connections are opened as those of applications are, with the same TLS and
//! the same errors. Nothing is generated unless [`Probe::try_model`] is called.

mod exchange;
mod server;
mod trial;

use std::time::Duration;

use modash_runtime::{Boxed, ClientTls, TlsFileError};

use crate::settings::{BaseUrl, UPSTREAM_PEER, UpstreamConfig};
use exchange::{Answer, Caller};
pub use exchange::{Unreached, UnreachedKind};
use server::Listing;
pub use server::{ServerKind, StreamReports};
pub use trial::{Trial, TrialUsage};

/// How long an upstream may take to answer a question that costs it nothing.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Questions to one upstream.
pub struct Probe {
    base: BaseUrl,
    caller: Caller,
}

/// What an upstream said of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// What it is, as far as it can be told.
    pub kind: ServerKind,
    /// Its version, if it says it.
    pub version: Option<String>,
    /// Names of its models; `None`: it did not list them.
    pub models: Option<Vec<String>>,
    /// Status of the answer to `GET …/v1/models`.
    pub status: u16,
    /// What it said instead of models: the message of an error, cut to a line.
    pub message: Option<String>,
    /// The URL is set with a final `/v1`, which applications send too.
    pub final_v1: Option<FinalV1>,
}

/// A URL with a final `/v1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinalV1 {
    /// The URL without it.
    pub without: String,
    /// The server knows no `/v1/v1`, and does know `/v1`. Else it refused to say.
    pub is_wrong: bool,
}

impl Probe {
    /// Questions to this upstream. `key` is shown with each; most servers list their
    /// models to nobody without one.
    ///
    /// # Errors
    /// If a file of certificates cannot be used.
    pub fn new(
        base: BaseUrl,
        config: &UpstreamConfig,
        key: Option<String>,
    ) -> Result<Self, TlsFileError> {
        let tls = ClientTls::new(
            "the certificates for upstreams",
            UPSTREAM_PEER.files,
            config.tls.clone(),
        )?;
        let caller = Caller::new(base.clone(), tls, config.connect_timeout, key);
        Ok(Self { base, caller })
    }

    /// Asks what it is: `GET /v1/models` and, unless that or its name says enough, one or
    /// two more that local servers answer (`/api/version`, `/props`, `/version`).
    ///
    /// # Errors
    /// If it cannot be reached, or does not answer in HTTP.
    pub async fn look(&mut self) -> Result<Server, Unreached> {
        let path = self.base.base_path().to_owned();
        let models = self.get(&format!("{path}/v1/models")).await?;
        let mut final_v1 = None;
        let mut listing = Listing::of(&models);
        if !models.is_success()
            && let Some(shorter) = without_final_v1(&path)
        {
            let again = self.get(&format!("{shorter}/v1/models")).await?;
            if again.status != 404 {
                let is_wrong = models.status == 404 || again.is_success();
                let url = self.base.to_string();
                let without = url.strip_suffix("/v1").unwrap_or(&url).to_owned();
                final_v1 = Some(FinalV1 { without, is_wrong });
                listing = Listing::of(&again);
            }
        }
        let root = without_final_v1(&path).unwrap_or(&path).to_owned();
        let mut kind = ServerKind::of(self.base.host(), &models, &listing);
        let mut version = None;
        if let Some(own) = kind.own_question(self.is_public()) {
            let answer = self.get(&format!("{root}{own}")).await?;
            (kind, version) = kind.told(&answer);
        }
        // Ollama without a model, and servers that list none.
        if kind == ServerKind::Unknown && models.status == 404 && !self.is_public() {
            let answer = self.get(&format!("{root}/props")).await?;
            (kind, version) = ServerKind::LlamaCpp.told(&answer);
        }
        let message = (models.status != 200).then(|| models.message()).flatten();
        Ok(Server {
            kind,
            version,
            models: listing.names,
            status: models.status,
            message,
            final_v1,
        })
    }

    /// Has a few tokens generated, twice at most, and says whether streams report usage.
    ///
    /// # Errors
    /// If it cannot be reached any more.
    pub async fn try_model(&mut self, kind: ServerKind, model: &str) -> Result<Trial, Unreached> {
        let path = self.base.base_path().to_owned();
        let trial: Boxed<'_, _> = Box::pin(trial::run(&mut self.caller, &path, kind, model));
        trial.await
    }

    fn get<'a>(&'a mut self, path: &'a str) -> Boxed<'a, Result<Answer, Unreached>> {
        Box::pin(self.caller.call("GET", path, String::new(), ANSWER_WITHIN))
    }

    /// Whether it is somebody's service, which is not asked what only programs on one's
    /// own machines answer.
    fn is_public(&self) -> bool {
        let host = self.base.host();
        let private = host == "localhost"
            || host.parse::<std::net::IpAddr>().is_ok()
            || !host.contains('.')
            || [".local", ".internal", ".lan"].iter().any(|end| host.ends_with(end));
        !private && self.base.is_https()
    }
}

/// The path before a final `/v1`.
fn without_final_v1(path: &str) -> Option<&str> {
    path.strip_suffix("/v1")
}
