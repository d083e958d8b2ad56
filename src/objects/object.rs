//! What is known of objects: by asking for one, and by listing many.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime};

use futures::TryStreamExt as _;
use object_store::path::Path as Location;
use object_store::{Error as StoreError, GetOptions, GetRange, ListResult, ObjectMeta, ObjectStore};

use super::address::{Address, Scheme};
use super::runtime::{Pending, begin};
use super::stores::{Use, client};
use super::{Listed, Object, failure};
use crate::error::{Error, Result};

/// Listings that are asked for at once.
const AT_ONCE: usize = 32;

/// Folders that are listed each for itself; if there are more, one listing of all of them takes fewer requests.
const FOLDERS: usize = 1000;

/// What was at addresses when they were asked for.
type Objects = HashMap<PathBuf, Seen>;

/// What an answer said of an address.
#[derive(Clone, Debug)]
enum Seen {
    There(Object),
    Nothing,
}

fn objects() -> &'static Mutex<Objects> {
    static OBJECTS: OnceLock<Mutex<Objects>> = OnceLock::new();
    OBJECTS.get_or_init(Mutex::default)
}

/// What this process has learned of an address.
fn known(path: &Path) -> Option<Seen> {
    objects().lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
}

/// Takes note of an object, or of its absence.
pub(super) fn learn(path: &Path, object: Option<Object>) {
    let seen = object.map_or(Seen::Nothing, Seen::There);
    objects().lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned(), seen);
}

/// An object as this process has seen it last, or as it is if it has not; `None` if it is not there.
///
/// # Errors
///
/// Those of [`look`].
pub(crate) fn seen(path: &Path) -> Result<Option<Object>> {
    match known(path) {
        Some(Seen::There(object)) => Ok(Some(object)),
        Some(Seen::Nothing) => Ok(None),
        None => look(path),
    }
}

impl Object {
    /// What a store says of an object. Listings know fractions of seconds where other answers do not; in place of them the
    /// time has a hash of the `ETag`, so that ledgers, which keep the time, tell apart what was written in one second.
    pub(super) fn of(meta: &ObjectMeta) -> Self {
        let seconds = meta.last_modified.timestamp();
        let modified = match u64::try_from(seconds) {
            Ok(after) => SystemTime::UNIX_EPOCH + Duration::from_secs(after),
            Err(_) => SystemTime::UNIX_EPOCH - Duration::from_secs(seconds.unsigned_abs()),
        };
        let strong = meta.e_tag.as_deref().filter(|tag| !tag.starts_with("W/"));
        let hash = strong.map_or(0, |tag| crc32fast::hash(tag.trim_matches('"').as_bytes()) % 1_000_000_000);
        let modified = modified + Duration::from_nanos(hash.into());
        Self { size: meta.size, modified, tag: meta.e_tag.clone(), version: meta.version.clone() }
    }
}

/// Asks for an object; `None` if it is not there.
///
/// # Errors
///
/// Those of the store: access is denied, the bucket is in another region, no answer comes.
pub(crate) fn look(path: &Path) -> Result<Option<Object>> {
    let address = Address::parse(path)?;
    let location = address.location()?;
    if location.as_ref().is_empty() || address.key.ends_with('/') {
        return Ok(None);
    }
    let client = client(&address, Use::Reading)?;
    // An address that was signed for reading is not valid for asking.
    let range = (address.scheme == Scheme::Web).then_some(GetRange::Bounded(0..1));
    let options = GetOptions { head: range.is_none(), range, ..GetOptions::default() };
    let asked = begin(async move { client.get_opts(&location, options).await.map(|found| Object::of(&found.meta)) })?;
    let object = match asked.wait()? {
        Ok(object) => Some(object),
        Err(StoreError::NotFound { .. }) => None,
        Err(error) => return Err(failure::of(&address, error)),
    };
    learn(path, object.clone());
    Ok(object)
}

/// Whether an object is there, or cannot be asked for.
pub(crate) fn is_there(path: &Path) -> bool {
    matches!(known(path), Some(Seen::There(_))) || look(path).map_or(true, |object| object.is_some())
}

/// Where a listing begins.
struct Start {
    address: Address,
    client: Arc<dyn ObjectStore>,
    location: Location,
}

impl Start {
    fn new(folder: &Path) -> Result<Self> {
        let address = Address::parse(folder)?;
        if address.scheme == Scheme::Web {
            return Err(Error::usage("a web server lists no files")
                .with("address", &address)
                .help("name the files one by one, or the bucket behind the server"));
        }
        Ok(Self { client: client(&address, Use::Reading)?, location: address.location()?, address })
    }

    fn prefix(&self) -> Option<Location> {
        (!self.location.as_ref().is_empty()).then(|| self.location.clone())
    }

    /// Asks for one level.
    fn level(&self) -> Result<Pending<Result<ListResult, StoreError>>> {
        let (client, prefix) = (self.client.clone(), self.prefix());
        begin(async move { client.list_with_delimiter(prefix.as_ref()).await })
    }

    /// Asks for all levels.
    fn below(&self) -> Result<Pending<Result<Vec<ObjectMeta>, StoreError>>> {
        let (client, prefix) = (self.client.clone(), self.prefix());
        begin(async move { client.list(prefix.as_ref()).try_collect().await })
    }

    /// The objects among those of a listing, without the folder itself, which some programs store as an empty object.
    fn take(&self, found: Vec<ObjectMeta>) -> Vec<(PathBuf, Object)> {
        let found = found.into_iter().filter(|meta| meta.location != self.location);
        let found: Vec<_> = found.map(|meta| (self.address.sibling(&meta.location), Object::of(&meta))).collect();
        let mut objects = objects().lock().unwrap_or_else(PoisonError::into_inner);
        objects.extend(found.iter().map(|(path, object)| (path.clone(), Seen::There(object.clone()))));
        found
    }
}

/// What lies in each of some folders, one level of it, with addresses.
///
/// # Errors
///
/// Those of the store, of the first folder that has one; [`Usage`](crate::error::ErrorKind::Usage) for a web server.
pub(crate) fn list(folders: &[PathBuf]) -> Result<Vec<Vec<(PathBuf, Listed)>>> {
    let mut listed = Vec::with_capacity(folders.len());
    for some in folders.chunks(AT_ONCE) {
        let starts = some.iter().map(|folder| Start::new(folder)).collect::<Result<Vec<_>>>()?;
        let asked = starts.iter().map(Start::level).collect::<Result<Vec<_>>>()?;
        for (start, asked) in starts.iter().zip(asked) {
            let found = asked.wait()?.map_err(|error| failure::of(&start.address, error))?;
            let folders = found.common_prefixes.iter().map(|prefix| (start.address.sibling(prefix), Listed::Folder));
            let mut all: Vec<_> = folders.collect();
            all.extend(start.take(found.objects).into_iter().map(|(path, object)| (path, Listed::Object(object))));
            listed.push(all);
        }
    }
    Ok(listed)
}

/// All objects below each of some folders, on any level.
///
/// # Errors
///
/// Those of [`list`].
pub(crate) fn list_below(folders: &[PathBuf]) -> Result<Vec<Vec<(PathBuf, Object)>>> {
    let [folder] = folders else { return all_below(folders) };
    // Pages of a listing come one after the other, so a large folder is listed by those in it.
    let start = Start::new(folder)?;
    let level = start.level()?.wait()?.map_err(|error| failure::of(&start.address, error))?;
    if level.common_prefixes.len() > FOLDERS {
        return all_below(folders);
    }
    let within: Vec<PathBuf> = level.common_prefixes.iter().map(|prefix| start.address.sibling(prefix)).collect();
    let mut found = start.take(level.objects);
    found.extend(all_below(&within)?.into_iter().flatten());
    Ok(vec![found])
}

fn all_below(folders: &[PathBuf]) -> Result<Vec<Vec<(PathBuf, Object)>>> {
    let mut found = Vec::with_capacity(folders.len());
    for some in folders.chunks(AT_ONCE) {
        let starts = some.iter().map(|folder| Start::new(folder)).collect::<Result<Vec<_>>>()?;
        let asked = starts.iter().map(Start::below).collect::<Result<Vec<_>>>()?;
        for (start, asked) in starts.iter().zip(asked) {
            found.push(start.take(asked.wait()?.map_err(|error| failure::of(&start.address, error))?));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_in_one_second_has_times_of_its_own() {
        let meta = |tag: Option<&str>| ObjectMeta {
            location: Location::from("a"),
            last_modified: SystemTime::UNIX_EPOCH.into(),
            size: 3,
            e_tag: tag.map(str::to_owned),
            version: None,
        };
        let of = |tag| Object::of(&meta(tag)).modified;
        assert_ne!(of(Some("\"1\"")), of(Some("\"2\"")));
        assert_eq!(of(Some("\"1\"")), of(Some("1")));
        assert_eq!((of(None), of(Some("W/\"1\""))), (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH));
    }
}
