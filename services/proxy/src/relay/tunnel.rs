//! After a 101 (RFC 9110 7.8): bytes go both ways as they come, and the upstream's
//! are metered.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use super::{Phase, Relay, Stop, buffer::poll_send};
use crate::exchange::Ending;

/// Which directions have ended.
#[derive(Default, Clone, Copy)]
pub(super) struct Tunnel {
    client_ended: bool,
    upstream_ended: bool,
}

impl Relay {
    pub(super) fn poll_tunnel(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Stop>> {
        let Phase::Tunnel(mut tunnel) = self.phase else { return Poll::Ready(Ok(())) };
        self.alarm.set(None);
        let up = self.poll_up(&mut tunnel, context);
        let down = self.poll_down(&mut tunnel, context);
        self.phase = Phase::Tunnel(tunnel);
        let ending = match (up, down) {
            (_, Poll::Ready(Ok(()))) => Ending::Complete,
            (_, Poll::Ready(Err(ending))) => ending,
            (Poll::Ready(Err(ending)), Poll::Pending) => ending,
            (_, Poll::Pending) => return Poll::Pending,
        };
        if let Some(turn) = &mut self.turn {
            turn.end(ending);
        }
        Poll::Ready(Err(Stop::Gone))
    }

    /// Client to upstream.
    fn poll_up(
        &mut self,
        tunnel: &mut Tunnel,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Ending>> {
        if tunnel.client_ended {
            return Poll::Ready(Ok(()));
        }
        loop {
            let unjudged = self.from_client.unjudged();
            if let Some(exchange) = self.turn.as_ref().and_then(|turn| turn.exchange())
                && !unjudged.is_empty()
            {
                exchange.request_data(unjudged);
            }
            let length = unjudged.len();
            self.from_client.pass(length);
            let Some(upstream) = &mut self.upstream else { return Poll::Ready(Ok(())) };
            let stream = upstream.stream();
            let sent =
                poll_send(stream, &mut self.to_upstream, &mut self.from_client, context, |_, _| ());
            ready!(sent).map_err(|_| Ending::UpstreamBroke)?;
            self.from_client.release();
            match ready!(self.poll_client(context)) {
                Ok(1..) => {}
                Ok(_) => {
                    tunnel.client_ended = true;
                    if let Some(upstream) = &mut self.upstream {
                        let _ = Pin::new(upstream.stream()).poll_shutdown(context);
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(_) => return Poll::Ready(Err(Ending::ClientClosed)),
            }
        }
    }

    /// Upstream to client. Ready when the upstream has ended and the client has all
    /// of it.
    fn poll_down(
        &mut self,
        tunnel: &mut Tunnel,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Ending>> {
        loop {
            let unjudged = self.from_upstream.unjudged();
            if let Some(exchange) = self.turn.as_ref().and_then(|turn| turn.exchange())
                && !unjudged.is_empty()
            {
                exchange.response_data(unjudged);
                exchange.forwarded(unjudged.len());
            }
            let length = unjudged.len();
            self.from_upstream.pass(length);
            ready!(self.poll_to_client(context)).map_err(|_| Ending::ClientClosed)?;
            if tunnel.upstream_ended {
                if let Some(turn) = &mut self.turn {
                    turn.end(Ending::Complete);
                }
                if let Ok(client) = self.client.stream() {
                    let _ = ready!(Pin::new(client).poll_shutdown(context));
                }
                return Poll::Ready(Ok(()));
            }
            let Some(upstream) = &mut self.upstream else { return Poll::Ready(Ok(())) };
            match ready!(self.from_upstream.poll_fill(upstream.stream(), context)) {
                Ok(1..) => {}
                Ok(_) => tunnel.upstream_ended = true,
                Err(_) => return Poll::Ready(Err(Ending::UpstreamBroke)),
            }
        }
    }
}
