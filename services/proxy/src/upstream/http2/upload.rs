//! The body of a request on its way to hyper.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

/// Pieces that wait for hyper, each of at most what is read at once.
const WAITING: usize = 4;

/// What is written of a body at once.
#[derive(Default)]
pub(super) struct Piece {
    pub(super) data: Option<Bytes>,
    pub(super) trailers: Option<HeaderMap>,
    /// It is the last one.
    pub(super) last: bool,
}

/// A body whose pieces come over a channel. One that the sender leaves before its
/// end is broken, so that the upstream does not take it for whole.
pub(super) struct Upload {
    pieces: Option<mpsc::Receiver<Piece>>,
    piece: Piece,
}

impl Upload {
    /// No body.
    pub(super) fn empty() -> Self {
        Self { pieces: None, piece: Piece { last: true, ..Piece::default() } }
    }

    pub(super) fn new() -> (PollSender<Piece>, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (PollSender::new(sender), Self { pieces: Some(receiver), piece: Piece::default() })
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        loop {
            if let Some(data) = self.piece.data.take() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(trailers) = self.piece.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if self.piece.last {
                return Poll::Ready(None);
            }
            let Some(pieces) = &mut self.pieces else { return Poll::Ready(None) };
            match ready!(pieces.poll_recv(context)) {
                Some(piece) => self.piece = piece,
                None => return Poll::Ready(Some(Err(io::ErrorKind::BrokenPipe.into()))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.piece.last && self.piece.data.is_none() && self.piece.trailers.is_none()
    }
}
