//! Decimals, alone and in lists, as the nearest floating-point numbers.

use crate::archive::damage::damaged;
use crate::archive::floats::Float;
use crate::error::Error;

/// A type that decimals are read in, each as the number of that type that is nearest to it.
pub(super) trait Decimal: Float {
    fn nearest(text: &str) -> Option<Self>;
}

impl Decimal for f32 {
    // Not by way of `f64`: a decimal that is rounded twice may end up beside the nearest number.
    fn nearest(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Decimal for f64 {
    fn nearest(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Whether a text is a number; `nan` and `inf` are, however they are written.
pub(super) fn is_number(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| f64::nearest(text).is_some())
}

/// The number that a field holds.
pub(super) fn number<V: Decimal>(text: &[u8]) -> Result<V, Error> {
    let number = std::str::from_utf8(text).ok().and_then(V::nearest);
    number.ok_or_else(|| damaged(format!("\"{}\" is no number", shown(text))))
}

/// A field, the first characters of it.
pub(super) fn shown(text: &[u8]) -> String {
    const MOST: usize = 40;
    let text = String::from_utf8_lossy(text);
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// The elements of a list in brackets, with commas between them, as in JSON, or with blanks, as `numpy` prints arrays.
fn elements(text: &[u8]) -> Result<impl Iterator<Item = &str>, Error> {
    let inner = text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]"));
    let inner = inner.and_then(|inner| std::str::from_utf8(inner).ok());
    let inner = inner.ok_or_else(|| damaged(format!("\"{}\" is no list of numbers", shown(text))))?;
    let has_commas = inner.contains(',');
    let commas = has_commas.then(|| inner.split(',').map(str::trim));
    let blanks = (!has_commas).then(|| inner.split_ascii_whitespace());
    Ok(commas.into_iter().flatten().chain(blanks.into_iter().flatten()))
}

/// Appends the numbers of a list, and says whether one of them is null.
pub(super) fn list<V: Decimal>(text: &[u8], values: &mut Vec<V>) -> Result<bool, Error> {
    let mut has_null = false;
    for element in elements(text)? {
        let value = match V::nearest(element) {
            Some(value) => value,
            None if matches!(element, "null" | "None") => {
                has_null = true;
                V::default()
            }
            None if element == "..." => {
                return Err(damaged("a vector is cut short: it was printed with \"...\" in place of its elements")
                    .help("NumPy prints arrays of more than 1000 elements so: write x.tolist() instead"));
            }
            None => return Err(damaged(format!("\"{}\" in a list is no number", shown(element.as_bytes())))),
        };
        values.push(value);
    }
    Ok(has_null)
}

/// How many numbers a list has.
pub(super) fn length(text: &[u8]) -> Result<usize, Error> {
    Ok(elements(text)?.count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_json_and_numpy_write_them() {
        let read = |text: &str| {
            let mut values = Vec::new();
            list::<f64>(text.as_bytes(), &mut values).map(|has_null| (values, has_null))
        };
        let three = (vec![1.0, -2.5, 3e-9], false);
        for text in ["[1.0, -2.5, 3e-9]", "[1,-2.5,3e-9]", "[ 1.  -2.5\n  3.e-09]", "[\t1 , -2.5 ,3e-9 ]"] {
            assert_eq!(read(text).unwrap(), three, "{text}");
        }
        assert_eq!(read("[]").unwrap(), (vec![], false));
        assert_eq!(read("[1, null]").unwrap(), (vec![1.0, 0.0], true));
        assert!(read("[NaN, -Infinity]").unwrap().0.iter().all(|value| !value.is_finite()));
        for text in ["[1,,2]", "[1,]", "[1; 2]", "[0x1]", "1, 2", "[1 2", "[1, [2]]", "[true]"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(read("[1. 2. ... 9.]").unwrap_err().advice().unwrap().contains("tolist"));
    }

    #[test]
    fn decimals_are_rounded_once() {
        // Half way between two numbers of type f32, and a little more, which f64 does not hold.
        let text = b"1.00000005960464477539062500000001";
        assert_eq!(number::<f32>(text).unwrap(), 1.0 + f32::EPSILON);
        assert_eq!(number::<f64>(text).unwrap() as f32, 1.0);
    }
}
