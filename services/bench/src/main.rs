//! The program `modash-bench`.

use std::process::ExitCode;

fn main() -> ExitCode {
    modash_bench::run()
}
