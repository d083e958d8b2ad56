//! What a run may take of the machine.

use std::sync::OnceLock;

use crate::error::{Error, Result};
use crate::kernels::gram::scratch_bytes;

/// Used where the system does not say how much memory there is.
const UNKNOWN_MEMORY: u64 = 4 << 30;

/// The most threads per core, and the most on any machine: further ones only wait for each other, and take seconds to
/// start.
const THREADS_PER_CORE: usize = 4;
const THREADS_ALWAYS: usize = 64;

/// Address space that a thread takes for its stack and that the allocator keeps for it.
const THREAD_SPACE: u64 = 66 << 20;

/// The workers, and as many threads of the pool below them.
const POOLS: u64 = 2;

/// Threads and memory that a run may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resources {
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Bytes of memory.
    pub memory: u64,
}

impl Default for Resources {
    /// All cores, and 60 % of the memory.
    fn default() -> Self {
        Self::new(None, None)
    }
}

impl Resources {
    /// What was asked for, as far as the machine allows it; [`default`](Self::default) for what was not.
    ///
    /// Where the address space is limited, there are no more threads, and there is no more memory, than fit into it.
    pub fn new(threads: Option<usize>, memory: Option<u64>) -> Self {
        let space = address_space();
        let in_space = space.and_then(|space| usize::try_from(space / space_per_thread() / 2).ok());
        let threads = useful_threads(threads).min(in_space.unwrap_or(usize::MAX)).max(1);
        let memory = memory.unwrap_or_else(|| total_memory().unwrap_or(UNKNOWN_MEMORY) / 10 * 6);
        let left = space.map(|space| space.saturating_sub(threads as u64 * space_per_thread()).max(1));
        Self { threads, memory: left.map_or(memory, |left| memory.min(left)) }
    }

    /// Why fewer threads are used than were asked for, if that is so.
    pub fn fewer_threads(asked: usize) -> Option<String> {
        let taken = Self::new(Some(asked), None).threads;
        let why = if taken < useful_threads(Some(asked)) {
            "the address space is limited (ulimit -v)".to_owned()
        } else {
            format!("more than {taken} only wait for each other here")
        };
        (taken < asked).then(|| format!("--threads {asked}: {taken} are used; {why}"))
    }

    /// Fails where matrix products would end the process, because they reserve more address space than there is.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) with both sizes.
    pub fn check_address_space() -> Result<()> {
        let Some(space) = address_space().filter(|&space| space < space_per_thread()) else { return Ok(()) };
        let needed = space_per_thread();
        Err(Error::resource("the address space is limited, and matrix products reserve more of it")
            .with("needed", format!("{needed} bytes"))
            .with("left", format!("{space} bytes"))
            .help(format!("ulimit -v unlimited, or {} KiB more", (needed - space).div_ceil(1024))))
    }
}

/// As many threads as were asked for, or one per core, but no more than can work at once.
fn useful_threads(asked: Option<usize>) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    asked.unwrap_or(cores).min((THREADS_PER_CORE * cores).max(THREADS_ALWAYS))
}

/// Address space that a worker and its thread of the pool take.
fn space_per_thread() -> u64 {
    POOLS * (THREAD_SPACE + scratch_bytes())
}

/// The address space that was left at the first call, where the system limits it.
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

/// The memory of the machine, or of the control group if that is less.
fn total_memory() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let machine = line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)?;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse().ok());
    Some(group.map_or(machine, |group: u64| group.min(machine)))
}
