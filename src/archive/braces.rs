//! `{key}` and `{key:03}` in paths and names: one syntax, whether values are captured or filled in.

use super::escape::escaped;
use crate::error::{Error, Result};

/// A piece of a text with keys.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    Text(&'a str),
    /// What stands between braces.
    Key(&'a str),
    /// A brace that is not closed, and what follows.
    Open(&'a str),
}

pub(super) fn pieces(text: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let piece;
        (piece, rest) = match (rest.find('{'), rest.find('}')) {
            (Some(0), Some(end)) => (Piece::Key(&rest[1..end]), &rest[end + 1..]),
            (Some(0), None) => (Piece::Open(rest), ""),
            (Some(start), _) => (Piece::Text(&rest[..start]), &rest[start..]),
            (None, _) => (Piece::Text(rest), ""),
        };
        Some(piece)
    })
}

/// The key, and the digits to which its number is padded: `epoch` and 3 of `epoch:03`, and 0 digits of `epoch`.
pub(super) fn placeholder(text: &str) -> Option<(&str, usize)> {
    let (key, width) = match text.split_once(':') {
        Some((key, form)) => {
            let digits = form.strip_suffix('d').unwrap_or(form).strip_prefix('0')?;
            (key, digits.parse().ok().filter(|width| (1..=20).contains(width))?)
        }
        None => (text, 0),
    };
    (!key.is_empty() && !key.contains('{')).then_some((key, width))
}

/// Whether a text has keys.
pub(super) fn has_keys(text: &str) -> bool {
    pieces(text).any(|piece| matches!(piece, Piece::Key(_)))
}

/// The keys of a text, in order.
pub(super) fn keys(text: &str) -> Vec<&str> {
    let key = |piece| match piece {
        Piece::Key(inner) => placeholder(inner).map(|(key, _)| key),
        Piece::Text(_) | Piece::Open(_) => None,
    };
    pieces(text).filter_map(key).collect()
}

/// Fails unless every pair of braces of a text, which errors call `what`, has a key in it.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) with the first one that has not.
pub(super) fn check(what: &'static str, text: &str) -> Result<()> {
    let wrong = |piece: Piece<'_>| match piece {
        Piece::Text(_) => None,
        Piece::Key(inner) if placeholder(inner).is_some() => None,
        Piece::Key(inner) => Some(format!("{{{inner}}}")),
        Piece::Open(rest) => Some(rest.to_owned()),
    };
    match pieces(text).find_map(wrong) {
        Some(wrong) => Err(Error::usage("a placeholder is neither {key} nor {key:03}")
            .with(what, escaped(text))
            .with("placeholder", escaped(&wrong))
            .help("{epoch} is the key as it is written, {epoch:03} a number of three digits")),
        None => Ok(()),
    }
}

/// Where a mark stands last, outside of braces.
pub(super) fn last_outside(text: &str, mark: char) -> Option<usize> {
    text.rfind(mark).filter(|&at| text[..at].matches('{').count() == text[..at].matches('}').count()).or_else(|| {
        let open = text.rfind('{')?;
        last_outside(&text[..open], mark)
    })
}

/// A text with every key filled by `value`, which is given the key and its digits.
///
/// # Errors
///
/// Those of `value`.
pub(super) fn fill(text: &str, mut value: impl FnMut(&str, usize) -> Result<String>) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    for piece in pieces(text) {
        match piece {
            Piece::Text(text) | Piece::Open(text) => filled.push_str(text),
            Piece::Key(inner) => {
                let (key, width) = placeholder(inner).unwrap_or((inner, 0));
                filled.push_str(&value(key, width)?);
            }
        }
    }
    Ok(filled)
}

/// Pads a number with leading zeros; other text stays as it is.
pub(super) fn padded(value: &str, width: usize) -> String {
    value.parse::<i128>().map_or_else(|_| value.to_owned(), |number| format!("{number:0width$}"))
}

/// Whether a value can be one component of a path, or a part of one.
pub(super) fn is_component(value: &str) -> bool {
    let leaves = value.contains(['/', '\\', '\0']) || value.contains(std::path::is_separator);
    !leaves && !matches!(value, "" | "." | "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn placeholders_are_keys_with_digits_or_without() {
        assert_eq!(keys("{layer}/e={epoch:03}.npy"), ["layer", "epoch"]);
        assert!(check("head", "{layer}/e={epoch:03}.npy").is_ok());
        assert!(has_keys("a/{b}") && !has_keys("a/b}") && !has_keys("a/{b"));
        for text in ["{epoch.npy", "{}.npy", "{:03}", "{epoch:3}", "{epoch:0}", "{epoch:0x3}", "{a{b}", "{e:099}"] {
            assert_eq!(check("head", text).unwrap_err().kind(), ErrorKind::Usage, "{text}");
        }
        assert_eq!(last_outside("a.safetensors:fc", ':'), Some(13));
        assert_eq!(last_outside("a{e:03}.safetensors:{layer:02}.fc", ':'), Some(19));
        assert_eq!(last_outside("a{e:03}.npy", ':'), None);
    }
}
