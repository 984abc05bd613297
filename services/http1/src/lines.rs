//! Header lines as places in the caller's buffer, and what becomes of each.

use crate::{Fault, MAX_LINES};

/// A part of a head, in bytes from its beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// The byte behind the last one.
    pub end: u32,
}

impl Span {
    /// The bytes of this part of `head`.
    #[must_use]
    pub fn of(self, head: &[u8]) -> &[u8] {
        &head[self.start as usize..self.end as usize]
    }

    /// Where `part`, a slice of `head`, lies in it.
    pub(crate) fn within(head: &[u8], part: &[u8]) -> Self {
        // A head is never larger than MAX_HEAD.
        let start = (part.as_ptr().addr() - head.as_ptr().addr()) as u32;
        Self { start, end: start + part.len() as u32 }
    }
}

/// A header that means something to whoever relays a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    /// `Connection`.
    Connection,
    /// `Content-Length`.
    ContentLength,
    /// `Expect`.
    Expect,
    /// `Host`.
    Host,
    /// `Keep-Alive`.
    KeepAlive,
    /// `Proxy-Connection`, which old clients send.
    ProxyConnection,
    /// `TE`.
    Te,
    /// `Transfer-Encoding`.
    TransferEncoding,
    /// `Upgrade`.
    Upgrade,
    /// Any other one.
    Other,
}

impl Field {
    fn of(name: &[u8]) -> Self {
        let (field, lower): (Self, &[u8]) = match name.len() {
            2 => (Self::Te, b"te"),
            4 => (Self::Host, b"host"),
            6 => (Self::Expect, b"expect"),
            7 => (Self::Upgrade, b"upgrade"),
            10 if matches!(name[0], b'k' | b'K') => (Self::KeepAlive, b"keep-alive"),
            10 => (Self::Connection, b"connection"),
            14 => (Self::ContentLength, b"content-length"),
            16 => (Self::ProxyConnection, b"proxy-connection"),
            17 => (Self::TransferEncoding, b"transfer-encoding"),
            _ => return Self::Other,
        };
        if name.eq_ignore_ascii_case(lower) { field } else { Self::Other }
    }
}

/// What becomes of a header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It goes on as it came.
    Kept,
    /// It falls out.
    Dropped,
    /// Its value is replaced: by the upstream's host, or by the options of the next
    /// hop.
    Replaced,
}

/// One header line.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Its name as it was spelled.
    pub name: Span,
    /// Its value without the spaces around it.
    pub value: Span,
    /// Which header it is.
    pub field: Field,
    pub(crate) fate: Fate,
}

/// The header lines of one head. Kept by the caller and used again, so that reading
/// a head allocates nothing.
#[derive(Debug, Default)]
pub struct Lines {
    lines: Vec<Line>,
    /// Where the first line begins, and the empty line.
    start: u32,
    end: u32,
}

impl Lines {
    /// All lines, in their order.
    pub fn iter(&self) -> impl Iterator<Item = &Line> {
        self.lines.iter()
    }

    /// Value of the first line with this name, given in any case.
    #[must_use]
    pub fn value<'a>(&self, head: &'a [u8], name: &str) -> Option<&'a [u8]> {
        let named = |line: &&Line| line.name.of(head).eq_ignore_ascii_case(name.as_bytes());
        self.lines.iter().find(named).map(|line| line.value.of(head))
    }

    /// Lets all lines with this name fall out when the head is written.
    pub fn drop_all(&mut self, head: &[u8], name: &str) {
        for line in &mut self.lines {
            if line.name.of(head).eq_ignore_ascii_case(name.as_bytes()) {
                line.fate = Fate::Dropped;
            }
        }
    }

    pub(crate) fn read(
        &mut self,
        head: &[u8],
        headers: &[httparse::Header<'_>],
    ) -> Result<(), Fault> {
        self.lines.clear();
        self.end = head.len() as u32 - 2;
        self.start = self.end;
        for header in headers {
            let name = header.name.as_bytes();
            if is_like_framing(name) {
                return Err(Fault::LikeFraming);
            }
            self.lines.push(Line {
                name: Span::within(head, name),
                value: Span::within(head, header.value),
                field: Field::of(name),
                fate: Fate::Kept,
            });
        }
        if let Some(first) = self.lines.first() {
            self.start = first.name.start;
        }
        Ok(())
    }

    /// Where the first line begins.
    pub(crate) fn start(&self) -> u32 {
        self.start
    }

    pub(crate) fn of_field(&self, field: Field) -> impl Iterator<Item = &Line> {
        self.lines.iter().filter(move |line| line.field == field)
    }

    pub(crate) fn of_field_mut(&mut self, field: Field) -> impl Iterator<Item = &mut Line> {
        self.lines.iter_mut().filter(move |line| line.field == field)
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Line> {
        self.lines.iter_mut()
    }

    /// Appends the lines that go on, each as it came. `replacement` gives the value
    /// of those whose value is replaced.
    pub(crate) fn write<'a>(
        &self,
        head: &[u8],
        replacement: impl Fn(Field) -> &'a [u8],
        output: &mut Vec<u8>,
    ) {
        // Lines in a row that go on are copied at once.
        let mut run = self.start;
        for (index, line) in self.lines.iter().enumerate() {
            let end = self.lines.get(index + 1).map_or(self.end, |next| next.name.start);
            match line.fate {
                Fate::Kept => continue,
                Fate::Dropped => output.extend_from_slice(run_of(head, run, line.name.start)),
                Fate::Replaced => {
                    output.extend_from_slice(run_of(head, run, line.value.start));
                    output.extend_from_slice(replacement(line.field));
                    output.extend_from_slice(b"\r\n");
                }
            }
            run = end;
        }
        output.extend_from_slice(run_of(head, run, self.end));
    }
}

fn run_of(head: &[u8], start: u32, end: u32) -> &[u8] {
    Span { start, end }.of(head)
}

/// Space for the lines of a head while it is tokenised.
pub(crate) type Tokens<'a> = [std::mem::MaybeUninit<httparse::Header<'a>>; MAX_LINES];

/// `Content_Length` and the like.
fn is_like_framing(name: &[u8]) -> bool {
    let framing: &[u8] = match name.len() {
        14 if name[7] == b'_' => b"content_length",
        17 if name[8] == b'_' => b"transfer_encoding",
        _ => return false,
    };
    name.eq_ignore_ascii_case(framing)
}

/// Whether a token may have this byte (RFC 9110 5.6.2).
pub(crate) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Elements of a list (RFC 9110 5.6.1), without the spaces around them and without
/// empty ones.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}
