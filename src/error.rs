//! One opaque error for the whole crate: what went wrong, where, and what mends it.
//!
//! The kind says whose fault it is, which is all that a caller can act upon; the facts say where.

mod near;

use std::fmt;

pub(crate) use near::{did_you_mean, nearest};

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Whose fault an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The request contradicts itself or the data it names: the user changes the command.
    Usage,
    /// The data are not what they claim or need to be: corrupt, not finite, of the wrong shape.
    Data,
    /// What was asked for is not there: no file, no row.
    Missing,
    /// A law of the arithmetic was broken: a bug in this crate.
    Internal,
    /// The output cannot be created.
    Output,
    /// The operating system failed in reading or writing.
    Io,
    /// There is not enough memory, or somebody else holds the lock: it may work later.
    Resource,
    /// The user asked to stop.
    Interrupted,
}

/// What went wrong, with the facts that locate it.
///
/// ```
/// use nckit::error::Error;
/// let error = Error::data("label out of range").with("row", 81_734).with("label", 70_000);
/// assert_eq!(error.to_string(), "label out of range, row=81734, label=70000");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    facts: Vec<(&'static str, String)>,
    help: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

macro_rules! constructors {
    ($($(#[$doc:meta])* $name:ident => $kind:ident),* $(,)?) => {
        $($(#[$doc])* pub fn $name(message: impl Into<String>) -> Self {
            Self::new(ErrorKind::$kind, message)
        })*
    };
}

impl Error {
    /// An error of `kind`; the message is a sentence without capital or full stop.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, message: message.into(), facts: Vec::new(), help: None, source: None }))
    }

    constructors! {
        /// [`ErrorKind::Usage`].
        usage => Usage,
        /// [`ErrorKind::Data`].
        data => Data,
        /// [`ErrorKind::Missing`].
        missing => Missing,
        /// [`ErrorKind::Internal`].
        internal => Internal,
        /// [`ErrorKind::Output`].
        output => Output,
        /// [`ErrorKind::Io`].
        io => Io,
        /// [`ErrorKind::Resource`].
        resource => Resource,
        /// [`ErrorKind::Interrupted`].
        interrupted => Interrupted,
    }

    /// Adds a fact that locates the error: `file`, `row group`, `row`, `column`, `class`, `detail`, …
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl fmt::Display) -> Self {
        self.0.facts.push((name, value.to_string()));
        self
    }

    /// Adds a fact unless one of that name is there: the innermost knows best.
    #[must_use]
    pub fn with_default(self, name: &'static str, value: impl fmt::Display) -> Self {
        if self.fact(name).is_some() { self } else { self.with(name, value) }
    }

    /// Says what mends it, as a command where there is one.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Keeps the error that caused this one.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Whose fault it is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The sentence, without facts.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The facts in the order in which they were added.
    pub fn facts(&self) -> &[(&'static str, String)] {
        &self.0.facts
    }

    /// The fact of that name.
    pub fn fact(&self, name: &str) -> Option<&str> {
        self.0.facts.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str())
    }

    /// What mends it.
    pub fn advice(&self) -> Option<&str> {
        self.0.help.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        self.0.facts.iter().try_for_each(|(name, value)| write!(f, ", {name}={value}"))
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)?;
        self.0.source.iter().try_for_each(|source| write!(f, " ({source})"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}
