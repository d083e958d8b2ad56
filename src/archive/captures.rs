//! Reads values of keys out of paths and names: `epoch_{epoch}/{layer}.npy` of `epoch_003/h3.npy`.
//!
//! Whether a text fits, and which values it has, is a function of the text alone: no file is looked at. A value is not
//! empty and has no `/`; a key that occurs twice has one value. A text that can be read in two ways is refused.

mod search;

use std::collections::BTreeMap;

use glob::Pattern;

use self::search::{Reading, readings};
use super::braces::{Piece, check, has_keys, keys, pieces, placeholder};
use super::escape::escaped;
use crate::error::{Error, Result};

/// A pattern of paths, or of names of arrays, with keys.
#[derive(Debug)]
pub(super) struct Captures {
    text: String,
    is_path: bool,
    tokens: Vec<Token>,
    keys: Vec<CapturedKey>,
    glob: String,
}

/// A key, and whether it is given with digits anywhere, so that two mentions need only be the same number.
#[derive(Debug)]
struct CapturedKey {
    name: String,
    is_number: bool,
}

/// What was read out of a text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Captured {
    /// The values, as they are written.
    pub(super) keys: BTreeMap<String, String>,
    /// The components of the text, with keys in braces where their values stand.
    pub(super) shape: Vec<String>,
}

#[derive(Debug)]
enum Token {
    Text(Vec<char>),
    /// `*`
    Any,
    /// `?`
    One,
    /// `[…]`
    Class(Pattern),
    /// `**/`: directories, or none.
    Folders,
    /// A value. With digits it is a number that is padded to so many.
    Key {
        key: usize,
        width: usize,
    },
}

/// Components of a path, without those that say nothing.
fn components(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !part.is_empty() && *part != ".")
}

impl Captures {
    /// The keys of a pattern of paths; `None` if it has none. In its first `literal` bytes, which end with a component,
    /// braces are no keys.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for braces without the name of a key, keys that nothing parts, and
    /// malformed patterns.
    pub(super) fn of_path(text: &str, literal: usize) -> Result<Option<Self>> {
        let (fixed, rest) = text.split_at(literal);
        if !has_keys(rest) {
            return Ok(None);
        }
        let mut captures = Self::new(text, rest, true)?;
        let fixed = components(fixed).map(|part| (part, true));
        let mut parts: Vec<(&str, bool)> = fixed.chain(components(rest).map(|part| (part, false))).collect();
        let globs = parts.iter().map(|&(part, is_literal)| if is_literal { part.to_owned() } else { glob_of(part) });
        let root = if text.starts_with('/') { "/" } else { "" };
        captures.glob = format!("{root}{}", globs.collect::<Vec<_>>().join("/"));
        // What lies below a directory that fits belongs to it.
        while parts.last() == Some(&("**", false)) {
            parts.pop();
        }
        let mut is_begun = false;
        for (part, is_literal) in parts {
            if is_begun {
                captures.add_text("/");
            }
            is_begun = part != "**" || is_literal;
            match part {
                _ if is_literal => captures.add_text(part),
                "**" => captures.tokens.push(Token::Folders),
                _ => captures.add(part)?,
            }
        }
        Ok(Some(captures))
    }

    /// The same of names, in which only braces have a meaning.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) for braces without the name of a key, and keys that nothing parts.
    pub(super) fn of_name(text: &str) -> Result<Self> {
        let mut captures = Self::new(text, text, false)?;
        captures.add(text)?;
        Ok(captures)
    }

    fn new(text: &str, with_keys: &str, is_path: bool) -> Result<Self> {
        check("pattern", with_keys)?;
        let is_name = |key: &str| {
            key.starts_with(|c: char| c.is_alphabetic() || c == '_')
                && key.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        };
        if let Some(wrong) = keys(with_keys).into_iter().find(|key| !is_name(key)) {
            return Err(Error::usage("braces hold the name of one key: letters, digits, _ and -")
                .with("pattern", escaped(text))
                .with("placeholder", format!("{{{}}}", escaped(wrong)))
                .help("several files are several INPUTs: a shell writes {a,b} out where there are no quotes"));
        }
        Ok(Self { text: text.to_owned(), is_path, tokens: Vec::new(), keys: Vec::new(), glob: String::new() })
    }

    /// Adds a component of a pattern, or a whole name.
    fn add(&mut self, part: &str) -> Result<()> {
        for piece in pieces(part) {
            match piece {
                Piece::Text(text) | Piece::Open(text) if self.is_path => self.add_pattern(text)?,
                Piece::Text(text) | Piece::Open(text) => self.add_text(text),
                Piece::Key(inner) => self.add_key(inner)?,
            }
        }
        Ok(())
    }

    fn add_text(&mut self, text: &str) {
        if let Some(Token::Text(before)) = self.tokens.last_mut() {
            before.extend(text.chars());
        } else {
            self.tokens.push(Token::Text(text.chars().collect()));
        }
    }

    fn add_pattern(&mut self, text: &str) -> Result<()> {
        let whole = escaped(&self.text);
        let malformed = || Error::usage("not a pattern of file names").with("pattern", &whole);
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let mut length = first.len_utf8();
            match first {
                '*' => self.tokens.push(Token::Any),
                '?' => self.tokens.push(Token::One),
                '[' => {
                    // The first character belongs to the class, even if it closes one elsewhere.
                    let from = if rest.starts_with("[!") { 2 } else { 1 };
                    let skipped = rest[from..].chars().next().map_or(0, char::len_utf8);
                    let end = rest[from + skipped..].find(']').ok_or_else(malformed)?;
                    length = from + skipped + end + 1;
                    let class = Pattern::new(&rest[..length]).map_err(|_| malformed())?;
                    self.tokens.push(Token::Class(class));
                }
                _ => self.add_text(&rest[..length]),
            }
            rest = &rest[length..];
        }
        Ok(())
    }

    fn add_key(&mut self, inner: &str) -> Result<()> {
        if matches!(self.tokens.last(), Some(Token::Key { .. })) {
            return Err(Error::usage("nothing parts two keys")
                .with("pattern", escaped(&self.text))
                .help("put a text between them, as in {run}_{epoch}"));
        }
        let (name, width) = placeholder(inner).unwrap_or((inner, 0));
        let known = self.keys.iter().position(|key| key.name == name);
        let key = known.unwrap_or_else(|| {
            self.keys.push(CapturedKey { name: name.to_owned(), is_number: false });
            self.keys.len() - 1
        });
        self.keys[key].is_number |= width > 0;
        self.tokens.push(Token::Key { key, width });
        Ok(())
    }

    /// A pattern without keys, as [`matches`](super::pattern::matches) takes it, which every path that fits matches.
    pub(super) fn glob(&self) -> &str {
        &self.glob
    }

    /// The values of the keys in a path or name; `None` if it does not fit. Keys that are `known` have their values.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if it can be read in two ways.
    pub(super) fn read(&self, text: &str, known: &BTreeMap<String, String>) -> Result<Option<Captured>> {
        let chars: Vec<char> = if self.is_path {
            components(text).collect::<Vec<_>>().join("/").chars().collect()
        } else {
            text.chars().collect()
        };
        let values = self.keys.iter().map(|key| known.get(&key.name).cloned()).collect();
        match &readings(self, &chars, values)[..] {
            [] => Ok(None),
            [reading] => Ok(Some(self.captured(&chars, reading))),
            [one, other, ..] => {
                let said = |reading: &Reading| {
                    let values = self.keys.iter().zip(&reading.values);
                    let said = values.map(|(key, value)| format!("{}={}", key.name, value.as_deref().unwrap_or("")));
                    escaped(&said.collect::<Vec<_>>().join(" "))
                };
                Err(Error::usage("the keys of a name can be read in two ways")
                    .with("name", escaped(text))
                    .with("pattern", escaped(&self.text))
                    .with("readings", format!("{}, or {}", said(one), said(other)))
                    .help("{key:01} takes numbers alone; else put more of the names' text into the pattern"))
            }
        }
    }

    fn captured(&self, chars: &[char], reading: &Reading) -> Captured {
        let mut shape = String::new();
        let mut at = 0;
        for &(start, end, key) in &reading.spans {
            shape.extend(&chars[at..start]);
            shape.extend(["{", &self.keys[key].name, "}"]);
            at = end;
        }
        shape.extend(&chars[at..]);
        let named =
            |(key, value): (&CapturedKey, &Option<String>)| value.clone().map(|value| (key.name.clone(), value));
        Captured {
            keys: self.keys.iter().zip(&reading.values).filter_map(named).collect(),
            shape: shape.split('/').map(str::to_owned).collect(),
        }
    }
}

/// A component of a pattern with `?*` for each key: one character or more.
fn glob_of(part: &str) -> String {
    if !has_keys(part) {
        return part.to_owned();
    }
    let text = |piece| match piece {
        Piece::Text(text) | Piece::Open(text) => text.to_owned(),
        Piece::Key(_) => "?*".to_owned(),
    };
    let mut glob: String = pieces(part).map(text).collect();
    // Two stars would be directories.
    while glob.contains("**") {
        glob = glob.replace("**", "*");
    }
    glob
}

impl CapturedKey {
    /// Whether two mentions have one value.
    fn agree(&self, one: &str, other: &str) -> bool {
        let same_number = || matches!((one.parse::<i64>(), other.parse::<i64>()), (Ok(a), Ok(b)) if a == b);
        one == other || (self.is_number && same_number())
    }
}

#[cfg(test)]
mod tests;
