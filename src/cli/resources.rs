//! What the machine has.

use std::sync::OnceLock;

use super::args::Machine;
use crate::error::{Error, Result};
use crate::kernels::gram::scratch_bytes;

/// Used where the system does not say how much memory there is.
const UNKNOWN_MEMORY: u64 = 4 << 30;

/// Threads for each core at most, and so many on any machine: more only wait for each other, and take seconds to start.
const THREADS_PER_CORE: usize = 4;
const THREADS_ALWAYS: usize = 64;

/// Address space that a thread takes for its stack and what the allocator keeps for it.
const THREAD_SPACE: u64 = 66 << 20;

/// Workers, and as many threads of the pool below them.
const POOLS: u64 = 2;

impl Machine {
    /// Worker threads: as asked for, or one a core, but no more than the machine has work or address space for.
    pub(super) fn thread_count(&self) -> usize {
        let most = usize::try_from(address_space().map_or(u64::MAX, |space| space / space_per_thread() / 2));
        self.threads_at_most().min(most.unwrap_or(usize::MAX)).max(1)
    }

    fn threads_at_most(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.threads.map_or(cores, usize::from).min((THREADS_PER_CORE * cores).max(THREADS_ALWAYS))
    }

    /// What to tell about the number of threads, if it is not the one that was asked for.
    pub(super) fn fewer_threads(&self) -> Option<String> {
        let (asked, taken) = (usize::from(self.threads?), self.thread_count());
        let why = if taken < self.threads_at_most() {
            "the address space is limited (ulimit -v)".to_owned()
        } else {
            format!("more than {taken} only wait for each other here")
        };
        (taken < asked).then(|| format!("--threads {asked}: {taken} are used; {why}"))
    }

    /// Bytes that may be used: as asked for, or 60 % of what there is; never more than the address space leaves.
    pub(super) fn memory_limit(&self) -> u64 {
        let limit = self.memory.unwrap_or_else(|| total_memory().unwrap_or(UNKNOWN_MEMORY) / 10 * 6);
        let threads = self.thread_count() as u64;
        address_space().map_or(limit, |space| limit.min(space.saturating_sub(threads * space_per_thread())).max(1))
    }

    /// Fails where matrix products would end the process: they reserve address space that cannot be had.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) with the number.
    pub(super) fn check_address_space() -> Result<()> {
        let Some(space) = address_space().filter(|&space| space < space_per_thread()) else { return Ok(()) };
        let needed = space_per_thread();
        Err(Error::resource("the address space is limited, and matrix products reserve more of it")
            .with("needed", format!("{needed} bytes"))
            .with("left", format!("{space} bytes"))
            .help(format!("ulimit -v unlimited, or {} KiB more", (needed - space).div_ceil(1024))))
    }
}

/// Address space that a worker takes, with its thread of the pool.
fn space_per_thread() -> u64 {
    POOLS * (THREAD_SPACE + scratch_bytes())
}

/// The address space that was left when it was first asked for, where the system sets a limit to it.
fn address_space() -> Option<u64> {
    static LEFT: OnceLock<Option<u64>> = OnceLock::new();
    *LEFT.get_or_init(|| {
        let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
        let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
        let limit: u64 = line.split_whitespace().next()?.parse().ok()?;
        let status = std::fs::read_to_string("/proc/self/status").ok()?;
        let used = status.lines().find_map(|line| line.strip_prefix("VmSize:"))?;
        let used = used.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?;
        Some(limit.saturating_sub(used * 1024))
    })
}

/// The machine's memory, or the control group's if that is less.
fn total_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(group.map_or(machine, |group: u64| group.min(machine)))
}

/// Bytes of memory that the process holds itself; files that are mapped are the system's.
#[cfg(feature = "sql")]
pub(super) fn anonymous_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// `8GiB`, `500MB`, `1073741824`.
pub(super) fn parse_size(text: &str) -> std::result::Result<u64, String> {
    const UNITS: [(&str, u64); 9] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("TiB", 1 << 40),
        ("kB", 1000),
        ("MB", 1_000_000),
        ("GB", 1_000_000_000),
        ("TB", 1_000_000_000_000),
        ("B", 1),
    ];
    let (number, unit) = UNITS
        .iter()
        .find_map(|(suffix, unit)| text.strip_suffix(suffix).map(|number| (number, *unit)))
        .unwrap_or((text, 1));
    let number: f64 = number.trim().parse().map_err(|_| "a size is a number and a unit, as 8GiB".to_owned())?;
    let size = number * unit as f64;
    if size >= 1.0 && size < 2f64.powi(63) { Ok(size as u64) } else { Err("out of range".to_owned()) }
}

/// `90s`, `5m`, `1.5h`, `200ms`.
pub(super) fn parse_duration(text: &str) -> std::result::Result<std::time::Duration, String> {
    const UNITS: [(&str, f64); 4] = [("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let parsed = UNITS.iter().find_map(|(suffix, unit)| {
        let number: f64 = text.strip_suffix(suffix)?.trim().parse().ok()?;
        std::time::Duration::try_from_secs_f64(number * unit).ok()
    });
    parsed.ok_or_else(|| "a time is a number and a unit, as 90s, 5m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("8GiB"), Ok(8 << 30));
        assert_eq!(parse_size("1.5 MB"), Ok(1_500_000));
        assert_eq!(parse_size("4096"), Ok(4096));
        assert!(parse_size("many").is_err() && parse_size("-1GiB").is_err() && parse_size("0").is_err());
    }

    #[test]
    fn times_have_units() {
        use std::time::Duration;
        assert_eq!(parse_duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_mins(90)));
        assert_eq!(parse_duration("0s"), Ok(Duration::ZERO));
        assert_eq!(parse_duration("20ms"), Ok(Duration::from_millis(20)));
        assert!(["60", "-1s", "s", "nans"].iter().all(|text| parse_duration(text).is_err()));
    }
}
