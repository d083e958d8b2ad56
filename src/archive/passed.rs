//! What was passed over.

use std::collections::BTreeMap;

/// A path that was passed over in the search for files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Its path, control characters escaped.
    pub file: String,
    /// What it is, as `a NumPy array (.npy)`.
    pub reason: String,
    /// Whether that is expected, as for `_SUCCESS`, so that nobody needs to know.
    pub expected: bool,
    /// How to convert it, if that is known.
    pub help: String,
}

/// A line about unexpected paths that were passed over; `None` if there are none.
pub(super) fn passed_over(passed: &[Passed]) -> Option<String> {
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    let news: Vec<&Passed> = passed.iter().filter(|passed| !passed.expected).collect();
    for passed in &news {
        *kinds.entry(&passed.reason).or_default() += 1;
    }
    match news[..] {
        [] => None,
        [only] => Some(format!("over {} ({})", only.file, only.reason)),
        _ => {
            let kinds: Vec<String> = kinds.iter().map(|(reason, count)| format!("{count} × {reason}")).collect();
            Some(format!("over {} files ({})", news.len(), kinds.join(", ")))
        }
    }
}
