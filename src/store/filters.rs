//! The filters of a run, as files and records write them.

use std::fmt;

/// Pairs of a key and a value that rows must have, in one order, whatever the order in which they were typed.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filters(Vec<(String, String)>);

impl Filters {
    /// The filters of these pairs, each once.
    pub fn new(mut pairs: Vec<(String, String)>) -> Self {
        let text = |(key, value): &(String, String)| format!("{key}={value}");
        pairs.sort_by_cached_key(text);
        pairs.dedup_by_key(|pair| text(pair));
        Self(pairs)
    }

    /// The pairs, in their order.
    pub fn pairs(&self) -> &[(String, String)] {
        &self.0
    }

    /// Reads what [`Display`](fmt::Display) writes; words without `=` are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let (mut words, mut word) = (Vec::new(), String::new());
        let mut quoted = false;
        let mut characters = text.chars().peekable();
        while let Some(c) = characters.next() {
            match c {
                '\'' if quoted && characters.next_if_eq(&'\'').is_some() => word.push('\''),
                '\'' => quoted = !quoted,
                ' ' if !quoted => words.push(std::mem::take(&mut word)),
                c => word.push(c),
            }
        }
        words.push(word);
        let pair = |word: String| word.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self::new(words.into_iter().filter_map(pair).collect())
    }
}

/// `key=value` pairs with a blank between them. A pair with a blank or a quote in it stands in quotes, and its quotes are
/// doubled.
impl fmt::Display for Filters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, (key, value)) in self.0.iter().enumerate() {
            let pair = format!("{key}={value}");
            let blank = if at == 0 { "" } else { " " };
            if pair.contains([' ', '\'']) {
                write!(f, "{blank}'{}'", pair.replace('\'', "''"))?;
            } else {
                write!(f, "{blank}{pair}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_are_read_as_they_were_written() {
        let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let pairs = vec![pair("a", "it's b=c"), pair("b", ""), pair("c", "' '"), pair("d", "plain")];
        let typed = pairs.iter().rev().cloned().chain([pair("d", "plain")]).collect();
        let filters = Filters::new(typed);
        assert_eq!(filters.to_string(), "'a=it''s b=c' b= 'c='' ''' d=plain");
        assert_eq!(filters.pairs(), pairs);
        assert_eq!(Filters::parse(&filters.to_string()), filters);
        assert_eq!(Filters::parse(""), Filters::default());
    }
}
