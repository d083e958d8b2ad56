//! How deep a statement nests, found in its words: whatever reads a parsed statement goes down into it by recursion, and a
//! stack that ends takes the whole program with it.

use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::error::{Error, Result};

/// Operators that may stand in one another's operands: `a OR b OR c` is two deep.
const OPERATORS: usize = 1000;

/// Queries and tables of one statement: each adds a few levels to its plan.
const RELATIONS: usize = 200;

/// Refuses a text whose statements nest too deep.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) with the limit, and what to write in its place.
pub(in crate::sql) fn check(text: &str) -> Result<()> {
    // The parser reports text that is not SQL.
    let Ok(tokens) = Tokenizer::new(&GenericDialect {}, text).tokenize() else { return Ok(()) };
    let mut depth = Depth::default();
    for token in &tokens {
        depth.take(token);
        if depth.operators() > OPERATORS {
            return Err(Error::usage("the statement nests too deep")
                .with("operators", format!("more than {OPERATORS} in one expression"))
                .help("x IN (1, 2, …) for a chain of OR; a list of values in a file is a table: JOIN 'values.csv'"));
        }
        if depth.relations > RELATIONS {
            return Err(Error::usage("the statement nests too deep")
                .with("queries and tables", format!("more than {RELATIONS}"))
                .help("a pattern reads many files as one table: FROM 'archive/*.parquet'"));
        }
    }
    Ok(())
}

#[derive(Default)]
struct Depth {
    /// Operators around each open parenthesis.
    above: Vec<Chain>,
    here: Chain,
    /// The sum over `above`.
    sum: usize,
    relations: usize,
}

/// The operators of one expression so far.
#[derive(Clone, Copy, Default)]
struct Chain {
    /// `AND`, `OR`.
    logical: usize,
    /// Others since the last of those.
    others: usize,
    /// Whether commas part tables.
    in_from: bool,
}

impl Chain {
    fn operators(self) -> usize {
        self.logical + self.others
    }
}

impl Depth {
    fn operators(&self) -> usize {
        self.sum + self.here.operators()
    }

    fn take(&mut self, token: &Token) {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                // `a[1][1]` nests as `a + 1 + 1` does.
                self.here.others += 1;
                self.sum += self.here.operators();
                self.above.push(std::mem::take(&mut self.here));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                self.here = self.above.pop().unwrap_or_default();
                self.sum -= self.sum.min(self.here.operators());
            }
            Token::Comma => {
                self.relations += usize::from(self.here.in_from);
                self.here = Chain { in_from: self.here.in_from, ..Chain::default() };
            }
            Token::SemiColon => *self = Self::default(),
            Token::Word(word) if word.quote_style.is_none() => self.take_word(word.keyword),
            Token::Word(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::Whitespace(_)
            | Token::EOF => {}
            _ => self.here.others += 1,
        }
    }

    fn take_word(&mut self, word: Keyword) {
        match word {
            Keyword::AND | Keyword::OR | Keyword::XOR => {
                self.here.logical += 1;
                self.here.others = 0;
            }
            Keyword::SELECT | Keyword::TABLE | Keyword::VALUES => {
                self.relations += 1;
                self.here = Chain::default();
            }
            Keyword::FROM => self.here = Chain { in_from: true, ..Chain::default() },
            Keyword::JOIN | Keyword::APPLY => {
                self.relations += 1;
                self.here = Chain { in_from: true, ..Chain::default() };
            }
            Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::QUALIFY
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::UNION
            | Keyword::EXCEPT
            | Keyword::INTERSECT
            | Keyword::WINDOW => self.here = Chain::default(),
            Keyword::ON | Keyword::WHEN | Keyword::THEN | Keyword::ELSE => {
                self.here = Chain { in_from: self.here.in_from, ..Chain::default() };
            }
            Keyword::NOT
            | Keyword::IS
            | Keyword::IN
            | Keyword::LIKE
            | Keyword::ILIKE
            | Keyword::BETWEEN
            | Keyword::SIMILAR
            | Keyword::COLLATE
            | Keyword::AT
            | Keyword::DIV
            | Keyword::CASE => self.here.others += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> bool {
        check(text).is_err()
    }

    fn chain(one: &str, between: &str, times: usize) -> String {
        vec![one; times].join(between)
    }

    #[test]
    fn chains_of_any_operator_are_bounded() {
        let select = |expression: &str| format!("SELECT 1 FROM t WHERE {expression}");
        for between in [" OR ", " AND ", " + ", " || ", " = ", "::", " IS ", " * -"] {
            assert!(!refused(&select(&chain("a", between, OPERATORS / 3))), "{between}");
            assert!(refused(&select(&chain("a", between, OPERATORS + 2))), "{between}");
        }
        assert!(refused(&format!("SELECT a{}", "[1]".repeat(OPERATORS + 1))));
        assert!(refused(&format!("SELECT {}", "- ".repeat(OPERATORS + 1))));
        assert!(refused(&select(&"(a OR ".repeat(OPERATORS + 1))));
        let levels = chain("a", " OR ", OPERATORS / 4) + " OR (";
        assert!(refused(&select(&levels.repeat(5))), "levels add up");
    }

    #[test]
    fn chains_of_queries_and_tables_are_bounded() {
        assert!(!refused(&chain("SELECT 1", " UNION ALL ", 100)));
        assert!(refused(&chain("SELECT 1", " UNION ALL ", RELATIONS + 1)));
        assert!(refused(&format!("SELECT 1 FROM {}", chain("t", ", ", RELATIONS + 2))));
        assert!(refused(&format!("SELECT 1 FROM {}", chain("t", " JOIN ", RELATIONS + 2))));
        let tables: Vec<String> = (1..=RELATIONS).map(|n| format!("t{n} AS (SELECT * FROM t{})", n - 1)).collect();
        assert!(refused(&format!("WITH t0 AS (SELECT 1), {} SELECT * FROM t", tables.join(", "))));
    }

    #[test]
    fn long_lists_and_many_statements_are_no_depth() {
        assert!(!refused(&format!("SELECT 1 FROM t WHERE a IN ({})", chain("1", ", ", 100_000))));
        assert!(!refused(&format!("SELECT {} FROM t", chain("a + b AS c", ", ", 10_000))));
        assert!(!refused(&chain("SELECT a OR b FROM t", "; ", 10_000)));
        assert!(!refused(&format!("SELECT '{}'", "OR ( ".repeat(5000))));
        assert!(!refused("SELECT 'no end"));
    }
}
