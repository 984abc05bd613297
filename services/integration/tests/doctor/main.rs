//! `modash doctor` against real servers and real faults: each is named, with what to do,
//! and nothing is changed or generated.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod database;
#[allow(dead_code, reason = "shared with the tests of delivery, which use more of it")]
#[path = "../delivery/disk.rs"]
mod disk;
mod machine;
mod run;
mod upstream;
