//! All ways to read a text, as far as they differ in the values of keys.

use std::collections::HashSet;

use super::{Captures, Token};
use crate::archive::braces::padded;

/// A way to read a text, or the beginning of one.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    /// Of each key.
    pub(super) values: Vec<Option<String>>,
    /// Where values stand, from and to, and of which key.
    pub(super) spans: Vec<(usize, usize, usize)>,
}

/// The ways to read a text, of which some values are known already; no more than two.
pub(super) fn readings(captures: &Captures, chars: &[char], values: Vec<Option<String>>) -> Vec<Reading> {
    let mut search = Search::new(captures, chars);
    search.visit(0, 0, &mut Reading { values, spans: Vec::new() });
    search.found
}

/// Looks for ways to read a text, until there are two that differ in their values.
struct Search<'a> {
    captures: &'a Captures,
    chars: &'a [char],
    /// Whether the text from a place on can fit the tokens from one on, keys that occur twice aside.
    viable: Vec<bool>,
    seen: HashSet<(usize, usize, Vec<Option<String>>)>,
    found: Vec<Reading>,
}

impl<'a> Search<'a> {
    fn new(captures: &'a Captures, chars: &'a [char]) -> Self {
        let (tokens, width) = (captures.tokens.len(), chars.len() + 1);
        let mut viable = vec![false; (tokens + 1) * width];
        viable[tokens * width + chars.len()] = true;
        for token in (0..tokens).rev() {
            for at in 0..width {
                let next = &viable[(token + 1) * width..];
                viable[token * width + at] = captures.tokens[token].ends(chars, at, &mut |end| next[end]);
            }
        }
        Self { captures, chars, viable, seen: HashSet::new(), found: Vec::new() }
    }

    fn visit(&mut self, token: usize, at: usize, reading: &mut Reading) {
        let is_viable = self.viable[token * (self.chars.len() + 1) + at];
        if self.found.len() > 1 || !is_viable || !self.seen.insert((token, at, reading.values.clone())) {
            return;
        }
        let (captures, chars) = (self.captures, self.chars);
        let Some(next) = captures.tokens.get(token) else {
            self.found.push(reading.clone());
            return;
        };
        next.ends(chars, at, &mut |end| {
            let Token::Key { key, .. } = *next else {
                self.visit(token + 1, end, reading);
                return false;
            };
            let value: String = chars[at..end].iter().collect();
            let known = reading.values[key].clone();
            if known.as_ref().is_none_or(|known| captures.keys[key].agree(known, &value)) {
                reading.values[key].get_or_insert(value);
                reading.spans.push((at, end, key));
                self.visit(token + 1, end, reading);
                reading.spans.pop();
                reading.values[key] = known;
            }
            false
        });
    }
}

impl Token {
    /// Hands on where a token that begins at `at` may end, until `take` wants no more; says whether it took one.
    fn ends(&self, chars: &[char], at: usize, take: &mut dyn FnMut(usize) -> bool) -> bool {
        let length = chars[at..].iter().take_while(|&&c| c != '/').count();
        let (is_inside, last) = (length > 0, at + length);
        match self {
            Self::Text(text) => chars[at..].starts_with(text) && take(at + text.len()),
            Self::One => is_inside && take(at + 1),
            Self::Class(class) => is_inside && class.matches(&chars[at].to_string()) && take(at + 1),
            Self::Any => (at..=last).any(take),
            Self::Folders => {
                let slashes = (at..chars.len()).filter(|&end| chars[end] == '/').map(|end| end + 1);
                std::iter::once(at).chain(slashes).any(take)
            }
            Self::Key { width, .. } => {
                let is_number = |end: usize| {
                    let text: String = chars[at..end].iter().collect();
                    text.parse::<i128>().is_ok() && padded(&text, *width) == text
                };
                (at + 1..=last).filter(|&end| *width == 0 || is_number(end)).any(take)
            }
        }
    }
}
