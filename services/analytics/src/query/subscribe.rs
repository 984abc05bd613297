//! `Subscribe` with messages that are encoded already: one encoding serves all
//! readers of a filter, which the generated server cannot do.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Instant,
};

use bytes::{BufMut as _, Bytes};
use futures_util::Stream;
use modash_access::{CallerId, Pass};
use modash_proto::{
    Reason,
    v1::{SubscribeRequest, SubscribeResponse, analytics_service_server::AnalyticsServiceServer},
};
use modash_runtime::{ClientAddress, Place};
use prost::Message as _;
use tonic::{
    Code, Request, Response, Status,
    body::Body,
    codec::{BufferSettings, Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::{BoxFuture, Service, http},
    server::{Grpc, NamedService, ServerStreamingService},
};
use tracing::Span;

use super::Queries;
use crate::{
    deadline, gate,
    live::{MAX_SUBSCRIPTIONS, Subscription},
    trace,
};

/// Path of the method.
const PATH: &str = "/modash.v1.AnalyticsService/Subscribe";
const SUBSCRIBE: &str = "Subscribe";

/// Most subscriptions of the bearer of one token. An address may have all: it may be that
/// of a gateway with all its pages.
const MOST_OF_TOKEN: usize = MAX_SUBSCRIPTIONS / 2;

/// The service with its methods, of which `Subscribe` has messages that are
/// encoded already.
#[derive(Debug, Clone)]
pub(crate) struct EncodedSubscribe {
    queries: Arc<Queries>,
    others: AnalyticsServiceServer<Queries>,
}

impl EncodedSubscribe {
    /// `others` serves the other methods.
    pub(crate) fn new(queries: Arc<Queries>, others: AnalyticsServiceServer<Queries>) -> Self {
        Self { queries, others }
    }
}

impl NamedService for EncodedSubscribe {
    const NAME: &'static str = <AnalyticsServiceServer<Queries> as NamedService>::NAME;
}

impl Service<http::Request<Body>> for EncodedSubscribe {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != PATH {
            return self.others.call(request);
        }
        let method = Subscribe(Arc::clone(&self.queries));
        Box::pin(async move {
            // Not packed: one encoding serves all readers.
            let mut grpc = Grpc::new(SubscribeCodec).accept_compressed(CompressionEncoding::Gzip);
            Ok(grpc.server_streaming(method, request).await)
        })
    }
}

impl Queries {
    /// Opens a subscription for a call.
    #[allow(clippy::result_large_err, reason = "the status is the answer of the call")]
    pub(super) fn open_subscription(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Opened, Status> {
        let deadline = deadline::from_metadata(request.metadata());
        let open = self.metrics.subscribers.clone();
        let scope = gate::scope(request.extensions())?;
        let address = request.extensions().get::<ClientAddress>().map(|address| address.0);
        let caller = CallerId::new(request.extensions().get::<Pass>(), address);
        let share = match caller {
            CallerId::Token(_) | CallerId::User(_) => MOST_OF_TOKEN,
            CallerId::Address(_) => MAX_SUBSCRIPTIONS,
        };
        let place = self.subscriptions.take(caller, share).map_err(|_| {
            Reason::TooManySubscriptions.status(format!(
                "this caller has {share} subscriptions, or all have {MAX_SUBSCRIPTIONS}, which is \
                 the most: close one, or try again later"
            ))
        })?;
        let subscription = self.live.subscribe(request.into_inner(), &scope, deadline, open)?;
        Ok(Opened { subscription, _place: place })
    }
}

/// A subscription that has its place.
pub(crate) struct Opened {
    subscription: Subscription,
    _place: Place<CallerId>,
}

impl Stream for Opened {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.subscription).poll_next(context)
    }
}

/// The method.
struct Subscribe(Arc<Queries>);

impl ServerStreamingService<SubscribeRequest> for Subscribe {
    type Response = Bytes;
    type ResponseStream = Traced;
    type Future = Ready<Result<Response<Traced>, Status>>;

    fn call(&mut self, request: Request<SubscribeRequest>) -> Self::Future {
        let begun = Instant::now();
        let span = trace::call(SUBSCRIBE, request.metadata().as_ref());
        let opened = span.in_scope(|| self.0.open_subscription(request));
        let code = opened.as_ref().map_or_else(Status::code, |_| Code::Ok);
        trace::answered(&span, code);
        if code != Code::Ok {
            trace::took(SUBSCRIBE, code, begun.elapsed());
        }
        ready(opened.map(|subscription| Response::new(Traced { subscription, begun, _span: span })))
    }
}

/// A subscription whose span and duration last as long as it is open.
struct Traced {
    subscription: Opened,
    begun: Instant,
    _span: Span,
}

impl Drop for Traced {
    fn drop(&mut self) {
        trace::took(SUBSCRIBE, Code::Ok, self.begun.elapsed());
    }
}

impl Stream for Traced {
    type Item = Result<Bytes, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.subscription).poll_next(context)
    }
}

/// Reads requests, and writes messages as they are.
#[derive(Debug, Clone, Copy)]
struct SubscribeCodec;

impl Codec for SubscribeCodec {
    type Encode = Bytes;
    type Decode = SubscribeRequest;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for SubscribeCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }

    /// Most messages are small, and each reader has a buffer of its own.
    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::new(1024, 32 * 1024)
    }
}

impl Decoder for SubscribeCodec {
    type Item = SubscribeRequest;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<SubscribeRequest>, Status> {
        SubscribeRequest::decode(buffer)
            .map(Some)
            .map_err(|error| Status::internal(format!("the request cannot be decoded: {error}")))
    }
}

/// The same messages, decoded again, for the generated trait.
pub(crate) struct Decoded(Opened);

impl From<Opened> for Decoded {
    fn from(subscription: Opened) -> Self {
        Self(subscription)
    }
}

impl Stream for Decoded {
    type Item = Result<SubscribeResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = std::task::ready!(Pin::new(&mut self.0).poll_next(context));
        Poll::Ready(next.map(|message| {
            SubscribeResponse::decode(message?).map_err(|error| Status::internal(error.to_string()))
        }))
    }
}
