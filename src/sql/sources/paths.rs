//! Tables straight from paths: `FROM 'digits/hive'`.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::{TableProvider, UrlTableFactory};
use datafusion::common::Result as SqlResult;
use datafusion::datasource::listing::ListingTableUrl;

use crate::archive::escaped;
use crate::error::{Error, Result};
use crate::sql::error::{explain, external};
use crate::sql::settings::doubts::Doubts;
use crate::sql::sources::archive_table::ArchiveTable;
use crate::sql::sources::state_file;
use crate::store::StateFile;

/// Makes a table of a name that no table has, if it is a path.
#[derive(Debug)]
pub(in crate::sql) struct PathTables {
    /// Where warnings of tables go.
    pub(in crate::sql) doubts: Doubts,
}

#[async_trait]
impl UrlTableFactory for PathTables {
    async fn try_new(&self, name: &str) -> SqlResult<Option<Arc<dyn TableProvider>>> {
        if !is_path(name) {
            return Ok(None);
        }
        open(name, &self.doubts).map(Some).map_err(external)
    }
}

/// Whether a name is meant as a path: it looks like one, or something is there.
fn is_path(name: &str) -> bool {
    name.contains(['/', '\\', '.', '*', '?', '[', '{']) || Path::new(name).exists()
}

/// Opens what a path leads to: files by the archive's reader, a state file as its groups.
pub(in crate::sql) fn open(path: &str, doubts: &Doubts) -> Result<Arc<dyn TableProvider>> {
    if StateFile::is_at(Path::new(path)) {
        return Ok(Arc::new(state_file::open(Path::new(path))?));
    }
    let table = ArchiveTable::open(&[path.to_owned()])?;
    doubts.warn(table.archive().warnings());
    let left_out = table.archive().columns_of_some_files();
    if !left_out.is_empty() {
        let names: Vec<String> = left_out.into_iter().map(escaped).collect();
        doubts.warn(&[format!("columns that only some files have are left out: {}", names.join(", "))]);
    }
    Ok(Arc::new(table))
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
        put("part-1.csv", "n\n1\n");
        put("part-2.csv", "n\n2\n");
        let pattern = folder.path().join("part-*.csv");
        assert_eq!(run(&format!("SELECT sum(n) FROM '{}'", pattern.display()), &[]).unwrap(), "3");
    }

    #[test]
    fn texts_are_read_whole_by_the_reader_of_archives() {
        let folder = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let ask = |select: &str, path: &str| {
            run(&format!("SELECT {select} FROM '{}'", folder.path().join(path).display()), &[])
        };
        // The type of a column is that of all rows, in all files.
        put("late.ndjson", &format!("{}{{\"a\":1.5,\"b\":7}}\n", "{\"a\":1}\n".repeat(1200)));
        assert_eq!(ask("concat(sum(a), ' ', max(b))", "late.ndjson").unwrap(), "1201.5 7");
        put("runs/a.ndjson", "{\"acc\":1}\n");
        put("runs/b.ndjson", "{\"acc\":0.73}\n");
        assert_eq!(ask("min(acc)", "runs/*.ndjson").unwrap(), "0.73");
        // Columns go by their names, and keys of paths are columns.
        put("by/e=1/a.csv", "a,b\n1,2\n");
        put("by/e=2/a.csv", "b,a\n3,4\n");
        assert_eq!(ask("concat(max(a), ' ', max(b), ' ', max(e))", "by/*/a.csv").unwrap(), "4 3 2");
        put("by/e=3/a.csv", "a,c\n5,6\n");
        assert_eq!(ask("max(b)", "by/*/a.csv").unwrap_err().fact("column"), Some("b"));
        put("twice/a.csv", "a\n1\n");
        put("twice/b.csv", "a\n1\n");
        assert_eq!(ask("sum(a)", "twice/*.csv").unwrap_err().kind(), ErrorKind::Data);
        // A line break within quotes ends no row.
        let rows: Vec<String> = (0..100_000).map(|at| format!("{at},\"line\n{at},x\"\n")).collect();
        put("quoted.csv", &format!("i,s\n{}", rows.concat()));
        assert_eq!(ask("concat(count(*), ' ', sum(i))", "quoted.csv").unwrap(), "100000 4999950000");
        // Lists are vectors.
        put("vectors.csv", "label,emb\na,\"[1, 2]\"\na,\"[2, 3]\"\nb,\"[7, 5]\"\nb,\"[9, 9]\"\n");
        assert_eq!(ask("nc1_trace_ratio(emb, label) > 0", "vectors.csv").unwrap(), "true");
    }

    #[test]
    fn json_is_read_as_lines_or_as_one_array_and_else_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let ask = |text: &str, select: &str| {
            fs::write(&path, text).unwrap();
            run(&format!("SELECT {select} FROM '{}'", path.display()), &[])
        };
        for text in [
            "{\"a\":1}\n{\"a\":2}\n",
            "[{\"a\":1},{\"a\":2}]",
            "\u{feff}[\n  {\n    \"a\": 1\n  },\n  {\n    \"a\": 2\n  }\n]\n",
        ] {
            assert_eq!(ask(text, "concat(count(*), ' ', sum(a))").unwrap(), "2 3", "{text}");
        }
        let long: Vec<String> = (0..100_000).map(|at| format!("{{\"a\": {at}, \"s\": \"]}},{{\\\"\"}}")).collect();
        let found = ask(&format!("[{}]", long.join(", ")), "concat(count(*), ' ', sum(a), ' ', max(s))");
        assert_eq!(found.unwrap(), "100000 4999950000 ]},{\"");
        for text in [
            "{}",
            "null",
            "hello",
            "{\"title\":\"[]\",\"rows\":[{\"a\":1}]}",
            "[{\"a\":1},{\"a\":2},",
            "[{\"a\":1}",
            "[{\"a\":1}] more",
            "[{\"a\":1}]\n[{\"a\":3}]",
            "[{\"a\":1},,{\"a\":2}]",
            "[{\"a\":1} {\"a\":2}]",
            "[{\"a\":1},]",
            "[{\"a\":1}, 2]",
        ] {
            assert_eq!(ask(text, "count(*)").unwrap_err().kind(), ErrorKind::Data, "{text}");
        }
        let late = ask("[\n{\"a\":1},\n{\"a\":}\n]", "a").unwrap_err();
        assert_eq!(late.fact("line"), Some("3"), "{late:?}");
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
