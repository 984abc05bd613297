//! A real llama.cpp server with a tiny model behind modash: the rows have the counts
//! and speeds that the server states, clients get its bytes, and no request fails that
//! would not fail without modash.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

mod counts;
mod doctor;
mod endings;
mod inject;
mod load;
mod loading;
mod server;
mod stated;
