//! Asks analytics: one stream of changes, and totals when they have changed.

use std::time::Duration;

use chrono::{Local, NaiveTime, Utc};
use modash_access::TokenSource;
use modash_proto::v1::{
    CompletenessRequest, SubscribeRequest, SubscribeResponse, TimeRange, UsageSummaryRequest,
    analytics_service_client::AnalyticsServiceClient,
};
use tonic::{
    Code, Request, Status, Streaming,
    transport::{Channel, ClientTlsConfig, Endpoint},
};

use super::now::Now;
use crate::Error;

/// How long analytics may take to accept a connection.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// How long it may take to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Largest message that is read: `connected` has 3 MiB of requests at most.
const MOST_BYTES: usize = 8 << 20;

/// Asks one analytics.
pub(crate) struct Client {
    from: String,
    token: Option<TokenSource>,
}

/// A connection.
#[derive(Clone)]
pub(crate) struct Connection {
    service: AnalyticsServiceClient<Channel>,
    authorization: Option<String>,
}

impl Client {
    pub(crate) fn new(from: String, token: Option<TokenSource>) -> Self {
        Self { from, token }
    }

    pub(crate) fn from(&self) -> &str {
        &self.from
    }

    /// Opens a connection.
    pub(crate) async fn connect(&self) -> Result<Connection, Error> {
        let failed = |why: String| Error::Status(self.from.clone(), why);
        let mut endpoint = Endpoint::from_shared(self.from.clone())
            .map_err(|_| failed("it must be a URL such as http://127.0.0.1:4007".to_owned()))?
            .connect_timeout(CONNECT_WITHIN);
        if self.from.starts_with("https://") {
            let tls = ClientTlsConfig::new().with_native_roots();
            endpoint = endpoint.tls_config(tls).map_err(|error| failed(error.to_string()))?;
        }
        let channel = endpoint.connect().await.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            failed(format!(
                "{}; start modash, or name another analytics with --from",
                cause.unwrap_or_else(|| error.to_string())
            ))
        })?;
        let authorization = self.token.as_ref().map(TokenSource::authorization).transpose();
        let service = AnalyticsServiceClient::new(channel).max_decoding_message_size(MOST_BYTES);
        Ok(Connection { service, authorization: authorization.map_err(failed)? })
    }

    /// What runs at this moment.
    pub(crate) async fn once(&self) -> Result<Now, Error> {
        let mut connection = self.connect().await?;
        let mut now = Now::of(&self.from);
        let asking = async {
            let mut changes = connection.subscribe().await?;
            if let Some(connected) = changes.message().await? {
                now.take(connected, Utc::now());
            }
            connection.ask(&mut now).await
        };
        let asked = tokio::time::timeout(ANSWER_WITHIN, asking).await;
        let asked = asked.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer in time")));
        asked.map_err(|status| self.failed(&status))?;
        Ok(now)
    }

    /// What an answer means for whoever typed the command.
    pub(crate) fn failed(&self, status: &Status) -> Error {
        let advice = match status.code() {
            Code::Unauthenticated => {
                "; name a file with a token of the role read in MODASH_STATUS_TOKEN_FILE"
            }
            _ => "",
        };
        Error::Status(self.from.clone(), format!("{}{advice}", status.message()))
    }
}

impl Connection {
    /// Changes as they happen.
    pub(crate) async fn subscribe(&mut self) -> Result<Streaming<SubscribeResponse>, Status> {
        let request = self.request(SubscribeRequest::default())?;
        Ok(self.service.subscribe(request).await?.into_inner())
    }

    /// Totals since midnight, and the state of delivery.
    pub(crate) async fn ask(&mut self, now: &mut Now) -> Result<(), Status> {
        let range = TimeRange { start: Some(midnight()), end: None };
        let summary = UsageSummaryRequest { range: Some(range), ..UsageSummaryRequest::default() };
        let mut request = self.request(summary)?;
        request.set_timeout(ANSWER_WITHIN);
        now.today = Some(self.service.usage_summary(request).await?.into_inner());
        let mut request = self.request(CompletenessRequest {})?;
        request.set_timeout(ANSWER_WITHIN);
        now.delivery = match self.service.completeness(request).await {
            Ok(answer) => Some(answer.into_inner()),
            // A token with a scope does not see it.
            Err(status) if status.code() == Code::PermissionDenied => None,
            Err(status) => return Err(status),
        };
        Ok(())
    }

    #[allow(clippy::result_large_err, reason = "the status is the error of the caller")]
    fn request<T>(&self, message: T) -> Result<Request<T>, Status> {
        let mut request = Request::new(message);
        if let Some(authorization) = &self.authorization {
            let value = authorization.parse();
            let value = value.map_err(|_| Status::internal("the token is no header value"))?;
            request.metadata_mut().insert("authorization", value);
        }
        Ok(request)
    }
}

/// The last midnight of this machine's time zone.
fn midnight() -> prost_types::Timestamp {
    let now = Local::now();
    let midnight = now.with_time(NaiveTime::MIN).earliest().unwrap_or(now);
    prost_types::Timestamp { seconds: midnight.timestamp(), nanos: 0 }
}
