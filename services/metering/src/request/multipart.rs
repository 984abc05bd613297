//! Multipart forms (RFC 7578): the fields `model`, `stream` and `user`, which
//! are parts without a file name. Files pass by without being held.

use memchr::memmem::Finder;

use crate::json::cut;
use crate::limits::Limits;

/// Longest part header that is read.
const HEADER: usize = 1 << 10;
/// Longest boundary (RFC 2046).
const BOUNDARY: usize = 70;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Model,
    Stream,
    User,
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the end of the line of a delimiter.
    Delimiter,
    /// In the headers of a part.
    Headers,
    /// In the content of a part.
    Content(Field),
    /// After the last delimiter.
    End,
}

/// Reads the fields of a form.
#[derive(Debug)]
pub(crate) struct Multipart {
    /// CR LF, two dashes and the boundary.
    delimiter: Finder<'static>,
    state: State,
    /// The last bytes, which may be the beginning of a delimiter, or the headers.
    held: Vec<u8>,
    /// Bytes of the header line so far.
    line: usize,
    value: Vec<u8>,
    limit: usize,
    model: Option<Vec<u8>>,
    stream: bool,
    user: Option<Vec<u8>>,
}

/// The boundary of a multipart content type.
pub(crate) fn boundary(content_type: &str) -> Option<&str> {
    let (kind, parameters) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"'))
    })?;
    (1..=BOUNDARY).contains(&boundary.len()).then_some(boundary)
}

impl Multipart {
    pub(crate) fn new(boundary: &str, limits: &Limits) -> Self {
        let delimiter = [b"\r\n--", boundary.as_bytes()].concat();
        Self {
            delimiter: Finder::new(&delimiter).into_owned(),
            state: State::Content(Field::Other),
            // The first delimiter stands at the beginning, without a line before it.
            held: b"\r\n".to_vec(),
            line: 0,
            value: Vec::new(),
            limit: limits.value_bytes,
            model: None,
            stream: false,
            user: None,
        }
    }

    pub(crate) fn model(&self) -> Option<&[u8]> {
        self.model.as_deref()
    }

    pub(crate) fn user(&self) -> Option<&[u8]> {
        self.user.as_deref()
    }

    pub(crate) fn stream(&self) -> bool {
        self.stream
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        let mut bytes = bytes;
        while !bytes.is_empty() && self.state != State::End {
            bytes = match self.state {
                State::Content(field) => self.content(field, bytes),
                State::Delimiter | State::Headers => self.headers(bytes),
                State::End => &[],
            };
        }
    }

    /// Content up to the next delimiter. Returns what follows it.
    fn content<'a>(&mut self, field: Field, bytes: &'a [u8]) -> &'a [u8] {
        let length = self.delimiter.needle().len();
        if !self.held.is_empty() {
            // A delimiter may lie across the cut.
            let before = self.held.len();
            let seam = &bytes[..bytes.len().min(length - 1)];
            self.held.extend_from_slice(seam);
            if let Some(at) = self.delimiter.find(&self.held) {
                let held = std::mem::take(&mut self.held);
                self.value(field, &held[..at]);
                self.end_part(field);
                return &bytes[at + length - before..];
            }
            if seam.len() == bytes.len() {
                // All of it may still be part of a delimiter that comes.
                let passed = self.held.len().saturating_sub(length - 1);
                let held: Vec<u8> = self.held.drain(..passed).collect();
                self.value(field, &held);
                return &[];
            }
            let held = std::mem::take(&mut self.held);
            self.value(field, &held[..before]);
        }
        if let Some(at) = self.delimiter.find(bytes) {
            self.value(field, &bytes[..at]);
            self.end_part(field);
            return &bytes[at + length..];
        }
        let passed = bytes.len().saturating_sub(length - 1);
        self.value(field, &bytes[..passed]);
        self.held.extend_from_slice(&bytes[passed..]);
        &[]
    }

    fn value(&mut self, field: Field, bytes: &[u8]) {
        if field != Field::Other {
            let room = (self.limit + 1).saturating_sub(self.value.len()).min(bytes.len());
            self.value.extend_from_slice(&bytes[..room]);
        }
    }

    fn end_part(&mut self, field: Field) {
        let value = cut(&self.value, self.limit).to_vec();
        match field {
            Field::Model if !value.is_empty() => self.model = Some(value),
            Field::User if !value.is_empty() => self.user = Some(value),
            Field::Stream => self.stream = value.trim_ascii().eq_ignore_ascii_case(b"true"),
            _ => {}
        }
        self.value.clear();
        self.held.clear();
        self.state = State::Delimiter;
    }

    /// The rest of a delimiter line, or headers. Returns what follows them.
    fn headers<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        for (at, byte) in bytes.iter().enumerate() {
            if self.held.len() < HEADER {
                self.held.push(*byte);
            }
            match byte {
                b'\n' if self.state == State::Delimiter => {
                    self.state = State::Headers;
                    self.held.clear();
                    self.line = 0;
                }
                b'\n' if self.line == 0 => {
                    self.state = State::Content(field(&self.held));
                    self.held.clear();
                    return &bytes[at + 1..];
                }
                b'\n' => self.line = 0,
                b'\r' => {}
                _ => self.line += 1,
            }
            if self.state == State::Delimiter && self.held == b"--" {
                self.state = State::End;
                return &[];
            }
        }
        &[]
    }
}

/// Which field a part is, by its headers.
fn field(headers: &[u8]) -> Field {
    let headers = String::from_utf8_lossy(headers);
    for line in headers.lines() {
        let Some((name, value)) = line.split_once(':') else { continue };
        if !name.trim().eq_ignore_ascii_case("content-disposition") {
            continue;
        }
        let mut field = Field::Other;
        for parameter in value.split(';').skip(1) {
            let Some((name, value)) = parameter.split_once('=') else { continue };
            let name = name.trim().to_ascii_lowercase();
            if name.starts_with("filename") {
                return Field::Other;
            }
            if name == "name" {
                field = match value.trim().trim_matches('"') {
                    "model" => Field::Model,
                    "stream" => Field::Stream,
                    "user" => Field::User,
                    _ => Field::Other,
                };
            }
        }
        return field;
    }
    Field::Other
}
