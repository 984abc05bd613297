//! A fake LLM server: answers from a script, over HTTP/1.1 and HTTP/2, and
//! records what it receives.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    task::{AbortHandle, JoinSet},
};

use crate::{
    Answer, Received,
    answer::{Manner, Step},
    received::End,
};

/// A running fake upstream; it ends, connections included, when dropped.
#[derive(Debug)]
pub struct FakeUpstream {
    address: SocketAddr,
    state: Arc<State>,
    acceptor: AbortHandle,
}

#[derive(Debug)]
struct State {
    script: Mutex<Script>,
    /// Grows by one request each time.
    requests: watch::Sender<Vec<Received>>,
}

#[derive(Debug)]
struct Script {
    next: VecDeque<Answer>,
    otherwise: Answer,
    /// Requests that `next_request` has returned.
    taken: usize,
    connections: usize,
}

impl FakeUpstream {
    /// Listens on a free port of the loopback address and answers 200 with
    /// `{}` until told otherwise.
    ///
    /// # Panics
    /// Without a free port.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("no free port");
        let address = listener.local_addr().expect("a listener has an address");
        let otherwise = Answer::json("{}");
        let script = Script { next: VecDeque::new(), otherwise, taken: 0, connections: 0 };
        let state = Arc::new(State {
            script: Mutex::new(script),
            requests: watch::Sender::new(Vec::new()),
        });
        let acceptor = tokio::spawn(accept(listener, state.clone())).abort_handle();
        Self { address, state, acceptor }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address, without a final slash.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The next request that has no answer yet gets this one, once.
    pub fn answer(&self, answer: Answer) {
        self.script().next.push_back(answer);
    }

    /// Every request without an answer of its own gets this one.
    pub fn answer_always(&self, answer: Answer) {
        self.script().otherwise = answer;
    }

    /// The next request that this has not returned before, as soon as its head
    /// is there.
    pub async fn next_request(&self) -> Received {
        let index = {
            let mut script = self.script();
            script.taken += 1;
            script.taken - 1
        };
        let mut requests = self.state.requests.subscribe();
        let requests = requests.wait_for(|requests| requests.len() > index).await;
        requests.expect("the sender is borrowed here")[index].clone()
    }

    /// All requests so far, in the order of their heads.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.state.requests.borrow().clone()
    }

    /// Connections so far.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.script().connections
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.state.script()
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.acceptor.abort();
    }
}

impl State {
    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_answer(&self) -> Answer {
        let mut script = self.script();
        script.next.pop_front().unwrap_or_else(|| script.otherwise.clone())
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let number = {
            let mut script = state.script();
            script.connections += 1;
            script.connections
        };
        connections.spawn(serve(stream, number, state.clone()));
    }
}

async fn serve(stream: TcpStream, connection: usize, state: Arc<State>) {
    let raw = Raw::default();
    let stream = Recorder { stream, raw: raw.clone() };
    let mut server = auto::Builder::new(TokioExecutor::new());
    // Only what the script says, in the script's order.
    server.http1().auto_date_header(false).preserve_header_case(true);
    server.http2().auto_date_header(false);
    let service = service_fn(|request| {
        let (state, raw) = (state.clone(), raw.clone());
        async move { answer(request, connection, &state, &raw).await }
    });
    // A broken connection is what some tests want; the test sees its own end.
    let _ = server.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

async fn answer(
    mut request: Request<Incoming>,
    connection: usize,
    state: &State,
    raw: &Raw,
) -> io::Result<Response<ScriptedBody>> {
    let answer = state.take_answer();
    let upgrade = hyper::upgrade::on(&mut request);
    let (parts, body) = request.into_parts();
    let received = Received::new(&parts, raw.take_head(), connection);
    state.requests.send_modify(|requests| requests.push(received.clone()));
    // Made now, so that a client that leaves before the head is seen too.
    let (sender, body_of_answer) = ScriptedBody::new(&answer, received.clone());
    let reading = tokio::spawn(read(body, received.clone(), raw.clone()));
    if !answer.early {
        let _ = reading.await;
    }
    for gate in &answer.before_head {
        gate.passed().await;
    }
    match answer.manner {
        Manner::HangUp => return Err(io::Error::other("hangs up as scripted")),
        Manner::Echo => {
            tokio::spawn(async move {
                let (mut from, mut to) = tokio::io::split(TokioIo::new(upgrade.await?));
                tokio::io::copy(&mut from, &mut to).await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            });
        }
        Manner::Ordinary => {}
    }
    // hyper would send it over HTTP/2.
    if received.is_bodiless(answer.status) {
        drop(sender);
    } else {
        tokio::spawn(play(answer.steps, sender));
    }
    let mut response = Response::new(body_of_answer);
    *response.status_mut() = answer.status;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

async fn read(mut body: Incoming, received: Received, raw: Raw) {
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(bytes)) => received.add_body(&bytes),
            Ok(Err(frame)) => {
                if let Ok(trailers) = frame.into_trailers() {
                    received.add_trailers(trailers);
                }
            }
            Err(_) => return received.end_body(End::Broken),
        }
    }
    raw.start_next();
    received.end_body(End::Whole);
}

async fn play(steps: Vec<Step>, sender: mpsc::Sender<io::Result<Frame<Bytes>>>) {
    for step in steps {
        let frame = match step {
            Step::Chunk(bytes) => Ok(Frame::data(bytes)),
            Step::Trailers(trailers) => Ok(Frame::trailers(trailers)),
            Step::BreakOff => Err(io::Error::other("breaks off as scripted")),
            Step::Wait(gate) => {
                gate.passed().await;
                continue;
            }
            Step::Pause(pause) => {
                tokio::time::sleep(pause).await;
                continue;
            }
        };
        if sender.send(frame).await.is_err() {
            return;
        }
    }
}

/// The body of an answer; knows whether it was sent to its end.
#[derive(Debug)]
struct ScriptedBody {
    frames: mpsc::Receiver<io::Result<Frame<Bytes>>>,
    received: Received,
    /// Bytes that are still due. None: until the script ends.
    due: Option<u64>,
}

impl ScriptedBody {
    fn new(answer: &Answer, received: Received) -> (mpsc::Sender<io::Result<Frame<Bytes>>>, Self) {
        let length = answer.headers.get(http::header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        let due = if received.is_bodiless(answer.status) { Some(0) } else { length };
        // One: a chunk is taken only when the one before has left.
        let (sender, frames) = mpsc::channel(1);
        (sender, Self { frames, received, due })
    }
}

impl Body for ScriptedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let frame = ready!(self.frames.poll_recv(context));
        match &frame {
            Some(Ok(frame)) => {
                let sent = frame.data_ref().map_or(0, Bytes::len);
                self.received.add_sent(sent);
                self.due = self.due.map(|due| due.saturating_sub(sent as u64));
            }
            // The end, or the break that the script wants.
            None | Some(Err(_)) => self.due = Some(0),
        }
        Poll::Ready(frame)
    }
}

impl Drop for ScriptedBody {
    fn drop(&mut self) {
        self.received.end_answer(if self.due == Some(0) { End::Whole } else { End::Broken });
    }
}

/// Everything that came over one connection since the last request.
#[derive(Debug, Clone, Default)]
struct Raw(Arc<Mutex<Vec<u8>>>);

impl Raw {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The head at the beginning, if it is one of HTTP/1.1.
    fn take_head(&self) -> Bytes {
        let bytes = self.bytes();
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        match end {
            Some(end) if !bytes.starts_with(b"PRI ") => Bytes::copy_from_slice(&bytes[..end + 4]),
            _ => Bytes::new(),
        }
    }

    fn start_next(&self) {
        let mut bytes = self.bytes();
        // HTTP/2 has one preface, which tells that heads cannot be taken.
        if !bytes.starts_with(b"PRI ") {
            bytes.clear();
        }
    }
}

/// A connection whose received bytes are kept.
#[derive(Debug)]
struct Recorder {
    stream: TcpStream,
    raw: Raw,
}

impl AsyncRead for Recorder {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.raw.bytes().extend_from_slice(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Recorder {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
