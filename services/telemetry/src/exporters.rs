//! Exporters of `opentelemetry-otlp`, with TLS by the library and the files of the
//! standard variables.

use std::fmt::Display;

use opentelemetry_otlp::{MetricExporter, SpanExporter, WithHttpConfig as _, WithTonicConfig as _};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tonic::transport::{Certificate, ClientTlsConfig, Identity};

use crate::{
    StartError,
    client::OtlpClient,
    environment::{Protocol, Signal},
};

/// Exports spans. Its connections work on the runtime of the caller.
pub(crate) fn span_exporter(signal: &Signal) -> Result<SpanExporter, StartError> {
    Ok(match signal.protocol {
        Protocol::Grpc => match grpc_tls(signal)? {
            Some(tls) => SpanExporter::builder().with_tonic().with_tls_config(tls).build()?,
            None => SpanExporter::builder().with_tonic().build()?,
        },
        Protocol::HttpProtobuf => {
            let client = OtlpClient::new(http_tls(signal)?, signal.timeout);
            SpanExporter::builder().with_http().with_http_client(client).build()?
        }
    })
}

/// Exports metrics. Its connections work on the runtime of the caller.
pub(crate) fn metric_exporter(signal: &Signal) -> Result<MetricExporter, StartError> {
    Ok(match signal.protocol {
        Protocol::Grpc => match grpc_tls(signal)? {
            Some(tls) => MetricExporter::builder().with_tonic().with_tls_config(tls).build()?,
            None => MetricExporter::builder().with_tonic().build()?,
        },
        Protocol::HttpProtobuf => {
            let client = OtlpClient::new(http_tls(signal)?, signal.timeout);
            MetricExporter::builder().with_http().with_http_client(client).build()?
        }
    })
}

/// Authorities of a file, else those of the system; `None`: the endpoint is plain.
fn grpc_tls(signal: &Signal) -> Result<Option<ClientTlsConfig>, StartError> {
    if !signal.secure {
        return Ok(None);
    }
    let mut tls = ClientTlsConfig::new();
    tls = match &signal.authorities {
        Some(path) => tls.ca_certificate(Certificate::from_pem(read(path)?)),
        None => tls.with_native_roots(),
    };
    if let Some((certificate, key)) = &signal.client {
        tls = tls.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    Ok(Some(tls))
}

fn http_tls(signal: &Signal) -> Result<ClientConfig, StartError> {
    let provider = rustls::crypto::ring::default_provider();
    let tls = ClientConfig::builder_with_provider(provider.into())
        .with_safe_default_protocol_versions()
        .map_err(|error| StartError::Exporter(error.to_string()))?;
    if !signal.secure {
        return Ok(tls.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let mut roots = RootCertStore::empty();
    match &signal.authorities {
        Some(path) => {
            for found in certificates(path)? {
                roots.add(found).map_err(|error| unusable(path, &error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let tls = tls.with_root_certificates(roots);
    let Some((certificate, key_path)) = &signal.client else {
        return Ok(tls.with_no_client_auth());
    };
    let key = PrivateKeyDer::from_pem_slice(&read(key_path)?)
        .map_err(|error| unusable(key_path, &error))?;
    tls.with_client_auth_cert(certificates(certificate)?, key)
        .map_err(|error| unusable(certificate, &error))
}

fn certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    found.map_err(|error| unusable(path, &error))
}

fn read(path: &str) -> Result<Vec<u8>, StartError> {
    std::fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &str, error: &dyn Display) -> StartError {
    StartError::Exporter(format!("{path} cannot be used: {error}"))
}
