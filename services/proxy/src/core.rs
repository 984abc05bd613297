//! What belongs to one core: its pools, its table of requests in flight, its
//! journal and its counters. Other threads only read.

use std::sync::Arc;

use crate::{asking::StreamUsageAid, emit::Shared, route::Router, trace_context::Tracing};

/// State of one core.
pub(crate) struct Core {
    /// Where requests go.
    pub(crate) router: Router,
    /// `None`: no traces are exported.
    pub(crate) tracing: Option<Arc<Tracing>>,
    /// What streams without usage get.
    pub(crate) aid: Arc<StreamUsageAid>,
    /// What is shared with other threads.
    pub(crate) shared: Arc<Shared>,
}
