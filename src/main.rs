//! `nckit`: see the library for what it does.

use std::process::ExitCode;

/// What the loader calls before the standard library starts.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "a function in this section is called before `main`, and this one may be")]
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = nckit::cli::look_for_stdout;

fn main() -> ExitCode {
    ExitCode::from(nckit::cli::run(std::env::args_os()))
}
