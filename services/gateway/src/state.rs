//! What every request handler needs. Clones share it.

use std::sync::Arc;

use modash_access::Access;
use modash_runtime::{Hosts, Origins, Shutdown};

use crate::{
    analytics::Analytics, assets::Assets, contract::Contract, events::Hubs,
    metrics::GatewayMetrics, page::Page, places::Places, session::Sessions,
};

/// Everything behind the URL table.
#[derive(Debug, Clone)]
pub(crate) struct App {
    /// The methods and their messages.
    pub(crate) contract: Contract,
    /// The way to analytics.
    pub(crate) analytics: Analytics,
    /// Who may do what.
    pub(crate) access: Access,
    /// Live events of all streams.
    pub(crate) hubs: Hubs,
    /// Browsers that are signed in.
    pub(crate) sessions: Arc<Sessions>,
    /// Files of the dashboard.
    pub(crate) assets: Arc<Assets>,
    /// `https` where the listener speaks TLS, else `http`.
    pub(crate) scheme: &'static str,
    /// What its page is told.
    pub(crate) page: Arc<Page>,
    /// Other sites that may use the gateway.
    pub(crate) origins: Arc<Origins>,
    /// Names of the gateway.
    pub(crate) hosts: Arc<Hosts>,
    /// Places for streams and calls.
    pub(crate) places: Places,
    /// What is counted.
    pub(crate) metrics: GatewayMetrics,
    /// Ends the streams.
    pub(crate) shutdown: Shutdown,
}
