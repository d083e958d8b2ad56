//! Lists of candidates, one after the other.

/// For each row, and for each rule of choice within a row, the candidates that may be chosen, ascending.
#[derive(Debug, Default)]
pub struct Contenders {
    candidates: Vec<u32>,
    /// Where each list ends.
    ends: Vec<usize>,
}

impl Contenders {
    /// Forgets all lists.
    pub(super) fn clear(&mut self) {
        self.candidates.clear();
        self.ends.clear();
    }

    /// Adds a list, ascending.
    pub fn push(&mut self, candidates: impl IntoIterator<Item = u32>) {
        self.candidates.extend(candidates);
        self.ends.push(self.candidates.len());
    }

    /// Forgets all lists but the first ones.
    pub(in crate::kernels) fn truncate(&mut self, lists: usize) {
        self.ends.truncate(lists);
        self.candidates.truncate(self.ends.last().copied().unwrap_or(0));
    }

    /// How many lists there are.
    pub fn lists(&self) -> usize {
        self.ends.len()
    }

    /// One of the lists, from 0 on; it panics if there is none.
    pub fn list(&self, at: usize) -> &[u32] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.candidates[start..self.ends[at]]
    }
}
