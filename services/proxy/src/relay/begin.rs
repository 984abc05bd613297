//! From a complete request head to a turn: where it goes, and the head as the
//! upstream gets it.

use std::sync::Arc;

use modash_http1::{
    Body, Framing, HeadScan, Lines, RequestChanges, RequestHead, TargetForm, Version,
};
use modash_metering::Headers as _;
use modash_runtime::SESSION_COOKIE;

use super::{
    Phase, Relay, Stop, Waiting,
    buffer::with_lines,
    facts,
    hold::Holding,
    turn::{Answering, Sending, Turn},
};
use crate::{
    counters::Counters,
    emit::Running,
    error::{Answer, Refusal, too_many_connections},
    exchange::Exchange,
    request_facts::credential,
    route::Way,
    settings::ForwardedHeaders,
    upstream::Pool,
};

/// The header with a client's token, where the proxy asks for one.
const CLIENT_TOKEN: &str = "x-modash-token";

/// A request that is sent on.
struct Sent {
    pool: Arc<Pool>,
    name: Arc<str>,
    http2: bool,
    running: Option<Running>,
    /// It may be changed.
    holding: Option<Box<Holding>>,
}

impl Relay {
    /// The head at the beginning of the input is complete.
    pub(super) fn begin(&mut self, length: usize) -> Result<(), Stop> {
        self.requests += 1;
        self.peer.activity.begins();
        self.scan = HeadScan::default();
        self.waiting = Waiting::Nothing;
        self.alarm.set(None);
        with_lines(|lines| {
            let head = &self.from_client.unjudged()[..length];
            let read = RequestHead::read(head, lines).map_err(Stop::Refused)?;
            let is_head = read.is_head(head);
            let repeatable = read.is_safe(head) && Body::new(read.framing, true).has_ended();
            match self.send_on(&read, length, lines) {
                Ok(sent) => {
                    self.from_client.skip(length);
                    self.take_turn(read, is_head, repeatable, sent);
                    Ok(())
                }
                Err(answer) => {
                    self.from_client.skip(length);
                    self.answer(&answer, Some((&read, is_head)));
                    Ok(())
                }
            }
        })
    }

    /// Writes the head for the upstream; the error is modash's own answer.
    fn send_on(
        &mut self,
        read: &RequestHead,
        length: usize,
        lines: &mut Lines,
    ) -> Result<Sent, Answer> {
        let head = &self.from_client.unjudged()[..length];
        if self.peer.surplus {
            return Err(too_many_connections());
        }
        let refuse = |refusal: Refusal| {
            Counters::add(&self.core.shared.counters.refused);
            refusal.answer()
        };
        if !self.core.router.answers(lines.value(head, "host")) {
            return Err(refuse(Refusal::ForeignHost));
        }
        let target = read.target.of(head);
        let way = match read.form {
            TargetForm::Origin => self.core.router.way(target),
            TargetForm::Asterisk => self.core.router.way(b"/"),
            TargetForm::Absolute | TargetForm::Authority => {
                return Err(refuse(Refusal::NotAForwardProxy));
            }
        };
        let mut shown = None;
        if self.core.router.asks_for_tokens() {
            if matches!(way, Way::Upstream(..)) {
                shown = lines.value(head, CLIENT_TOKEN).map(<[u8]>::trim_ascii);
                let admitted = self.core.router.admit(shown);
                admitted.map_err(|refusal| refuse(Refusal::of_token(&refusal)))?;
            }
            lines.drop_all(head, CLIENT_TOKEN);
        }
        if matches!(way, Way::Gateway(..))
            && !self.core.router.admits_reader(lines.value(head, "authorization"))
        {
            return Err(refuse(Refusal::NotAReader));
        }
        let (pool, name, host, rest, upstream) = match way {
            Way::Healthz => {
                return Err(Answer::ok());
            }
            Way::Outside => return Err(refuse(Refusal::OutsideBasePath)),
            Way::Gateway(pool, rest) => (pool, Arc::from("gateway"), None, rest, None),
            Way::Upstream(upstream, rest) => {
                lines.drop_cookie(head, SESSION_COOKIE);
                let host = upstream.pool.base().host_header().as_bytes();
                (&upstream.pool, upstream.name.clone(), Some(host), rest, Some(upstream))
            }
        };
        let http2 = pool.wants_http2(self.client.is_http2(), read.hop.upgrade);
        if http2 && http::Uri::try_from(target).is_err() {
            return Err(refuse(Refusal::BadTarget));
        }
        let mut added = forwarded(&self.peer, head, lines);
        if upstream.is_none() {
            add_line(&mut added, modash_runtime::HANDED_ON, b"proxy");
        }
        let aid = &self.core.aid;
        let injection = upstream
            .and_then(|upstream| aid.injection(|| facts::parts(read, head, lines), upstream));
        let mut instead = None;
        let running = upstream.is_some().then(|| {
            facts::with_head(read, head, lines, |head| {
                let mut exchange = Exchange::begin(head, name.clone(), aid.calibration.clone());
                let fingerprinter = &self.core.shared.maker.fingerprinter;
                // Behind a server that asks for no key, holders of tokens are told apart.
                let key = credential(head).or(shown);
                exchange.client_key = key.map(|key| self.last_key.of(key, fingerprinter));
                if let Some(tracing) = &self.core.tracing {
                    exchange.trace =
                        tracing.begin(exchange.facts.client_span, head.headers.lines());
                    instead = tracing.instead(exchange.trace.as_ref());
                }
                Running::begin(exchange, self.core.shared.clone())
            })
        });
        let base = pool.base().base_path().as_bytes();
        let rest = if read.form == TargetForm::Asterisk { target } else { rest };
        let joined;
        let target = match (base, rest.first()) {
            (_, Some(b'/')) => [base, rest],
            // As it came, unless the base path or the name of an upstream is in front.
            ([], Some(b'*')) => [base, rest],
            _ => {
                joined = [base, b"/"].concat();
                [&joined[..], if rest == b"*" { b"" } else { rest }]
            }
        };
        if let Some(instead) = instead {
            instead.names().for_each(|name| lines.drop_all(head, name));
            instead
                .added
                .iter()
                .for_each(|(name, value)| add_line(&mut added, name, value.as_bytes()));
        }
        if injection.is_some() {
            // The client is asked for the body at once.
            lines.drop_all(head, "expect");
        }
        let changes = RequestChanges { target, host, added: &added };
        self.to_upstream.release();
        let output = self.to_upstream.bytes();
        read.write(head, lines, &changes, output);
        let head = output.len();
        let holding = injection.map(|injection| Box::new(Holding { injection, head }));
        Ok(Sent { pool: pool.clone(), name, http2, running, holding })
    }

    fn take_turn(&mut self, request: RequestHead, is_head: bool, repeatable: bool, sent: Sent) {
        let body = Body::new(request.framing, true);
        let Sent { pool, name, http2, running, holding } = sent;
        let mut turn = Box::new(Turn {
            request,
            is_head,
            repeatable,
            running,
            name,
            pool,
            http2,
            body_wanted: body.has_ended(),
            body,
            request_trailers: None,
            sending: Sending::Open,
            unsent: None,
            retried: false,
            answering: Answering::Head(HeadScan::default()),
            asked: None,
            filter: None,
            trailers: Vec::new(),
            unchunked: false,
            closes: false,
            keeps_upstream: false,
            streams: false,
            waits_since: None,
        });
        if turn.body.has_ended()
            && let Some(exchange) = turn.exchange()
        {
            exchange.request_end();
        }
        match holding {
            Some(holding) => {
                self.ask_for_body(&mut turn);
                self.phase = Phase::Holding(holding);
            }
            None => self.connect(&mut turn),
        }
        self.turn = Some(turn);
    }
}

/// The lines of `X-Forwarded-*`, instead of those that came.
fn forwarded(peer: &super::Peer, head: &[u8], lines: &mut Lines) -> Vec<u8> {
    const FOR: &str = "x-forwarded-for";
    const PROTO: &str = "x-forwarded-proto";
    const HOST: &str = "x-forwarded-host";
    if peer.forwarded == ForwardedHeaders::Off {
        return Vec::new();
    }
    let mut added = Vec::new();
    let mut addresses = Vec::new();
    if peer.forwarded == ForwardedHeaders::Replace {
        for name in [FOR, PROTO, HOST, "forwarded"] {
            lines.drop_all(head, name);
        }
    } else {
        let named =
            lines.iter().filter(|line| line.name.of(head).eq_ignore_ascii_case(FOR.as_bytes()));
        for line in named {
            addresses.extend_from_slice(line.value.of(head));
            addresses.extend_from_slice(b", ");
        }
        lines.drop_all(head, FOR);
    }
    addresses.extend_from_slice(peer.address.to_canonical().to_string().as_bytes());
    let replaces = peer.forwarded == ForwardedHeaders::Replace;
    let absent = |name| replaces || lines.value(head, name).is_none();
    let mut add = |name: &str, value: &[u8]| add_line(&mut added, name, value);
    add(FOR, &addresses);
    if absent(PROTO) {
        add(PROTO, if peer.secure { b"https" } else { b"http" });
    }
    if absent(HOST)
        && let Some(host) = lines.value(head, "host").filter(|host| !host.is_empty())
    {
        add(HOST, host);
    }
    added
}

fn add_line(lines: &mut Vec<u8>, name: &str, value: &[u8]) {
    for part in [name.as_bytes(), b": ", value, b"\r\n"] {
        lines.extend_from_slice(part);
    }
}

/// Whether a request has bytes behind its head.
pub(super) fn has_body(read: &RequestHead) -> bool {
    !matches!(read.framing, Framing::None | Framing::Length(0))
}

/// Whether a client knows chunks (RFC 9112 7.1).
pub(super) fn takes_chunks(read: &RequestHead) -> bool {
    read.version == Version::Http11
}

/// Whether a client may get interim responses (RFC 9110 15.2).
pub(super) fn takes_informational(read: &RequestHead) -> bool {
    read.version == Version::Http11
}
