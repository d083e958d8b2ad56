//! One object, read by position.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use object_store::path::Path as Location;
use object_store::{Error as StoreError, GetOptions, GetRange, ObjectStore};

use super::address::Address;
use super::pieces::{Pieces, Request};
use super::recent::{self, Recent};
use super::stores::{Use, client};
use super::{Object, failure, object, runtime};
use crate::error::{Error, ErrorKind, Result};

/// How often a body that breaks off is asked for again, where the store's client does not.
const AGAIN: u32 = 4;

/// An object whose bytes are read. All of them are of one version of it.
#[derive(Debug)]
pub(crate) struct Reading {
    source: Arc<Source>,
    pieces: Mutex<Pieces>,
    /// The first error, since decoders take errors for damage.
    failure: Mutex<Option<Failure>>,
}

/// Where the bytes come from.
#[derive(Debug)]
struct Source {
    address: Address,
    location: Location,
    client: Arc<dyn ObjectStore>,
    object: Object,
    recent: Arc<Recent>,
}

#[derive(Clone, Debug)]
struct Failure {
    kind: ErrorKind,
    message: String,
    facts: Vec<(&'static str, String)>,
    help: Option<String>,
}

/// Opens an object as this process knows it, or else as it is; `None` if it is not there.
///
/// # Errors
///
/// Those of [`look`](super::look).
pub(crate) fn open(path: &Path) -> Result<Option<Reading>> {
    let Some(object) = object::seen(path)? else { return Ok(None) };
    let address = Address::parse(path)?;
    let client = client(&address, Use::Reading)?;
    let pieces = Mutex::new(Pieces::new(object.size));
    let recent = recent::of(path, &object);
    let source = Arc::new(Source { location: address.location()?, client, object, address, recent });
    Ok(Some(Reading { source, pieces, failure: Mutex::default() }))
}

impl Reading {
    /// The object, as it was when this process first saw it.
    pub(crate) fn object(&self) -> &Object {
        &self.source.object
    }

    /// Fills `buffer` with the bytes from `offset` on, which the object has.
    ///
    /// # Errors
    ///
    /// [`Data`](ErrorKind::Data) if the object has changed or is gone; those of the store.
    pub(crate) fn fill(&self, mut offset: u64, mut buffer: &mut [u8]) -> Result<()> {
        let mut pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let mut ask = |start, end| self.source.ask(start, end);
        while !buffer.is_empty() {
            let bytes = pieces.bytes(offset, buffer.len() as u64, &mut ask).map_err(|error| self.keep(error))?;
            let length = bytes.len().min(buffer.len());
            let (front, back) = buffer.split_at_mut(length);
            front.copy_from_slice(&bytes[..length]);
            buffer = back;
            offset += length as u64;
        }
        Ok(())
    }

    /// Says that these bytes will be read soon, from the first to the last.
    pub(crate) fn announce(&self, start: u64, end: u64) {
        self.pieces.lock().unwrap_or_else(PoisonError::into_inner).announce(start, end);
    }

    /// The error of the first read that failed.
    pub(crate) fn failure(&self) -> Option<Error> {
        let Failure { kind, message, facts, help } =
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()?;
        let error = facts.into_iter().fold(Error::new(kind, message), |error, (name, value)| error.with(name, value));
        Some(help.into_iter().fold(error, Error::help))
    }

    fn keep(&self, error: Error) -> Error {
        let failure = || Failure {
            kind: error.kind(),
            message: error.message().to_owned(),
            facts: error.facts().to_vec(),
            help: error.advice().map(str::to_owned),
        };
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(failure);
        error
    }
}

impl Source {
    /// Asks for a range.
    fn ask(self: &Arc<Self>, start: u64, end: u64) -> Result<Request> {
        if let Some(bytes) = self.recent.get(start, end) {
            return Ok(Request::ready(Ok(bytes)));
        }
        let source = self.clone();
        runtime::begin(async move {
            let bytes = source.fetch(start, end).await?;
            source.recent.keep(start, &bytes, source.object.size);
            Ok(bytes)
        })
    }

    async fn fetch(&self, start: u64, end: u64) -> Result<Bytes> {
        let mut pause = Duration::from_millis(100);
        let mut times = 0;
        loop {
            match self.attempt(start, end).await {
                Err(Attempt::Broken(error)) if times == AGAIN => return Err(failure::of(&self.address, error)),
                Err(Attempt::Broken(_)) => {
                    times += 1;
                    tokio::time::sleep(pause).await;
                    pause *= 3;
                }
                Err(Attempt::Failed(error)) => return Err(error),
                Ok(bytes) => return Ok(bytes),
            }
        }
    }

    async fn attempt(&self, start: u64, end: u64) -> Result<Bytes, Attempt> {
        let options = GetOptions {
            range: Some(GetRange::Bounded(start..end)),
            if_match: self.object.pin(),
            ..GetOptions::default()
        };
        let failed = |error: StoreError| {
            Attempt::Failed(match error {
                StoreError::NotFound { .. } => failure::changed("it is gone").with("address", &self.address),
                error => failure::of(&self.address, error),
            })
        };
        let found = self.client.get_opts(&self.location, options).await.map_err(failed)?;
        if !self.object.is_same(&Object::of(&found.meta)) {
            let changed = failure::changed("the object was replaced").with("address", &self.address);
            return Err(Attempt::Failed(changed));
        }
        let bytes = found.bytes().await.map_err(Attempt::Broken)?;
        if bytes.len() as u64 != end - start {
            let error = "the server sent fewer bytes than it said".into();
            return Err(Attempt::Broken(StoreError::Generic { store: "HTTP", source: error }));
        }
        Ok(bytes)
    }
}

/// Why a range did not come.
enum Attempt {
    /// The body broke off.
    Broken(StoreError),
    Failed(Error),
}

impl Object {
    /// The `ETag` that a store has to compare. Weak ones are equal for contents that differ, and match nothing.
    fn pin(&self) -> Option<String> {
        let tag = self.tag.as_deref().filter(|tag| !tag.starts_with("W/"))?;
        Some(if tag.starts_with('"') { tag.to_owned() } else { format!("\"{tag}\"") })
    }

    /// Whether an answer is of the same version.
    fn is_same(&self, other: &Self) -> bool {
        let plain = |object: &Self| object.tag.as_deref().map(|tag| tag.trim_matches('"').to_owned());
        // The tag of a strong one says all. A weak one, or none, leaves the time to be compared.
        self.size == other.size
            && plain(self) == plain(other)
            && (self.pin().is_some() || self.modified == other.modified)
    }
}
