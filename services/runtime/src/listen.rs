//! Binding of listeners, with errors that say what to do.

use std::{io, net::SocketAddr};

use tokio::net::TcpListener;

/// A listener that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({purpose}): {advice}")]
pub struct BindError {
    /// What the listener is for.
    pub purpose: &'static str,
    /// Where it should have listened.
    pub address: SocketAddr,
    advice: String,
}

impl BindError {
    /// From the error of the system; `setting` is the one that moves the
    /// listener elsewhere.
    #[must_use]
    pub fn new(
        purpose: &'static str,
        setting: &'static str,
        address: SocketAddr,
        error: &io::Error,
    ) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::AddrInUse => {
                format!("the port is taken; stop what uses it, or choose another with {setting}")
            }
            io::ErrorKind::PermissionDenied => {
                format!("not permitted; choose a port of 1024 or more with {setting}")
            }
            io::ErrorKind::AddrNotAvailable => {
                format!("this machine has no such address; choose another with {setting}")
            }
            _ => format!("{error}; {setting} chooses another"),
        };
        Self { purpose, address, advice }
    }
}

/// Binds a TCP listener for `purpose`; `setting` is the one that moves it.
///
/// # Errors
/// If the address is taken, not permitted or not of this machine.
pub async fn bind(
    purpose: &'static str,
    setting: &'static str,
    address: SocketAddr,
) -> Result<TcpListener, BindError> {
    let listener = TcpListener::bind(address)
        .await
        .map_err(|error| BindError::new(purpose, setting, address, &error))?;
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, purpose, "listening");
    }
    Ok(listener)
}

/// Warns if a listener can be reached from other machines without a token.
pub fn warn_if_exposed(purpose: &str, address: SocketAddr) {
    if !address.ip().is_loopback() {
        tracing::warn!(%address, purpose,
            "listens beyond this machine and asks for no token: anyone who reaches it can use it");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_reported_with_the_setting_that_moves_it() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let first = bind("proxy", "PORT", any).await.unwrap();
        let error = bind("proxy", "PORT", first.local_addr().unwrap()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("taken") && text.contains("PORT"), "{text}");
    }
}
