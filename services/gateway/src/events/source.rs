//! The subscription behind the streams of a hub: follows analytics, and after every
//! loss comes back by itself and tells the streams to look again.

use std::time::Duration;

use http::{HeaderValue, header::AUTHORIZATION};
use modash_proto::v1::{
    SubscribeRequest, SubscribeResponse, analytics_service_client::AnalyticsServiceClient,
    subscribe_response::Message,
};
use rand::Rng as _;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tonic::{Code, Request, Status, Streaming, metadata::MetadataMap, transport::Channel};

use super::{Hub, hubs::Credentials};
use crate::analytics::scope_applied;

/// Analytics says something every 15 s; after this silence it is gone.
const SILENCE: Duration = Duration::from_secs(45);
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// Least time between subscriptions that were made anew to see requests that
/// did not fit into one message.
const RESYNC_INTERVAL: Duration = Duration::from_secs(5);

/// Why a subscription ended.
enum End {
    /// It was given up, to get a new snapshot.
    Resync,
    /// It was lost.
    Lost(Status),
}

/// Follows analytics for ever, showing one of these credentials.
pub(super) async fn run(hub: Hub, channel: Channel, credentials: Credentials) {
    let mut pause = FIRST_PAUSE;
    let mut reported = false;
    let mut resync = false;
    loop {
        let before = Instant::now();
        let Ok(authorization) = credentials.first() else {
            hub.lost();
            sleep(LONGEST_PAUSE).await;
            continue;
        };
        match follow(&hub, &channel, &credentials, authorization.as_ref(), resync).await {
            End::Resync => resync = true,
            End::Lost(status) => {
                resync = false;
                if let (Some(shown), Code::Unauthenticated | Code::PermissionDenied) =
                    (&authorization, status.code())
                {
                    credentials.refused(shown);
                }
                let worked = hub.lost();
                if worked || before.elapsed() > LONGEST_PAUSE {
                    pause = FIRST_PAUSE;
                }
                // Once for each loss, however long it lasts.
                if worked || !reported {
                    tracing::warn!(
                        error = status.message(),
                        "no live events from analytics; trying again"
                    );
                    reported = true;
                }
                let jitter = rand::rng().random_range(0.5..1.0);
                sleep(pause.mul_f64(jitter)).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// One subscription from its beginning to its end.
async fn follow(
    hub: &Hub,
    channel: &Channel,
    credentials: &Credentials,
    authorization: Option<&HeaderValue>,
    resync: bool,
) -> End {
    let mut client = AnalyticsServiceClient::new(channel.clone())
        .max_decoding_message_size(super::MAX_MESSAGE_BYTES);
    let mut request = Request::new(SubscribeRequest::default());
    let headers = authorization.map(|value| (AUTHORIZATION, value.clone())).into_iter().collect();
    *request.metadata_mut() = MetadataMap::from_headers(headers);
    let opened = timeout(SILENCE, client.subscribe(request)).await;
    let mut messages = match opened {
        Ok(Ok(response)) => {
            if credentials.have_scope()
                && let Err(status) = scope_applied(response.metadata().as_ref())
            {
                return End::Lost(status);
            }
            response.into_inner()
        }
        Ok(Err(status)) => return End::Lost(status),
        Err(_) => return End::Lost(Status::deadline_exceeded("no answer to Subscribe")),
    };
    let opened = Instant::now();
    let mut resync_at = None;
    let mut is_resync = resync;
    loop {
        let message = tokio::select! {
            message = next(&mut messages) => message,
            () = sleep_until(resync_at.unwrap_or(opened)), if resync_at.is_some() => {
                return End::Resync;
            }
        };
        match message {
            Ok(Message::Connected(connected)) => {
                hub.connected(connected, !is_resync);
                is_resync = false;
            }
            Ok(Message::UsageUpdated(update)) => hub.usage_updated(&update),
            Ok(Message::RequestStateUpdated(update)) => {
                if update.truncated {
                    resync_at.get_or_insert((opened + RESYNC_INTERVAL).max(Instant::now()));
                }
                hub.requests_updated(&update);
            }
            // `connected` follows the first; the second is its own purpose.
            Ok(Message::Missed(_) | Message::KeepAlive(_)) => {}
            Err(status) => return End::Lost(status),
        }
    }
}

async fn next(messages: &mut Streaming<SubscribeResponse>) -> Result<Message, Status> {
    loop {
        match timeout(SILENCE, messages.message()).await {
            Ok(Ok(Some(SubscribeResponse { message: Some(message) }))) => return Ok(message),
            // Of a newer contract than ours.
            Ok(Ok(Some(SubscribeResponse { message: None }))) => {}
            Ok(Ok(None)) => return Err(Status::unavailable("the subscription ended")),
            Ok(Err(status)) => return Err(status),
            Err(_) => return Err(Status::unavailable("the subscription fell silent")),
        }
    }
}
