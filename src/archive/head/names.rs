//! What classes are called, from a file.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::archive::escaped;
use crate::error::{Error, Result, nearest};
use crate::objects;

/// Names of classes, from a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassNames {
    file: String,
    /// Names by number.
    names: BTreeMap<usize, Box<str>>,
    /// Numbers by name; `None` if several have it.
    numbers: HashMap<Box<str>, Option<usize>>,
}

/// Names of the largest vocabularies take a few megabytes.
const LIMIT: u64 = 1 << 26;

impl ClassNames {
    /// Reads names, one a line, or `id2label` of a `config.json`, told apart by content.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) if there is no such file; [`Data`](crate::error::ErrorKind::Data) if
    /// it is neither of these.
    pub fn read(path: &Path) -> Result<Self> {
        let read = || {
            let text = text_of(path)?;
            let names = match serde_json::from_str::<Value>(&text) {
                Ok(json @ (Value::Object(_) | Value::Array(_))) => of_json(&json)?,
                _ => of_lines(&text)?,
            };
            if names.is_empty() {
                return Err(Error::data("the file names no class"));
            }
            let mut numbers: HashMap<Box<str>, Option<usize>> = HashMap::new();
            for (&number, name) in &names {
                numbers.entry(name.clone()).and_modify(|known| *known = None).or_insert(Some(number));
            }
            Ok(Self { file: path.to_string_lossy().into_owned(), names, numbers })
        };
        read().map_err(|error: Error| error.with_default("file", path.display()))
    }

    /// The file that they come from.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Whether they name the rows of a head of so many, one by one.
    pub(super) fn are_those_of(&self, rows: usize) -> bool {
        self.names.len() == rows && self.names.last_key_value().is_some_and(|(&last, _)| last == rows - 1)
    }

    /// The name of the class of that number.
    pub(super) fn name(&self, number: usize) -> Option<&str> {
        self.names.get(&number).map(AsRef::as_ref)
    }

    /// The number of the class of that name.
    pub(super) fn number(&self, name: &str) -> Result<usize> {
        match self.numbers.get(name) {
            Some(Some(number)) => Ok(*number),
            Some(None) => Err(Error::data("two classes have one name")
                .with("file", &self.file)
                .with("class", format!("\"{}\"", escaped(name)))
                .help("give each class a name of its own")),
            None => {
                let error = Error::data("a class is not among the names")
                    .with("file", &self.file)
                    .with("class", format!("\"{}\"", escaped(name)))
                    .with("names", self.names.len());
                let near = nearest(name, self.names.values().map(AsRef::as_ref));
                Err(match near.first() {
                    Some(near) => error.help(format!("did you mean \"{}\"?", escaped(near))),
                    None => error,
                })
            }
        }
    }
}

fn text_of(path: &Path) -> Result<String> {
    let text = |bytes: Vec<u8>| {
        let text = String::from_utf8(bytes).map_err(|_| Error::data("names of classes are a text file, in UTF-8"))?;
        Ok(text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned))
    };
    if objects::is_address(path) {
        return text(objects::read(path, LIMIT)?);
    }
    let unreadable = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::missing("there is no such file of names").caused_by(error),
        _ => Error::io("the names cannot be read").with("detail", &error).caused_by(error),
    };
    let metadata = path.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LIMIT {
        return Err(Error::data("names of classes are a text file of at most 64 MiB"));
    }
    let mut bytes = Vec::new();
    fs::File::open(path).and_then(|file| file.take(LIMIT).read_to_end(&mut bytes)).map_err(unreadable)?;
    text(bytes)
}

fn of_lines(text: &str) -> Result<BTreeMap<usize, Box<str>>> {
    let text = text.trim_end_matches(['\n', '\r']);
    let name = |(number, line): (usize, &str)| {
        let line = line.trim_end_matches('\r');
        if line.is_empty() && !text.is_empty() {
            return Err(Error::data("a line of the names is empty").with("line", number + 1));
        }
        Ok((number, line.into()))
    };
    if text.is_empty() { Ok(BTreeMap::new()) } else { text.split('\n').enumerate().map(name).collect() }
}

/// `{"id2label": {"0": "cat", …}}`, that map alone, or a list of names.
fn of_json(json: &Value) -> Result<BTreeMap<usize, Box<str>>> {
    let list = |names: &Vec<Value>| {
        names.iter().enumerate().map(|(number, name)| Some((number, name.as_str()?.into()))).collect::<Option<_>>()
    };
    let map = |names: &serde_json::Map<String, Value>| {
        names.iter().map(|(number, name)| Some((number.parse().ok()?, name.as_str()?.into()))).collect::<Option<_>>()
    };
    let found = match json.get("id2label").unwrap_or(json) {
        Value::Array(names) => list(names),
        Value::Object(names) => map(names),
        _ => None,
    };
    found.ok_or_else(|| {
        Error::data("the file does not name classes")
            .with("expected", "one name a line, or \"id2label\": {\"0\": \"cat\", …} in JSON")
    })
}
