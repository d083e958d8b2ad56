//! The parts of an address.

use std::path::Path;

/// What serves an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scheme {
    S3,
    Google,
    Azure,
    /// `http` and `https`.
    Web,
}

const SCHEMES: [(&str, Scheme); 5] = [
    ("s3://", Scheme::S3),
    ("gs://", Scheme::Google),
    ("az://", Scheme::Azure),
    ("http://", Scheme::Web),
    ("https://", Scheme::Web),
];

impl Scheme {
    /// The scheme of a path that is an address.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let text = path.as_os_str().as_encoded_bytes();
        SCHEMES.iter().find(|(prefix, _)| text.starts_with(prefix.as_bytes())).map(|(_, scheme)| *scheme)
    }
}

/// An address in its parts.
#[cfg(feature = "cloud")]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) scheme: Scheme,
    /// What comes before the key: `s3://BUCKET`, `https://HOST:PORT`.
    pub(super) store: String,
    /// The bucket, container or host.
    pub(super) bucket: String,
    /// The key of the object; of a web server the path, as it is written in the address.
    pub(super) key: String,
    /// What follows the path of a web server, from `?` on.
    pub(super) query: String,
}

#[cfg(feature = "cloud")]
mod parse {
    use object_store::path::Path as Location;

    use super::{Address, Path, SCHEMES, Scheme};
    use crate::error::{Error, Result};

    impl Address {
        /// Parses an address.
        ///
        /// # Errors
        ///
        /// [`Usage`](crate::error::ErrorKind::Usage) if it has no bucket, or is not text.
        pub(in crate::objects) fn parse(path: &Path) -> Result<Self> {
            let wrong =
                |what: &str| Error::usage("not an address").with("address", path.display()).with("detail", what);
            let text = path.to_str().ok_or_else(|| wrong("it is not UTF-8"))?;
            let known = SCHEMES.iter().find_map(|(prefix, scheme)| Some((text.strip_prefix(prefix)?, prefix, *scheme)));
            let (rest, prefix, scheme) = known.ok_or_else(|| wrong("it has no scheme"))?;
            let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
            if bucket.is_empty() {
                return Err(wrong(if scheme == Scheme::Web { "it has no host" } else { "it has no bucket" }));
            }
            let (key, query) = match key.find('?').filter(|_| scheme == Scheme::Web) {
                Some(at) => key.split_at(at),
                None => (key, ""),
            };
            let (key, query) = (key.to_owned(), query.to_owned());
            Ok(Self { scheme, store: format!("{prefix}{bucket}"), bucket: bucket.to_owned(), key, query })
        }

        /// The key as stores take it.
        ///
        /// # Errors
        ///
        /// [`Usage`](crate::error::ErrorKind::Usage) if a part of it is empty, `.` or `..`.
        pub(in crate::objects) fn location(&self) -> Result<Location> {
            let parsed = match self.scheme {
                Scheme::Web => Location::from_url_path(&self.key),
                _ => Location::parse(&self.key),
            };
            parsed.map_err(|error| {
                Error::usage("not an address")
                    .with("address", self)
                    .with("detail", "a part of the key is empty, '.' or '..'")
                    .caused_by(error)
            })
        }

        /// The address of another key of the same store.
        pub(in crate::objects) fn sibling(&self, location: &Location) -> std::path::PathBuf {
            format!("{}/{location}", self.store).into()
        }
    }

    impl std::fmt::Display for Address {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "{}/{}{}", self.store, self.key, self.query)
        }
    }
}

#[cfg(all(test, feature = "cloud"))]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Option<(Scheme, String, String, String)> {
        let Address { scheme, bucket, key, query, .. } = Address::parse(Path::new(text)).ok()?;
        Some((scheme, bucket, key, query))
    }

    #[test]
    fn addresses_have_parts() {
        let parts = |scheme, bucket: &str, key: &str, query: &str| {
            Some((scheme, bucket.to_owned(), key.to_owned(), query.to_owned()))
        };
        assert_eq!(parsed("s3://b/k=1/a?.npy"), parts(Scheme::S3, "b", "k=1/a?.npy", ""));
        assert_eq!(parsed("gs://b"), parts(Scheme::Google, "b", "", ""));
        assert_eq!(parsed("http://h:1/a/b.npy?x=1&y"), parts(Scheme::Web, "h:1", "a/b.npy", "?x=1&y"));
        assert_eq!(parsed("s3:///k"), None);
        for local in ["s3:/b", "a/s3://b", "/tmp/x", "file:///x", "S3://b"] {
            assert_eq!(Scheme::of(Path::new(local)), None, "{local}");
        }
        let address = Address::parse(Path::new("s3://b/a/../c")).unwrap();
        assert!(address.location().is_err());
    }
}
