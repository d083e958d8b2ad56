//! What the engine tells of itself, on standard error.

use std::io::Write;

use log::{LevelFilter, Log, Metadata, Record};

struct ToStderr;

impl Log for ToStderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("ballista") && metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            // Whoever reads it may have gone.
            let _ = writeln!(std::io::stderr().lock(), "{}: {}", record.level().as_str().to_lowercase(), record.args());
        }
    }

    fn flush(&self) {}
}

/// From here on the engine tells its warnings, and what it does if `details` are wanted.
pub fn tell(details: bool) {
    // Another caller of the library may have its own.
    if log::set_logger(&ToStderr).is_ok() {
        log::set_max_level(if details { LevelFilter::Info } else { LevelFilter::Warn });
    }
}
