//! Direct and through a proxy: the same exchange twice, and what differs.

use std::{net::SocketAddr, time::Duration};

use super::{RawClient, RawExchange, RawMessage, RawUpstream};

/// Long enough for a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// One upstream, with a client that speaks to it and one that speaks to a proxy in
/// front of it.
#[derive(Debug)]
pub struct Comparison {
    /// The upstream.
    pub upstream: RawUpstream,
    direct: RawClient,
    through: RawClient,
}

/// What came of one exchange.
#[derive(Debug)]
pub struct Came {
    /// To the upstream.
    pub request: RawMessage,
    /// To the client.
    pub response: RawMessage,
}

impl Comparison {
    /// Of a proxy that leads to this upstream.
    #[must_use]
    pub fn new(upstream: RawUpstream, proxy: SocketAddr) -> Self {
        let direct = RawClient::new(upstream.address());
        Self { upstream, direct, through: RawClient::new(proxy) }
    }

    /// Does an exchange directly and then through the proxy.
    ///
    /// # Errors
    /// If one of them fails; says which.
    pub async fn both(&mut self, exchange: &RawExchange) -> Result<(Came, Came), String> {
        let direct = once(&mut self.upstream, &mut self.direct, exchange).await;
        let direct = direct.map_err(|error| format!("{}, direct: {error}", exchange.name))?;
        let through = once(&mut self.upstream, &mut self.through, exchange).await;
        let through = through.map_err(|error| format!("{}, by proxy: {error}", exchange.name))?;
        Ok((direct, through))
    }

    /// The same, and both must be equal in both directions.
    ///
    /// # Errors
    /// If they are not; says what differs.
    pub async fn equal(&mut self, exchange: &RawExchange) -> Result<(), String> {
        let (direct, through) = self.both(exchange).await?;
        let request = through.request.must_equal(&direct.request);
        request.map_err(|error| format!("{}, request: {error}", exchange.name))?;
        let response = through.response.must_equal(&direct.response);
        response.map_err(|error| format!("{}, response: {error}", exchange.name))
    }
}

async fn once(
    upstream: &mut RawUpstream,
    client: &mut RawClient,
    exchange: &RawExchange,
) -> Result<Came, String> {
    upstream.answer(exchange.answer.clone());
    let done = async {
        let response = client.exchange(&exchange.request).await.map_err(|e| e.to_string())?;
        match tokio::time::timeout(PATIENCE / 6, upstream.next_request()).await {
            Ok(request) => Ok(Came { request, response }),
            Err(_) => Err(format!("the upstream was not asked; the answer is {response:?}")),
        }
    };
    tokio::time::timeout(PATIENCE, done).await.unwrap_or_else(|_| Err("it takes for ever".into()))
}
