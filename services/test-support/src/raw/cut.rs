//! Bodies put on the line in every lawful way: framed by length, by chunks or by
//! the end of the connection, in a content coding, cut at random places.

use std::{cell::RefCell, io::Write, rc::Rc};

use bytes::{BufMut as _, Bytes, BytesMut};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::Framing;

/// Random, and the same again for the same seed: `MODASH_TEST_SEED`, or a new
/// one, which is printed so that a failure can be repeated.
#[must_use]
#[allow(clippy::disallowed_methods, reason = "tests have no settings to check")]
pub fn seeded_random() -> StdRng {
    let given = std::env::var("MODASH_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = given.unwrap_or_else(|| rand::rng().random());
    println!("MODASH_TEST_SEED={seed} repeats this");
    StdRng::seed_from_u64(seed)
}

/// A content coding (RFC 9110 8.4.1), or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Coding {
    /// None.
    Identity,
    /// gzip.
    Gzip,
    /// deflate, which is zlib.
    Deflate,
    /// brotli.
    Br,
    /// zstd.
    Zstd,
    /// gzip, and brotli over it.
    GzipThenBr,
}

impl Coding {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Identity, Self::Gzip, Self::Deflate, Self::Br, Self::Zstd, Self::GzipThenBr];

    /// Value of `Content-Encoding`.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self {
            Self::Identity => return None,
            Self::Gzip => "gzip",
            Self::Deflate => "deflate",
            Self::Br => "br",
            Self::Zstd => "zstd",
            Self::GzipThenBr => "gzip, br",
        })
    }

    /// The pieces encoded as one body, flushed after each of them.
    ///
    /// # Panics
    /// Never: memory takes all that is written.
    #[must_use]
    pub fn encode(self, pieces: &[&[u8]]) -> Bytes {
        self.encode_each(pieces).concat().into()
    }

    /// The same body in pieces: what each of the given ones became, and the end of
    /// the coding.
    ///
    /// # Panics
    /// Never: memory takes all that is written.
    #[must_use]
    pub fn encode_each(self, pieces: &[&[u8]]) -> Vec<Bytes> {
        use flate2::{
            Compression,
            write::{GzEncoder, ZlibEncoder},
        };
        let (sink, fast) = (Sink::default(), Compression::fast());
        let out = sink.clone();
        let encoded = match self {
            Self::Identity => write(&sink, out, pieces, |_| Ok(())),
            Self::Gzip => {
                write(&sink, GzEncoder::new(out, fast), pieces, |end| end.finish().map(drop))
            }
            Self::Deflate => {
                write(&sink, ZlibEncoder::new(out, fast), pieces, |end| end.finish().map(drop))
            }
            Self::Br => {
                let encoder = brotli::CompressorWriter::new(out, 4096, 1, 18);
                write(&sink, encoder, pieces, |end| {
                    end.into_inner();
                    Ok(())
                })
            }
            Self::Zstd => zstd::stream::write::Encoder::new(out, 1)
                .and_then(|encoder| write(&sink, encoder, pieces, |end| end.finish().map(drop))),
            Self::GzipThenBr => {
                let inner = Self::Gzip.encode_each(pieces);
                let inner: Vec<&[u8]> = inner.iter().map(AsRef::as_ref).collect();
                return Self::Br.encode_each(&inner);
            }
        };
        encoded.expect("memory takes all that is written")
    }
}

/// Where an encoder writes to, and what it wrote is taken from.
#[derive(Clone, Default)]
struct Sink(Rc<RefCell<Vec<u8>>>);

impl Sink {
    fn take(&self) -> Bytes {
        self.0.take().into()
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn write<W: Write>(
    sink: &Sink,
    mut encoder: W,
    pieces: &[&[u8]],
    finish: impl FnOnce(W) -> std::io::Result<()>,
) -> std::io::Result<Vec<Bytes>> {
    let mut encoded = Vec::with_capacity(pieces.len() + 1);
    for piece in pieces {
        encoder.write_all(piece)?;
        encoder.flush()?;
        encoded.push(sink.take());
    }
    finish(encoder)?;
    encoded.push(sink.take());
    Ok(encoded)
}

/// Cuts bytes into at most about 200 pieces of random sizes: many or few, none
/// of them empty.
#[must_use]
pub fn cut(bytes: &Bytes, random: &mut StdRng) -> Vec<Bytes> {
    let finest = bytes.len() / 200 + 1;
    let mean = [1, 7, 100, 5_000, 100_000][random.random_range(0..5)].max(finest);
    let mut pieces = Vec::new();
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        let length = random.random_range(1..=2 * mean).min(rest.len());
        pieces.push(rest.split_to(length));
    }
    pieces
}

/// The headers of a framing, and the body in it.
#[must_use]
pub fn framed(body: &Bytes, framing: Framing, random: &mut StdRng) -> (String, Bytes) {
    match framing {
        Framing::None | Framing::Close => (String::new(), body.clone()),
        Framing::Length => (format!("Content-Length: {}\r\n", body.len()), body.clone()),
        Framing::Chunked => {
            let chunks = chunked(&cut(body, random), &[], random);
            ("Transfer-Encoding: chunked\r\n".to_owned(), chunks)
        }
    }
}

/// Chunks in any lawful spelling: sizes in either case and with leading zeros,
/// with extensions; then the trailers.
#[must_use]
pub fn chunked(chunks: &[Bytes], trailers: &[(&str, &str)], random: &mut StdRng) -> Bytes {
    let mut line = BytesMut::new();
    for chunk in chunks {
        let (length, extension) = (chunk.len(), ["", "", ";x", ";x=y", ";a=\"b c\""]);
        let extension = extension[random.random_range(0..5)];
        let size = match random.random_range(0..4) {
            0 => format!("{length:X}{extension}\r\n"),
            1 => format!("{length:04x}{extension}\r\n"),
            _ => format!("{length:x}{extension}\r\n"),
        };
        line.put(size.as_bytes());
        line.put(chunk.as_ref());
        line.put(&b"\r\n"[..]);
    }
    line.put(&b"0\r\n"[..]);
    for (name, value) in trailers {
        line.put(format!("{name}: {value}\r\n").as_bytes());
    }
    line.put(&b"\r\n"[..]);
    line.freeze()
}
