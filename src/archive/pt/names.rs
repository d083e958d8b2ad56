//! The tensors of a tree by their names: keys of dictionaries and places in lists, with dots between them.

use super::pickle::{Id, Node, Pickle};
use super::tensor::{Layout, SavedTensor, Storages};
use crate::archive::damage::damaged;
use crate::error::Result;

/// What has a name.
#[derive(Debug)]
pub(super) enum Named {
    Tensor(SavedTensor),
    /// A list of tensors with equally long rows, which are those of one tensor.
    Batches(Vec<SavedTensor>),
    /// Anything else that a pickle can hold, by its class.
    Object(String),
}

/// How deep dictionaries and lists may lie in one another.
const DEPTH: usize = 64;

/// A list that is in several places is visited in each of them, and the names are written out.
const VISITS: usize = 1 << 20;
const NAME_BYTES: usize = 64 << 20;

/// All tensors and objects; `join` says whether lists of tensors are batches.
pub(super) fn all(pickle: &Pickle, storages: &Storages<'_>, join: bool) -> Result<Vec<(String, Named)>> {
    let edges = |node: &Node| match node {
        Node::Tuple(items) | Node::List(items) => items.len(),
        Node::Dict(pairs) => pairs.len(),
        _ => 0,
    };
    let visits = VISITS + pickle.nodes.iter().map(edges).sum::<usize>();
    let mut walk = Walk { pickle, storages, join, visits, bytes: NAME_BYTES, found: Vec::new() };
    walk.visit(pickle.root, &mut String::new(), 0)?;
    Ok(walk.found)
}

struct Walk<'a> {
    pickle: &'a Pickle,
    storages: &'a Storages<'a>,
    join: bool,
    /// How many more nodes may be visited.
    visits: usize,
    /// How many more bytes of names there may be.
    bytes: usize,
    found: Vec<(String, Named)>,
}

impl Walk<'_> {
    fn visit(&mut self, id: Id, name: &mut String, depth: usize) -> Result<()> {
        let too_much = || damaged("its lists and dictionaries repeat one another without end");
        self.visits = self.visits.checked_sub(1).ok_or_else(too_much)?;
        if depth > DEPTH {
            return Err(damaged(format!("its lists and dictionaries lie more than {DEPTH} deep in one another")));
        }
        let pickle = self.pickle;
        match pickle.node(id) {
            Node::Tensor(maker, arguments) => {
                let named = match SavedTensor::of(pickle, *maker, *arguments, self.storages)? {
                    Some(tensor) => Named::Tensor(tensor),
                    None => {
                        Named::Object("a tensor whose numbers are conjugated or negated when it is loaded".to_owned())
                    }
                };
                self.add(name, named)
            }
            Node::Object(_) | Node::Global(..) | Node::Storage(_) => self.add(name, Named::Object(pickle.class(id))),
            Node::Dict(pairs) => {
                for &(key, value) in pairs {
                    let key = match (pickle.as_text(key), pickle.node(key)) {
                        (Some(text), _) => text,
                        (None, Node::Int(number)) => number.to_string(),
                        _ => continue,
                    };
                    self.below(value, name, &key, depth)?;
                }
                Ok(())
            }
            Node::List(items) | Node::Tuple(items) => {
                let is_list = matches!(pickle.node(id), Node::List(_));
                if is_list
                    && self.join
                    && let Some(batches) = self.batches(items)?
                {
                    return self.add(name, Named::Batches(batches));
                }
                let is_plain = |&item: &Id| {
                    matches!(
                        pickle.node(item),
                        Node::None | Node::Bool | Node::Int(_) | Node::Float | Node::Text(_) | Node::Bytes
                    )
                };
                if !items.is_empty() && items.iter().all(is_plain) {
                    self.visits = self.visits.checked_sub(items.len()).ok_or_else(too_much)?;
                    return self.add(name, Named::Object(pickle.class(id)));
                }
                for (at, &item) in items.iter().enumerate() {
                    self.below(item, name, &at.to_string(), depth)?;
                }
                Ok(())
            }
            // Single values of Python are no columns.
            _ => Ok(()),
        }
    }

    /// Visits what lies below a name.
    fn below(&mut self, id: Id, name: &mut String, part: &str, depth: usize) -> Result<()> {
        let length = name.len();
        if depth > 0 {
            name.push('.');
        }
        name.push_str(part);
        self.visit(id, name, depth + 1)?;
        name.truncate(length);
        Ok(())
    }

    fn add(&mut self, name: &str, named: Named) -> Result<()> {
        let bytes = self.bytes.checked_sub(name.len() + 1);
        self.bytes = bytes.ok_or_else(|| damaged("the names of its tensors are too long"))?;
        self.found.push((name.to_owned(), named));
        Ok(())
    }

    /// The tensors of a list, if it has only such, and their rows are of one type and length.
    fn batches(&mut self, items: &[Id]) -> Result<Option<Vec<SavedTensor>>> {
        let mut batches: Vec<SavedTensor> = Vec::new();
        for &item in items {
            let Node::Tensor(maker, arguments) = self.pickle.node(item) else { return Ok(None) };
            let Some(tensor) = SavedTensor::of(self.pickle, *maker, *arguments, self.storages)? else {
                return Ok(None);
            };
            let row = |tensor: &SavedTensor| (tensor.element, tensor.shape.get(1..).map(<[u64]>::to_vec));
            let fits = batches.first().is_none_or(|first| row(first) == row(&tensor));
            if !fits
                || tensor.shape.len() > 2
                || tensor.element.is_none()
                || !matches!(tensor.layout, Layout::Rows { .. })
            {
                return Ok(None);
            }
            let too_much = || damaged("its lists and dictionaries repeat one another without end");
            self.visits = self.visits.checked_sub(1).ok_or_else(too_much)?;
            batches.push(tensor);
        }
        Ok(Some(batches).filter(|batches| !batches.is_empty()))
    }
}
