//! Yesterday's tokens by model, then requests as they happen, over gRPC with tonic.
//! `MODASH_URL` is analytics; `MODASH_TOKEN_FILE` or `MODASH_TOKEN` has a token, if needed.

#![allow(clippy::disallowed_methods, reason = "an example has no settings of modash-runtime")]

use std::{env, error::Error, fs, time::SystemTime};

use modash_proto::v1::{
    LiveRequest, ModelBreakdownRequest, ModelOrder, SubscribeRequest, TimeRange, Topic,
    analytics_service_client::AnalyticsServiceClient, subscribe_response::Message,
};
use prost_types::Timestamp;
use tonic::{
    Request,
    metadata::AsciiMetadataValue,
    transport::{ClientTlsConfig, Endpoint},
};

const DAY: i64 = 86_400;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("MODASH_URL").unwrap_or_else(|_| "http://127.0.0.1:4007".to_owned());
    let mut endpoint = Endpoint::from_shared(url.clone())?;
    if url.starts_with("https:") {
        endpoint = endpoint.tls_config(ClientTlsConfig::new().with_native_roots())?;
    }
    let authorization: Option<AsciiMetadataValue> =
        token()?.map(|token| format!("Bearer {token}").parse()).transpose()?;
    let with_token = move |mut request: Request<()>| {
        if let Some(value) = &authorization {
            request.metadata_mut().insert("authorization", value.clone());
        }
        Ok(request)
    };
    let channel = endpoint.connect().await?;
    let mut modash = AnalyticsServiceClient::with_interceptor(channel, with_token);

    let seconds = i64::try_from(SystemTime::UNIX_EPOCH.elapsed()?.as_secs())?;
    let midnight = |seconds| Some(Timestamp { seconds, nanos: 0 });
    let today = seconds / DAY * DAY;
    let yesterday = ModelBreakdownRequest {
        range: Some(TimeRange { start: midnight(today - DAY), end: midnight(today) }),
        order: ModelOrder::TotalTokens.into(),
        ..Default::default()
    };
    println!("tokens of yesterday (UTC) by model");
    for row in modash.model_breakdown(yesterday).await?.into_inner().rows {
        println!("{:>12}  {}", row.total_tokens, row.model);
    }

    println!("requests as they happen");
    let topics = vec![Topic::RequestState.into()];
    let request = SubscribeRequest { topics, ..Default::default() };
    let mut messages = modash.subscribe(request).await?.into_inner();
    while let Some(message) = messages.message().await? {
        match message.message {
            Some(Message::Connected(now)) => now.requests.iter().for_each(show),
            Some(Message::RequestStateUpdated(change)) => change.requests.iter().for_each(show),
            _ => {}
        }
    }
    Ok(())
}

fn show(request: &LiveRequest) {
    let phase = request.phase().as_str_name().trim_start_matches("REQUEST_PHASE_").to_lowercase();
    println!("{phase:>12}  {}  {}", request.model.as_deref().unwrap_or("-"), request.event_id);
}

fn token() -> std::io::Result<Option<String>> {
    let text = match env::var_os("MODASH_TOKEN_FILE") {
        Some(file) => Some(fs::read_to_string(file)?),
        None => env::var("MODASH_TOKEN").ok(),
    };
    Ok(text.map(|text| text.trim().to_owned()))
}
