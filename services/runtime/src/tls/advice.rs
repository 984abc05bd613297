//! What a failed TLS connection means, and what to do about it.

use std::io;

use rustls::{AlertDescription, CertificateError};

use super::TlsSettings;

/// A server as errors describe it.
#[derive(Debug, Clone, Copy)]
pub struct TlsPeer {
    /// The settings that name the files used towards it.
    pub files: TlsSettings,
    /// Where its name comes from: `the upstream's URL`.
    pub url: &'static str,
    /// What to do if it speaks no version of HTTP that was offered.
    pub http: &'static str,
}

/// What a failed connection says about TLS and what to do about it; `None` if it is
/// about something else.
#[must_use]
pub fn tls_advice(error: &(dyn std::error::Error + 'static), peer: &TlsPeer) -> Option<String> {
    let error = tls_error(error)?;
    Some(match todo(error, peer) {
        Some(todo) => format!("TLS: {todo} ({error})"),
        None => format!("TLS: {error}"),
    })
}

/// The error of TLS among the causes of another one.
pub(super) fn tls_error<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref() {
            return Some(error);
        }
        cause = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}

/// What to do, without names of hosts.
pub(super) fn todo(error: &rustls::Error, peer: &TlsPeer) -> Option<String> {
    use CertificateError as Bad;
    let TlsPeer { files, url, http } = peer;
    Some(match error {
        rustls::Error::InvalidCertificate(Bad::Expired | Bad::ExpiredContext { .. }) => {
            "its certificate has expired: renew it there, and check this machine's clock".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::NotValidYet | Bad::NotValidYetContext { .. }) => {
            "its certificate is not valid yet: check this machine's clock".to_owned()
        }
        rustls::Error::InvalidCertificate(Bad::UnknownIssuer) => format!(
            "its certificate is signed by an authority that is not trusted here: \
             if it should be, give that authority's certificate in {}",
            files.authorities
        ),
        rustls::Error::InvalidCertificate(
            Bad::NotValidForName | Bad::NotValidForNameContext { .. },
        ) => format!(
            "its certificate is for another host: use a name that the certificate has in {url}"
        ),
        rustls::Error::AlertReceived(
            AlertDescription::CertificateRequired
            | AlertDescription::BadCertificate
            | AlertDescription::UnknownCA
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateExpired
            | AlertDescription::AccessDenied
            | AlertDescription::DecryptError,
        ) => format!(
            "it refuses modash's client certificate, or wants one: see {} and {}",
            files.certificate, files.key
        ),
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol) => {
            format!("it does not speak the version of HTTP that was offered: {http}")
        }
        rustls::Error::InvalidMessage(_) => {
            "it does not answer with TLS: should its URL begin with http://?".to_owned()
        }
        _ => return None,
    })
}
