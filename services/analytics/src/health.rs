//! The health check of container images: asks the process beside it whether it
//! is ready, without a client that the image would need.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks `/readyz` of the admin listener at this address of this machine.
///
/// # Errors
/// Why it is not ready: the first line of its answer, or that there was none.
pub fn check_health(admin: SocketAddr) -> Result<(), String> {
    let answer = ask(admin).map_err(|error| format!("no answer from {admin}: {error}"))?;
    match answer.split_once("\r\n\r\n") {
        Some((head, _)) if head.starts_with("HTTP/1.0 200") || head.starts_with("HTTP/1.1 200") => {
            Ok(())
        }
        Some((_, body)) => Err(body.trim().to_owned()),
        None => Err("the answer cannot be read".to_owned()),
    }
}

fn ask(admin: SocketAddr) -> io::Result<String> {
    // A listener on all addresses is reached by loopback.
    let ip = match admin {
        SocketAddr::V4(address) if address.ip().is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        SocketAddr::V6(address) if address.ip().is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        address => address.ip(),
    };
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(ip, admin.port()), TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    stream.write_all(b"GET /readyz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4_096).read_to_string(&mut answer)?;
    Ok(answer)
}
