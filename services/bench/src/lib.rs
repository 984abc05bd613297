//! What a request costs on its way: direct, through nginx, through a bare hyper
//! pass-through, and through modash with metering on and events delivered.
//!
//! The flow by file: `cli` reads what to measure, `target` starts the servers
//! (`programs` says how), `scenario` says which load is sent, `rounds` sends it to
//! one target after the other again and again (`instructions` counts instead of
//! timing), `verdict` makes ratios of it, `report` writes the table and `plot` the
//! picture. `bare` is the pass-through to compare with.

mod bare;
mod cli;
mod instructions;
mod plot;
mod programs;
mod report;
mod rounds;
mod scenario;
mod target;
mod verdict;

pub use cli::run;

/// What can go wrong, in words for whoever runs it.
type Outcome<T = ()> = Result<T, Box<dyn std::error::Error>>;
