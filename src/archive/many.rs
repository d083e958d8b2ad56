//! Work on many files at a time.

use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;

use rayon::prelude::*;

use crate::objects::is_address;

/// Threads that work on files in object stores; each of them mostly waits.
const WAITING: usize = 64;

/// Does `work` for each item, in any order: on the threads of the pool, or on more of them if one of the files at `paths`
/// is far away. The results are in the order of the items.
pub(super) fn each<'a, T: Send, R: Send>(
    items: Vec<T>,
    paths: impl IntoIterator<Item = &'a Path>,
    work: impl Fn(T) -> R + Send + Sync,
) -> Vec<R> {
    if !paths.into_iter().any(is_address) {
        return items.into_par_iter().map(work).collect();
    }
    let (threads, left) = (items.len().min(WAITING), Mutex::new(items.into_iter().enumerate()));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let some = || std::iter::from_fn(next).map(|(at, item)| (at, work(item))).collect::<Vec<_>>();
    let mut done: Vec<(usize, R)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(some)).collect();
        // A panic of the work is one of the caller's.
        let joined =
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        joined.flatten().collect()
    });
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}
