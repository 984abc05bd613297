//! All of modash in one process: the same proxy, analytics and gateway that run
//! apart elsewhere, with a private database when none is given.
//!
//! `settings` says what to run, `database` brings the database, `all_in_one`
//! starts the services in the order in which data flows back, and stops them in
//! the order in which it flows; `demo` adds a simulated LLM server and traffic;
//! `banner` says where everything is. `command` does one thing with the data and
//! ends; `doctor` looks at everything and says what to mend, `status`
//! shows what runs.

mod all_in_one;
mod banner;
mod cli;
mod client_key_secret;
mod command;
mod database;
mod demo;
mod doctor;
mod local_server;
mod open;
mod settings;
mod shell;
mod status;
mod terminal;

pub use all_in_one::run;
pub use cli::main;
pub use command::Command;
pub use settings::{Config, DatabaseConfig, Error, Settings};
