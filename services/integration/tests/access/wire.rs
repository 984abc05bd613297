//! HTTP by the byte: what no client library would send.

use std::{net::SocketAddr, time::Duration};

use modash_integration::PATIENCE;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// Sends bytes and gives what comes back until the other side ends, or says nothing more
/// for two seconds.
pub(crate) async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be cut off in the middle, which is an answer too.
    let _ = tokio::time::timeout(PATIENCE, stream.write_all(bytes)).await;
    let mut answer = Vec::new();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let patience = if answer.is_empty() { PATIENCE } else { Duration::from_secs(2) };
        match tokio::time::timeout(patience, stream.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => answer.extend_from_slice(&buffer[..length]),
            _ => return String::from_utf8_lossy(&answer).into_owned(),
        }
    }
}

/// The status of an answer; 0: there was none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or_default()
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// POST http / with an authority, by HPACK's static table.
const HEAD: &[u8] = b"\x83\x86\x84\x41\x09localhost";

/// An HTTP/2 client that behaves badly.
pub(crate) struct Frames {
    stream: TcpStream,
    waiting: Vec<u8>,
}

impl Frames {
    /// Opens a connection.
    pub(crate) async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut frames = Self { stream, waiting: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec() };
        frames.add(SETTINGS, 0, 0, &[]);
        frames
    }

    fn add(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.waiting.extend_from_slice(&length[1..]);
        self.waiting.extend_from_slice(&[kind, flags]);
        self.waiting.extend_from_slice(&stream.to_be_bytes());
        self.waiting.extend_from_slice(payload);
    }

    /// Streams that are reset as soon as they are open (CVE-2023-44487).
    pub(crate) fn add_resets(&mut self, count: u32) {
        for number in 0..count {
            self.add(HEADERS, END_HEADERS, 2 * number + 1, HEAD);
            self.add(RST_STREAM, 0, 2 * number + 1, &8_u32.to_be_bytes());
        }
    }

    /// A head without an end (CVE-2024-27316 and the like): 16 KiB a frame.
    pub(crate) fn add_endless_head(&mut self, frames: usize) {
        self.add(HEADERS, END_STREAM, 1, HEAD);
        let mut field = b"\x00\x06x-more\x7f\x81\x7c".to_vec();
        field.extend([b'm'; 16_000]);
        for _ in 0..frames {
            self.add(CONTINUATION, 0, 1, &field);
        }
    }

    /// Sends all of it; whether the other side ended the connection.
    pub(crate) async fn ends(mut self) -> bool {
        let _ = tokio::time::timeout(PATIENCE, self.stream.write_all(&self.waiting)).await;
        let mut seen = Vec::new();
        let mut buffer = vec![0; 16 * 1024];
        let ended = async {
            loop {
                match self.stream.read(&mut buffer).await {
                    Ok(length) if length > 0 => seen.extend_from_slice(&buffer[..length]),
                    _ => break true,
                }
                if goes_away(&seen) {
                    break true;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), ended).await.unwrap_or(false)
    }
}

fn goes_away(mut seen: &[u8]) -> bool {
    while seen.len() >= 9 {
        let length = u32::from_be_bytes([0, seen[0], seen[1], seen[2]]) as usize;
        if seen[3] == GOAWAY {
            return true;
        }
        seen = seen.get(9 + length..).unwrap_or_default();
    }
    false
}
