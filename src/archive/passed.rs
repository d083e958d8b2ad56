//! What lies beside the data.

use std::collections::BTreeMap;

/// What lies where files are looked for, and is not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Its path, control characters escaped.
    pub file: String,
    /// What it is instead of data, as `a NumPy array (.npy)`.
    pub reason: String,
    /// Whether it is no news, as `_SUCCESS` is.
    pub expected: bool,
    /// What makes data of it, if that is known.
    pub help: String,
}

/// What is not read though it lies there, in a line; `None` if that is no news.
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
