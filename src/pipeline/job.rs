//! What is to be measured.

use std::fmt;
use std::path::Path;

use super::{AtHand, ErrorBars, HeadRules, Plan, Resources, Rounding, Watch};
use crate::archive::{HeadSource, Request};
use crate::error::Result;
use crate::kernels::Device;
use crate::metrics::{Extras, Options, Selection};
use crate::objects::is_web;
use crate::report::Report;

/// What is to be measured, and how.
///
/// [`Job::new`] has the defaults of `nckit measure`; every field can be set beside it:
///
/// ```
/// use nckit::archive::Request;
/// use nckit::pipeline::Job;
///
/// let request = Request { filters: vec![("split".into(), "train".into())], ..Request::default() };
/// let job = Job { request, ..Job::new(["tests/data/digits/flat/h3_final.parquet"]) };
/// let report = job.run()?;
/// assert_eq!(report.groups[0].value("nc1_cdnv"), Some(0.000_565_074_835_316_864_8));
/// # Ok::<(), nckit::error::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Job {
    /// Files, directories and globs.
    pub inputs: Vec<String>,
    /// Which of their columns, groups and rows are read.
    pub request: Request,
    /// The classifier, one for all groups or one for each.
    pub head: Option<HeadSource>,
    /// Whether heads are stored dimension × class.
    pub head_transposed: bool,
    /// Which groups get a head, which of its rows is which class, and what classes are called.
    pub head_rules: HeadRules,
    /// The rows of NC4 and the in-distribution rows of NECO; the group's own when `None`.
    pub decisions: Option<RowSource>,
    /// The out-of-distribution rows of NC5.
    pub ood: Option<RowSource>,
    /// Rows in memory in place of these.
    pub at_hand: AtHand,
    /// Which metrics are made.
    pub selection: Selection,
    /// The conventions of the metrics.
    pub options: Options,
    /// What is made besides the metrics.
    pub extras: Extras,
    /// Into which blocks rows are put, if metrics of the first read are to have error bars.
    pub error_bars: Option<ErrorBars>,
    /// How rows are rounded.
    pub rounding: Rounding,
    /// Whether every row of the decisions and every out-of-distribution row is scored.
    pub scores: bool,
    /// What works on the rows.
    pub device: Device,
    /// Worker threads, at least 1.
    pub threads: usize,
    /// Bytes of memory that the run may use.
    pub memory: u64,
}

impl Job {
    /// All metrics of all rows of these files, directories and globs, as one group, on all cores.
    pub fn new<P: AsRef<Path>>(inputs: impl IntoIterator<Item = P>) -> Self {
        let Resources { threads, memory } = Resources::default();
        Self {
            inputs: texts(inputs),
            request: Request::default(),
            head: None,
            head_transposed: false,
            head_rules: HeadRules::default(),
            decisions: None,
            ood: None,
            at_hand: AtHand::default(),
            selection: Selection::default(),
            options: Options::default(),
            extras: Extras::default(),
            error_bars: None,
            rounding: Rounding::default(),
            scores: false,
            device: Device::detect(),
            threads,
            memory,
        }
    }

    /// Plans and runs the job. [`Plan`] does both in steps, says what will be read, and can be stopped.
    ///
    /// # Errors
    ///
    /// Those of [`Plan::new`] and [`Plan::run`].
    pub fn run(self) -> Result<Report> {
        Plan::new(self)?.run(&Watch::default())
    }
}

/// Inputs as they are typed. A path that is not UTF-8 will not be found.
pub(super) fn texts<P: AsRef<Path>>(inputs: impl IntoIterator<Item = P>) -> Vec<String> {
    inputs.into_iter().map(|input| input.as_ref().to_string_lossy().into_owned()).collect()
}

/// Further rows, `PATH[?key=value&…]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowSource {
    /// File, directory or glob.
    pub path: String,
    /// `(key, value)`, as in [`Request::filters`].
    pub filters: Vec<(String, String)>,
}

impl RowSource {
    /// Parses `PATH[?key=value&…]`. In keys and values, `%26` is a `&`, `%3F` a `?`, `%3D` a `=` and `%25` a `%`; a `?` that a
    /// `key=value` does not follow belongs to a glob, and that of a web address to the address.
    pub fn parse(text: &str) -> Self {
        // Of a web address it belongs to the address.
        let parted = text.rsplit_once('?').filter(|_| !is_web(Path::new(text)));
        let split = parted.and_then(|(path, query)| {
            let filters: Option<Vec<_>> = query
                .split('&')
                .map(|pair| pair.split_once('=').map(|(key, value)| (decoded(key), decoded(value))))
                .collect();
            filters.map(|filters| Self { path: path.to_owned(), filters })
        });
        split.unwrap_or_else(|| Self { path: text.to_owned(), filters: Vec::new() })
    }
}

/// It is written as it is parsed.
impl fmt::Display for RowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        for (at, (key, value)) in self.filters.iter().enumerate() {
            write!(f, "{}{}={}", if at == 0 { '?' } else { '&' }, encoded(key), encoded(value))?;
        }
        Ok(())
    }
}

/// What stands for itself behind `?` only in code.
const CODES: [(&str, char); 4] = [("%25", '%'), ("%26", '&'), ("%3D", '='), ("%3F", '?')];

/// The character that a code at the beginning of a text stands for.
fn code(text: &str) -> Option<char> {
    let start = text.get(..3)?;
    CODES.iter().find(|(code, _)| code.eq_ignore_ascii_case(start)).map(|(_, c)| *c)
}

fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for (at, c) in text.char_indices() {
        match CODES.iter().find(|(_, special)| *special == c) {
            // A percent sign is itself unless it would be read as a code.
            Some((code, c)) if *c != '%' || self::code(&text[at..]).is_some() => encoded.push_str(code),
            _ => encoded.push(c),
        }
    }
    encoded
}

fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let code = code(&rest[at..]);
        decoded.push_str(&rest[..at]);
        decoded.push(code.unwrap_or('%'));
        rest = &rest[at + if code.is_some() { 3 } else { 1 }..];
    }
    decoded + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_path_with_filters() {
        let filters = vec![("split".to_owned(), "test".to_owned()), ("epoch".to_owned(), "3".to_owned())];
        assert_eq!(RowSource::parse("a/b?split=test&epoch=3"), RowSource { path: "a/b".to_owned(), filters });
        for value in ["a&b", "100%", "a%26b", "%2526", "%", "a?b", "a=b?c=d", "%3f", "ä%"] {
            let filters = vec![("k&".to_owned(), value.to_owned()), ("epoch".to_owned(), "3".to_owned())];
            let source = RowSource { path: "a/b".to_owned(), filters };
            assert_eq!(RowSource::parse(&source.to_string()), source);
        }
        assert_eq!(RowSource::parse("a?k=R%26D").filters, [("k".to_owned(), "R&D".to_owned())]);
        assert_eq!(RowSource::parse("a?k%3D=why%3Fx%3dy").filters, [("k=".to_owned(), "why?x=y".to_owned())]);
        let web = "https://h/x.parquet?split=test";
        assert_eq!(RowSource::parse(web), RowSource { path: web.to_owned(), filters: vec![] });
        assert_eq!(
            RowSource::parse("part-?.parquet"),
            RowSource { path: "part-?.parquet".to_owned(), filters: vec![] }
        );
    }
}
