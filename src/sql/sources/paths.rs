//! Tables straight from paths: `FROM 'digits/hive'`.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider, UrlTableFactory};
use datafusion::common::Result as SqlResult;
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::listing::{ListingOptions, ListingTable, ListingTableConfig, ListingTableUrl};
use datafusion::execution::SessionState;

use crate::archive::{Places, escaped, has_keys, has_labels_apart, matches};
use crate::error::{Error, Result};
use crate::objects::is_address;
use crate::sql::error::{explain, external};
use crate::sql::settings::doubts::Doubts;
use crate::sql::sources::archive_table::ArchiveTable;
use crate::sql::sources::json_array::JsonArrays;
use crate::sql::sources::state_file;
use crate::store::StateFile;

/// Makes a table of a name that no table has, if it is a path.
#[derive(Debug)]
pub(in crate::sql) struct PathTables {
    /// What text files are looked at with.
    pub(in crate::sql) session: SessionState,
    /// Where warnings of tables go.
    pub(in crate::sql) doubts: Doubts,
}

#[async_trait]
impl UrlTableFactory for PathTables {
    async fn try_new(&self, name: &str) -> SqlResult<Option<Arc<dyn TableProvider>>> {
        if !is_path(name) {
            return Ok(None);
        }
        open(name, &self.session, &self.doubts).await.map(Some).map_err(external)
    }
}

/// Whether a name is meant as a path: it looks like one, or something is there.
fn is_path(name: &str) -> bool {
    name.contains(['/', '\\', '.', '*', '?', '[', '{']) || Path::new(name).exists()
}

/// Opens what a path leads to: Parquet by the archive's reader, CSV and JSON by DataFusion's, a state file as its groups.
pub(in crate::sql) async fn open(path: &str, session: &dyn Session, doubts: &Doubts) -> Result<Arc<dyn TableProvider>> {
    let text = TextFormat::of(path).filter(|_| !has_labels_apart(path));
    if text.is_some() && is_address(Path::new(path)) {
        return Err(Error::usage("SQL reads tables of text from local files only")
            .with("file", escaped(path))
            .help("fetch the file first, or write it as Parquet"));
    }
    match text {
        Some(format) => {
            text_table(path, format, session).await.map_err(|error| error.with_default("file", escaped(path)))
        }
        None if StateFile::is_at(Path::new(path)) => Ok(Arc::new(state_file::open(Path::new(path))?)),
        None => {
            let table = ArchiveTable::open(&[path.to_owned()])?;
            doubts.warn(table.archive().warnings());
            Ok(Arc::new(table))
        }
    }
}

/// The format of files that are text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum TextFormat {
    Delimited(u8),
    /// Objects a line, or one array of them.
    Json,
}

impl TextFormat {
    /// By the extension of a path.
    fn of(path: &str) -> Option<Self> {
        match Path::new(path).extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Delimited(b',')),
            "tsv" => Some(Self::Delimited(b'\t')),
            "ndjson" | "jsonl" | "json" => Some(Self::Json),
            _ => None,
        }
    }

    /// What reads these files. The first one of them says whether JSON is lines or an array, whatever it is called.
    fn reader(self, files: &[PathBuf]) -> Result<Arc<dyn FileFormat>> {
        Ok(match self {
            Self::Delimited(delimiter) => {
                Arc::new(CsvFormat::default().with_has_header(true).with_delimiter(delimiter))
            }
            Self::Json if begins_as_array(files.first())? => Arc::new(JsonArrays::new()),
            Self::Json => Arc::new(JsonFormat::default()),
        })
    }
}

/// Whether the first character of a file that is no blank is a bracket.
fn begins_as_array(file: Option<&PathBuf>) -> Result<bool> {
    let Some(file) = file else { return Ok(false) };
    let first = || -> std::io::Result<Option<u8>> {
        let bytes = BufReader::new(File::open(file)?).bytes();
        bytes.filter(|byte| !byte.as_ref().is_ok_and(u8::is_ascii_whitespace)).next().transpose()
    };
    first().map(|first| first == Some(b'[')).map_err(|error| cannot_open(file, error))
}

async fn text_table(path: &str, format: TextFormat, session: &dyn Session) -> Result<Arc<dyn TableProvider>> {
    let files = files(path)?;
    let urls = files.iter().map(|file| url_of_file(file)).collect::<Result<Vec<_>>>()?;
    let extension = Path::new(path).extension().and_then(OsStr::to_str).unwrap_or_default();
    let options = ListingOptions::new(format.reader(&files)?).with_file_extension(extension);
    let config = ListingTableConfig::new_with_multi_paths(urls).with_listing_options(options);
    let config = config.infer_schema(session).await.map_err(explain)?;
    let table = ListingTable::try_new(config).map_err(explain)?;
    Ok(Arc::new(table))
}

/// The files of a path or a pattern, in the order of their names.
fn files(path: &str) -> Result<Vec<PathBuf>> {
    if Path::new(path).exists() {
        return Ok(vec![PathBuf::from(path)]);
    }
    let missing = || Error::missing("no such file or directory").with("file", escaped(path));
    if !path.contains(['*', '?', '[']) {
        if has_keys(path) {
            return Err(Error::usage("braces capture keys in the paths of features, and not of text")
                .with("file", escaped(path))
                .help("write the rows as Parquet, Arrow IPC or arrays"));
        }
        return Err(missing());
    }
    let files = matches(path, &Places::default())?;
    if files.is_empty() { Err(missing()) } else { Ok(files) }
}

fn cannot_open(file: &Path, error: std::io::Error) -> Error {
    let file = escaped(&file.to_string_lossy());
    Error::io("cannot open").with("file", file).with("detail", &error).caused_by(error)
}

/// The URL of a file that is there, links resolved.
fn url_of_file(file: &Path) -> Result<ListingTableUrl> {
    let absolute = file.canonicalize().map_err(|error| cannot_open(file, error))?;
    if absolute.is_dir() {
        return Err(cannot_open(file, std::io::ErrorKind::IsADirectory.into()));
    }
    url(&absolute, false)
}

/// The URL of a path from the root, every unusual character encoded: what a path says is a name and never a pattern.
pub(in crate::sql) fn url(absolute: &Path, is_folder: bool) -> Result<ListingTableUrl> {
    let no_text = || {
        Error::io("SQL can only read files whose names are UTF-8").with("file", escaped(&absolute.to_string_lossy()))
    };
    let mut encoded = String::from("file://");
    for byte in absolute.to_str().ok_or_else(no_text)?.bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.extend(["%", &format!("{byte:02X}")]),
        }
    }
    if is_folder {
        encoded.push('/');
    }
    ListingTableUrl::parse(&encoded).map_err(explain)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::error::ErrorKind;
    use crate::sql::{SessionOptions, session};

    fn run(sql: &str, tables: &[(&str, &str)]) -> Result<String> {
        let tables = tables.iter().map(|(name, path)| ((*name).to_owned(), (*path).to_owned())).collect();
        let options = SessionOptions { threads: 2, tables, ..SessionOptions::default() };
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let context = session(&options).await?;
            let rows = context.sql(sql).await.map_err(explain)?.collect().await.map_err(explain)?;
            let shown = rows.iter().filter(|batch| batch.num_rows() > 0).map(|batch| {
                let value = arrow::util::display::array_value_to_string(batch.column(0), 0).unwrap();
                assert_eq!(batch.num_rows(), 1);
                value
            });
            Ok(shown.collect())
        })
    }

    #[test]
    fn paths_are_tables() {
        let one = |from: &str| run(&format!("SELECT count(*) FROM {from}"), &[]).unwrap();
        assert_eq!(one("'tests/data/digits/flat/h3_final.parquet'"), "2097");
        assert_eq!(one("'tests/data/digits/hive' WHERE split = 'train' AND epoch = 9"), "1257");
        assert_eq!(one("'tests/data/digits/hive/epoch=*/layer=h3/split=ood/*.parquet'"), "1500");
        assert_eq!(one("'tests/data/digits/classifier/epoch=0/classifier.parquet'"), "10");
        assert_eq!(one("\"tests/data/digits/flat\" a JOIN 'tests/data/digits/flat' b USING (label) WHERE false"), "0");
    }

    #[test]
    fn text_files_are_tables() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().replace('\'', "''")
        };
        let csv = put("a b*[1]?#%.csv", "run,lr\nx,0.5\n");
        let tsv = put("it's.TSV", "run\tlr\nx\t0.25\n");
        let json = put("a.json", "[{\"run\": \"x\", \"lr\": 0.125}]");
        let lines = put("a.ndjson", "{\"run\": \"x\", \"lr\": 2.5}\n");
        for (path, lr) in [(csv, "0.5"), (tsv, "0.25"), (json, "0.125"), (lines, "2.5")] {
            assert_eq!(run(&format!("SELECT lr FROM '{path}' WHERE run = 'x'"), &[]).unwrap(), lr, "{path}");
        }
        // What is in it says whether JSON is lines.
        let named = put("lines.json", "\n{\"run\": \"x\", \"lr\": 1.5}\n");
        assert_eq!(run(&format!("SELECT lr FROM '{named}'"), &[]).unwrap(), "1.5");
        let named = put("array.jsonl", "[{\"run\": \"x\", \"lr\": 1.25}]");
        assert_eq!(run(&format!("SELECT lr FROM '{named}'"), &[]).unwrap(), "1.25");
        put("part-1.csv", "n\n1\n");
        put("part-2.csv", "n\n2\n");
        let pattern = folder.path().join("part-*.csv");
        assert_eq!(run(&format!("SELECT sum(n) FROM '{}'", pattern.display()), &[]).unwrap(), "3");
    }

    /// The optimizer splits files from 1 MiB on.
    #[test]
    fn large_arrays_are_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let rows: Vec<String> = (0..400_000).map(|row| format!("{{\"n\": {row}}}")).collect();
        let path = folder.path().join("large.json");
        fs::write(&path, format!("[{}]", rows.join(","))).unwrap();
        assert!(path.metadata().unwrap().len() > 1 << 21);
        let sum = run(&format!("SELECT sum(n) FROM '{}'", path.display()), &[]).unwrap();
        assert_eq!(sum, (400_000_u64 * 399_999 / 2).to_string());
    }

    #[test]
    fn text_that_only_the_reader_of_archives_takes_is_sent_to_it() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let object = put("column.jsonl", "7\n");
        let quoted = put("quoted.csv", "feature,label\n\"[0.5,1.5]\",0\n");
        for query in [format!("SELECT * FROM '{object}'"), format!("SELECT nc1_pinv(feature, label) FROM '{quoted}'")] {
            let error = run(&query, &[]).unwrap_err();
            let said = format!("{error} {}", error.advice().unwrap_or_default());
            assert!(said.contains("nckit convert FILE -o FILE.parquet"), "{query}: {said}");
        }
    }

    #[test]
    fn names_are_never_read_as_sql() {
        let folder = tempfile::tempdir().unwrap();
        let hostile = folder.path().join("'; COPY (select 1) TO 'x");
        fs::create_dir(&hostile).unwrap();
        fs::copy("tests/data/digits/flat/h3_final.parquet", hostile.join("a.parquet")).unwrap();
        let hostile = hostile.to_str().unwrap();
        let name = "t\"; DROP TABLE t; --";
        let of = format!("SELECT count(*) FROM \"{}\"", name.replace('"', "\"\""));
        assert_eq!(run(&of, &[(name, hostile)]).unwrap(), "2097");
        let of = format!("SELECT count(*) FROM '{}'", hostile.replace('\'', "''"));
        assert_eq!(run(&of, &[]).unwrap(), "2097");
        assert!(!std::path::Path::new("x").exists());
    }

    #[test]
    fn what_is_not_there_is_told_with_its_name() {
        for (from, kind, hint) in [
            ("'no/such.parquet'", ErrorKind::Missing, "no/such.parquet"),
            ("'no/such.csv'", ErrorKind::Missing, "no/such.csv"),
            ("'tests/data/*.nothing'", ErrorKind::Missing, "tests/data/*.nothing"),
            ("'tests/data/digits/README.md'", ErrorKind::Data, "README.md"),
            ("nothing", ErrorKind::Usage, "--table nothing=PATH"),
        ] {
            let error = run(&format!("SELECT count(*) FROM {from}"), &[]).unwrap_err();
            let said = format!("{error} {}", error.advice().unwrap_or_default());
            assert!(error.kind() == kind && said.contains(hint), "{from}: {:?} {said}", error.kind());
        }
        let error = run("SELECT 1", &[("t", "no/such/archive")]).unwrap_err();
        assert_eq!((error.kind(), error.fact("table")), (ErrorKind::Missing, Some("t")));
    }
}
