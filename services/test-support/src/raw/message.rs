//! One message as it came over the line, and what of it must pass a proxy.

use std::fmt;

use bytes::Bytes;

/// How the end of a body is told (RFC 9112 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body.
    None,
    /// By `Content-Length`.
    Length,
    /// By chunks.
    Chunked,
    /// By the end of the connection.
    Close,
}

/// One line of headers or trailers; the name as it was spelled, the value without
/// the white space around it.
#[derive(Clone, PartialEq, Eq)]
pub struct Field {
    /// Name.
    pub name: Bytes,
    /// Value.
    pub value: Bytes,
}

impl Field {
    /// Whether this is its name, in any spelling.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name.as_bytes())
    }

    fn lists(&self) -> impl Iterator<Item = &[u8]> {
        self.value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii)
    }
}

impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name.escape_ascii(), self.value.escape_ascii())
    }
}

/// A request or a response.
#[derive(Clone, PartialEq, Eq)]
pub struct RawMessage {
    /// Request line or status line, without its line end.
    pub start: Bytes,
    /// Headers in their order.
    pub headers: Vec<Field>,
    /// How the end of the body was told.
    pub framing: Framing,
    /// The body without its framing.
    pub body: Bytes,
    /// Trailers in their order.
    pub trailers: Vec<Field>,
    /// Responses with 1xx before it, as they came.
    pub interim: Vec<Bytes>,
}

impl RawMessage {
    /// All values of a header, in their order.
    #[must_use]
    pub fn values(&self, name: &str) -> Vec<String> {
        let found = self.headers.iter().filter(|field| field.is(name));
        found.map(|field| field.value.escape_ascii().to_string()).collect()
    }

    /// What has to pass a proxy: without the headers of one hop (RFC 9110 7.6.1),
    /// those that `Connection` names, and `Host`, which is the receiver's.
    #[must_use]
    pub fn end_to_end(&self) -> Self {
        let named: Vec<&[u8]> = self
            .headers
            .iter()
            .filter(|field| field.is("connection"))
            .flat_map(Field::lists)
            .collect();
        let of_one_hop = |field: &Field| {
            let names = ["connection", "keep-alive", "proxy-connection", "te", "transfer-encoding"];
            names.iter().any(|name| field.is(name))
                || field.is("upgrade")
                || field.is("host")
                || named.iter().any(|name| field.name.eq_ignore_ascii_case(name))
        };
        let mut kept = self.clone();
        kept.headers.retain(|field| !of_one_hop(field));
        kept
    }

    /// The same with equal names next to each other, at the place of the first.
    /// Order between different names has no meaning (RFC 9110 5.3).
    #[must_use]
    pub fn grouped(&self) -> Self {
        let mut grouped: Vec<Field> = Vec::new();
        for field in &self.headers {
            let same = |other: &Field| other.name.eq_ignore_ascii_case(&field.name);
            let place = grouped.iter().rposition(same).map_or(grouped.len(), |last| last + 1);
            grouped.insert(place, field.clone());
        }
        Self { headers: grouped, ..self.clone() }
    }

    /// The same as HTTP/2 carries it: names in lower case, no reason phrase.
    #[must_use]
    pub fn as_http2(&self) -> Self {
        let lower = |fields: &[Field]| -> Vec<Field> {
            let fields = fields.iter().map(|field| Field {
                name: field.name.to_ascii_lowercase().into(),
                value: field.value.clone(),
            });
            fields.collect()
        };
        let status = self.start.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        Self {
            start: Bytes::copy_from_slice(status),
            headers: lower(&self.headers),
            framing: Framing::None,
            trailers: lower(&self.trailers),
            ..self.grouped()
        }
    }

    /// Compares what came through a proxy with what came without one.
    ///
    /// # Errors
    /// Says what differs.
    pub fn must_equal(&self, direct: &Self) -> Result<(), String> {
        let (through, direct) = (self.end_to_end(), direct.end_to_end());
        let heads =
            |message: &Self| format!("{} {:#?}", message.start.escape_ascii(), message.headers);
        if (&through.start, &through.headers) != (&direct.start, &direct.headers) {
            return Err(format!("heads differ: {} instead of {}", heads(&through), heads(&direct)));
        }
        // A body that ends with its connection must not end the client's.
        let framed_anew = direct.framing == Framing::Close && through.framing == Framing::Chunked;
        if through.framing != direct.framing && !framed_anew {
            return Err(format!("framing: {:?} not {:?}", through.framing, direct.framing));
        }
        if through.body != direct.body {
            let same = through.body.iter().zip(&direct.body).take_while(|(a, b)| a == b).count();
            let lengths = (through.body.len(), direct.body.len());
            return Err(format!("bodies differ at byte {same}, lengths {lengths:?}"));
        }
        if through.trailers != direct.trailers {
            return Err(format!("trailers: {:?} not {:?}", through.trailers, direct.trailers));
        }
        Ok(())
    }
}

impl fmt::Debug for RawMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMessage")
            .field("start", &format_args!("{}", self.start.escape_ascii()))
            .field("headers", &self.headers)
            .field("framing", &self.framing)
            .field("body bytes", &self.body.len())
            .field("trailers", &self.trailers)
            .finish_non_exhaustive()
    }
}
