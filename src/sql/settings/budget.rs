//! The account of what a query's states hold.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::error::{Error, Result};
use crate::sql::settings::Settings;

/// Bytes that the states of one query take over all its aggregates and partitions: they are held against `nc.memory`, and
/// against the session's pool, in which the operators of the plan have their memory too.
///
/// A pool that is full is an error here and now. Were states a part of what an aggregation of DataFusion reports as its
/// own size, it would answer a full pool by handing on every state after every batch.
#[derive(Clone, Debug, Default)]
pub(in crate::sql) struct Budget(Arc<Account>);

#[derive(Debug, Default)]
struct Account {
    held: AtomicU64,
    pooled: Option<(Arc<dyn MemoryPool>, MemoryReservation)>,
}

impl Budget {
    /// The account of a query in a session.
    pub(in crate::sql) fn of(settings: &Settings) -> Self {
        let pooled = settings.pool.get().map(|pool| (pool.clone(), MemoryConsumer::new("states").register(pool)));
        Self(Arc::new(Account { held: AtomicU64::new(0), pooled }))
    }

    /// Whether a pool of the session holds it.
    pub(in crate::sql) fn is_pooled(&self) -> bool {
        self.0.pooled.is_some()
    }

    /// Takes note that something which held `before` bytes now holds `after`.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) if that is more than there may be.
    pub(in crate::sql) fn note(&self, before: u64, after: u64, limit: Option<u64>) -> Result<()> {
        if after <= before {
            self.0.held.fetch_sub(before - after, Ordering::Relaxed);
            if let Some((_, reservation)) = &self.0.pooled {
                reservation.shrink((before - after) as usize);
            }
            return Ok(());
        }
        let more = after - before;
        let held = self.0.held.fetch_add(more, Ordering::Relaxed) + more;
        let refused = |needed, limit| {
            self.0.held.fetch_sub(more, Ordering::Relaxed);
            Err(too_large(needed, limit))
        };
        if let Some(limit) = limit.filter(|&limit| held > limit) {
            return refused(held, limit);
        }
        let Some((pool, reservation)) = &self.0.pooled else { return Ok(()) };
        match (reservation.try_grow(more as usize), pool.memory_limit()) {
            (Ok(()), _) => Ok(()),
            (Err(_), MemoryLimit::Finite(limit)) => refused(pool.reserved() as u64 + more, limit as u64),
            (Err(_), _) => refused(pool.reserved() as u64 + more, held),
        }
    }

    /// Holds so many bytes for something that grows, in the place of what it held before.
    ///
    /// # Errors
    ///
    /// Those of [`note`](Self::note).
    pub(in crate::sql) fn keep(&self, held: &mut Option<Held>, bytes: u64, limit: Option<u64>) -> Result<()> {
        if let Some(held) = held {
            return held.resize(bytes, limit);
        }
        *held = Some(self.hold(bytes, limit)?);
        Ok(())
    }

    /// Holds bytes for as long as the answer lives.
    ///
    /// # Errors
    ///
    /// Those of [`note`](Self::note).
    pub(in crate::sql) fn hold(&self, bytes: u64, limit: Option<u64>) -> Result<Held> {
        self.note(0, bytes, limit)?;
        Ok(Held { budget: self.clone(), bytes })
    }
}

/// Bytes of a [`Budget`], given back when they are dropped.
#[derive(Debug)]
pub(in crate::sql) struct Held {
    budget: Budget,
    bytes: u64,
}

impl Held {
    /// Changes how many they are.
    ///
    /// # Errors
    ///
    /// Those of [`Budget::note`]; they are as many as before then.
    pub(in crate::sql) fn resize(&mut self, bytes: u64, limit: Option<u64>) -> Result<()> {
        self.budget.note(self.bytes, bytes, limit)?;
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // Giving bytes back asks for nothing.
        let _ = self.budget.note(self.bytes, 0, None);
    }
}

/// States that do not fit into memory.
pub(in crate::sql) fn too_large(needed: u64, limit: u64) -> Error {
    let mebibytes = |bytes: u64| format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20));
    // Two numbers that look alike say nothing.
    let is_close = mebibytes(needed) == mebibytes(limit);
    let shown = |bytes: u64| if is_close { format!("{bytes} bytes") } else { mebibytes(bytes) };
    Error::resource("the states of the query take more memory than they may")
        .with("needed", shown(needed))
        .with("allowed", shown(limit))
        .help(
            "fewer partitions (SET datafusion.execution.target_partitions = 1), nc_moments where no metric needs D × D, one group at a time by WHERE, or a larger --memory",
        )
}

#[cfg(test)]
mod tests {
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;
    use crate::error::ErrorKind;
    use crate::sql::settings::Pool;

    #[test]
    fn states_share_the_pool_with_the_operators_of_the_plan() {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let settings = Settings { pool: Pool::from(pool.clone()), ..Settings::default() };
        let budget = Budget::of(&settings);
        let mut held = budget.hold(40, None).unwrap();
        assert_eq!(pool.reserved(), 40);
        let sort = MemoryConsumer::new("sort").register(&pool);
        sort.try_grow(50).unwrap();
        let error = held.resize(60, None).unwrap_err();
        assert_eq!(
            (error.kind(), error.fact("needed"), error.fact("allowed")),
            (ErrorKind::Resource, Some("110 bytes"), Some("100 bytes"))
        );
        assert_eq!(pool.reserved(), 90, "what is refused is not held");
        held.resize(10, None).unwrap();
        assert_eq!(pool.reserved(), 60);
        drop((held, sort));
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn states_together_have_a_limit_of_their_own() {
        let budget = Budget::default();
        let held = budget.hold(60, Some(100)).unwrap();
        assert!(budget.hold(60, Some(100)).is_err());
        drop(held);
        assert!(budget.hold(60, Some(100)).is_ok());
    }
}
