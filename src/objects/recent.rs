//! Short ranges of the large objects that were opened last: headers and samples are read each time one is opened.
//!
//! Small objects are fetched anew, so that a change of one is noticed: there may be no other range of it to read.

use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;

use super::Object;

/// Objects that are remembered.
const OBJECTS: usize = 16;

/// The most bytes that are remembered of one.
const MOST: u64 = 1 << 20;

/// Smaller objects are fetched as a whole.
pub(super) const SMALL: u64 = 1 << 20;

/// Longer ranges are not remembered.
const SHORT: u64 = 64 << 10;

/// Ranges of one version of one object.
#[derive(Debug, Default)]
pub(super) struct Recent {
    ranges: Mutex<BTreeMap<(u64, u64), Bytes>>,
}

type Opened = VecDeque<(PathBuf, Object, Arc<Recent>)>;

/// What is remembered of an object, as it is now.
pub(super) fn of(path: &Path, object: &Object) -> Arc<Recent> {
    static OPENED: OnceLock<Mutex<Opened>> = OnceLock::new();
    let mut opened = OPENED.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    let at = opened.iter().position(|(known, version, _)| known == path && version == object);
    let recent = match at.and_then(|at| opened.remove(at)) {
        Some((_, _, recent)) => recent,
        None => Arc::default(),
    };
    opened.push_back((path.to_owned(), object.clone(), recent.clone()));
    if opened.len() > OBJECTS {
        opened.pop_front();
    }
    recent
}

impl Recent {
    /// The bytes of a range, if they are remembered.
    pub(super) fn get(&self, start: u64, end: u64) -> Option<Bytes> {
        self.ranges.lock().unwrap_or_else(PoisonError::into_inner).get(&(start, end)).cloned()
    }

    /// Remembers a range of an object of `size` bytes, if it is short and the object is not.
    pub(super) fn keep(&self, start: u64, bytes: &Bytes, size: u64) {
        let length = bytes.len() as u64;
        if length > SHORT || size <= SMALL {
            return;
        }
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        let held: u64 = ranges.values().map(|bytes| bytes.len() as u64).sum();
        if held + length <= MOST {
            // A copy: a slice would hold all that came with it.
            ranges.insert((start, start + length), Bytes::copy_from_slice(bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn object(tag: &str) -> Object {
        Object { size: 1 << 30, modified: SystemTime::UNIX_EPOCH, tag: Some(tag.to_owned()), version: None }
    }

    #[test]
    fn short_ranges_of_one_version_are_remembered() {
        let path = Path::new("s3://recent/one");
        of(path, &object("a")).keep(5, &Bytes::from_static(b"abc"), 1 << 30);
        assert_eq!(of(path, &object("a")).get(5, 8), Some(Bytes::from_static(b"abc")));
        assert_eq!(of(path, &object("a")).get(5, 7), None);
        assert_eq!(of(path, &object("b")).get(5, 8), None);
        assert_eq!(of(Path::new("s3://recent/two"), &object("a")).get(5, 8), None);
    }

    #[test]
    fn memory_is_bounded() {
        let recent = Recent::default();
        let half = Bytes::from(vec![0; SHORT as usize]);
        (0..100).for_each(|at| recent.keep(at * SHORT, &half, 1 << 30));
        assert_eq!(recent.ranges.lock().unwrap().len() as u64, MOST / SHORT);
        let recent = Recent::default();
        recent.keep(0, &Bytes::from(vec![0; SHORT as usize + 1]), 1 << 30);
        recent.keep(0, &half, SMALL);
        assert!(recent.ranges.lock().unwrap().is_empty());
        for at in 0..2 * OBJECTS {
            of(Path::new(&format!("s3://recent/many/{at}")), &object("a")).keep(0, &half, 1 << 30);
        }
        assert_eq!(of(Path::new("s3://recent/many/0"), &object("a")).get(0, SHORT), None);
    }
}
