//! Heads go on as they came, without the lines of one hop.

#![allow(clippy::unwrap_used, reason = "tests may panic")]

use modash_http1::{
    Body, Fault, Framing, HeadScan, Lines, RequestChanges, RequestHead, ResponseChanges,
    ResponseHead, TargetForm, Version,
};

fn request(head: &str) -> (RequestHead, Lines) {
    let mut lines = Lines::default();
    let end = HeadScan::default().end(head.as_bytes()).unwrap();
    assert_eq!(end, Some(head.len()), "{head:?}");
    (RequestHead::read(head.as_bytes(), &mut lines).unwrap(), lines)
}

/// The request head that goes on.
fn sent(head: &str, changes: &RequestChanges<'_>) -> String {
    let (read, mut lines) = request(head);
    let mut output = Vec::new();
    read.write(head.as_bytes(), &mut lines, changes, &mut output);
    String::from_utf8(output).unwrap()
}

fn response(head: &str) -> (ResponseHead, Lines) {
    let mut lines = Lines::default();
    (ResponseHead::read(head.as_bytes(), &mut lines, false).unwrap(), lines)
}

/// The response head that goes on.
fn handed_on(head: &str, changes: &ResponseChanges<'_>) -> String {
    let (read, mut lines) = response(head);
    let mut output = Vec::new();
    read.write(head.as_bytes(), &mut lines, changes, &mut output);
    String::from_utf8(output).unwrap()
}

const CHANGES: RequestChanges<'_> =
    RequestChanges { target: [b"/base", b"/v1/x?y=%20"], host: Some(b"up:80"), added: b"" };

#[test]
fn every_line_of_a_request_goes_on_as_it_came() {
    let lines = "X-Odd:   a  b \t\r\nx-twice: 1\r\nContent-Length: 5\r\nX-Empty:\r\nX-TWICE:2\r\n\
                 !#$%&'*+-.^_`|~: \u{e9}\r\nExpect: 100-continue\r\n";
    assert_eq!(
        sent(&format!("PoST /v1/x?y=%20 HTTP/1.1\r\nhOst:  here\r\n{lines}\r\n"), &CHANGES),
        format!("PoST /base/v1/x?y=%20 HTTP/1.1\r\nhOst:  up:80\r\n{lines}\r\n"),
    );
}

#[test]
fn lines_of_one_hop_and_those_that_connection_names_fall_out() {
    let head = "GET / HTTP/1.1\r\nA: 1\r\nConnection: close, x-HOP\r\nX-Hop: 1\r\nHost: h\r\n\
                Keep-Alive: timeout=5\r\nProxy-Connection: x\r\nx-hop: 2\r\nTE: gzip\r\n\
                Upgrade: websocket\r\nB: 2\r\n\r\n";
    assert_eq!(
        sent(head, &CHANGES),
        "GET /base/v1/x?y=%20 HTTP/1.1\r\nA: 1\r\nHost: up:80\r\nB: 2\r\n\r\n"
    );
    let (read, _) = request(head);
    assert!(read.hop.close && !read.keeps_alive() && !read.hop.upgrade);
    assert_eq!(read.hop.timeout, Some(5));
}

#[test]
fn an_upgrade_and_trailers_are_asked_for_at_the_next_hop_too() {
    let upgrade = "GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, upgrade\r\n\
                   Upgrade: websocket\r\nTE: trailers, gzip\r\n\r\n";
    assert_eq!(
        sent(upgrade, &CHANGES),
        "GET /base/v1/x?y=%20 HTTP/1.1\r\nHost: up:80\r\nConnection: Upgrade, TE\r\n\
         Upgrade: websocket\r\nTE: trailers\r\n\r\n"
    );
    let plain = "GET / HTTP/1.1\r\nHost: h\r\nconnection: UPGRADE\r\nUpgrade: a\r\n\r\n";
    assert!(sent(plain, &CHANGES).contains("\r\nconnection: UPGRADE\r\nUpgrade: a\r\n"));
    let alone = "GET / HTTP/1.1\r\nHost: h\r\nte: Trailers\r\nA: 1\r\n\r\n";
    assert!(sent(alone, &CHANGES).ends_with("\r\nte: Trailers\r\nA: 1\r\nConnection: TE\r\n\r\n"));
}

#[test]
fn an_upgrade_to_http2_and_one_of_http10_are_not_handed_on() {
    for head in [
        "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABk\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    ] {
        assert_eq!(sent(head, &CHANGES), "GET /base/v1/x?y=%20 HTTP/1.1\r\nHost: up:80\r\n\r\n");
    }
}

#[test]
fn a_host_can_be_kept_or_added_and_lines_can_be_added_and_taken_out() {
    let changes = RequestChanges { target: [b"", b"/rpc"], host: None, added: b"" };
    let kept = "GET /rpc HTTP/1.1\r\nHost: here\r\n\r\n";
    assert_eq!(sent(kept, &changes), kept);
    assert_eq!(
        sent("GET / HTTP/1.0\r\nA: 1\r\n\r\n", &CHANGES),
        "GET /base/v1/x?y=%20 HTTP/1.1\r\nA: 1\r\nHost: up:80\r\n\r\n"
    );
    let head = "GET / HTTP/1.1\r\nX-Forwarded-For: 1\r\nHost: h\r\nx-forwarded-for: 2\r\n\r\n";
    let (read, mut lines) = request(head);
    assert_eq!(lines.value(head.as_bytes(), "x-forwarded-for"), Some(&b"1"[..]));
    lines.drop_all(head.as_bytes(), "x-forwarded-for");
    let changes = RequestChanges { added: b"X-Forwarded-For: 3\r\n", ..CHANGES };
    let mut output = Vec::new();
    read.write(head.as_bytes(), &mut lines, &changes, &mut output);
    assert!(output.ends_with(b"HTTP/1.1\r\nHost: up:80\r\nX-Forwarded-For: 3\r\n\r\n"));
}

#[test]
fn a_request_says_what_it_asks_for() {
    for (line, form) in [
        ("GET /a HTTP/1.1", TargetForm::Origin),
        ("GET http://here/a HTTP/1.1", TargetForm::Absolute),
        ("OPTIONS * HTTP/1.1", TargetForm::Asterisk),
        ("CONNECT here:443 HTTP/1.1", TargetForm::Authority),
    ] {
        let (read, _) = request(&format!("{line}\r\nHost: here\r\n\r\n"));
        assert_eq!((read.form, read.framing), (form, Framing::None), "{line}");
    }
    let head = "\r\nHEAD / HTTP/1.1\r\nHost: h\r\nexpect: 100-Continue\r\n\r\n";
    let (read, _) = request(head);
    assert!(
        read.is_head(head.as_bytes()) && read.is_safe(head.as_bytes()) && read.expects_continue
    );
    let old = "POST / HTTP/1.0\r\nConnection: Keep-Alive\r\nContent-Length: 3\r\n\r\n";
    let (read, _) = request(old);
    assert_eq!((read.version, read.framing), (Version::Http10, Framing::Length(3)));
    assert!(read.keeps_alive());
    assert!(!request("GET / HTTP/1.0\r\n\r\n").0.keeps_alive());
}

#[test]
fn every_line_of_a_response_goes_on_as_it_came() {
    for reason in [" OK", "", " ", " Sehr gut \u{e9}", " two  words "] {
        let lines = "Set-Cookie: a\r\nX: 1\r\nset-cookie:  b \r\nContent-Length: 3\r\n";
        let head = format!("HTTP/1.1 200{reason}\r\n{lines}\r\n");
        assert_eq!(handed_on(&head, &ResponseChanges::default()), head);
    }
    assert_eq!(
        handed_on(
            "HTTP/1.0 200 OK\r\nConnection: x-hop, Transfer-Encoding\r\nX-Hop: 1\r\nA: 1\r\n\
             Keep-Alive: timeout=7, max=100\r\nUpgrade: h2\r\n\r\n",
            &ResponseChanges { connection: Some(b"close"), ..ResponseChanges::default() },
        ),
        "HTTP/1.1 200 OK\r\nA: 1\r\nconnection: close\r\n\r\n"
    );
    let switched = "HTTP/1.1 101 Now\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(handed_on(switched, &ResponseChanges::default()), switched);
}

#[test]
fn a_response_ends_where_its_status_its_framing_and_the_method_say() {
    const LENGTH: &str = "Content-Length: 3\r\n";
    const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
    for (status, lines, framing, sent) in [
        (200, LENGTH, Framing::Length(3), LENGTH),
        (200, CHUNKED, Framing::Chunked, CHUNKED),
        (200, "", Framing::UntilClose, ""),
        (500, "Content-Length: 3\r\ncontent-length: 3\r\n", Framing::Length(3), LENGTH),
        (200, "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", Framing::Chunked, CHUNKED),
        (204, LENGTH, Framing::None, ""),
        (204, CHUNKED, Framing::None, ""),
        (204, "content-length:  0\r\n", Framing::None, "content-length:  0\r\n"),
        (204, "Content-Length: 0\r\nContent-Length: 0\r\n", Framing::None, "Content-Length: 0\r\n"),
        (103, CHUNKED, Framing::None, ""),
        (304, LENGTH, Framing::None, LENGTH),
    ] {
        let head = format!("HTTP/1.1 {status} X\r\n{lines}\r\n");
        assert_eq!(response(&head).0.framing, framing, "{head:?}");
        assert_eq!(
            handed_on(&head, &ResponseChanges::default()),
            format!("HTTP/1.1 {status} X\r\n{sent}\r\n")
        );
        let to_head = ResponseHead::read(head.as_bytes(), &mut Lines::default(), true).unwrap();
        assert_eq!(to_head.framing, Framing::None);
    }
}

/// What follows it may be that body, and is no response.
#[test]
fn a_connection_is_not_used_again_after_a_body_that_cannot_be() {
    for (lines, keeps) in [
        ("", true),
        ("Content-Length: 0\r\n", true),
        ("Content-Length: 3\r\n", false),
        ("Transfer-Encoding: chunked\r\n", false),
    ] {
        let (read, _) = response(&format!("HTTP/1.1 204 No Content\r\n{lines}\r\n"));
        assert_eq!(read.keeps_alive(), keeps, "{lines:?}");
    }
}

#[test]
fn a_response_that_can_be_read_in_two_ways_is_no_response() {
    for (head, fault) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
            Fault::RepeatedLength,
        ),
        ("HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\n", Fault::BadLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Fault::ForeignCoding),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::CodingInHttp10),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            Fault::RepeatedCoding,
        ),
        ("HTTP/1.1 099 OK\r\n\r\n", Fault::Malformed),
        ("HTTP/2.0 200 OK\r\n\r\n", Fault::Malformed),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", Fault::Malformed),
    ] {
        let read = ResponseHead::read(head.as_bytes(), &mut Lines::default(), false);
        assert_eq!(read.err(), Some(fault), "{head:?}");
    }
}

#[test]
fn the_client_is_told_what_becomes_of_its_connection() {
    const NEW: &str = "GET / HTTP/1.1\r\nHost: h\r\n\r\n";
    const CLOSING: &str = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    const OLD: &str = "GET / HTTP/1.0\r\n\r\n";
    const OLD_KEEPING: &str = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let length = "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\n";
    let hints = "HTTP/1.1 103 Early Hints\r\n\r\n";
    for (asked, answered, connection, unchunked) in [
        (NEW, length, None, false),
        (CLOSING, length, Some("close"), false),
        (OLD, length, Some("close"), false),
        (OLD_KEEPING, length, Some("keep-alive"), false),
        (NEW, chunked, None, false),
        (OLD_KEEPING, chunked, Some("close"), true),
        (NEW, until_close, Some("close"), false),
        (CLOSING, hints, None, false),
    ] {
        let changes = response(answered).0.changes(&request(asked).0, true);
        let said = changes.connection.map(|said| String::from_utf8_lossy(said));
        assert_eq!((said.as_deref(), changes.unchunked), (connection, unchunked), "{asked:?}");
    }
    let changes = response(length).0.changes(&request(NEW).0, false);
    assert_eq!(changes.connection, Some(&b"close"[..]));
    assert!(!response(length).0.keeps_alive());
    assert!(response(chunked).0.keeps_alive());
    assert!(!response("HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n").0.keeps_alive());
}

#[test]
fn a_changed_body_gets_a_framing_of_its_own() {
    let head = "HTTP/1.1 200 OK\r\nA: 1\r\nContent-Length: 3\r\n\r\n";
    let changes = ResponseChanges { rechunked: true, ..ResponseChanges::default() };
    assert_eq!(
        handed_on(head, &changes),
        "HTTP/1.1 200 OK\r\nA: 1\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n";
    let changes = ResponseChanges { unchunked: true, ..ResponseChanges::default() };
    assert_eq!(handed_on(chunked, &changes), "HTTP/1.1 200 OK\r\nA: 1\r\n\r\n");
}

#[test]
fn chunks_of_responses_may_have_spaces_and_loose_extensions() {
    let wire = b"5 \r\nhello\r\n3\t; any thing=\r\nabc\r\n0\r\nX-T: 1\r\n\r\nHTTP";
    for size in 1..wire.len() {
        let mut body = Body::new(Framing::Chunked, false);
        let mut data = Vec::new();
        let mut at = 0;
        while !body.has_ended() {
            let piece = &wire[at..(at + size).min(wire.len())];
            at += body.pass(piece, |range| data.extend_from_slice(&piece[range])).unwrap();
        }
        assert_eq!((at, &data[..]), (wire.len() - 4, &b"helloabc"[..]));
    }
    assert_eq!(Body::new(Framing::Chunked, true).pass(wire, |_| ()), Err(Fault::BadChunk));
}
