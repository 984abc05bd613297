//! Certificates and keys from PEM files, for clients and upstreams alike.

use std::path::{Path, PathBuf};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

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

    /// It can be read, and something else is wrong with it.
    pub(crate) fn unusable(
        setting: &'static str,
        path: &Path,
        error: &dyn std::error::Error,
    ) -> Self {
        Self::new(setting, path, format!("is not usable: {error}"))
    }
}

/// All certificates of a file; at least one.
pub(crate) fn certificates(
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
pub(crate) fn private_key(
    setting: &'static str,
    path: &Path,
) -> Result<PrivateKeyDer<'static>, TlsFileError> {
    PrivateKeyDer::from_pem_file(path).map_err(|error| unreadable(setting, path, &error))
}

/// Trusts the certificates of a file too.
pub(crate) fn add_authorities(
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
