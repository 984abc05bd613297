//! Handshakes that failed, counted by what was wrong.

use std::io;

use prometheus_client::metrics::{counter::Counter, family::Family};
use rustls::Error;

use super::listener::AcceptError;
use crate::Description;

/// How many handshakes of a listener failed, by reason. Clones share it.
pub type RefusedHandshakes = Family<[(&'static str, &'static str); 1], Counter>;

/// What is said of such a metric, by its name.
#[must_use]
pub const fn refused_handshakes(name: &'static str) -> Description {
    Description::counter(name, "TLS handshakes with clients that failed, by reason")
        .labelled(&["reason"])
}

/// The client did not finish its handshake in time.
pub const HANDSHAKE_TOO_SLOW: &str = "too_slow";

impl AcceptError {
    /// The reason under which it is counted.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        let error = match self {
            Self::PlainHttp => return "plain_http",
            Self::Broken(_) => return "broken_off",
            Self::Tls(error) => error,
        };
        match tls_error(error) {
            Some(Error::NoCertificatesPresented) => "no_client_certificate",
            Some(Error::InvalidCertificate(_)) => "client_certificate",
            // It does not trust the certificate here, or found another fault.
            Some(Error::AlertReceived(_)) => "refused_by_client",
            Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => "nothing_in_common",
            Some(_) => "not_tls",
            None => "broken_off",
        }
    }
}

fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
}
