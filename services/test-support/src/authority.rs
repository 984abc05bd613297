//! Certificates of the test's own making: good ones, expired ones, those of others.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// Signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate.
    pub certificate: CertificateDer<'static>,
    /// The same as PEM.
    pub pem: String,
}

/// A signed certificate and its key.
pub struct Identity {
    /// As PEM.
    pub certificate_pem: String,
    /// As PEM.
    pub key_pem: String,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    /// One of this name.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // Strict verifiers, such as that of Python 3.13, want it said.
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { issuer: Issuer::new(params, key), certificate: der, pem }
    }

    /// A certificate for these names or addresses.
    #[must_use]
    pub fn sign(&self, names: &[&str]) -> Identity {
        self.sign_until(names, 2100)
    }

    /// Expired, if the year is past.
    #[must_use]
    pub fn sign_until(&self, names: &[&str], year: i32) -> Identity {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        }
    }

    /// Its certificate as a file.
    pub fn write(&self, directory: &Path) -> PathBuf {
        let path = directory.join("authority.pem");
        std::fs::write(&path, &self.pem).unwrap();
        path
    }

    /// A client that trusts it alone, offers these protocols by ALPN, and shows a
    /// certificate if there is one.
    #[must_use]
    pub fn client(&self, protocols: &[&str], identity: Option<&Identity>) -> ClientConfig {
        let builder = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(self.roots());
        let mut config = match identity {
            Some(Identity { certificate, key, .. }) => {
                let chain = vec![certificate.clone()];
                builder.with_client_auth_cert(chain, key.clone_key()).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// The certificates that are trusted if this authority is.
    #[must_use]
    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        roots
    }
}

impl Identity {
    /// Certificate and key as files.
    pub fn write(&self, directory: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (directory.join("client.pem"), directory.join("client.key"));
        std::fs::write(&certificate, &self.certificate_pem).unwrap();
        std::fs::write(&key, &self.key_pem).unwrap();
        (certificate, key)
    }

    /// A server that shows it and asks clients for nothing.
    #[must_use]
    pub fn server(&self) -> ServerConfig {
        let builder = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        builder.with_single_cert(vec![self.certificate.clone()], self.key.clone_key()).unwrap()
    }

    /// Certificate and key as a configuration takes them.
    #[must_use]
    pub fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        (vec![self.certificate.clone()], self.key.clone_key())
    }

    /// Whether it is this certificate.
    #[must_use]
    pub fn is(&self, certificate: Option<&CertificateDer<'static>>) -> bool {
        certificate == Some(&self.certificate)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}
