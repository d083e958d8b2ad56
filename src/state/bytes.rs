//! Reading bytes that may come from strangers: every length is checked before memory is allocated for it.

use super::raw::broken;
use crate::batch::Label;
use crate::error::Result;

/// Bytes that are still to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub(crate) fn remaining(&self) -> usize {
        self.0.len()
    }

    /// The next `N` bytes.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk::<N>().ok_or_else(broken)?;
        self.0 = rest;
        Ok(*head)
    }

    /// The next `length` bytes.
    pub(crate) fn bytes(&mut self, length: usize) -> Result<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(length).ok_or_else(broken)?;
        self.0 = rest;
        Ok(head)
    }

    /// `count` items of at least `size` bytes each; refused before any memory is allocated if too few bytes are left.
    pub(crate) fn many<T>(
        &mut self,
        count: usize,
        size: usize,
        mut item: impl FnMut(&mut Self) -> Result<T>,
    ) -> Result<Vec<T>> {
        if count.checked_mul(size).is_none_or(|bytes| bytes > self.0.len()) {
            return Err(broken());
        }
        (0..count).map(|_| item(self)).collect()
    }

    /// A length `u32`, then that many bytes of UTF-8.
    pub(crate) fn text(&mut self) -> Result<&'a str> {
        let length = u32::from_le_bytes(self.take()?) as usize;
        std::str::from_utf8(self.bytes(length)?).map_err(|_| broken())
    }

    pub(crate) fn label(&mut self) -> Result<Label> {
        Ok(match self.take()? {
            [0] => match self.take()? {
                [bit @ 0..=1] => Label::Bool(bit == 1),
                _ => return Err(broken()),
            },
            [1] => Label::Int(i128::from_le_bytes(self.take()?)),
            [2] => Label::Text(self.text()?.into()),
            _ => return Err(broken()),
        })
    }

    /// `count` integers as [`put_packed`] writes them; refused if fewer bytes would hold them all.
    pub(crate) fn packed<T: TryFrom<i128>>(&mut self, count: usize) -> Result<Vec<T>> {
        let [width] = self.take()?;
        let width = usize::from(width);
        if !(1..=16).contains(&width) {
            return Err(broken());
        }
        let bytes = self.bytes(count.checked_mul(width).ok_or_else(broken)?)?;
        let mut widest = 1;
        let mut value = |bytes: &[u8]| {
            let negative = bytes.last().is_some_and(|byte| byte & 0x80 != 0);
            let mut wide = [if negative { 0xff } else { 0 }; 16];
            wide[..width].copy_from_slice(bytes);
            let value = i128::from_le_bytes(wide);
            widest = widest.max(bytes_of(value));
            T::try_from(value).map_err(|_| broken())
        };
        let values = bytes.chunks_exact(width).map(&mut value).collect::<Result<Vec<T>>>()?;
        if widest == width { Ok(values) } else { Err(broken()) }
    }
}

pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u32).to_le_bytes());
    out.extend(text.as_bytes());
}

pub(crate) fn put_label(out: &mut Vec<u8>, label: &Label) {
    match label {
        Label::Bool(value) => out.extend([0, u8::from(*value)]),
        Label::Int(value) => {
            out.push(1);
            out.extend(value.to_le_bytes());
        }
        Label::Text(value) => {
            out.push(2);
            put_text(out, value);
        }
    }
}

/// How many bytes a value takes as two's complement.
fn bytes_of(value: i128) -> usize {
    let magnitude = if value < 0 { !value } else { value };
    (129 - magnitude.leading_zeros() as usize).div_ceil(8)
}

/// Writes a width, then each value in that many bytes: the fewest that hold them all. A width is at least 1, so that a
/// reader allocates no more than a multiple of what it reads.
pub(crate) fn put_packed<T: Copy + Into<i128>>(out: &mut Vec<u8>, values: &[T]) {
    let width = values.iter().map(|&value| bytes_of(value.into())).max().unwrap_or(1);
    out.push(width as u8);
    for &value in values {
        out.extend(&value.into().to_le_bytes()[..width]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_take_the_fewest_bytes() {
        let cases: [(&[i128], usize); 8] = [
            (&[0, 0], 1),
            (&[1, -1], 1),
            (&[127, -128], 1),
            (&[128], 2),
            (&[-129], 2),
            (&[0, 32_767], 2),
            (&[i128::from(i64::MIN)], 8),
            (&[i128::MAX, i128::MIN], 16),
        ];
        for (values, width) in cases {
            let mut out = Vec::new();
            put_packed(&mut out, values);
            assert_eq!((out.len(), usize::from(out[0])), (1 + width * values.len(), width), "{values:?}");
            assert_eq!(Input::new(&out).packed::<i128>(values.len()).unwrap(), values);
        }
        let mut out = Vec::new();
        put_packed::<i128>(&mut out, &[]);
        assert_eq!(Input::new(&out).packed::<i64>(0).unwrap(), Vec::<i64>::new());
    }

    #[test]
    fn integers_in_more_bytes_than_they_need_are_refused() {
        assert!(Input::new(&[2, 1, 0]).packed::<i64>(1).is_err());
        assert!(Input::new(&[0]).packed::<i64>(1).is_err());
        assert!(Input::new(&[17]).packed::<i64>(0).is_err());
        assert!(Input::new(&[9, 0, 0, 0, 0, 0, 0, 0, 0, 1]).packed::<i64>(1).is_err(), "beyond an i64");
        assert!(Input::new(&[8, 0, 0]).packed::<i64>(usize::MAX).is_err());
    }
}
