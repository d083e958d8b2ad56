//! The format: which tensors a file has, and which of them are columns.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::names::{self, Named};
use super::pickle::{GROWTH, PICKLE_LIMIT, Pickle};
use super::pieces::{Piece, PiecedFile};
use super::tensor::{Layout, SavedTensor, Storages, compressed};
use crate::archive::arrays::{ArrayFile, Place, StoredArray};
use crate::archive::checksums::{Checksums, Summed};
use crate::archive::container::{ArrayNames, Container, FEATURE, Format, LABEL};
use crate::archive::damage::damaged;
use crate::archive::escape::escaped;
use crate::archive::fingerprint::{fnv1a, joined, sampled};
use crate::archive::names::{is_feature_name, is_label_name};
use crate::archive::read_at::{ReadAt, read_exact_at};
use crate::archive::zip::{Directory, Member, Method, first_name};
use crate::error::{Error, Result};

/// The format.
#[derive(Debug)]
pub(in crate::archive) struct Pt;

/// Bytes of memory for the directory.
const MEMORY: u64 = 1 << 20;

/// The member with the pickle.
const PICKLE: &str = "data.pkl";

impl Format for Pt {
    fn what(&self) -> &'static str {
        "a PyTorch file (.pt)"
    }

    fn precedence(&self) -> u8 {
        3
    }

    fn extensions(&self) -> &'static [&'static str] {
        &["pt", "pth"]
    }

    fn recognises(&self, head: &[u8], _: &[u8]) -> bool {
        first_name(head).is_some_and(|name| name.ends_with(b"/data.pkl") || name.ends_with(b"/.format_version"))
    }

    fn memory(&self, bytes: &Arc<dyn ReadAt>) -> Result<u64> {
        let directory = Directory::read(&**bytes)?;
        Ok(MEMORY + pickle_of(&directory)?.uncompressed.saturating_mul(GROWTH))
    }

    fn open(&self, bytes: &Arc<dyn ReadAt>) -> Result<Arc<dyn Container>> {
        open(bytes, None)
    }

    fn open_arrays(&self, bytes: &Arc<dyn ReadAt>, names: &ArrayNames) -> Result<Arc<dyn Container>> {
        open(bytes, Some(names))
    }

    fn feature_arrays(&self, bytes: &Arc<dyn ReadAt>) -> Result<Vec<String>> {
        let saved = Saved::read(bytes, true)?;
        let arrays = saved.tensors.iter().map(|(name, tensor)| array(name, tensor));
        Ok(arrays.filter(StoredArray::may_be_features).map(|array| array.name).collect())
    }
}

/// The pickle among the members, whose length is within the limit.
fn pickle_of(directory: &Directory) -> Result<&Member> {
    let is_pickle = |member: &&Member| member.name == PICKLE || member.name.ends_with("/data.pkl");
    let pickles = directory.members.iter().filter(is_pickle);
    let pickle = pickles.min_by_key(|member| member.name.matches('/').count());
    let pickle = pickle.ok_or_else(|| damaged("it is a zip archive without data.pkl"))?;
    if pickle.uncompressed > PICKLE_LIMIT {
        return Err(damaged(format!("its pickle cannot be {} bytes long", pickle.uncompressed)));
    }
    if pickle.method != Method::Stored {
        return Err(compressed());
    }
    Ok(pickle)
}

/// What a file holds.
#[derive(Debug)]
pub(in crate::archive) struct Saved {
    /// By name, in the order of the file; the name of what is not in a dictionary or list is empty.
    tensors: Vec<(String, SavedTensor)>,
    /// What else it holds, by name and class.
    objects: Vec<(String, String)>,
    pieces: Vec<Piece>,
    /// Of storages.
    checksums: Vec<Summed>,
    hash: u64,
    /// Whether it is a program, as `torch.jit.save` writes it.
    is_script: bool,
}

impl Saved {
    /// Reads what a file says of its tensors; `join` says whether a list of tensors is one tensor.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if the file is damaged.
    pub(in crate::archive) fn read(bytes: &Arc<dyn ReadAt>, join: bool) -> Result<Self> {
        let directory = Directory::read(&**bytes)?;
        let pickle = pickle_of(&directory)?;
        let folder = &pickle.name[..pickle.name.len() - PICKLE.len()];
        let in_folder =
            |name: &str| directory.members.iter().find(|member| member.name.strip_prefix(folder) == Some(name));
        let read = |member: &Member, length: u64| -> Result<Vec<u8>> {
            let mut buffer = vec![0; length as usize];
            read_exact_at(&**bytes, member.start, &mut buffer)?;
            Ok(buffer)
        };
        let big_endian = match in_folder("byteorder") {
            Some(member) if member.method == Method::Stored => match &read(member, member.compressed.min(16))?[..] {
                b"little" => false,
                b"big" => true,
                _ => return Err(damaged("its record of the order of bytes is broken")),
            },
            Some(_) => return Err(compressed()),
            // Files without the record are older than it; they were little-endian wherever torch ran then.
            None => false,
        };
        let text = read(pickle, pickle.uncompressed)?;
        if pickle.crc != 0 && crc32fast::hash(&text) != pickle.crc {
            return Err(damaged("the checksum of its pickle does not match"));
        }
        let hash = joined(&[fnv1a(&text), directory.hash]);
        let pickle = Pickle::read(text)?;
        let storage = |member: &'_ Member| member.name.strip_prefix(folder)?.strip_prefix("data/").map(str::len);
        let members: HashMap<&str, &Member> = directory
            .members
            .iter()
            .filter_map(|member| storage(member).map(|length| (&member.name[member.name.len() - length..], member)))
            .collect();
        let checksums = members.iter().filter_map(|(key, member)| Summed::of(member, key, &[])).collect();
        let storages = Storages { members, big_endian };
        let is_script = in_folder("constants.pkl").is_some();
        let (tensors, objects, pieces) = (Vec::new(), Vec::new(), Vec::new());
        let mut saved = Self { tensors, objects, pieces, checksums, hash, is_script };
        let mut end = bytes.size();
        for (name, named) in names::all(&pickle, &storages, join)? {
            match named {
                Named::Tensor(tensor) => saved.tensors.push((name, tensor)),
                Named::Batches(batches) => {
                    let tensor = saved.append(&batches, &mut end)?;
                    saved.tensors.push((name, tensor));
                }
                Named::Object(class) => saved.objects.push((name, class)),
            }
        }
        let mut known = HashSet::new();
        let names = saved.tensors.iter().map(|(name, _)| name).chain(saved.objects.iter().map(|(name, _)| name));
        for name in names {
            if !known.insert(name.as_str()) {
                return Err(damaged(format!("two of its tensors are called {}", escaped(name))));
            }
        }
        Ok(saved)
    }

    /// Puts batches behind the end of what has been read as one tensor.
    fn append(&mut self, batches: &[SavedTensor], end: &mut u64) -> Result<SavedTensor> {
        let too_long = || damaged("its lists of tensors are too long");
        let mut tensor = batches.first().ok_or_else(too_long)?.clone();
        let (mut rows, start) = (0_u64, *end);
        for batch in batches {
            let Layout::Rows { start } = batch.layout else { return Err(too_long()) };
            let width = batch.element.map_or(0, |element| element.width() as u64);
            // An empty tensor may have any other extents.
            let count = if batch.shape.contains(&0) { 0 } else { batch.count().ok_or_else(too_long)? };
            let length = count.checked_mul(width).ok_or_else(too_long)?;
            rows = rows.checked_add(batch.shape.first().copied().unwrap_or(1)).ok_or_else(too_long)?;
            if length > 0 {
                self.pieces.push(Piece { seen: *end, start, length });
            }
            *end = end.checked_add(length).ok_or_else(too_long)?;
        }
        match tensor.shape.first_mut() {
            Some(first) => *first = rows,
            None => tensor.shape.push(rows),
        }
        tensor.layout = Layout::Rows { start };
        Ok(tensor)
    }

    /// What the features and the labels of a batch are called, if all tensors lie in a list of two tuples or dictionaries or
    /// more: `0` and `1` where the names of the tensors are `0.0`, `0.1`, `1.0`, and so on.
    fn of_batches(&self) -> Option<(&str, &str)> {
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let parts = self.tensors.iter().map(|(name, _)| name.split_once('.').filter(|(at, _)| is_number(at)));
        let parts: Vec<(&str, &str)> = parts.collect::<Option<_>>()?;
        parts.iter().find(|(at, _)| *at == "1")?;
        let names: Vec<&str> = parts.iter().filter(|(at, _)| *at == "0").map(|&(_, name)| name).collect();
        if names.iter().all(|name| is_number(name)) {
            return Some(("0", "1"));
        }
        let known = |is_known: fn(&str) -> bool| names.iter().copied().find(|name| is_known(name));
        let alike = parts.iter().all(|(_, name)| names.contains(name));
        known(is_feature_name).filter(|_| alike).map(|features| (features, known(is_label_name).unwrap_or("LABELS")))
    }

    /// The tensors by their names.
    pub(in crate::archive) fn tensors(&self) -> &[(String, SavedTensor)] {
        &self.tensors
    }

    /// The error of a file that has Python objects where tensors are looked for; `None` if it has none of those names.
    pub(in crate::archive) fn objects(&self, is_wanted: impl Fn(&str) -> bool) -> Option<Error> {
        let (name, class) = self.objects.iter().find(|(name, _)| self.tensors.is_empty() || is_wanted(name))?;
        let error = Error::data("the file holds a Python object, which only running code can read");
        let error = if name.is_empty() { error } else { error.with("key", escaped(name)) };
        let error = error.with("object", escaped(class));
        Some(if self.is_script {
            error.help(
                "save the tensors alone, in Python:\n    import torch\n    \
                 torch.save(torch.jit.load(\"FILE\").state_dict(), \"tensors.pt\")",
            )
        } else if name.is_empty() {
            error.help(
                "save the tensors alone, in Python:\n    import torch\n    \
                 x = torch.load(\"FILE\", weights_only=False)\n    \
                 torch.save(x.state_dict() if hasattr(x, \"state_dict\") else torch.as_tensor(x), \"tensors.pt\")",
            )
        } else {
            error.help(
                "save tensors, in Python:\n    import torch\n    x = torch.load(\"FILE\", weights_only=False)\n    \
                 torch.save({k: torch.as_tensor(x[k]) for k in (\"features\", \"labels\")}, \"tensors.pt\")",
            )
        })
    }
}

fn open(bytes: &Arc<dyn ReadAt>, names: Option<&ArrayNames>) -> Result<Arc<dyn Container>> {
    let saved = Saved::read(bytes, true)?;
    let is_wanted = |name: &str| match names {
        Some(names) => names.features == name || names.labels.as_deref() == Some(name),
        None => is_feature_name(name) || is_label_name(name) || name.is_empty(),
    };
    if let Some(error) = saved.objects(is_wanted) {
        return Err(error);
    }
    if let Some((features, labels)) = saved.of_batches().filter(|_| names.is_none()) {
        let of_what = if features == "0" { " for (features, labels)" } else { "" };
        return Err(Error::usage(
            "the file holds a list of batches, and which of their tensors are features is not said",
        )
        .help(format!("name them, as in 'FILE:{{batch}}.{features},{{batch}}.{labels}'{of_what}")));
    }
    let strided = |(name, tensor): &&(String, SavedTensor)| {
        tensor.element.is_some() && tensor.layout == Layout::Strided && is_wanted(name)
    };
    if let Some((name, _)) = saved.tensors.iter().find(strided) {
        return Err(Error::data("the elements of the tensor do not lie in the file row by row")
            .with("tensor", escaped(name))
            .help("save it with .contiguous(), in Python: torch.save(x.contiguous(), …)"));
    }
    let arrays: Vec<StoredArray> = saved.tensors.iter().map(|(name, tensor)| array(name, tensor)).collect();
    let chosen = names.map_or(0, |names| fnv1a(format!("{names:?}").as_bytes()));
    let fingerprint = joined(&[saved.hash, sampled(&**bytes)?, chosen]);
    let arrays = ArrayFile::new(&arrays, names, true, fingerprint)?;
    if saved.pieces.is_empty() {
        return Ok(Arc::new(arrays.with_checksums(saved.checksums)));
    }
    let checksums = Arc::new(Checksums::new(saved.checksums));
    Ok(Arc::new(PiecedFile { arrays, pieces: saved.pieces.into(), checksums }))
}

fn array(name: &str, tensor: &SavedTensor) -> StoredArray {
    let (place, column_major, is_read) = match tensor.layout {
        Layout::Rows { start } => (Place::At(start), false, true),
        Layout::Columns { start } => (Place::At(start), true, true),
        Layout::Pitched { start, pitch } => (Place::Pitched { start, pitch }, false, true),
        Layout::Strided => (Place::At(0), false, false),
    };
    let mut array = StoredArray {
        name: name.to_owned(),
        element: tensor.element.filter(|_| is_read),
        type_name: tensor.type_name.clone(),
        shape: tensor.shape.clone(),
        column_major,
        place,
    };
    if name.is_empty() {
        let known = if array.is_single() { LABEL } else { FEATURE };
        known.clone_into(&mut array.name);
    }
    array
}
