//! Data sets as Hugging Face saves them: which files and folders of a folder are theirs. Others lie beside them, as what
//! `map` and `filter` keep for the next time.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::archive::escape::escaped;
use crate::archive::places::Places;
use crate::archive::read_at::{self, read_exact_at};
use crate::error::{Error, Result};

/// The most bytes of a description.
const LIMIT: u64 = 64 << 20;

/// Names of the files that hold the rows of the data set in a folder; `None` if the folder holds no data set.
///
/// # Errors
///
/// [`Missing`](crate::error::ErrorKind::Missing) with a file that is not there; [`Data`](crate::error::ErrorKind::Data) if
/// rows are picked from the files by another one.
pub(super) fn files(folder: &Path, places: &Places) -> Result<Option<BTreeSet<String>>> {
    let path = folder.join("state.json");
    let Some(state) = read(&path, places)? else { return Ok(None) };
    let Some(files) = state.get("_data_files").and_then(Value::as_array) else { return Ok(None) };
    let picks = ["_indices_data_files", "_indices_files"].iter().filter_map(|key| state.get(*key)?.as_array());
    if picks.flatten().next().is_some() {
        return Err(Error::data("the data set picks rows from its files by a list of indices")
            .with("file", escaped(&path.to_string_lossy()))
            .help("write its rows out: ds.flatten_indices().save_to_disk(\"…\")"));
    }
    let names = files.iter().filter_map(|file| file.get("filename")?.as_str().map(str::to_owned)).collect();
    expect(folder, &names, |name| places.is_file(&folder.join(name)))?;
    Ok(Some(names))
}

/// Names of the splits in a folder of data sets, each a folder of its own; `None` if the folder has no list of them.
///
/// # Errors
///
/// [`Missing`](crate::error::ErrorKind::Missing) with a split that is not there.
pub(super) fn splits(folder: &Path, places: &Places) -> Result<Option<BTreeSet<String>>> {
    let Some(sets) = read(&folder.join("dataset_dict.json"), places)? else { return Ok(None) };
    let Some(splits) = sets.get("splits").and_then(Value::as_array) else { return Ok(None) };
    let names = splits.iter().filter_map(|split| split.as_str().map(str::to_owned)).collect();
    expect(folder, &names, |name| places.is_folder(&folder.join(name)))?;
    Ok(Some(names))
}

fn expect(folder: &Path, names: &BTreeSet<String>, is_there: impl Fn(&str) -> bool) -> Result<()> {
    match names.iter().find(|name| !is_there(name)) {
        Some(name) => Err(Error::missing("a part of the data set is missing")
            .with("data set", escaped(&folder.to_string_lossy()))
            .with("part", escaped(name))),
        None => Ok(()),
    }
}

fn read(path: &Path, places: &Places) -> Result<Option<Value>> {
    if !places.is_file(path) {
        return Ok(None);
    }
    let in_file = |error: Error| error.with_default("file", escaped(&path.to_string_lossy()));
    let (bytes, version) = read_at::open(path).map_err(in_file)?;
    if version.size > LIMIT {
        return Ok(None);
    }
    let mut text = vec![0; version.size as usize];
    read_exact_at(&*bytes, 0, &mut text).map_err(in_file)?;
    // Other programs have files of that name, too.
    Ok(serde_json::from_slice(&text).ok())
}
