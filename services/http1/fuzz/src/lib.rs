//! What the fuzz targets check: no panic on any bytes, one reading however they are
//! cut, and a head that was written is read as what it was written from. The first
//! byte of an input is the size of the pieces, the rest are the bytes.

use modash_http1::{
    Body, Fault, Framing, HeadScan, Lines, MAX_HEAD, RequestChanges, RequestHead, ResponseHead,
};

/// A target by name, for the harness without libFuzzer.
pub const TARGETS: [(&str, fn(&[u8])); 3] =
    [("requests", requests), ("responses", responses), ("chunks", chunks)];

fn split(data: &[u8]) -> Option<(usize, &[u8])> {
    let (size, bytes) = data.split_first()?;
    Some((1 + usize::from(*size) % 64, bytes))
}

/// The head at the beginning, if there is one.
fn head(bytes: &[u8], size: usize) -> Result<Option<&[u8]>, Fault> {
    let mut scan = HeadScan::default();
    let ends = (size..bytes.len()).step_by(size).chain([bytes.len()]);
    for end in ends {
        if let Some(length) = scan.end(&bytes[..end])? {
            assert!(length <= MAX_HEAD);
            return Ok(Some(&bytes[..length]));
        }
    }
    Ok(None)
}

/// Data of a body, and the bytes that belong to it, up to a fault.
fn body(framing: Framing, of_request: bool, bytes: &[u8], size: usize) -> (Vec<u8>, usize, bool) {
    let mut body = Body::new(framing, of_request);
    let (mut data, mut at) = (Vec::new(), 0);
    while at < bytes.len() && !body.has_ended() {
        let piece = &bytes[at..at.saturating_add(size).min(bytes.len())];
        match body.pass(piece, |range| data.extend_from_slice(&piece[range])) {
            Ok(passed) => at += passed,
            Err(_) => return (data, at, false),
        }
    }
    (data, at, true)
}

fn check_body(framing: Framing, of_request: bool, bytes: &[u8], size: usize) {
    let (data, at, valid) = body(framing, of_request, bytes, usize::MAX);
    for size in [1, size] {
        let cut = body(framing, of_request, bytes, size);
        assert_eq!((&data, valid), (&cut.0, cut.2));
        assert!(!valid || at == cut.1);
    }
}

/// The cookie that falls out of requests.
const OWN: &str = "own";

/// Requests: heads, what is written of them, and their bodies.
pub fn requests(data: &[u8]) {
    let Some((size, bytes)) = split(data) else { return };
    let found = head(bytes, usize::MAX);
    assert_eq!(found, head(bytes, 1));
    assert_eq!(found, head(bytes, size));
    let Ok(Some(head)) = found else { return };
    let mut lines = Lines::default();
    let Ok(read) = RequestHead::read(head, &mut lines) else { return };
    check_body(read.framing, true, &bytes[head.len()..], size);
    lines.drop_cookie(head, OWN);
    let changes =
        RequestChanges { target: [b"/base/", b"x"], host: Some(b"up"), added: b"X-Added: y\r\n" };
    let mut written = Vec::new();
    read.write(head, &mut lines, &changes, &mut written);
    // A head at a limit may have become too large.
    let mut scan = HeadScan::default();
    let end = match scan.end(&written) {
        Err(Fault::TooLarge | Fault::LongTarget) => return,
        end => end.expect("a head that was written is taken"),
    };
    assert_eq!(end, Some(written.len()));
    let again = match RequestHead::read(&written, &mut lines) {
        Err(Fault::TooLarge) => return,
        again => again.expect("a head that was written is taken"),
    };
    assert_eq!((again.framing, again.hop.upgrade), (read.framing, read.hop.upgrade));
    assert_eq!(again.method.of(&written), read.method.of(head));
    assert_eq!(again.target.of(&written), b"/base/x");
    assert_eq!(lines.value(&written, "host"), Some(&b"up"[..]));
    assert!(again.keeps_alive());
    let names = |line: &[u8]| {
        let pairs = line.split(|byte| *byte == b';').filter_map(|pair| {
            let (name, _) = pair.split_at(pair.iter().position(|byte| *byte == b'=')?);
            Some(name.trim_ascii().to_vec())
        });
        pairs.collect::<Vec<_>>()
    };
    let cookies =
        lines.iter().filter(|line| line.name.of(&written).eq_ignore_ascii_case(b"cookie"));
    for cookie in cookies {
        assert!(!names(cookie.value.of(&written)).contains(&OWN.as_bytes().to_vec()));
    }
}

/// Responses: heads, what is written of them, and their bodies.
pub fn responses(data: &[u8]) {
    let Some((size, bytes)) = split(data) else { return };
    let found = head(bytes, usize::MAX);
    assert_eq!(found, head(bytes, size));
    let Ok(Some(head)) = found else { return };
    let mut lines = Lines::default();
    let Ok(read) = ResponseHead::read(head, &mut lines, false) else { return };
    check_body(read.framing, false, &bytes[head.len()..], size);
    let mut written = Vec::new();
    read.write(head, &mut lines, &Default::default(), &mut written);
    let again = match ResponseHead::read(&written, &mut lines, false) {
        Err(Fault::TooLarge) => return,
        again => again.expect("a head that was written is taken"),
    };
    assert_eq!((again.framing, again.status), (read.framing, read.status));
    assert!(!again.hop.close);
}

/// Chunked bodies of requests and of responses.
pub fn chunks(data: &[u8]) {
    let Some((size, bytes)) = split(data) else { return };
    check_body(Framing::Chunked, true, bytes, size);
    check_body(Framing::Chunked, false, bytes, size);
}
