//! What a pickle says, as a tree of nodes that refer to one another by number.

use super::machine;
use crate::error::Result;

/// A pickle of more bytes is refused: that of the largest models takes a few megabytes.
pub(super) const PICKLE_LIMIT: u64 = 64 << 20;

/// How many times its bytes a pickle takes in memory.
pub(super) const GROWTH: u64 = 64;

/// The number of a node.
pub(super) type Id = u32;

/// A range of the pickle's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// What a node is.
#[derive(Debug)]
pub(super) enum Node {
    None,
    Bool,
    Int(i64),
    Float,
    Text(Span),
    Bytes,
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A function or class, by module and name.
    Global(Span, Span),
    /// The bytes of tensors: a tuple of `"storage"`, the class, the key, the device and the count of elements.
    Storage(Id),
    /// A call that makes a tensor, of this function with this tuple.
    Tensor(Maker, Id),
    /// An object of the class or from the function of this node.
    Object(Id),
}

/// The functions that make tensors, which differ in their arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Maker {
    /// Storage, offset, shape and strides, and more that does not concern values but for the last one, the metadata.
    Typed,
    /// The same with the type of the elements.
    Untyped,
}

/// A pickle that was read.
#[derive(Debug)]
pub(super) struct Pickle {
    pub(super) bytes: Vec<u8>,
    pub(super) nodes: Vec<Node>,
    pub(super) root: Id,
}

impl Pickle {
    /// Reads the operations; runs nothing.
    ///
    /// # Errors
    ///
    /// [`Data`](crate::error::ErrorKind::Data) if they are not those of a pickle.
    pub(super) fn read(bytes: Vec<u8>) -> Result<Self> {
        let (nodes, root) = machine::run(&bytes)?;
        Ok(Self { bytes, nodes, root })
    }

    pub(super) fn node(&self, id: Id) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn text(&self, span: Span) -> String {
        String::from_utf8_lossy(&self.bytes[span.start as usize..span.end as usize]).into_owned()
    }

    /// The text of a node that is one.
    pub(super) fn as_text(&self, id: Id) -> Option<String> {
        match self.node(id) {
            Node::Text(span) => Some(self.text(*span)),
            _ => None,
        }
    }

    /// The number of a node that is a count.
    pub(super) fn as_count(&self, id: Id) -> Option<u64> {
        match self.node(id) {
            Node::Int(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Module and name of a function or class.
    pub(super) fn as_global(&self, id: Id) -> Option<(String, String)> {
        match self.node(id) {
            Node::Global(module, name) => Some((self.text(*module), self.text(*name))),
            _ => None,
        }
    }

    /// The numbers of a tuple or list of counts.
    pub(super) fn as_counts(&self, id: Id) -> Option<Vec<u64>> {
        match self.node(id) {
            Node::Tuple(items) | Node::List(items) => items.iter().map(|&item| self.as_count(item)).collect(),
            _ => None,
        }
    }

    /// What an object is, as `numpy.ndarray`.
    pub(super) fn class(&self, id: Id) -> String {
        match self.node(id) {
            Node::Object(of) => self.as_global(*of).map_or("an object".to_owned(), |(module, name)| {
                let module = if module == "__builtin__" { "builtins".to_owned() } else { module };
                format!("{module}.{name}")
            }),
            Node::List(_) | Node::Tuple(_) => "a list of Python values".to_owned(),
            Node::Global(module, name) => format!("{}.{}", self.text(*module), self.text(*name)),
            _ => "a Python value".to_owned(),
        }
    }
}
