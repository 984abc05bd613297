//! The files behind TLS, all PEM, and the settings that name them.

use std::path::{Path, PathBuf};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::Mistakes;

/// Names of the three settings of one side of TLS.
#[derive(Debug, Clone, Copy)]
pub struct TlsSettings {
    /// Of the certificate with its chain.
    pub certificate: &'static str,
    /// Of the certificate's private key.
    pub key: &'static str,
    /// Of the authorities whose certificates are accepted.
    pub authorities: &'static str,
}

/// The files of a listener.
#[derive(Debug, Clone)]
pub struct ListenerTlsFiles {
    /// The certificate that is shown to clients, and those that it was signed by.
    pub certificate: PathBuf,
    /// The certificate's private key.
    pub key: PathBuf,
    /// Authorities of the certificates that clients have to show; `None`: they
    /// need none.
    pub client_authorities: Option<PathBuf>,
}

/// The files of a client.
#[derive(Debug, Clone, Default)]
pub struct ClientTlsFiles {
    /// Certificate authorities beside those of the system.
    pub authorities: Option<PathBuf>,
    /// The certificate that is shown to servers, and those that it was signed by.
    pub certificate: Option<PathBuf>,
    /// The certificate's private key.
    pub key: Option<PathBuf>,
}

impl ListenerTlsFiles {
    /// What is set, in the order certificate, key, authorities. `None`: no TLS, or a
    /// mistake, which is noted.
    pub fn check(
        settings: &TlsSettings,
        [certificate, key, authorities]: [Option<PathBuf>; 3],
        mistakes: &mut Mistakes,
    ) -> Option<Self> {
        require_pair(settings, certificate.is_some(), key.is_some(), mistakes);
        mistakes.require(
            authorities.is_none() || certificate.is_some(),
            settings.authorities,
            format!("needs {} and {} beside it", settings.certificate, settings.key),
        );
        let pair = certificate.zip(key);
        pair.map(|(certificate, key)| Self { certificate, key, client_authorities: authorities })
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        let all = [Some(&self.certificate), Some(&self.key), self.client_authorities.as_ref()];
        all.into_iter().flatten().cloned().collect()
    }
}

impl ClientTlsFiles {
    /// What is set, in the order certificate, key, authorities. A mistake is noted.
    pub fn check(
        settings: &TlsSettings,
        [certificate, key, authorities]: [Option<PathBuf>; 3],
        mistakes: &mut Mistakes,
    ) -> Self {
        require_pair(settings, certificate.is_some(), key.is_some(), mistakes);
        Self { authorities, certificate, key }
    }

    pub(super) fn paths(&self) -> Vec<PathBuf> {
        [&self.authorities, &self.certificate, &self.key].into_iter().flatten().cloned().collect()
    }
}

fn require_pair(settings: &TlsSettings, certificate: bool, key: bool, mistakes: &mut Mistakes) {
    mistakes.require(
        certificate == key,
        settings.certificate,
        format!("needs {} beside it, and the other way round", settings.key),
    );
}

/// A file that is no good; its text begins with the name of the setting.
#[derive(Debug, thiserror::Error)]
#[error("{setting} ({}) {problem}", .path.display())]
pub struct TlsFileError {
    setting: &'static str,
    path: PathBuf,
    problem: String,
}

impl TlsFileError {
    fn new(setting: &'static str, path: &Path, problem: String) -> Self {
        Self { setting, path: path.to_owned(), problem }
    }

    /// The file can be read, and something else is wrong with it.
    pub(super) fn unusable(
        setting: &'static str,
        path: &Path,
        error: &dyn std::error::Error,
    ) -> Self {
        Self::new(setting, path, format!("is not usable: {error}"))
    }
}

/// All certificates of a file; at least one.
pub(super) fn certificates(
    setting: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsFileError> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .map_err(|error| unreadable(setting, path, &error))?;
    if certificates.is_empty() {
        return Err(TlsFileError::new(setting, path, "holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// The private key of a file.
pub(super) fn private_key(
    setting: &'static str,
    path: &Path,
) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(setting, path, &error))
}

/// Trusts the certificates of a file too.
pub(super) fn add_authorities(
    roots: &mut RootCertStore,
    setting: &'static str,
    path: &Path,
) -> Result<(), TlsFileError> {
    for certificate in certificates(setting, path)? {
        let added = roots.add(certificate);
        added.map_err(|error| TlsFileError::unusable(setting, path, &error))?;
    }
    Ok(())
}

fn unreadable(setting: &'static str, path: &Path, error: &dyn std::error::Error) -> TlsFileError {
    TlsFileError::new(setting, path, format!("cannot be read as PEM: {error}"))
}
