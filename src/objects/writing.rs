//! Objects that are written whole or not at all.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use object_store::{
    Error as StoreError, MultipartUpload, ObjectStoreExt as _, PutMode, PutMultipartOptions, PutOptions, PutPayload,
    UpdateVersion,
};

use super::address::{Address, Scheme};
use super::stores::{Use, client};
use super::{Object, failure, object, runtime};
use crate::error::{Error, Result};

/// Up to so many bytes are written by one request, which the store does or refuses as a whole.
const WHOLE: usize = 64 << 20;

/// Longer objects are written in parts of so many bytes, and appear once the last part is there.
const PART: usize = 16 << 20;

/// The `ETag` and the version of what was written.
type Written = (Option<String>, Option<String>);

/// An object that is being written. It appears when it is [finished](Self::finish).
pub(crate) struct Writing {
    path: PathBuf,
    address: Address,
    /// What it replaces; `None` creates it.
    before: Option<Object>,
    buffer: Vec<u8>,
    /// Bytes of the parts that have been written.
    size: u64,
    upload: Option<Box<dyn MultipartUpload>>,
}

impl Writing {
    /// Takes note of what lies at an address now: only that is replaced.
    ///
    /// # Errors
    ///
    /// [`Output`](crate::error::ErrorKind::Output) if it exists and `overwrite` is off, or is no place for a file; those of
    /// [`look`](super::look).
    pub(crate) fn new(path: &Path, overwrite: bool) -> Result<Self> {
        let address = place(path)?;
        let before = object::look(path)?;
        if before.is_some() && !overwrite {
            return Err(Error::output("the output exists")
                .with("file", path.display())
                .help("--overwrite replaces it, another name keeps it"));
        }
        Ok(Self { path: path.to_owned(), address, before, buffer: Vec::new(), size: 0, upload: None })
    }

    /// The same, replacing no more than what this process has last seen or written there.
    ///
    /// # Errors
    ///
    /// Those of [`new`](Self::new).
    pub(crate) fn over_seen(path: &Path) -> Result<Self> {
        let (address, before) = (place(path)?, object::seen(path)?);
        Ok(Self { path: path.to_owned(), address, before, buffer: Vec::new(), size: 0, upload: None })
    }

    /// Puts the object in its place.
    ///
    /// # Errors
    ///
    /// [`Resource`](crate::error::ErrorKind::Resource) if another process has written it meanwhile; those of the store.
    pub(crate) fn finish(mut self) -> Result<()> {
        let size = self.size + self.buffer.len() as u64;
        let (tag, version) = if self.upload.is_some() { self.complete()? } else { self.put()? };
        let seconds = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        object::learn(&self.path, Some(Object { size, modified, tag, version }));
        Ok(())
    }

    /// Writes all of it by one request.
    fn put(&mut self) -> Result<Written> {
        let mode = match self.before.clone() {
            Some(Object { tag, version, .. }) => PutMode::Update(UpdateVersion { e_tag: tag, version }),
            None => PutMode::Create,
        };
        let (client, location) = (client(&self.address, Use::Writing)?, self.address.location()?);
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        let payload = PutPayload::from(bytes.clone());
        let options = PutOptions { mode, ..PutOptions::default() };
        let put = runtime::begin(async move { client.put_opts(&location, payload, options).await })?;
        match put.wait_to_the_end()? {
            Ok(put) => Ok((put.e_tag, put.version)),
            // An answer that was lost makes the next try meet what the first one has written.
            Err(StoreError::AlreadyExists { .. } | StoreError::Precondition { .. }) if self.has_written(&bytes) => {
                Ok(object::seen(&self.path)?.map_or((None, None), |object| (object.tag, object.version)))
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// Whether these bytes lie there, although the store has refused to write them.
    fn has_written(&self, bytes: &[u8]) -> bool {
        super::read(&self.path, bytes.len() as u64).is_ok_and(|found| found == bytes)
    }

    /// Writes the last part. Parts have no conditions, so what lies there is asked for once more.
    fn complete(&mut self) -> Result<Written> {
        self.put_part()?;
        if object::look(&self.path)? != self.before {
            return Err(self.taken());
        }
        let Some(mut upload) = self.upload.take() else { return Err(Error::internal("no parts were written")) };
        let done = runtime::begin(async move { upload.complete().await })?;
        done.wait_to_the_end()?.map(|put| (put.e_tag, put.version)).map_err(|error| self.failed(error))
    }

    fn put_part(&mut self) -> Result<()> {
        let mut upload = if let Some(upload) = self.upload.take() {
            upload
        } else {
            let (client, location) = (client(&self.address, Use::Writing)?, self.address.location()?);
            let options = PutMultipartOptions::default();
            let begun = runtime::begin(async move { client.put_multipart_opts(&location, options).await })?;
            begun.wait_to_the_end()?.map_err(|error| self.failed(error))?
        };
        self.size += self.buffer.len() as u64;
        let part = upload.put_part(PutPayload::from(std::mem::take(&mut self.buffer)));
        self.upload = Some(upload);
        runtime::begin(part)?.wait_to_the_end()?.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: StoreError) -> Error {
        match error {
            StoreError::AlreadyExists { .. } | StoreError::Precondition { .. } => self.taken().caused_by(error),
            error => failure::of(&self.address, error),
        }
    }

    fn taken(&self) -> Error {
        Error::resource("another process has written this output meanwhile")
            .with("file", self.path.display())
            .help("wait until it has ended, or write to another file")
    }
}

/// The address of an object that can be written.
fn place(path: &Path) -> Result<Address> {
    let address = Address::parse(path)?;
    if address.scheme == Scheme::Web {
        return Err(Error::output("nothing can be written to a web server").with("file", path.display()));
    }
    if address.key.is_empty() || address.key.ends_with('/') {
        return Err(Error::output("the output is a folder").with("file", path.display()));
    }
    Ok(address)
}

impl Write for Writing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let most = if self.upload.is_some() { PART } else { WHOLE };
        if self.buffer.len() >= most {
            self.put_part().map_err(io::Error::other)?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // The store keeps parts that nobody removes, and an error here cannot be helped.
            let _ = runtime::begin(async move { upload.abort().await }).map(|done| done.wait_to_the_end());
        }
    }
}

impl std::fmt::Debug for Writing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Writing").field("path", &self.path).field("size", &self.size).finish_non_exhaustive()
    }
}

/// Removes an object.
///
/// # Errors
///
/// Those of the store.
pub(crate) fn remove(path: &Path) -> Result<()> {
    let address = Address::parse(path)?;
    let (client, location) = (client(&address, Use::Writing)?, address.location()?);
    let removed = runtime::begin(async move { client.delete(&location).await })?.wait_to_the_end()?;
    object::learn(path, None);
    removed.map_err(|error| failure::of(&address, error))
}
