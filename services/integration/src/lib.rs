//! The whole system as its users run it: real processes, real databases, real
//! clients. The tests are in `tests/`; here is what they share.

mod http_client;
mod process;
mod system;

pub use http_client::{Reply, get, post_json, rpc, rpc_value};
pub use process::{Process, Signal};
pub use system::{AllInOne, Services};

use std::time::Duration;

/// Long enough for a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// What the design promises between a response and the dashboard.
pub const A_SECOND: Duration = Duration::from_secs(1);
