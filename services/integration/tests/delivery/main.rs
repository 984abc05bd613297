//! Nothing lost, nothing twice, and no client disturbed: the whole system as
//! processes, under load, while its parts are killed, cut off, filled up and
//! restarted. `make test-faults`, `make test-kills` and `make test-outage` run more of it.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod account;
mod clients;
mod database;
mod disk;
mod fault;
mod kills;
mod outage;
mod repeats;
mod rolling;
mod rounds;
mod stops;
mod system;
mod versions;
mod wire;

use std::{fmt::Display, str::FromStr};

/// A setting of these tests, such as `ROUNDS=50`.
fn setting<T: FromStr<Err: Display>>(name: &str) -> Option<T> {
    let text = std::env::var_os(name)?.into_string().ok().filter(|text| !text.is_empty())?;
    Some(text.parse().unwrap_or_else(|error| panic!("{name}={text}: {error}")))
}
