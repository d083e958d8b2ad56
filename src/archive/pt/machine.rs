//! The operations of a pickle, which build nodes on a stack.

use std::collections::HashMap;

use super::pickle::{Id, Maker, Node, Span};
use crate::archive::damage::damaged;
use crate::error::{Error, Result};

/// The nodes of a pickle, and the number of the last one that is left.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Node>, Id)> {
    let mut machine =
        Machine { bytes, at: 0, nodes: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    // Values that are everywhere are one node each.
    machine.nodes.extend([Node::None, Node::Bool]);
    while let Some(operation) = machine.byte() {
        if operation == b'.' {
            let root = machine.pop()?;
            return Ok((machine.nodes, root));
        }
        machine.step(operation)?;
    }
    Err(damaged("its pickle has no end"))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    nodes: Vec<Node>,
    stack: Vec<Id>,
    /// Lengths that the stack had at the marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
}

fn cut() -> Error {
    damaged("its pickle is cut")
}

fn broken() -> Error {
    damaged("its pickle is broken")
}

impl<'a> Machine<'a> {
    fn byte(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied()?;
        self.at += 1;
        Some(byte)
    }

    fn take(&mut self, length: u64) -> Result<Span> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let end = end.filter(|&end| end <= self.bytes.len()).ok_or_else(cut)?;
        // The length of a pickle is limited.
        let span = Span { start: self.at as u32, end: end as u32 };
        self.at = end;
        Ok(span)
    }

    fn of(&self, span: Span) -> &'a [u8] {
        &self.bytes[span.start as usize..span.end as usize]
    }

    /// A little-endian number of so many bytes.
    fn number(&mut self, width: u64) -> Result<u64> {
        let span = self.take(width)?;
        Ok(self.of(span).iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn line(&mut self) -> Result<Span> {
        let length = self.bytes[self.at..].iter().position(|&byte| byte == b'\n').ok_or_else(cut)?;
        let span = self.take(length as u64)?;
        self.at += 1;
        Ok(span)
    }

    fn add(&mut self, node: Node) -> Id {
        self.nodes.push(node);
        (self.nodes.len() - 1) as Id
    }

    fn push(&mut self, node: Node) {
        let id = self.add(node);
        self.stack.push(id);
    }

    /// Takes the uppermost value; those below the last mark belong to what was begun before it.
    fn pop(&mut self) -> Result<Id> {
        if self.stack.len() <= self.marks.last().copied().unwrap_or(0) {
            return Err(broken());
        }
        self.stack.pop().ok_or_else(broken)
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(broken)
    }

    /// Takes all values above the last mark.
    fn marked(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(broken)?;
        if mark > self.stack.len() {
            return Err(broken());
        }
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, key: u32) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<()> {
        let id = self.memo.get(&key).copied().ok_or_else(broken)?;
        self.stack.push(id);
        Ok(())
    }

    fn tuple(&mut self, count: usize) -> Result<()> {
        let mut items = (0..count).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
        items.reverse();
        self.push(Node::Tuple(items));
        Ok(())
    }

    /// An integer of so many bytes in two's complement.
    fn long(&mut self, length: u64) -> Result<()> {
        let span = self.take(length)?;
        let bytes = self.of(span);
        let node = if bytes.len() > 8 {
            // As large as no size is.
            Node::Float
        } else {
            let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
            let mut all = [if negative { 0xff } else { 0 }; 8];
            all[..bytes.len()].copy_from_slice(bytes);
            Node::Int(i64::from_le_bytes(all))
        };
        self.push(node);
        Ok(())
    }

    fn text(&mut self, width: u64) -> Result<()> {
        let length = self.number(width)?;
        let span = self.take(length)?;
        self.push(Node::Text(span));
        Ok(())
    }

    fn skipped(&mut self, width: u64) -> Result<()> {
        let length = self.number(width)?;
        self.take(length)?;
        self.push(Node::Bytes);
        Ok(())
    }

    fn step(&mut self, operation: u8) -> Result<()> {
        match operation {
            0x80 => match self.byte() {
                Some(2..=5) => {}
                version => return Err(damaged(format!("its pickle has version {}", version.unwrap_or(0)))),
            },
            // A frame, which says how many bytes may be read together.
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop()?),
            b'1' => drop(self.marked()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.stack.push(0),
            0x88 | 0x89 => self.stack.push(1),
            b'K' => self.unsigned(1)?,
            b'M' => self.unsigned(2)?,
            b'J' => self.long(4)?,
            0x8a => {
                let length = self.number(1)?;
                self.long(length)?;
            }
            0x8b => {
                let length = self.number(4)?;
                self.long(length)?;
            }
            b'G' => {
                self.take(8)?;
                self.push(Node::Float);
            }
            b'X' | b'T' => self.text(4)?,
            0x8c | b'U' => self.text(1)?,
            0x8d => self.text(8)?,
            b'B' => self.skipped(4)?,
            b'C' => self.skipped(1)?,
            0x8e | 0x96 => self.skipped(8)?,
            b'q' => {
                let key = self.number(1)?;
                self.remember(key as u32)?;
            }
            b'r' => {
                let key = self.number(4)?;
                self.remember(key as u32)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let key = self.number(1)?;
                self.recall(key as u32)?;
            }
            b'j' => {
                let key = self.number(4)?;
                self.recall(key as u32)?;
            }
            _ => self.build(operation)?,
        }
        Ok(())
    }

    fn unsigned(&mut self, width: u64) -> Result<()> {
        let number = self.number(width)?;
        self.push(Node::Int(number.cast_signed()));
        Ok(())
    }

    /// Operations that make values of others.
    fn build(&mut self, operation: u8) -> Result<()> {
        match operation {
            b')' => self.push(Node::Tuple(Vec::new())),
            b']' | 0x8f => self.push(Node::List(Vec::new())),
            b'}' => self.push(Node::Dict(Vec::new())),
            0x85..=0x87 => self.tuple(usize::from(operation - 0x84))?,
            b't' => {
                let items = self.marked()?;
                self.push(Node::Tuple(items));
            }
            b'l' | 0x91 => {
                let items = self.marked()?;
                self.push(Node::List(items));
            }
            b'd' => {
                let items = self.marked()?;
                let pairs = paired(&items)?;
                self.push(Node::Dict(pairs));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' | 0x90 => {
                let items = self.marked()?;
                self.append(&items)?;
            }
            b's' => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(&[key, value])?;
            }
            b'u' => {
                let items = self.marked()?;
                self.set(&items)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Node::Global(module, name));
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                match (&self.nodes[module as usize], &self.nodes[name as usize]) {
                    (&Node::Text(module), &Node::Text(name)) => self.push(Node::Global(module, name)),
                    _ => return Err(broken()),
                }
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Node::Storage(id));
            }
            b'R' | 0x81 => {
                let (arguments, callee) = (self.pop()?, self.pop()?);
                let node = self.called(callee, arguments);
                self.push(node);
            }
            0x92 => {
                let (_, _, class) = (self.pop()?, self.pop()?, self.pop()?);
                self.push(Node::Object(class));
            }
            // Attributes, which neither tensors nor dictionaries need.
            b'b' => drop(self.pop()?),
            other => {
                return Err(damaged(format!(
                    "its pickle has the operation {other:#04x}, which torch.save does not write"
                )));
            }
        }
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<()> {
        let top = self.pop()?;
        if let Node::List(list) = &mut self.nodes[top as usize] {
            list.extend(items);
        }
        self.stack.push(top);
        Ok(())
    }

    fn set(&mut self, items: &[Id]) -> Result<()> {
        let pairs = paired(items)?;
        let top = self.pop()?;
        if let Node::Dict(dict) = &mut self.nodes[top as usize] {
            dict.extend(pairs);
        }
        self.stack.push(top);
        Ok(())
    }

    /// What a call gives, if the function is one of those that make tensors and dictionaries.
    fn called(&self, callee: Id, arguments: Id) -> Node {
        let object = Node::Object(callee);
        let (Node::Global(module, name), Node::Tuple(given)) =
            (&self.nodes[callee as usize], &self.nodes[arguments as usize])
        else {
            return object;
        };
        match (self.of(*module), self.of(*name)) {
            (b"torch._utils", b"_rebuild_tensor_v2" | b"_rebuild_tensor") => Node::Tensor(Maker::Typed, arguments),
            (b"torch._utils", b"_rebuild_tensor_v3") => Node::Tensor(Maker::Untyped, arguments),
            (b"torch._utils", b"_rebuild_parameter" | b"_rebuild_parameter_with_state") => match given.first() {
                Some(&tensor) => self.same_tensor(tensor).unwrap_or(object),
                None => object,
            },
            // A tensor with attributes: the function, the class, its arguments and the attributes.
            (b"torch._tensor", b"_rebuild_from_type_v2") => match given[..] {
                [function, class, arguments, ..] if self.is_tensor_class(class) => {
                    // Calls do not lie in one another any deeper.
                    match &self.nodes[function as usize] {
                        Node::Global(_, name) if self.of(*name) != b"_rebuild_from_type_v2" => {
                            self.called(function, arguments)
                        }
                        _ => object,
                    }
                }
                _ => object,
            },
            (b"collections", b"OrderedDict") if given.is_empty() => Node::Dict(Vec::new()),
            (b"collections", b"defaultdict") if given.len() <= 1 => Node::Dict(Vec::new()),
            (b"__builtin__" | b"builtins", b"set" | b"frozenset") => Node::List(Vec::new()),
            _ => object,
        }
    }

    fn same_tensor(&self, id: Id) -> Option<Node> {
        match self.nodes[id as usize] {
            Node::Tensor(maker, arguments) => Some(Node::Tensor(maker, arguments)),
            _ => None,
        }
    }

    fn is_tensor_class(&self, id: Id) -> bool {
        let Node::Global(module, name) = &self.nodes[id as usize] else { return false };
        matches!(
            (self.of(*module), self.of(*name)),
            (b"torch", b"Tensor") | (b"torch.nn.parameter", b"Parameter" | b"Buffer")
        )
    }
}

/// Keys and their values, one after the other.
fn paired(items: &[Id]) -> Result<Vec<(Id, Id)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(broken());
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
