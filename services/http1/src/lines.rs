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
    /// `Cookie`.
    Cookie,
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
            6 if matches!(name[0], b'c' | b'C') => (Self::Cookie, b"cookie"),
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
    /// Parts of its value fall out.
    Cut,
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
    /// Parts of values that fall out, in their order.
    cuts: Vec<Span>,
    /// There is a `Cookie`.
    has_cookies: bool,
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

    /// Lets one cookie fall out when the head is written; what remains is as it came. A
    /// line that has no other cookie falls out too.
    pub fn drop_cookie(&mut self, head: &[u8], name: &str) {
        if self.has_cookies {
            for line in self.lines.iter_mut().filter(|line| line.field == Field::Cookie) {
                cut_cookie(line, head, name, &mut self.cuts);
            }
        }
    }

    pub(crate) fn read(
        &mut self,
        head: &[u8],
        headers: &[httparse::Header<'_>],
    ) -> Result<(), Fault> {
        self.lines.clear();
        self.cuts.clear();
        self.has_cookies = false;
        self.end = head.len() as u32 - 2;
        self.start = self.end;
        for header in headers {
            let name = header.name.as_bytes();
            if is_like_framing(name) {
                return Err(Fault::LikeFraming);
            }
            let field = Field::of(name);
            self.has_cookies |= field == Field::Cookie;
            self.lines.push(Line {
                name: Span::within(head, name),
                value: Span::within(head, header.value),
                field,
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
                Fate::Cut => {
                    let Span { start, end } = line.value;
                    let of_line = |cut: &&Span| start <= cut.start && cut.end <= end;
                    for cut in self.cuts.iter().filter(of_line) {
                        output.extend_from_slice(run_of(head, run, cut.start));
                        run = cut.end;
                    }
                    continue;
                }
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

/// Notes where a cookie is in a line, with the separator that goes with it (RFC 6265 4.2.1).
fn cut_cookie(line: &mut Line, head: &[u8], name: &str, cuts: &mut Vec<Span>) {
    let is_it = |pair: &[u8]| {
        let pair = pair.trim_ascii().strip_prefix(name.as_bytes());
        pair.is_some_and(|rest| rest.trim_ascii_start().starts_with(b"="))
    };
    let value = line.value.of(head);
    let at = |offset: usize| line.value.start + offset as u32;
    // `free`: what is before it has fallen out already.
    let (mut start, mut free, mut kept, mut found) = (0, 0, false, false);
    for pair in value.split(|byte| *byte == b';') {
        let end = start + pair.len();
        if is_it(pair) {
            // With what separates it from the cookie before, or else from the next one.
            let cut = if kept {
                start - 1..end
            } else {
                let next = value.get(end + 1..).unwrap_or_default();
                free..value.len() - next.trim_ascii_start().len()
            };
            free = cut.end;
            found = true;
            cuts.push(Span { start: at(cut.start), end: at(cut.end) });
        } else {
            kept |= !pair.trim_ascii().is_empty();
        }
        start = end + 1;
    }
    match (found, kept) {
        (true, true) => line.fate = Fate::Cut,
        (true, false) => line.fate = Fate::Dropped,
        (false, _) => {}
    }
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

#[cfg(test)]
mod tests {
    use crate::{Lines, RequestChanges, RequestHead};

    /// The lines of a request as they are written without the cookie `own`.
    fn written(lines: &str) -> String {
        let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}X-Last: 1\r\n\r\n");
        let mut places = Lines::default();
        let read = RequestHead::read(head.as_bytes(), &mut places).unwrap();
        places.drop_cookie(head.as_bytes(), "own");
        let changes = RequestChanges { target: [b"/", b""], host: None, added: b"" };
        let mut output = Vec::new();
        read.write(head.as_bytes(), &mut places, &changes, &mut output);
        let output = String::from_utf8(output).unwrap();
        let rest = output.strip_prefix("GET / HTTP/1.1\r\nHost: a\r\n").unwrap();
        rest.strip_suffix("X-Last: 1\r\n\r\n").unwrap().to_owned()
    }

    #[test]
    fn one_cookie_falls_out_and_everything_else_stays_as_it_was() {
        for (came, expected) in [
            ("Cookie: a=1; own=x; b=2\r\n", "Cookie: a=1; b=2\r\n"),
            ("cOOkie:own=x; b=2\r\n", "cOOkie:b=2\r\n"),
            ("Cookie:  a=1; own=x \r\n", "Cookie:  a=1 \r\n"),
            ("Cookie: own=x\r\n", ""),
            ("Cookie: own=x;\r\n", ""),
            ("Cookie: own=x; own=y; b=2;own=z\r\n", "Cookie: b=2\r\n"),
            ("Cookie: a=1; own=x;own=y;  b=2\r\n", "Cookie: a=1;  b=2\r\n"),
            ("Cookie: own=x; own=y\r\n", ""),
            (
                "A: 1\r\nCookie: own=x; a=1\r\nB: 2\r\ncookie: b=2; own=y\r\nCookie: own=z\r\n",
                "A: 1\r\nCookie: a=1\r\nB: 2\r\ncookie: b=2\r\n",
            ),
        ] {
            assert_eq!(written(came), expected, "{came:?}");
        }
    }

    #[test]
    fn cookies_that_only_look_like_it_stay() {
        for same in [
            "Cookie: owner=x; notown=y; own2=z\r\n",
            "Cookie: a=own=1; OWN=x; ;; b\r\n",
            "Cookie: \r\nX-Cookie: own=x\r\n",
            "Expect: own=x\r\n",
        ] {
            assert_eq!(written(same), same);
        }
    }
}
