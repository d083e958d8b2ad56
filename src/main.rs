//! `nckit`: see the library for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    nckit::cli::run(std::env::args_os())
}
