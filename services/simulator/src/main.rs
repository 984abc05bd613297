//! The program `modash-simulator`.

use std::process::ExitCode;

fn main() -> ExitCode {
    modash_simulator::run_command()
}
