//! The whole system as its users run it: real processes, real databases, real
//! clients. The tests are in `tests/`; here is what they share.

mod http_client;
mod over_tls;
pub mod pgbouncer;
pub mod postgres;
mod process;
mod proxy;
mod system;

pub use http_client::{Reply, get, get_with, post_json, rpc, rpc_value};
pub use over_tls::ServicesOverTls;
pub use process::{Process, Signal, program};
pub use proxy::ProxyAlone;
pub use system::{AllInOne, Services};

use std::{path::PathBuf, time::Duration};

/// Long enough for a busy machine with two cores.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The Python with the packages of `tests/python/requirements.txt`.
///
/// # Panics
/// If it is not there; says how to make it.
#[must_use]
pub fn python() -> PathBuf {
    let made_by_make =
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../.tools/python/bin/python"));
    let python = std::env::var_os("MODASH_TEST_PYTHON").map_or(made_by_make, PathBuf::from);
    assert!(
        python.is_file(),
        "there is no {}: run `make .tools/python/.installed`",
        python.display()
    );
    python
}
