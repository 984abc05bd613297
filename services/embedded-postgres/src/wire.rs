//! As much of PostgreSQL's protocol (version 3) as the start needs: connect over
//! the socket, without a password, and run a statement without a result. It
//! keeps the database client library out of everything but analytics.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use crate::DATABASE;

/// The server cannot be asked for longer than this in one go.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Longest message taken from the server, in bytes.
const LONGEST_MESSAGE: usize = 1 << 20;

/// A connection that is ready for a statement.
#[derive(Debug)]
pub(crate) struct Connection(UnixStream);

/// Why the server did not do it.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot be reached, or does not speak as expected.
    Io(io::Error),
    /// It refused, with an SQLSTATE and words.
    Refused { code: String, message: String },
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl Connection {
    /// Connects to `database` as the owner of the cluster.
    pub(crate) fn open(socket: &Path, database: &str) -> Result<Self, Failure> {
        let stream = UnixStream::connect(socket)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        let mut connection = Self(stream);
        let mut body = 196_608_u32.to_be_bytes().to_vec();
        for text in ["user", DATABASE, "database", database, ""] {
            body.extend_from_slice(text.as_bytes());
            body.push(0);
        }
        connection.send(None, &body)?;
        connection.until_ready()?;
        Ok(connection)
    }

    /// Runs one statement.
    pub(crate) fn execute(&mut self, statement: &str) -> Result<(), Failure> {
        let mut body = statement.as_bytes().to_vec();
        body.push(0);
        self.send(Some(b'Q'), &body)?;
        self.until_ready()
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len() + 4).map_err(io::Error::other)?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend_from_slice(&length.to_be_bytes());
        message.extend_from_slice(body);
        self.0.write_all(&message)
    }

    /// Reads until the server waits for a statement. A refused connection ends
    /// after its error, a refused statement leads back to readiness.
    fn until_ready(&mut self) -> Result<(), Failure> {
        let mut refused = None;
        loop {
            let (kind, body) = match self.receive() {
                Ok(message) => message,
                Err(error) => return Err(refused.unwrap_or(Failure::Io(error))),
            };
            match kind {
                b'E' => refused = Some(refusal(&body)),
                b'R' if body != [0; 4] => {
                    return Err(Failure::Io(io::Error::other("the server wants a password")));
                }
                b'Z' => return refused.map_or(Ok(()), Err),
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head)?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize;
        if !(4..=LONGEST_MESSAGE).contains(&length) {
            return Err(io::Error::other("the server sent a message of impossible length"));
        }
        let mut body = vec![0; length - 4];
        self.0.read_exact(&mut body)?;
        Ok((head[0], body))
    }
}

/// Fields of an error are a letter, a text and a zero each.
fn refusal(body: &[u8]) -> Failure {
    let field = |letter: u8| {
        let found = body.split(|byte| *byte == 0).find(|field| field.first() == Some(&letter));
        found.map_or_else(String::new, |field| String::from_utf8_lossy(&field[1..]).into_owned())
    };
    Failure::Refused { code: field(b'C'), message: field(b'M') }
}
