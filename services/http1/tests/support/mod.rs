//! A server that reads requests with this crate, and one that reads them with hyper.

#![allow(dead_code, reason = "each test uses a part")]

pub(crate) mod shapes;

use modash_http1::{Body, Fault, HeadScan, Lines, RequestHead};

/// A request as a server understood it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    /// Names in lower case and values, in their order.
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    /// `None`: its end has not come.
    pub(crate) body: Option<Vec<u8>>,
}

/// All that was understood of one connection.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    pub(crate) requests: Vec<Request>,
    pub(crate) fault: Option<Fault>,
}

/// Reads the requests in `bytes`, which come in pieces of this size.
pub(crate) fn read(bytes: &[u8], size: usize) -> Reading {
    let mut reading = Reading::default();
    let mut connection = Connection::default();
    for end in (size..bytes.len()).step_by(size.max(1)).chain([bytes.len()]) {
        if let Err(fault) = connection.more(&bytes[..end], &mut reading.requests) {
            reading.fault = Some(fault);
            break;
        }
    }
    reading
}

#[derive(Default)]
struct Connection {
    /// Where the head or the piece of a body begins.
    at: usize,
    scan: HeadScan,
    body: Option<Body>,
    data: Vec<u8>,
    lines: Lines,
    /// No request is read behind the last one.
    closing: bool,
}

impl Connection {
    fn more(&mut self, bytes: &[u8], requests: &mut Vec<Request>) -> Result<(), Fault> {
        loop {
            if let Some(body) = &mut self.body {
                let rest = &bytes[self.at..];
                let data = &mut self.data;
                self.at += body.pass(rest, |range| data.extend_from_slice(&rest[range]))?;
                if !body.has_ended() {
                    return Ok(());
                }
                self.body = None;
                let request = requests.last_mut().expect("a body has a request");
                request.body = Some(std::mem::take(&mut self.data));
            }
            if self.closing {
                return Ok(());
            }
            let Some(length) = self.scan.end(&bytes[self.at..])? else { return Ok(()) };
            let head = &bytes[self.at..self.at + length];
            let read = RequestHead::read(head, &mut self.lines)?;
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is text");
            requests.push(Request {
                method: text(read.method.of(head)),
                target: text(read.target.of(head)),
                headers: self
                    .lines
                    .iter()
                    .map(|line| {
                        let name = text(line.name.of(head)).to_lowercase();
                        (name, line.value.of(head).to_vec())
                    })
                    .collect(),
                body: None,
            });
            self.closing = !read.keeps_alive();
            let body = Body::new(read.framing, true);
            (self.at, self.scan, self.body) = (self.at + length, HeadScan::default(), Some(body));
        }
    }
}
