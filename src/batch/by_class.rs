//! Rows in the order of their classes.

use super::Batch;

/// Stands for the class of a code that none of the rows has.
const NONE: u32 = u32::MAX;

/// Some rows of a batch, class after class: so the sums and shifts of a class stay in cache while its rows pass.
///
/// Classes come in the order of their first rows, and the rows of a class in the order of the batch.
#[derive(Clone, Debug)]
pub struct ByClass {
    /// The class of each code, or `NONE`.
    class_of_code: Vec<u32>,
    codes: Vec<u32>,
    counts: Vec<u64>,
    rows: Vec<u32>,
    classes: Vec<u32>,
}

/// The rows of some consecutive classes.
pub(crate) struct ClassRange<'a> {
    /// The code that each class has in the batch.
    pub(crate) codes: &'a [u32],
    /// How many rows each class has: at least one.
    pub(crate) counts: &'a [u64],
    /// The number of the first of these classes.
    pub(crate) first_class: u32,
    /// Whether these are the last classes.
    pub(crate) is_last: bool,
    /// Their rows, as indices into the batch.
    pub(crate) rows: &'a [u32],
    /// The class of each row.
    pub(crate) classes: &'a [u32],
}

impl ByClass {
    /// Orders the rows selected, or all rows.
    pub fn of(batch: &Batch<'_>, selected: Option<&[u32]>) -> Self {
        match selected {
            Some(selected) => Self::order(batch, selected.iter().copied()),
            None => Self::order(batch, 0..batch.rows() as u32),
        }
    }

    fn order(batch: &Batch<'_>, selected: impl Iterator<Item = u32> + Clone) -> Self {
        let code = |row: u32| batch.codes()[row as usize];
        let mut class_of_code = vec![NONE; batch.classes().len()];
        let (mut codes, mut counts) = (Vec::new(), Vec::new());
        for row in selected.clone() {
            let class = &mut class_of_code[code(row) as usize];
            if *class == NONE {
                *class = codes.len() as u32;
                codes.push(code(row));
                counts.push(0);
            }
            counts[*class as usize] += 1;
        }
        let (mut next, mut classes) = (Vec::with_capacity(counts.len()), Vec::new());
        for (class, &count) in (0..).zip(&counts) {
            next.push(classes.len());
            classes.extend(std::iter::repeat_n(class, count as usize));
        }
        let mut rows = vec![0; classes.len()];
        for row in selected {
            let at = &mut next[class_of_code[code(row) as usize] as usize];
            rows[*at] = row;
            *at += 1;
        }
        Self { class_of_code, codes, counts, rows, classes }
    }

    /// All rows, up to so many classes at a time.
    pub(crate) fn parts(&self, classes: usize) -> impl Iterator<Item = ClassRange<'_>> {
        let (mut first_class, mut first_row) = (0, 0);
        self.codes.chunks(classes).zip(self.counts.chunks(classes)).map(move |(codes, counts)| {
            let rows = first_row..first_row + counts.iter().sum::<u64>() as usize;
            let is_last = rows.end == self.rows.len();
            let part = ClassRange {
                is_last,
                codes,
                counts,
                first_class,
                rows: &self.rows[rows.clone()],
                classes: &self.classes[rows.clone()],
            };
            first_class += codes.len() as u32;
            first_row = rows.end;
            part
        })
    }

    /// The code that each class has in the batch.
    pub fn codes(&self) -> &[u32] {
        &self.codes
    }

    /// How many rows each class has: at least one.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }

    /// The rows of each class, as indices into the batch.
    pub fn each(&self) -> impl Iterator<Item = &[u32]> {
        let mut rest = &self.rows[..];
        self.counts.iter().map(move |&count| {
            let (rows, others) = rest.split_at(count as usize);
            rest = others;
            rows
        })
    }

    /// The rows, as indices into the batch.
    pub fn rows(&self) -> &[u32] {
        &self.rows
    }

    /// The class of each of these rows.
    pub fn classes(&self) -> &[u32] {
        &self.classes
    }

    /// The class of a code of the batch, if one of the rows has it.
    pub(crate) fn class(&self, code: u32) -> Option<usize> {
        self.class_of_code.get(code as usize).filter(|&&class| class != NONE).map(|&class| class as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Features, Label};

    #[test]
    fn rows_stand_class_after_class_in_their_own_order() {
        let labels: Vec<Label> = (0..4).map(Label::Int).collect();
        let batch = Batch::new(1, Features::F32(&[0.0; 6]), &[3, 1, 3, 0, 1, 3], &labels).unwrap();
        let all = ByClass::of(&batch, None);
        assert_eq!((&all.codes[..], all.counts()), (&[3, 1, 0][..], &[3, 2, 1][..]));
        assert_eq!((all.rows(), all.classes()), (&[0, 2, 5, 1, 4, 3][..], &[0, 0, 0, 1, 1, 2][..]));
        assert_eq!([0, 1, 2, 3, 4].map(|code| all.class(code)), [Some(2), Some(1), None, Some(0), None]);
        assert_eq!(all.each().collect::<Vec<_>>(), [&[0, 2, 5][..], &[1, 4], &[3]]);
        let some = ByClass::of(&batch, Some(&[4, 5, 1]));
        assert_eq!((some.rows(), some.classes(), &some.codes[..]), (&[4, 1, 5][..], &[0, 0, 1][..], &[1, 3][..]));
        let parts: Vec<_> =
            all.parts(2).map(|part| (part.first_class, part.is_last, part.codes, part.rows, part.classes)).collect();
        let front = (0, false, &[3, 1][..], &[0, 2, 5, 1, 4][..], &[0, 0, 0, 1, 1][..]);
        assert_eq!(parts, [front, (2, true, &[0][..], &[3][..], &[2][..])]);
    }
}
