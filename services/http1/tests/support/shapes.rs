//! Requests that servers have read in two ways, and what is said of each.

use modash_http1::Fault;

/// What is done with a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is understood as so many requests.
    Requests(usize),
    /// It is refused.
    Refused(Fault),
}

/// Some bytes that a client may send.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    /// What is odd about it.
    pub(crate) name: &'static str,
    /// The bytes.
    pub(crate) bytes: Vec<u8>,
    /// What is done with them.
    pub(crate) verdict: Verdict,
}

const HOST: &str = "Host: here\r\n";
const LENGTH: &str = "Content-Length: 6\r\n";
const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";
const NEXT: &str = "GET /smuggled HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n";

/// A POST with these header lines, its body, and a request behind it.
fn post(lines: &[&str], body: &str) -> Vec<u8> {
    format!("POST /shape HTTP/1.1\r\n{}\r\n{body}{NEXT}", lines.concat()).into_bytes()
}

/// A chunked POST with this body, and a request behind it.
fn chunks(body: &str) -> Vec<u8> {
    post(&[HOST, CHUNKED], body)
}

fn get(line: &str) -> Vec<u8> {
    format!("{line}\r\n{HOST}\r\n{NEXT}").into_bytes()
}

/// All shapes.
pub(crate) fn shapes() -> Vec<Shape> {
    let all = [lengths(), codings(), heads(), hosts(), targets(), framed(), upgrades()].concat();
    all.into_iter().map(|(name, bytes, verdict)| Shape { name, bytes, verdict }).collect()
}

type Row = (&'static str, Vec<u8>, Verdict);

fn refused(fault: Fault) -> Verdict {
    Verdict::Refused(fault)
}

fn lengths() -> Vec<Row> {
    use Fault::{BadLength, Malformed, RepeatedLength};
    let length = |line: &str| post(&[HOST, line], "abcdef");
    vec![
        ("a length", length(LENGTH), Verdict::Requests(2)),
        ("a length in capitals", length("CONTENT-LENGTH:6\r\n"), Verdict::Requests(2)),
        ("a length with leading zeros", length("Content-Length: 006\r\n"), Verdict::Requests(2)),
        ("a length with spaces around", length("Content-Length:   6  \r\n"), Verdict::Requests(2)),
        ("a tab before a length", length("Content-Length:\t6\r\n"), refused(BadLength)),
        ("a tab behind a length", length("Content-Length: 6 \t\r\n"), refused(BadLength)),
        (
            "a length twice",
            length("Content-Length: 6\r\ncontent-length: 6\r\n"),
            refused(RepeatedLength),
        ),
        (
            "two lengths",
            length("Content-Length: 6\r\nContent-Length: 7\r\n"),
            refused(RepeatedLength),
        ),
        (
            "lengths with others between",
            length("Content-Length: 6\r\nX: y\r\nContent-Length: 0\r\n"),
            refused(RepeatedLength),
        ),
        ("a list of lengths", length("Content-Length: 6, 6\r\n"), refused(BadLength)),
        ("a list of other lengths", length("Content-Length: 6,7\r\n"), refused(BadLength)),
        ("a sign", length("Content-Length: +6\r\n"), refused(BadLength)),
        ("a negative length", length("Content-Length: -1\r\n"), refused(BadLength)),
        ("a hexadecimal length", length("Content-Length: 0x6\r\n"), refused(BadLength)),
        ("an exponent", length("Content-Length: 6e0\r\n"), refused(BadLength)),
        ("a fraction", length("Content-Length: 6.0\r\n"), refused(BadLength)),
        ("an underscore between digits", length("Content-Length: 0_6\r\n"), refused(BadLength)),
        ("a space between digits", length("Content-Length: 0 6\r\n"), refused(BadLength)),
        ("a length with a parameter", length("Content-Length: 6;x\r\n"), refused(BadLength)),
        ("an empty length", length("Content-Length: \r\n"), refused(BadLength)),
        (
            "a length beyond 64 bits",
            length("Content-Length: 18446744073709551622\r\n"),
            refused(BadLength),
        ),
        ("a quoted length", length("Content-Length: \"6\"\r\n"), refused(BadLength)),
        ("a full-width digit", length("Content-Length: \u{ff16}\r\n"), refused(BadLength)),
        ("a space before the colon", length("Content-Length : 6\r\n"), refused(Malformed)),
        ("a tab before the colon", length("Content-Length\t: 6\r\n"), refused(Malformed)),
        ("a length without a colon", length("Content-Length\r\n"), refused(Malformed)),
        (
            "a vertical tab before the length",
            length("Content-Length:\x0b6\r\n"),
            refused(Malformed),
        ),
        ("an underscore in the name", length("Content_Length: 6\r\n"), refused(Fault::LikeFraming)),
        (
            "a length that Connection names",
            length("Connection: content-length\r\nContent-Length: 6\r\n"),
            refused(Fault::HiddenHeader),
        ),
    ]
}

fn codings() -> Vec<Row> {
    use Fault::{BadCoding, ForeignCoding, Malformed, RepeatedCoding, TwoFramings};
    let coded = |lines: &str| post(&[HOST, lines], "0\r\n\r\n");
    let te = |value: &str| coded(&format!("Transfer-Encoding: {value}\r\n"));
    vec![
        ("chunks", te("chunked"), Verdict::Requests(2)),
        ("chunks in capitals", te("CHUNKED"), Verdict::Requests(2)),
        ("a space behind chunked", te("chunked "), Verdict::Requests(2)),
        ("a tab before chunked", te("\tchunked"), refused(BadCoding)),
        ("a tab behind chunked", te("chunked\t"), refused(BadCoding)),
        (
            "a length before chunks",
            coded("Content-Length: 6\r\nTransfer-Encoding: chunked\r\n"),
            refused(TwoFramings),
        ),
        (
            "chunks before a length",
            coded("Transfer-Encoding: chunked\r\nContent-Length: 6\r\n"),
            refused(TwoFramings),
        ),
        (
            "a length of 0 before chunks",
            coded("Content-Length: 0\r\nTransfer-Encoding: chunked\r\n"),
            refused(TwoFramings),
        ),
        (
            "a length beside an odd coding",
            coded("Content-Length: 6\r\nTransfer-Encoding: xchunked\r\n"),
            refused(TwoFramings),
        ),
        (
            "chunks twice",
            coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
            refused(RepeatedCoding),
        ),
        (
            "chunks and identity",
            coded("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
            refused(RepeatedCoding),
        ),
        ("a list of chunked", te("chunked, chunked"), refused(BadCoding)),
        ("identity", te("identity"), refused(BadCoding)),
        ("xchunked", te("xchunked"), refused(BadCoding)),
        ("chunkedx", te("chunkedx"), refused(BadCoding)),
        ("chunked with a parameter", te("chunked;q=1"), refused(BadCoding)),
        ("quoted chunked", te("\"chunked\""), refused(BadCoding)),
        ("chunked between commas", te(",chunked,"), refused(ForeignCoding)),
        ("an empty coding", te(""), refused(BadCoding)),
        ("gzip before chunked", te("gzip, chunked"), refused(ForeignCoding)),
        ("identity before chunked", te("identity, chunked"), refused(ForeignCoding)),
        ("gzip behind chunked", te("chunked, gzip"), refused(BadCoding)),
        ("gzip", te("gzip"), refused(BadCoding)),
        ("a vertical tab before chunked", te("\x0bchunked"), refused(Malformed)),
        ("a NUL behind chunked", te("chunked\0"), refused(Malformed)),
        ("a CR behind chunked", te("chunked\rX: y"), refused(Malformed)),
        ("a no-break space before chunked", te("\u{a0}chunked"), refused(BadCoding)),
        (
            "a space before the colon of a coding",
            coded("Transfer-Encoding : chunked\r\n"),
            refused(Malformed),
        ),
        (
            "an underscore in the coding's name",
            coded("Transfer_Encoding: chunked\r\n"),
            refused(Fault::LikeFraming),
        ),
        (
            "a coding folded into the next line",
            coded("Transfer-Encoding:\r\n chunked\r\n"),
            refused(Fault::FoldedHeader),
        ),
        (
            "a coding that Connection names",
            coded("Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n"),
            refused(Fault::HiddenHeader),
        ),
        (
            "chunks in HTTP/1.0",
            format!("POST /shape HTTP/1.0\r\n{HOST}{CHUNKED}\r\n0\r\n\r\n{NEXT}").into_bytes(),
            refused(Fault::CodingInHttp10),
        ),
    ]
}

fn heads() -> Vec<Row> {
    use Fault::{BareLineFeed, FoldedHeader, Malformed};
    let line = |line: &str| post(&[HOST, line], "");
    vec![
        ("a header folded with a space", line("X: y\r\n z\r\n"), refused(FoldedHeader)),
        (
            "a header folded with a tab",
            line("X: y\r\n\tContent-Length: 6\r\n"),
            refused(FoldedHeader),
        ),
        ("a first header behind a space", post(&[" ", HOST], ""), refused(FoldedHeader)),
        ("a line without CR", line("X: y\nContent-Length: 6\r\n"), refused(BareLineFeed)),
        (
            "an end without CR",
            format!("GET /shape HTTP/1.1\r\n{HOST}\n{NEXT}").into_bytes(),
            refused(BareLineFeed),
        ),
        (
            "a request line without CR",
            format!("GET /shape HTTP/1.1\n{HOST}\r\n{NEXT}").into_bytes(),
            refused(BareLineFeed),
        ),
        ("a line with CR alone", line("X: y\rContent-Length: 6\r\n"), refused(Malformed)),
        ("two CRs", line("X: y\r\r\n"), refused(Malformed)),
        ("a CR in the middle of a value", line("X: a\rb\r\n"), refused(Malformed)),
        ("a NUL in a value", line("X: a\0b\r\n"), refused(Malformed)),
        ("a NUL in a name", line("X\0: a\r\n"), refused(Malformed)),
        ("DEL in a value", line("X: a\x7fb\r\n"), refused(Malformed)),
        ("no name", line(": y\r\n"), refused(Malformed)),
        ("a name beyond ASCII", line("X\u{e9}: y\r\n"), refused(Malformed)),
        ("a name with a space", line("X Y: z\r\n"), refused(Malformed)),
        ("a name with a slash", line("X/Y: z\r\n"), refused(Malformed)),
        ("a line without a colon", line("nothing\r\n"), refused(Malformed)),
        ("a value beyond ASCII", line("X: \u{e9}\r\n"), Verdict::Requests(2)),
        ("an empty value", line("X:\r\nY: \r\n"), Verdict::Requests(2)),
        (
            "empty lines before a request",
            [&b"\r\n\r\n"[..], &get("GET /shape HTTP/1.1")].concat(),
            Verdict::Requests(2),
        ),
        (
            "a LF before a request",
            [&b"\n"[..], &get("GET /shape HTTP/1.1")].concat(),
            refused(BareLineFeed),
        ),
        ("a space before a request", get(" GET /shape HTTP/1.1"), refused(Malformed)),
    ]
}

fn hosts() -> Vec<Row> {
    use Fault::{BadHost, NoHost, RepeatedHost};
    vec![
        ("two hosts", post(&[HOST, "Host: there\r\n"], ""), refused(RepeatedHost)),
        ("a host twice", post(&[HOST, "X: y\r\n", HOST], ""), refused(RepeatedHost)),
        ("no host", post(&[LENGTH], "abcdef"), refused(NoHost)),
        ("a list of hosts", post(&["Host: here, there\r\n"], ""), refused(BadHost)),
        ("a host with a space", post(&["Host: he re\r\n"], ""), refused(BadHost)),
        ("a host with a path", post(&["Host: here/there\r\n"], ""), refused(BadHost)),
        ("a host with a user", post(&["Host: you@here\r\n"], ""), refused(BadHost)),
        ("a host beyond ASCII", post(&["Host: h\u{e9}re\r\n"], ""), refused(BadHost)),
        (
            "a host that Connection names",
            post(&["Connection: host\r\n", HOST], ""),
            refused(Fault::HiddenHeader),
        ),
        ("an address of IPv6", post(&["Host: [::1]:80\r\n"], ""), Verdict::Requests(2)),
        ("HTTP/1.0 without a host", b"GET /shape HTTP/1.0\r\n\r\n".to_vec(), Verdict::Requests(1)),
        (
            "HTTP/1.0 with two hosts",
            format!("GET /shape HTTP/1.0\r\n{HOST}{HOST}\r\n").into_bytes(),
            refused(RepeatedHost),
        ),
    ]
}

fn targets() -> Vec<Row> {
    use Fault::{BadTarget, Fragment, Malformed};
    vec![
        ("two spaces before the target", get("GET  /shape HTTP/1.1"), refused(Malformed)),
        ("two spaces behind the target", get("GET /shape  HTTP/1.1"), refused(Malformed)),
        ("a tab before the target", get("GET\t/shape HTTP/1.1"), refused(Malformed)),
        ("a space in the target", get("GET /sha pe HTTP/1.1"), refused(Malformed)),
        ("a space behind the version", get("GET /shape HTTP/1.1 "), refused(Malformed)),
        ("a target with a NUL", get("GET /sha\0pe HTTP/1.1"), refused(Malformed)),
        ("a method with an odd character", get("G@T /shape HTTP/1.1"), refused(Malformed)),
        ("no version", get("GET /shape"), refused(Malformed)),
        ("HTTP/3.1", get("GET /shape HTTP/3.1"), refused(Malformed)),
        ("HTTP/1.2", get("GET /shape HTTP/1.2"), refused(Malformed)),
        ("HTTP/1.10", get("GET /shape HTTP/1.10"), refused(Malformed)),
        ("a version in lower case", get("GET /shape http/1.1"), refused(Malformed)),
        ("another protocol", get("GET /shape ICE/1.1"), refused(Malformed)),
        ("a fragment", get("GET /shape#smuggled HTTP/1.1"), refused(Fragment)),
        ("a path without a slash", get("GET shape HTTP/1.1"), refused(BadTarget)),
        ("an asterisk with GET", get("GET * HTTP/1.1"), refused(BadTarget)),
        ("a question mark", get("GET ?shape HTTP/1.1"), refused(BadTarget)),
        ("a query", get("GET /shape?a=b&c=%20d HTTP/1.1"), Verdict::Requests(2)),
        (
            "a body with GET",
            format!("GET /shape HTTP/1.1\r\n{HOST}{LENGTH}\r\nabcdef{NEXT}").into_bytes(),
            Verdict::Requests(2),
        ),
        (
            "a body with HEAD",
            format!("HEAD /shape HTTP/1.1\r\n{HOST}{LENGTH}\r\nabcdef{NEXT}").into_bytes(),
            Verdict::Requests(2),
        ),
        ("what is no request", b"hello\r\n\r\n".to_vec(), refused(Malformed)),
        ("a TLS handshake", b"\x16\x03\x01\x02\0\x01\0".to_vec(), refused(Fault::TlsHandshake)),
    ]
}

fn framed() -> Vec<Row> {
    use Fault::{BadChunk, BadTrailer};
    vec![
        ("chunks with a body", chunks("6\r\nabcdef\r\n0\r\n\r\n"), Verdict::Requests(2)),
        (
            "an upper-case size with zeros",
            chunks("000A\r\nabcdefghij\r\n000\r\n\r\n"),
            Verdict::Requests(2),
        ),
        ("an extension", chunks("6;a=b\r\nabcdef\r\n0;c\r\n\r\n"), Verdict::Requests(2)),
        ("a quoted extension", chunks("6;a=\"b;c\"\r\nabcdef\r\n0\r\n\r\n"), Verdict::Requests(2)),
        ("a trailer", chunks("6\r\nabcdef\r\n0\r\nX-Sum: 1\r\n\r\n"), Verdict::Requests(2)),
        ("a size of letters", chunks("x\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("an empty size", chunks("\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("a negative size", chunks("-6\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("a size with a sign", chunks("+6\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("a size with 0x", chunks("0x6\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        (
            "a size beyond 64 bits",
            chunks("10000000000000006\r\nabcdef\r\n0\r\n\r\n"),
            refused(BadChunk),
        ),
        ("a size with an underscore", chunks("0_6\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("a space before a size", chunks(" 6\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("a space behind a size", chunks("6 \r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("a word behind a size", chunks("6 x\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("a size without CR", chunks("6\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("a size with CR alone", chunks("6\rabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        (
            "a chunk that is longer than its size",
            chunks("5\r\nabcdef\r\n0\r\n\r\n"),
            refused(BadChunk),
        ),
        ("a chunk without a line end", chunks("6\r\nabcdef0\r\n\r\n"), refused(BadChunk)),
        ("a chunk that ends without CR", chunks("6\r\nabcdef\n0\r\n\r\n"), refused(BadChunk)),
        ("an extension without CR", chunks("6;a\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("an extension with CR alone", chunks("6;a\rb\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("an extension without a name", chunks("6;\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        ("an extension with a space", chunks("6; a\r\nabcdef\r\n0\r\n\r\n"), refused(BadChunk)),
        (
            "an extension whose quote does not end",
            chunks("6;a=\"b\r\nabcdef\r\n0\r\n\r\n"),
            refused(BadChunk),
        ),
        ("an end without CR", chunks("6\r\nabcdef\r\n0\n\r\n"), refused(BadChunk)),
        (
            "an end whose empty line has no CR",
            chunks("6\r\nabcdef\r\n0\r\n\n"),
            refused(BadTrailer),
        ),
        ("a trailer without a colon", chunks("0\r\nnothing\r\n\r\n"), refused(BadTrailer)),
        ("a trailer without CR", chunks("0\r\nX: y\n\r\n"), refused(BadTrailer)),
        ("a folded trailer", chunks("0\r\nX: y\r\n z\r\n\r\n"), refused(BadTrailer)),
        ("a space before a trailer's colon", chunks("0\r\nX : y\r\n\r\n"), refused(BadTrailer)),
        ("a length in the trailers", chunks("0\r\nContent-Length: 6\r\n\r\n"), refused(BadTrailer)),
        (
            "a coding in the trailers",
            chunks("0\r\ntransfer-encoding: chunked\r\n\r\n"),
            refused(BadTrailer),
        ),
        ("a host in the trailers", chunks("0\r\nHOST: there\r\n\r\n"), refused(BadTrailer)),
        ("no end of the chunks", chunks("6\r\nabcdef\r\n"), refused(BadChunk)),
    ]
}

/// What looked no further once it had seen these let anything pass behind them.
fn upgrades() -> Vec<Row> {
    const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let behind = |first: &str| {
        let bad = format!("POST /shape HTTP/1.1\r\n{HOST}{LENGTH}{CHUNKED}\r\n0\r\n\r\n");
        format!("{first}{bad}{NEXT}").into_bytes()
    };
    let upgrade = format!("GET /shape HTTP/1.1\r\n{HOST}{UPGRADE}\r\n");
    let h2c = format!("GET /shape HTTP/1.1\r\n{HOST}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
    let bare = format!("GET /shape HTTP/1.1\r\n{HOST}Upgrade: websocket\r\n\r\n");
    let with_body = format!("POST /shape HTTP/1.1\r\n{HOST}{UPGRADE}{LENGTH}\r\nabcdef");
    vec![
        ("two framings behind an upgrade", behind(&upgrade), refused(Fault::TwoFramings)),
        ("two framings behind an upgrade to HTTP/2", behind(&h2c), refused(Fault::TwoFramings)),
        ("two framings behind an upgrade header alone", behind(&bare), refused(Fault::TwoFramings)),
        (
            "two framings behind an upgrade with a body",
            behind(&with_body),
            refused(Fault::TwoFramings),
        ),
        (
            "two framings in an upgrade",
            post(&[HOST, UPGRADE, LENGTH, CHUNKED], "0\r\n\r\n"),
            refused(Fault::TwoFramings),
        ),
        (
            "an upgrade header alone",
            [bare.as_bytes(), NEXT.as_bytes()].concat(),
            Verdict::Requests(2),
        ),
        (
            "two framings behind a foreign coding",
            behind(&format!(
                "POST /shape HTTP/1.1\r\n{HOST}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"
            )),
            refused(Fault::ForeignCoding),
        ),
        (
            "two framings behind CONNECT",
            behind(&format!("CONNECT here:80 HTTP/1.1\r\n{HOST}\r\n")),
            refused(Fault::TwoFramings),
        ),
    ]
}
