//! HTTP/2 by the frame (RFC 9113), for a client that does what no library would.

use std::net::SocketAddr;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use super::PATIENCE;

/// Types of frames (RFC 9113 6).
pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// Error codes (RFC 9113 7).
pub const PROTOCOL_ERROR: u32 = 1;
pub const REFUSED_STREAM: u32 = 7;
pub const ENHANCE_YOUR_CALM: u32 = 11;

#[derive(Debug, Clone)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Bytes,
}

impl Frame {
    /// The code of a RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        (&self.payload[at..]).get_u32()
    }
}

/// A connection whose client writes frames.
pub struct Frames {
    stream: TcpStream,
    buffer: BytesMut,
    /// Written, but not sent yet.
    out: BytesMut,
}

impl Frames {
    /// Connects and sends the preface with these settings.
    pub async fn open(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let out = BytesMut::from(&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..]);
        let mut frames = Self { stream, buffer: BytesMut::new(), out };
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        frames.add(SETTINGS, 0, 0, &payload);
        frames.send().await;
        frames
    }

    /// Adds a frame to what is sent next.
    pub fn add(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        self.out.extend_from_slice(&length[1..]);
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
        self
    }

    /// Sends what was added. A connection that ended is seen when reading.
    pub async fn send(&mut self) {
        let out = self.out.split();
        let _ = self.stream.write_all(&out).await;
    }

    /// The next frame but acknowledgements and windows; None at the end.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any().await?;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => {
                    self.add(SETTINGS, ACK, 0, &[]).send().await;
                }
                SETTINGS | WINDOW_UPDATE => {}
                _ => return Some(frame),
            }
        }
    }

    /// The next frame of this type on this stream; others are left out.
    pub async fn until(&mut self, kind: u8, stream: u32) -> Frame {
        let find = async {
            let mut others = Vec::new();
            loop {
                match self.next().await {
                    Some(frame) if (frame.kind, frame.stream) == (kind, stream) => return frame,
                    Some(frame) => others.push((frame.kind, frame.stream, frame.payload.len())),
                    None => panic!("the end, without type {kind} of {stream}: {others:?}"),
                }
            }
        };
        let found = tokio::time::timeout(PATIENCE, find).await;
        found.unwrap_or_else(|_| panic!("no frame of type {kind} on stream {stream}"))
    }

    /// The body of a response with status 200, to its end.
    pub async fn body(&mut self, stream: u32) -> Bytes {
        let head = self.until(HEADERS, stream).await;
        // `:status 200` of the static table (RFC 7541 A).
        assert_eq!(head.payload[0], 0x88, "not 200: {head:?}");
        let mut body = BytesMut::new();
        let mut ended = head.flags & END_STREAM != 0;
        while !ended {
            let data = self.until(DATA, stream).await;
            body.extend_from_slice(&data.payload);
            ended = data.flags & END_STREAM != 0;
        }
        body.freeze()
    }

    async fn any(&mut self) -> Option<Frame> {
        while self.buffer.len() < 9 || self.buffer.len() < 9 + self.length() {
            if self.stream.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                return None;
            }
        }
        let length = self.length();
        let mut head = self.buffer.split_to(9);
        let (kind, flags) = (head[3], head[4]);
        head.advance(5);
        let stream = head.get_u32() & 0x7fff_ffff;
        Some(Frame { kind, flags, stream, payload: self.buffer.split_to(length).freeze() })
    }

    fn length(&self) -> usize {
        let [a, b, c] = [self.buffer[0], self.buffer[1], self.buffer[2]].map(usize::from);
        a << 16 | b << 8 | c
    }
}

/// A header block without compression: each field literal and not indexed (RFC
/// 7541 6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(text.len(), &mut block);
            block.extend(text.as_bytes());
        }
    }
    block
}

/// With a prefix of seven bits (RFC 7541 5.1).
fn integer(value: usize, out: &mut Vec<u8>) {
    if value < 127 {
        return out.push(u8::try_from(value).unwrap());
    }
    out.push(127);
    let mut rest = value - 127;
    while rest >= 128 {
        out.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    out.push(u8::try_from(rest).unwrap());
}

/// The four fields with which a request begins, and others.
pub fn request(method: &str, path: &str, others: &[(&str, &str)]) -> Vec<u8> {
    let begin = [(":method", method), (":scheme", "http"), (":authority", "here"), (":path", path)];
    block(&[&begin, others].concat())
}
