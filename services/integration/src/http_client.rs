//! A small HTTP client for tests.

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

/// An answer.
#[derive(Debug, Clone)]
pub struct Reply {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

/// Sends a JSON body with more headers.
///
/// # Errors
/// If no whole answer comes.
pub async fn post_json(url: &str, headers: &[(&str, &str)], body: &Value) -> Result<Reply, String> {
    let mut request = Request::builder().method(Method::POST).uri(url);
    request = request.header("content-type", "application/json");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request.body(Full::from(body.to_string())).map_err(|error| error.to_string())?).await
}

/// Gets a URL.
///
/// # Errors
/// If no whole answer comes.
pub async fn get(url: &str) -> Result<Reply, String> {
    send(Request::get(url).body(Full::default()).map_err(|error| error.to_string())?).await
}

/// Gets a URL with headers.
///
/// # Errors
/// If no whole answer comes.
pub async fn get_with(url: &str, headers: &[(&str, &str)]) -> Result<Reply, String> {
    let mut request = Request::get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    send(request.body(Full::default()).map_err(|error| error.to_string())?).await
}

async fn send(request: Request<Full<Bytes>>) -> Result<Reply, String> {
    let client: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let response = client.request(request).await.map_err(|error| format!("{error:?}"))?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
    Ok(Reply { status: head.status, headers: head.headers, body })
}

/// Calls a procedure as an unmodified Effect RPC client does, and gives the
/// `exit` of its answer.
///
/// # Errors
/// If no answer of that form comes.
pub async fn rpc(base: &str, procedure: &str, payload: &Value) -> Result<Value, String> {
    let frame = json!({
        "_tag": "Request", "id": "7", "tag": procedure, "payload": payload, "headers": []
    });
    let reply = post_json(&format!("{base}/rpc"), &[], &frame).await?;
    let frames: Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
    if frames[0]["requestId"] != "7" {
        return Err(format!("{}: {frames}", reply.status));
    }
    Ok(frames[0]["exit"].clone())
}

/// The value of a call that succeeds.
///
/// # Errors
/// If it fails.
pub async fn rpc_value(base: &str, procedure: &str, payload: &Value) -> Result<Value, String> {
    let mut exit = rpc(base, procedure, payload).await?;
    if exit["_tag"] == "Success" { Ok(exit["value"].take()) } else { Err(exit.to_string()) }
}
