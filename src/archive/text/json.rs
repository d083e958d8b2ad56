//! One line of JSON as names and values.
//!
//! Numbers are handed on as they are written, so that they are rounded once, where they are read.

use serde_json::from_slice;

/// A value that is no object.
pub(super) enum Value<'a> {
    Null,
    /// A number, a boolean or a list, as it is written.
    Plain(&'a [u8]),
    Text(String),
}

/// How deep objects may be nested.
const DEPTH: usize = 16;

/// Where a line stops being JSON: the byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Broken(pub(super) usize);

/// Hands on the values of an object; those of an object within it are called `outer.inner`.
pub(super) fn members(line: &[u8], each: &mut impl FnMut(&str, Value<'_>) -> Option<()>) -> Result<(), Broken> {
    let mut walk = Walk { line, at: 0 };
    let mut name = String::new();
    walk.object(&mut name, 0, each).and_then(|()| walk.end()).ok_or(Broken(walk.at))
}

struct Walk<'a> {
    line: &'a [u8],
    at: usize,
}

impl<'a> Walk<'a> {
    /// The next byte that is no blank.
    fn peek(&mut self) -> Option<u8> {
        while self.line.get(self.at)?.is_ascii_whitespace() {
            self.at += 1;
        }
        Some(self.line[self.at])
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn end(&mut self) -> Option<()> {
        self.peek().is_none().then_some(())
    }

    fn object(
        &mut self,
        name: &mut String,
        depth: usize,
        each: &mut impl FnMut(&str, Value<'_>) -> Option<()>,
    ) -> Option<()> {
        self.expect(b'{')?;
        if self.peek()? == b'}' {
            return self.expect(b'}');
        }
        let length = name.len();
        loop {
            let key = self.text()?;
            self.expect(b':')?;
            name.extend([if length > 0 { "." } else { "" }, &key]);
            match self.peek()? {
                b'{' if depth < DEPTH => self.object(name, depth + 1, each)?,
                b'"' => {
                    let text = self.text()?;
                    each(name, Value::Text(text))?;
                }
                b'[' => {
                    let list = self.list()?;
                    each(name, Value::Plain(list))?;
                }
                _ => {
                    let value = match self.word()? {
                        b"null" => Value::Null,
                        word => Value::Plain(word),
                    };
                    each(name, value)?;
                }
            }
            name.truncate(length);
            match self.peek()? {
                b',' => self.at += 1,
                _ => return self.expect(b'}'),
            }
        }
    }

    /// A text in quotes, decoded.
    fn text(&mut self) -> Option<String> {
        let start = self.at_quote()?;
        self.pass_text()?;
        from_slice(&self.line[start..self.at]).ok()
    }

    fn at_quote(&mut self) -> Option<usize> {
        (self.peek()? == b'"').then_some(self.at)
    }

    /// Passes over a text in quotes.
    fn pass_text(&mut self) -> Option<()> {
        loop {
            self.at += 1;
            match *self.line.get(self.at)? {
                b'\\' => self.at += 1,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => {}
            }
        }
    }

    /// A list, with the brackets.
    fn list(&mut self) -> Option<&'a [u8]> {
        let (start, mut open) = (self.at, Vec::new());
        loop {
            match *self.line.get(self.at)? {
                b'"' => {
                    self.pass_text()?;
                    continue;
                }
                b'[' => open.push(b']'),
                b'{' => open.push(b'}'),
                byte @ (b']' | b'}') => drop(open.pop().filter(|&end| end == byte)?),
                _ => {}
            }
            self.at += 1;
            if open.is_empty() {
                return Some(&self.line[start..self.at]);
            }
        }
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<&'a [u8]> {
        let start = self.at;
        while self.line.get(self.at).is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(byte)) {
            self.at += 1;
        }
        let word = &self.line[start..self.at];
        let is_value = matches!(word, b"null" | b"true" | b"false") || super::decimals::is_number(word);
        is_value.then_some(word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<String, Broken> {
        let mut all = String::new();
        members(line.as_bytes(), &mut |name, value| {
            let value = match value {
                Value::Null => "null".to_owned(),
                Value::Plain(text) => String::from_utf8(text.to_vec()).unwrap(),
                Value::Text(text) => format!("'{text}'"),
            };
            all.extend([name, "=", &value, ";"]);
            Some(())
        })?;
        Ok(all)
    }

    #[test]
    fn members_are_handed_on_as_they_are_written() {
        let line = r#" {"x": [1.50, -2e-3,"]"], "a\"b":"\u00e9\n", "e":{"v" :3,"w":{"z":null}}, "t":true,"n":NaN } "#;
        let expected = "x=[1.50, -2e-3,\"]\"];a\"b='é\n';e.v=3;e.w.z=null;t=true;n=NaN;";
        assert_eq!(read(line).unwrap(), expected);
        assert_eq!(read("{}").unwrap(), "");
    }

    #[test]
    fn what_is_no_object_is_refused_at_its_byte() {
        for (line, byte) in [
            ("", 0),
            ("[1]", 0),
            ("{\"a\" 1}", 5),
            ("{\"a\":1,}", 7),
            ("{\"a\":word}", 9),
            ("{\"a\":1} 2", 8),
            ("{\"a\":[1", 7),
            ("{\"a\":[1}}", 7),
            ("{\"a", 3),
        ] {
            assert_eq!(read(line), Err(Broken(byte)), "{line}");
        }
        let deep = "{\"a\":".repeat(1000);
        assert!(read(&deep).is_err());
    }
}
