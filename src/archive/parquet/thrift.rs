//! Walks through Thrift's compact protocol without building anything.
//!
//! Lists in footers and page headers give their length, and a decoder that trusts it allocates first. This walk visits every
//! element, so a false length fails before anything is allocated. A field is accepted only once and only with its type in
//! the format; other readers are less strict.

/// The bytes are not what they claim to be, or end too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

type Walk<T> = Result<T, Malformed>;

/// How deep structures may nest that nobody looks into; Parquet's own go to about ten.
const DEPTH: u32 = 32;

/// What a page says about itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PageHeader {
    /// Bytes of the header itself.
    pub(super) length: u64,
    /// Bytes of the page once decompressed.
    pub(super) uncompressed: i32,
    /// Bytes of the page as stored.
    pub(super) compressed: i32,
    /// Values of a data page, nulls included.
    pub(super) values: Option<i32>,
    /// Values of a dictionary page.
    pub(super) dictionary_values: Option<i32>,
    /// Whether it carries a checksum.
    pub(super) checksum: bool,
    /// The levels of a data page whose values are PLAIN, and no more compressed than its column.
    pub(super) plain: Option<Levels>,
    /// Whether others may see another header: of no page that holds values or a dictionary, or with fields that are not
    /// known here.
    pub(super) odd: bool,
    /// Whether the values of the page are compressed, if those of its column are.
    pub(super) may_be_compressed: bool,
}

/// Where a data page has the levels of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Levels {
    /// At its beginning, each behind its length, run by run: data pages of the first version.
    Prefixed,
    /// At its beginning, so many bytes of repetition and definition levels: data pages of the second version.
    Sized {
        /// Rows that begin in it.
        rows: i32,
        /// Values that are null.
        nulls: i32,
        repetition: i32,
        definition: i32,
    },
}

/// The page header at the beginning of `bytes`.
pub(super) fn page_header(bytes: &[u8]) -> Walk<PageHeader> {
    let mut walker = Walker::new(bytes);
    let mut header = PageHeader { uncompressed: -1, compressed: -1, may_be_compressed: true, ..PageHeader::default() };
    let (mut kind_of_page, mut first, mut second, mut dictionary) = (None, None, None, false);
    walker.fields(|walker, id, kind| {
        match (id, kind) {
            (1, I32) => kind_of_page = Some(walker.int()?),
            (2, I32) => header.uncompressed = walker.int()?,
            (3, I32) => header.compressed = walker.int()?,
            (4, I32) => {
                header.checksum = true;
                walker.int()?;
            }
            (5, STRUCT) => {
                let [values, encoding, definition, repetition, ..] = walker.page_fields(4, None, 5)?.0;
                header.values = Some(values.ok_or(Malformed)?);
                let run_by_run = (definition, repetition) == (Some(RLE), Some(RLE));
                first = Some((encoding == Some(PLAIN) && run_by_run).then_some(Levels::Prefixed));
            }
            (7, STRUCT) => {
                let [values, ..] = walker.page_fields(2, Some(3), 0)?.0;
                header.dictionary_values = Some(values.ok_or(Malformed)?);
                dictionary = true;
            }
            (8, STRUCT) => {
                let ([values, nulls, rows, encoding, definition, repetition], compressed) =
                    walker.page_fields(6, Some(7), 8)?;
                header.values = Some(values.ok_or(Malformed)?);
                header.may_be_compressed = compressed;
                let plain = encoding == Some(PLAIN) && rows.is_some_and(|rows| rows >= 0);
                let levels = || {
                    let (repetition, definition) = (repetition?, definition?);
                    Some(Levels::Sized { rows: rows?, nulls: nulls?, repetition, definition })
                };
                second = Some(if plain { levels() } else { None });
            }
            (1..=8, _) if !(id == 6 && kind == STRUCT) => return Err(Malformed),
            _ => walker.pass(kind)?,
        }
        Ok(())
    })?;
    header.plain = match (kind_of_page, first, second, dictionary) {
        (Some(DATA_PAGE), Some(levels), None, false) | (Some(DATA_PAGE_V2), None, Some(levels), false) => levels,
        (Some(DICTIONARY_PAGE), None, None, true) => None,
        // Nobody writes pages of other kinds, and a page is of one kind.
        _ => return Err(Malformed),
    };
    header.length = walker.at as u64;
    header.odd = walker.odd;
    Ok(header)
}

/// What a list of so many elements of that type begins with.
pub(super) fn list_head(kind: u8, count: u64) -> Vec<u8> {
    let mut head = vec![0xf0 | kind];
    let mut left = count;
    while left >= 0x80 {
        head.push(left as u8 | 0x80);
        left >>= 7;
    }
    head.push(left as u8);
    head
}

/// Parquet's numbers of pages.
const DATA_PAGE: i32 = 0;
const DICTIONARY_PAGE: i32 = 2;
const DATA_PAGE_V2: i32 = 3;

/// Parquet's numbers of encodings.
const PLAIN: i32 = 0;
const RLE: i32 = 3;

const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
/// The type of a number of 16 bits.
pub(super) const I16: u8 = 4;
/// The type of a number of 32 bits.
pub(super) const I32: u8 = 5;
/// The type of a number of 64 bits.
pub(super) const I64: u8 = 6;
const DOUBLE: u8 = 7;
/// The type of bytes and texts.
pub(super) const BINARY: u8 = 8;
/// The type of a list.
pub(super) const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
/// The type of a structure.
pub(super) const STRUCT: u8 = 12;
const UUID: u8 = 13;

/// A position in a structure.
pub(super) struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    /// Whether something was met that others may read in another way.
    odd: bool,
}

impl<'a> Walker<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, odd: false }
    }

    /// How many bytes have been walked over.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// Whether something was met that others may read in another way.
    pub(super) fn is_odd(&self) -> bool {
        self.odd
    }

    fn byte(&mut self) -> Walk<u8> {
        let byte = *self.bytes.get(self.at).ok_or(Malformed)?;
        self.at += 1;
        Ok(byte)
    }

    fn advance(&mut self, by: u64) -> Walk<()> {
        let left = (self.bytes.len() - self.at) as u64;
        if by > left {
            return Err(Malformed);
        }
        self.at += by as usize;
        Ok(())
    }

    fn varint(&mut self) -> Walk<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed)
    }

    /// An integer of at most 64 bits.
    pub(super) fn long(&mut self) -> Walk<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// An integer of 32 bits.
    pub(super) fn int(&mut self) -> Walk<i32> {
        i32::try_from(self.long()?).map_err(|_| Malformed)
    }

    /// Bytes or a text.
    pub(super) fn binary(&mut self) -> Walk<&'a [u8]> {
        let length = self.varint()?;
        let start = self.at;
        self.advance(length)?;
        Ok(&self.bytes[start..self.at])
    }

    /// How many elements of that type a list has, which come next.
    pub(super) fn list(&mut self, kind: u8) -> Walk<u64> {
        let (found, count) = self.list_head()?;
        if found == kind || count == 0 { Ok(count) } else { Err(Malformed) }
    }

    fn list_head(&mut self) -> Walk<(u8, u64)> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
        Ok((head & 0x0f, count))
    }

    /// Calls `each` with every field of a structure; it must consume the value.
    pub(super) fn fields<E: From<Malformed>>(
        &mut self,
        mut each: impl FnMut(&mut Self, i64, u8) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut id, mut seen) = (0_i64, 0_u64);
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                // Others take no more than 16 bits of it.
                0 => i16::try_from(self.long()?).map_err(|_| Malformed)?.into(),
                delta => id + i64::from(delta),
            };
            // Who reads a field that is there twice takes the last one; nobody writes that.
            if let known @ 0..64 = id {
                if seen >> known & 1 == 1 {
                    return Err(Malformed.into());
                }
                seen |= 1 << known;
            }
            each(self, id, kind)?;
        }
    }

    /// The structure of an integer's type: how many bits it has, and whether it has a sign.
    pub(super) fn width_and_sign(&mut self) -> Walk<(u8, bool)> {
        let (mut bits, mut signed) = (None, None);
        self.fields(|walker, id, kind| {
            match (id, kind) {
                (1, BYTE) => bits = Some(walker.byte()?),
                (2, TRUE | FALSE) => signed = Some(kind == TRUE),
                _ => return Err(Malformed),
            }
            Ok(())
        })?;
        bits.zip(signed).ok_or(Malformed)
    }

    /// The fields of a page's own header: first `ints` integers of 32 bits; `flag` is its boolean field, true if it is not
    /// there, and `statistics` the structure in it, which nobody reads.
    fn page_fields(&mut self, ints: i64, flag: Option<i64>, statistics: i64) -> Walk<([Option<i32>; 6], bool)> {
        let (mut found, mut flagged) = ([None; 6], true);
        self.fields(|walker, id, kind| {
            match (id, kind) {
                (_, I32) if (1..=ints).contains(&id) => found[id as usize - 1] = Some(walker.int()?),
                (_, TRUE | FALSE) if Some(id) == flag => flagged = kind == TRUE,
                (_, STRUCT) if id == statistics => walker.skip(kind, DEPTH)?,
                _ if (1..=ints).contains(&id) || Some(id) == flag || id == statistics => return Err(Malformed),
                _ => walker.pass(kind)?,
            }
            Ok(())
        })?;
        let complete = found[..ints as usize].iter().all(Option::is_some);
        if complete { Ok((found, flagged)) } else { Err(Malformed) }
    }

    /// A field of a page header that is not known here.
    fn pass(&mut self, kind: u8) -> Walk<()> {
        self.odd = true;
        self.skip(kind, DEPTH)
    }

    /// A value that nobody looks at.
    pub(super) fn skip_value(&mut self, kind: u8) -> Walk<()> {
        self.skip(kind, DEPTH)
    }

    fn skip(&mut self, kind: u8, depth: u32) -> Walk<()> {
        let depth = depth.checked_sub(1).ok_or(Malformed)?;
        match kind {
            // As a field, a boolean is its own type.
            TRUE | FALSE => Ok(()),
            BYTE => self.advance(1),
            I16 | I32 | I64 => self.varint().map(drop),
            DOUBLE => self.advance(8),
            UUID => self.advance(16),
            BINARY => {
                let length = self.varint()?;
                self.advance(length)
            }
            LIST | SET => {
                let (kind, count) = self.list_head()?;
                self.elements(kind, count, depth)
            }
            MAP => {
                let count = self.varint()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                for _ in 0..count {
                    self.elements(kinds >> 4, 1, depth)?;
                    self.elements(kinds & 0x0f, 1, depth)?;
                }
                Ok(())
            }
            STRUCT => self.fields(|walker, _, kind| walker.skip(kind, depth)),
            _ => Err(Malformed),
        }
    }

    fn elements(&mut self, kind: u8, count: u64, depth: u32) -> Walk<()> {
        if matches!(kind, TRUE | FALSE) {
            // Not everybody knows that these take a byte each.
            self.odd |= count > 0;
            return self.advance(count);
        }
        for _ in 0..count {
            self.skip(kind, depth)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A data page, 300 bytes from 200, 100 values, PLAIN, RLE, RLE.
    const HEADER: [u8; 20] = [
        0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x2c, 0x15, 0xc8, 0x01, 0x15, 0x00, 0x15, 0x06, 0x15, 0x06,
        0x00, 0x00,
    ];

    #[test]
    fn a_page_header_is_read() {
        let header = page_header(&HEADER).unwrap();
        assert_eq!((header.uncompressed, header.compressed, header.values), (300, 200, Some(100)));
        assert_eq!((header.length, header.checksum, header.dictionary_values), (20, false, None));
        assert_eq!(header.plain, Some(Levels::Prefixed));
        // The encoding of the values, and those of both levels.
        for at in [13, 15, 17] {
            let mut other = HEADER;
            other[at] = 8;
            assert_eq!(page_header(&other).unwrap().plain, None, "{at}");
        }
    }

    #[test]
    fn a_page_of_the_second_version_tells_the_lengths_of_its_levels() {
        // 100 values, no nulls, 10 rows, PLAIN, 4 and 30 bytes of levels, not compressed.
        let bytes = [
            0x15, 0x06, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x5c, 0x15, 0xc8, 0x01, 0x15, 0x00, 0x15, 0x14, 0x15, 0x00,
            0x15, 0x08, 0x15, 0x3c, 0x12, 0x00, 0x00,
        ];
        let header = page_header(&bytes).unwrap();
        assert_eq!((header.values, header.length, header.may_be_compressed), (Some(100), 25, false));
        assert_eq!(header.plain, Some(Levels::Sized { rows: 10, nulls: 0, repetition: 30, definition: 4 }));
        // Fewer rows than none; another encoding.
        for (at, byte) in [(15, 0x13), (17, 18)] {
            let mut other = bytes;
            other[at] = byte;
            assert_eq!(page_header(&other).unwrap().plain, None, "{at}");
        }
        // A page of the first version with a header of the second, and one that does not say how long its levels are.
        let mut first = bytes;
        first[1] = 0;
        assert_eq!(page_header(&first), Err(Malformed));
        let mut short = bytes[..20].to_vec();
        short.extend([0, 0]);
        assert_eq!(page_header(&short), Err(Malformed));
    }

    #[test]
    fn a_field_of_another_type_is_malformed() {
        assert!(!page_header(&HEADER).unwrap().odd);
        // The encoding, as a boolean: what was its value begins another field.
        let mut other = HEADER;
        other[12] = 0x11;
        assert_eq!(page_header(&other), Err(Malformed));
        // The same, as text.
        let text = [0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x2c, 0x15, 0x02, 0x18, 0x01, 0x61, 0x00, 0x00];
        assert_eq!(page_header(&text), Err(Malformed));
        // An index page with the header of a data page.
        let with = |at: usize, bytes: &[u8]| [&HEADER[..at], bytes, &HEADER[at..]].concat();
        let mut index = HEADER;
        index[1] = 2;
        assert_eq!(page_header(&index), Err(Malformed));
        // A field that is not known, a list of a boolean; the number of values a second time.
        assert!(page_header(&with(19, &[0x49, 0x11, 0x00])).unwrap().odd);
        assert_eq!(page_header(&with(18, &[0x05, 0x02, 0x02])), Err(Malformed));
        // Field 65539, which in 16 bits is the third.
        assert_eq!(page_header(&with(19, &[0x05, 0x86, 0x80, 0x08, 0x02])), Err(Malformed));
    }

    #[test]
    fn a_truncated_header_is_malformed() {
        for length in 0..HEADER.len() {
            assert_eq!(page_header(&HEADER[..length]), Err(Malformed), "{length}");
        }
    }

    fn check_structure(bytes: &[u8]) -> Walk<()> {
        Walker::new(bytes).skip_value(STRUCT)
    }

    #[test]
    fn a_list_must_hold_what_it_claims() {
        // Field 1, a list of two structures, each empty.
        assert_eq!(check_structure(&[0x19, 0x2c, 0, 0, 0]), Ok(()));
        // The same, claiming 2^31 structures.
        assert_eq!(check_structure(&[0x19, 0xfc, 0x80, 0x80, 0x80, 0x80, 0x08, 0, 0, 0]), Err(Malformed));
        // Text of 2^62 bytes.
        assert_eq!(check_structure(&[0x18, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 0]), Err(Malformed));
    }

    #[test]
    fn nesting_is_bounded() {
        let deep = vec![0x1c; 100_000];
        assert_eq!(check_structure(&deep), Err(Malformed));
    }

    #[test]
    fn the_head_of_a_list_is_read_as_it_was_written() {
        for count in [0, 1, 14, 15, 127, 128, 32_768] {
            let head = list_head(STRUCT, count);
            let mut walker = Walker::new(&head);
            assert_eq!((walker.list(STRUCT), walker.at()), (Ok(count), head.len()));
        }
    }
}
