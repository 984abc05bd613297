//! WebSocket messages of the server (RFC 6455), compressed ones too (RFC 7692).
//! Each text message is one event. Recorded sessions, one message each line,
//! are read as well: `{` cannot begin a frame.

use std::time::Duration;

use flate2::Decompress;

use crate::decode::inflate_some;
use crate::frame::Lines;
use crate::reader::Reader;

/// Longest frame header: two bytes, eight of length, four of mask.
const HEADER: usize = 14;
/// What the sender of a compressed message leaves out at its end.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Cuts the bytes of a socket into messages.
#[derive(Debug)]
pub(crate) struct WebSocket {
    mode: Mode,
    header: [u8; HEADER],
    header_len: usize,
    /// Payload bytes of the frame that are still to come.
    left: u64,
    mask: Option<[u8; 4]>,
    masked: usize,
    /// The frame is a control frame, between the frames of a message.
    control: bool,
    /// The frame is the last one of its message.
    last: bool,
    /// The message is compressed.
    compressed: bool,
    inflate: Option<Box<Decompress>>,
    /// Each message is compressed on its own.
    no_takeover: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Start,
    Frames,
    Lines,
    Failed,
}

impl WebSocket {
    /// `extensions`: value of `sec-websocket-extensions` in the response head.
    pub(crate) fn new(extensions: &str) -> Self {
        let deflate = extensions.contains("permessage-deflate");
        Self {
            mode: Mode::Start,
            header: [0; HEADER],
            header_len: 0,
            left: 0,
            mask: None,
            masked: 0,
            control: false,
            last: false,
            compressed: false,
            inflate: deflate.then(|| Box::new(Decompress::new(false))),
            no_takeover: extensions.contains("server_no_context_takeover"),
        }
    }

    /// A piece of the server's bytes.
    pub(crate) fn push(&mut self, bytes: &[u8], offset: u64, at: Duration, reader: &mut Reader) {
        if self.mode == Mode::Start && !bytes.is_empty() {
            self.mode = if bytes[0] == b'{' { Mode::Lines } else { Mode::Frames };
        }
        match self.mode {
            Mode::Lines => Lines.push(bytes, offset, at, reader),
            Mode::Frames => self.frames(bytes, offset, at, reader),
            Mode::Start | Mode::Failed => {}
        }
    }

    fn frames(&mut self, bytes: &[u8], offset: u64, at: Duration, reader: &mut Reader) {
        let mut next = 0;
        while next < bytes.len() && self.mode == Mode::Frames {
            if self.left == 0 {
                self.header[self.header_len] = bytes[next];
                self.header_len += 1;
                next += 1;
                if self.header_len < self.header_wanted() {
                    continue;
                }
                self.open_frame();
            } else {
                let taken = usize::try_from(self.left).unwrap_or(usize::MAX);
                let taken = taken.min(bytes.len() - next);
                self.payload(&bytes[next..next + taken], reader);
                self.left -= taken as u64;
                next += taken;
            }
            if self.left == 0 {
                self.close_frame(offset + next as u64, at, reader);
            }
        }
    }

    /// Length of the header, as far as its bytes tell.
    fn header_wanted(&self) -> usize {
        if self.header_len < 2 {
            return 2;
        }
        let length = match self.header[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        2 + length + if self.header[1] & 0x80 != 0 { 4 } else { 0 }
    }

    fn open_frame(&mut self) {
        let short = self.header[1] & 0x7f;
        let (length, after) = match short {
            126 => (u64::from(u16::from_be_bytes([self.header[2], self.header[3]])), 4),
            127 => {
                let mut eight = [0; 8];
                eight.copy_from_slice(&self.header[2..10]);
                (u64::from_be_bytes(eight), 10)
            }
            _ => (u64::from(short), 2),
        };
        let first = self.header[0];
        self.control = first & 0x08 != 0;
        self.last = first & 0x80 != 0;
        if first & 0x0f != 0 && !self.control {
            self.compressed = first & 0x40 != 0;
        }
        self.left = length;
        self.masked = 0;
        self.mask = (self.header[1] & 0x80 != 0).then(|| {
            let mut mask = [0; 4];
            mask.copy_from_slice(&self.header[after..after + 4]);
            mask
        });
        self.header_len = 0;
    }

    fn payload(&mut self, bytes: &[u8], reader: &mut Reader) {
        if self.control {
            return;
        }
        let Some(mask) = self.mask else { return self.message(bytes, reader) };
        let mut block = [0; 1024];
        for chunk in bytes.chunks(block.len()) {
            for (place, byte) in block.iter_mut().zip(chunk) {
                *place = byte ^ mask[self.masked % 4];
                self.masked += 1;
            }
            self.message(&block[..chunk.len()], reader);
        }
    }

    /// A piece of a message.
    fn message(&mut self, bytes: &[u8], reader: &mut Reader) {
        if !self.compressed {
            return reader.feed(bytes);
        }
        let limits = reader.limits;
        let whole = self.inflate.as_mut().is_some_and(|inflate| {
            inflate_some(inflate, bytes, &limits, &mut |text| reader.feed(text))
        });
        if !whole {
            self.mode = Mode::Failed;
            reader.unread = true;
            reader.drop_event();
        }
    }

    fn close_frame(&mut self, offset: u64, at: Duration, reader: &mut Reader) {
        if self.control || !self.last {
            return;
        }
        if self.compressed {
            self.message(&TAIL, reader);
            if self.no_takeover
                && let Some(inflate) = &mut self.inflate
            {
                inflate.reset(false);
            }
        }
        if self.mode == Mode::Frames {
            reader.end_event(b"", at, offset);
        }
    }

    /// The socket is closed. Returns whether a message is cut.
    pub(crate) fn finish(&mut self, at: Duration, offset: u64, reader: &mut Reader) -> bool {
        match self.mode {
            Mode::Lines => Lines.finish(at, offset, reader),
            Mode::Frames => self.left > 0 && !self.control,
            Mode::Start => false,
            Mode::Failed => true,
        }
    }
}
