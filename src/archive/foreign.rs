//! Recognises files of other formats by their first bytes, and says how to convert them.

use std::fmt::Write as _;
use std::path::Path;

use super::escape::escaped;

/// A file of another format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Foreign {
    /// What it is, as `a NumPy array (.npy)`.
    pub(super) what: &'static str,
    /// What to do with it.
    pub(super) help: String,
    /// What to do with it if labels are looked for in it.
    pub(super) labels: String,
}

/// What labels are read from.
pub(super) const KINDS_OF_LABELS: &str =
    "labels are read from .npy, .npz, .pt, .safetensors, .parquet, .arrow, .feather, .csv, .tsv, .jsonl and .txt";

/// The name of text that is not JSON.
pub(super) const TEXT: &str = "text";

const TAR: &str = "a tar archive";

/// A format that is recognised but not read.
struct ForeignKind {
    /// Where its magic bytes lie, and what they are.
    magic: (usize, &'static [u8]),
    what: &'static str,
    way: Remedy,
}

/// How to convert a file, or what else to do.
#[derive(Clone, Copy)]
enum Remedy {
    /// Imports, and statements that give `rows`, in which `FILE` is the file.
    Python(&'static str, &'static str),
    /// A sentence.
    Words(&'static str),
}

const TORCH: (&str, Remedy) = (
    "a PyTorch file in the format before version 1.6",
    Remedy::Python(
        "torch",
        "t = torch.load(FILE, map_location=\"cpu\")\n\
         x, y = t[\"features\"].float().numpy(), t[\"labels\"].numpy()\n\
         rows = {\"feature\": list(x), \"label\": y}",
    ),
);
const JSON: (&str, Remedy) = (
    "JSON",
    // An object of columns, or an array of objects. This parser keeps all digits.
    Remedy::Python(
        "json",
        "d = json.load(open(FILE))\nrows = d if isinstance(d, dict) else {k: [r[k] for r in d] for k in d[0]}",
    ),
);
const UNPACK: Remedy = Remedy::Words("unpack it first; Parquet and .npz are compressed inside of the file");

/// Samples with the same name before the dot, as `webdataset` packs them.
const SAMPLES: Remedy = Remedy::Python(
    "webdataset as wds",
    "s = list(wds.WebDataset(FILE).decode().to_tuple(\"npy\", \"cls\"))\n\
     rows = {\"feature\": [x.ravel() for x, _ in s], \"label\": [y for _, y in s]}",
);

const KINDS: [ForeignKind; 24] = [
    kind(
        (0, b"\x89NCST\r\n\n"),
        "an nckit state file",
        Remedy::Words("nckit finish FILE measures it, and nckit merge adds states up"),
    ),
    kind(
        (0, b"FEA1"),
        "a Feather file of the first version",
        Remedy::Python("pyarrow.feather as fe", "t = fe.read_table(FILE)\nrows = dict(zip(t.column_names, t.columns))"),
    ),
    kind((0, b"\x89HDF\r\n\x1a\n"), "an HDF5 file", HDF5),
    // It is HDF5 behind a block of its own, in which arrays have their last dimension first.
    kind(
        (0, b"MATLAB 7.3 MAT-file"),
        "a MATLAB 7.3 file",
        Remedy::Python(
            "h5py",
            "f = h5py.File(FILE)\nprint(f.keys())  # name others here if they have other names\n\
             x, y = f[\"features\"][:].T, f[\"labels\"][:].ravel()\n\
             rows = {\"feature\": list(x), \"label\": y}",
        ),
    ),
    kind(
        (0, b"MATLAB 5.0 MAT-file"),
        "a MATLAB file",
        Remedy::Python(
            "scipy.io",
            "m = scipy.io.loadmat(FILE)\nprint(m.keys())  # name others here if they have other names\n\
             rows = {\"feature\": list(m[\"features\"]), \"label\": m[\"labels\"].ravel()}",
        ),
    ),
    // What torch.save wrote before it wrote zip files.
    kind((0, b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"), TORCH.0, TORCH.1),
    kind((0, b"\x80\x02"), PICKLE.0, PICKLE.1),
    kind((0, b"\x80\x03"), PICKLE.0, PICKLE.1),
    kind((0, b"\x80\x04"), PICKLE.0, PICKLE.1),
    kind((0, b"\x80\x05"), PICKLE.0, PICKLE.1),
    kind((0, b"PK\x03\x04"), "a zip archive", UNPACK),
    kind((0, b"\x1f\x8b"), "compressed with gzip", UNPACK),
    kind((0, b"\x28\xb5\x2f\xfd"), "compressed with zstd", UNPACK),
    kind((0, b"\xfd7zXZ\0"), "compressed with xz", UNPACK),
    kind((0, b"BZh"), "compressed with bzip2", UNPACK),
    kind((0, b"\x04\x22\x4d\x18"), "compressed with lz4", UNPACK),
    kind((257, b"ustar"), TAR, UNPACK),
    kind(
        (0, b"ORC"),
        "an ORC file",
        Remedy::Python("pyarrow.orc as orc", "t = orc.read_table(FILE)\nrows = dict(zip(t.column_names, t.columns))"),
    ),
    kind(
        (0, b"Obj\x01"),
        "an Avro file",
        Remedy::Words("write the rows to Parquet with the tool that wrote this file"),
    ),
    kind(
        (0, b"SQLite format 3\0"),
        "an SQLite database",
        Remedy::Words("write the rows to Parquet, as duckdb's COPY … TO 'rows.parquet' does"),
    ),
    kind(
        (8, b"DUCK"),
        "a DuckDB database",
        Remedy::Words("write the rows to Parquet, as duckdb's COPY … TO 'rows.parquet' does"),
    ),
    kind(
        (0, b"version https://git-lfs"),
        "a pointer of Git LFS, not the file itself",
        Remedy::Words("git lfs pull fetches the files themselves"),
    ),
    kind(
        (0, b"<!DOCTYPE"),
        "a web page",
        Remedy::Words("a download has failed: look into the file, and fetch it again"),
    ),
    kind((0, b"<html"), "a web page", Remedy::Words("a download has failed: look into the file, and fetch it again")),
];
const PICKLE: (&str, Remedy) = (
    "a Python pickle",
    Remedy::Python(
        "pickle",
        "d = pickle.load(open(FILE, \"rb\"))\nprint(d.keys())  # name others here if they have other names\nrows = {\"feature\": list(d[\"features\"]), \"label\": d[\"labels\"]}",
    ),
);

/// The only array of two dimensions, and the only one with as many values as that has rows.
const HDF5: Remedy = Remedy::Python(
    "h5py",
    "f, d = h5py.File(FILE), {}\n\
     f.visititems(lambda k, v: d.update({k: v} if hasattr(v, \"shape\") else {}))\n\
     print(d)  # what is there: x and y can be named, as d[\"features\"]\n\
     x, = [v for v in d.values() if v.ndim == 2]\n\
     y, = [v for v in d.values() if v.shape == x.shape[:1]]\n\
     rows = {\"feature\": list(x[:]), \"label\": y[:]}",
);

/// Formats that files do not begin with, by the endings of names.
const ENDINGS: [(&[&str], &str, Remedy); 5] = [
    (&["h5", "hdf5", "hdf"], "an HDF5 file, by its name", HDF5),
    (&["lzma"], "compressed with lzma, by its name", UNPACK),
    (
        &["tfrecord", "tfrecords"],
        "a TFRecord file, by its name",
        Remedy::Words("write its rows to Parquet or .npy; tf.data.TFRecordDataset reads them"),
    ),
    (
        &["fvecs"],
        "a file of vectors (.fvecs), by its name",
        Remedy::Python(
            "numpy as np",
            "a = np.fromfile(FILE, \"<i4\")\nx = a.reshape(-1, a[0] + 1)[:, 1:].view(\"<f4\")\nrows = {\"feature\": list(x)}",
        ),
    ),
    (
        &["ivecs"],
        "a file of vectors (.ivecs), by its name",
        Remedy::Python(
            "numpy as np",
            "a = np.fromfile(FILE, \"<i4\")\nx = a.reshape(-1, a[0] + 1)[:, 1:].astype(\"f8\")\nrows = {\"feature\": list(x)}",
        ),
    ),
];

/// The format that the ending of a name says.
fn by_ending(shown: &str) -> Option<(&'static str, Remedy)> {
    let (_, ending) = shown.rsplit_once('.')?;
    let ending = ending.to_ascii_lowercase();
    ENDINGS.iter().find(|(known, ..)| known.contains(&&*ending)).map(|&(_, what, way)| (what, way))
}

const fn kind(magic: (usize, &'static [u8]), what: &'static str, way: Remedy) -> ForeignKind {
    ForeignKind { magic, what, way }
}

/// Recognises a file by how it begins; `None` if that is not known.
pub(super) fn recognise(head: &[u8], shown: &str) -> Option<Foreign> {
    let begins = |kind: &&ForeignKind| head.get(kind.magic.0..).is_some_and(|rest| rest.starts_with(kind.magic.1));
    let (what, way) = match KINDS.iter().find(begins) {
        Some(kind) if kind.what == TAR && is_sample(head) => ("a tar archive of samples (webdataset)", SAMPLES),
        Some(kind) => (kind.what, kind.way),
        None if head.is_empty() => return None,
        None => text(head).or_else(|| by_ending(shown))?,
    };
    Some(Foreign { what, help: way.help(shown), labels: way.labels(shown) })
}

/// Whether the first member of a tar archive is part of a sample, by its name: `000017.cls`.
fn is_sample(head: &[u8]) -> bool {
    let name = head.split(|&byte| byte == 0).next().unwrap_or_default();
    let extension = name.rsplit(|&byte| byte == b'.').next().unwrap_or_default();
    [&b"cls"[..], b"npy", b"npz", b"pyd", b"pth", b"json", b"jpg", b"jpeg", b"png", b"webp"].contains(&extension)
}

/// Whether text begins as an object or an array does in JSON; a section of a TOML file begins as `[name]`.
fn is_json(text: &str) -> bool {
    let rest = |open: char| text.strip_prefix(open).map(str::trim_start);
    let in_array = |text: &str| {
        text.starts_with(['{', '[', '"', '-', ']']) || text.starts_with(|c: char| c.is_ascii_digit()) || text.is_empty()
    };
    rest('{').is_some_and(|text| text.starts_with(['"', '}']) || text.is_empty()) || rest('[').is_some_and(in_array)
}

/// Recognises text: JSON or anything else.
fn text(head: &[u8]) -> Option<(&'static str, Remedy)> {
    let head = match std::str::from_utf8(head) {
        Ok(text) => text,
        // A character may be cut at the end.
        Err(error) if error.error_len().is_none() => std::str::from_utf8(&head[..error.valid_up_to()]).ok()?,
        Err(_) => return None,
    };
    if head.chars().any(|c| c.is_control() && !c.is_whitespace()) {
        return None;
    }
    let is_empty = head.lines().next().is_none();
    let words = Remedy::Words(
        "nckit reads features from Parquet, Arrow, .npy, .npz, .safetensors, .pt, CSV and JSON lines; labels can be text",
    );
    (!is_empty).then(|| if is_json(head) { JSON } else { (TEXT, words) })
}

impl Remedy {
    /// The same for labels, which need not become Parquet.
    fn labels(self, shown: &str) -> String {
        match self {
            Self::Words(_) => self.help(shown),
            Self::Python(..) => format!(
                "write the labels to a file of their own, in Python numpy.save(\"labels.npy\", y); {KINDS_OF_LABELS}"
            ),
        }
    }

    fn help(self, shown: &str) -> String {
        let (imports, statements) = match self {
            Self::Words(words) => return words.replace("FILE", shown),
            Self::Python(imports, statements) => (imports, statements),
        };
        let stem = shown.rsplit('/').next().unwrap_or(shown);
        let stem = stem.split('.').next().filter(|stem| !stem.is_empty()).unwrap_or("rows");
        let file = format!("{shown:?}");
        let mut help = String::from("write its rows to a Parquet file, in Python for example:");
        // Writing to a string cannot fail.
        let _ = write!(help, "\n    import pyarrow as pa, pyarrow.parquet as pq, {imports}");
        for line in statements.lines() {
            let _ = write!(help, "\n    {}", line.replace("FILE", &file));
        }
        let _ = write!(help, "\n    pq.write_table(pa.table(rows), \"{stem}.parquet\")");
        help
    }
}

/// What a directory is whose files are parts of one array; `None` for all others.
pub(super) fn directory(path: &Path) -> Option<Foreign> {
    let help = |way: Remedy| way.help(&escaped(&path.to_string_lossy()));
    if ["zarr.json", ".zgroup", ".zarray"].iter().any(|name| path.join(name).is_file()) {
        return Some(Foreign { what: "a zarr store", help: help(ZARR), labels: KINDS_OF_LABELS.to_owned() });
    }
    let is_lance = ["_versions", "data"].iter().all(|name| path.join(name).is_dir());
    is_lance.then(|| Foreign { what: "a Lance data set", help: help(LANCE), labels: KINDS_OF_LABELS.to_owned() })
}

const ZARR: Remedy = Remedy::Python(
    "zarr",
    "z = zarr.open(FILE, mode=\"r\")\nprint(*z)  # name others here if they have other names\nrows = {\"feature\": list(z[\"features\"][:]), \"label\": z[\"labels\"][:]}",
);
const LANCE: Remedy =
    Remedy::Python("lance", "t = lance.dataset(FILE).to_table()\nrows = dict(zip(t.column_names, t.columns))");

/// What to do with an address that nckit does not read; `None` if the input is not an address.
pub(super) fn fetching(input: &str) -> Option<String> {
    let (scheme, rest) = input.split_once("://")?;
    if scheme.is_empty() || !scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c)) {
        return None;
    }
    let name = rest.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or("rows");
    Some(match scheme.to_ascii_lowercase().as_str() {
        "file" => format!("write the path alone: {rest}"),
        "s3" | "s3a" | "s3n" => format!("write s3://{rest}"),
        "gs" | "gcs" => format!("write gs://{rest}"),
        "az" | "azure" => format!("write az://{rest}"),
        "hf" => {
            let repository: Vec<&str> = rest.trim_start_matches("datasets/").split('/').take(2).collect();
            let repository = repository.join("/");
            format!("fetch it: hf download {repository} --repo-type dataset --local-dir '{name}'")
        }
        "ftp" => format!("fetch it: curl -LO '{input}'"),
        _ => "copy the files to a local folder first, and name that".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(head: &[u8]) -> Option<&'static str> {
        recognise(head, "data/x.bin").map(|foreign| foreign.what)
    }

    #[test]
    fn files_are_known_by_their_first_bytes() {
        let cases: Vec<(Vec<u8>, Option<&str>)> = vec![
            (b"PK\x03\x04".to_vec(), Some("a zip archive")),
            (
                b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.".to_vec(),
                Some("a PyTorch file in the format before version 1.6"),
            ),
            (b"\x80\x04\x95".to_vec(), Some("a Python pickle")),
            (b"{\"feature\": [1.0]}\n".to_vec(), Some("JSON")),
            (b"[\n  {\"feature\": [1.0]}\n]".to_vec(), Some("JSON")),
            (b"[package]\nname = \"x\"\n".to_vec(), Some("text")),
            ("Hello, world\nand é".as_bytes()[..17].to_vec(), Some("text")),
            (b"\x01\x02\x03\x04\x05\x06\x07\x08\x09".to_vec(), None),
            (b"".to_vec(), None),
        ];
        for (head, expected) in cases {
            assert_eq!(what(&head), expected, "{}", head.escape_ascii());
        }
        let mut tar = vec![0; 300];
        tar[257..262].copy_from_slice(b"ustar");
        assert_eq!(what(&tar), Some("a tar archive"));
        tar[..7].copy_from_slice(b"017.cls");
        assert_eq!(what(&tar), Some("a tar archive of samples (webdataset)"));
    }

    #[test]
    fn the_way_to_parquet_names_the_file_and_fits_a_terminal() {
        for kind in &KINDS {
            let help = kind.way.help("data/x.bin");
            assert!(help.lines().all(|line| line.chars().count() <= 80 - 2), "{help}");
        }
        for (_, _, way) in &ENDINGS {
            let help = way.help("data/x.bin");
            assert!(help.lines().all(|line| line.chars().count() <= 80 - 2), "{help}");
        }
        let help = recognise(b"\x89HDF\r\n\x1a\n", "data/x.h5").unwrap().help;
        assert!(help.contains("h5py.File(\"data/x.h5\")") && help.contains("\"x.parquet\""), "{help}");
        let help = recognise(b"\x89NCST\r\n\n", "all.ncst").unwrap().help;
        assert!(help.starts_with("nckit finish all.ncst"), "{help}");
    }

    #[test]
    fn the_ending_of_a_name_counts_where_the_content_says_nothing() {
        let what = |head: &[u8], shown: &str| recognise(head, shown).map(|foreign| foreign.what);
        let content = b"\x05\0\0\0\x01\x02\x03\x04";
        for (name, expected) in [
            ("a/x.fvecs", Some("a file of vectors (.fvecs), by its name")),
            ("a/x.H5", Some("an HDF5 file, by its name")),
            ("x.lzma", Some("compressed with lzma, by its name")),
            ("x.tfrecord", Some("a TFRecord file, by its name")),
            ("x.bin", None),
            ("h5", None),
        ] {
            assert_eq!(what(content, name), expected, "{name}");
        }
        assert_eq!(what(b"<html>", "x.h5"), Some("a web page"));
        assert_eq!(what(b"", "x.h5"), None);
        assert_eq!(what(b"MATLAB 5.0 MAT-file, Platform", "x.mat"), Some("a MATLAB file"));
    }

    #[test]
    fn addresses_are_fetched() {
        let fetched = |input| fetching(input).unwrap();
        assert_eq!(fetched("s3a://bucket/run/emb"), "write s3://bucket/run/emb");
        assert_eq!(fetched("file:///data/x.parquet"), "write the path alone: /data/x.parquet");
        assert_eq!(fetched("ftp://host/x.parquet"), "fetch it: curl -LO 'ftp://host/x.parquet'");
        let hugging = "fetch it: hf download user/set --repo-type dataset --local-dir 'train'";
        assert_eq!(fetched("hf://datasets/user/set/train"), hugging);
        assert!(fetching("emb/run=1://x").is_none() && fetching("emb").is_none());
    }
}
