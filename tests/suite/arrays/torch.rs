//! Files as `torch.save` writes them: the operations of its pickles, and the bytes of storages.

use std::collections::HashMap;

use super::write::{Packed, zip};

/// A value of Python.
#[derive(Clone, Debug)]
pub(crate) enum Py {
    Int(u32),
    Text(String),
    Dict(Vec<(Py, Py)>),
    /// An `OrderedDict` with an attribute, as the state of a model is.
    State(Vec<(Py, Py)>),
    List(Vec<Py>),
    Tuple(Vec<Py>),
    Tensor(View),
    Parameter(Box<Py>),
    /// An object of a class, by module and name.
    Object(&'static str, &'static str),
    /// A tensor whose class is its type, and not that of its storage.
    Typed(&'static str, View),
    /// The same value again, as it is when Python holds it twice.
    Raw(Vec<u8>),
}

/// A tensor: the class and the number of a storage, how many elements that has, and which of them are its own.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) class: &'static str,
    pub(crate) storage: usize,
    pub(crate) count: usize,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}

/// A whole storage in rows.
pub(crate) fn whole(class: &'static str, storage: usize, shape: &[usize]) -> Py {
    Py::Tensor(view(class, storage, shape))
}

pub(crate) fn view(class: &'static str, storage: usize, shape: &[usize]) -> View {
    let strides = (0..shape.len()).map(|at| shape[at + 1..].iter().product()).collect();
    View { class, storage, count: shape.iter().product(), offset: 0, shape: shape.to_vec(), strides }
}

pub(crate) fn dict<const N: usize>(entries: [(&str, Py); N]) -> Py {
    Py::Dict(entries.into_iter().map(|(key, value)| (Py::Text(key.to_owned()), value)).collect())
}

#[derive(Default)]
struct Pickler {
    bytes: Vec<u8>,
    memo: HashMap<Vec<u8>, u8>,
    remembered: u32,
}

impl Pickler {
    fn remember(&mut self) -> u32 {
        let key = self.remembered;
        self.remembered += 1;
        if let Ok(key) = u8::try_from(key) {
            self.bytes.extend([b'q', key]);
        } else {
            self.bytes.push(b'r');
            self.bytes.extend(key.to_le_bytes());
        }
        key
    }

    /// What Python holds once, as texts and classes.
    fn once(&mut self, operations: Vec<u8>) {
        if let Some(&key) = self.memo.get(&operations) {
            self.bytes.extend([b'h', key]);
            return;
        }
        self.bytes.extend(&operations);
        if let Ok(key) = u8::try_from(self.remember()) {
            self.memo.insert(operations, key);
        }
    }

    fn text(&mut self, text: &str) {
        self.once([b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.once(format!("c{module}\n{name}\n").into_bytes());
    }

    fn int(&mut self, number: usize) {
        match (u8::try_from(number), u16::try_from(number), i32::try_from(number)) {
            (Ok(number), ..) => self.bytes.extend([b'K', number]),
            (_, Ok(number), _) => self.bytes.extend([&b"M"[..], &number.to_le_bytes()].concat()),
            (.., Ok(number)) => self.bytes.extend([&b"J"[..], &number.to_le_bytes()].concat()),
            _ => {
                // As many bytes as hold the number and its sign.
                let length = (usize::BITS - number.leading_zeros()) as usize / 8 + 1;
                let bytes = (number as u128).to_le_bytes();
                self.bytes.extend([&[0x8a, length as u8], &bytes[..length]].concat());
            }
        }
    }

    fn ints(&mut self, numbers: &[usize]) {
        match numbers.len() {
            0 => return self.bytes.push(b')'),
            1..=3 => {}
            _ => self.bytes.push(b'('),
        }
        for &number in numbers {
            self.int(number);
        }
        self.bytes.push(match numbers.len() {
            count @ 1..=3 => 0x84 + count as u8,
            _ => b't',
        });
        self.remember();
    }

    fn ordered(&mut self) {
        self.global("collections", "OrderedDict");
        self.bytes.push(b')');
        self.bytes.push(b'R');
        self.remember();
    }

    fn tensor(&mut self, view: &View, dtype: Option<&str>) {
        self.global("torch._utils", if dtype.is_some() { "_rebuild_tensor_v3" } else { "_rebuild_tensor_v2" });
        self.bytes.extend(b"((");
        self.text("storage");
        self.global(if dtype.is_some() { "torch.storage" } else { "torch" }, view.class);
        self.text(&view.storage.to_string());
        self.text("cpu");
        self.int(view.count);
        self.bytes.push(b't');
        self.remember();
        self.bytes.push(b'Q');
        self.int(view.offset);
        self.ints(&view.shape);
        self.ints(&view.strides);
        self.bytes.push(0x89);
        self.ordered();
        if let Some(dtype) = dtype {
            self.global("torch", dtype);
        }
        self.bytes.push(b't');
        self.remember();
        self.bytes.push(b'R');
        self.remember();
    }

    fn pairs(&mut self, pairs: &[(Py, Py)]) {
        self.bytes.push(b'(');
        for (key, value) in pairs {
            self.value(key);
            self.value(value);
        }
        self.bytes.push(b'u');
    }

    fn value(&mut self, value: &Py) {
        match value {
            Py::Int(number) => self.int(*number as usize),
            Py::Text(text) => self.text(text),
            Py::Dict(pairs) => {
                self.bytes.push(b'}');
                self.remember();
                self.pairs(pairs);
            }
            Py::State(pairs) => {
                self.ordered();
                self.pairs(pairs);
                self.bytes.push(b'}');
                self.remember();
                self.text("_metadata");
                self.ordered();
                self.bytes.extend(b"sb");
            }
            Py::List(items) => {
                self.bytes.push(b']');
                self.remember();
                self.bytes.push(b'(');
                for item in items {
                    self.value(item);
                }
                self.bytes.push(b'e');
            }
            Py::Tuple(items) => {
                self.bytes.push(b'(');
                for item in items {
                    self.value(item);
                }
                self.bytes.push(b't');
                self.remember();
            }
            Py::Tensor(view) => self.tensor(view, None),
            Py::Typed(dtype, view) => self.tensor(view, Some(dtype)),
            Py::Parameter(tensor) => {
                self.global("torch._utils", "_rebuild_parameter");
                self.value(tensor);
                self.bytes.push(0x88);
                self.ordered();
                self.bytes.push(0x87);
                self.remember();
                self.bytes.push(b'R');
                self.remember();
            }
            Py::Object(module, name) => {
                self.global(module, name);
                self.bytes.extend(b")\x81");
                self.remember();
                self.bytes.push(b'}');
                self.remember();
                self.text("a");
                self.int(1);
                self.bytes.extend(b"sb");
            }
            Py::Raw(operations) => self.bytes.extend(operations),
        }
    }
}

/// The operations that save a value.
pub(crate) fn pickle(value: &Py) -> Vec<u8> {
    let mut pickler = Pickler { bytes: b"\x80\x02".to_vec(), ..Pickler::default() };
    pickler.value(value);
    pickler.bytes.push(b'.');
    pickler.bytes
}

/// A file with this pickle.
pub(crate) fn pt_of(pickle: Vec<u8>, storages: &[Vec<u8>], order: &str, packed: Packed) -> Vec<u8> {
    let mut members = vec![("archive/data.pkl".to_owned(), pickle), ("archive/byteorder".to_owned(), order.into())];
    let storages = storages.iter().enumerate();
    members.extend(storages.map(|(key, bytes)| (format!("archive/data/{key}"), bytes.clone())));
    members.push(("archive/version".to_owned(), b"3\n".to_vec()));
    let members: Vec<(&str, Vec<u8>)> = members.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    zip(&members, packed)
}

/// A file as `torch.save` writes it.
pub(crate) fn pt(value: &Py, storages: &[Vec<u8>]) -> Vec<u8> {
    pt_of(pickle(value), storages, "little", Packed::Stored)
}
