//! Thrift's compact protocol, walked without building anything.
//!
//! Footers and page headers say how much comes after them, and a decoder that believes them allocates before it looks.
//! This walk meets every element that a list claims to have, so a lie ends it before anything was allocated.

/// The bytes are not what they claim to be, or end too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

type Walk<T> = Result<T, Malformed>;

/// How deep structures may nest; Parquet's own go to about ten.
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
    /// Whether others may see another header: of no page that holds values or a dictionary, with fields that are not
    /// known here, or of another type than they should be.
    pub(super) odd: bool,
}

/// Where a data page has the levels of its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Levels {
    /// At its beginning, each behind its length, run by run: data pages of the first version.
    Prefixed,
    /// At its beginning, so many bytes of repetition and definition levels: data pages of the second version.
    Sized {
        /// Values that are null.
        nulls: i32,
        repetition: i32,
        definition: i32,
    },
}

/// Whether `bytes` are one whole structure.
pub(super) fn check_structure(bytes: &[u8]) -> Walk<()> {
    let mut walker = Walker { bytes, at: 0, odd: false };
    walker.skip(STRUCT, DEPTH)
}

/// The page header at the beginning of `bytes`.
pub(super) fn page_header(bytes: &[u8]) -> Walk<PageHeader> {
    let mut walker = Walker { bytes, at: 0, odd: false };
    let mut header = PageHeader { uncompressed: -1, compressed: -1, ..PageHeader::default() };
    let (mut kind_of_page, mut first, mut second) = (None, None, None);
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
                let [values, encoding, definition, repetition, ..] = walker.ints(0, 5)?;
                header.values = Some(values.ok_or(Malformed)?);
                let run_by_run = (definition, repetition) == (Some(RLE), Some(RLE));
                first = Some((encoding == Some(PLAIN) && run_by_run).then_some(Levels::Prefixed));
            }
            (7, STRUCT) => {
                let [values, ..] = walker.ints(3, 0)?;
                header.dictionary_values = Some(values.ok_or(Malformed)?);
            }
            (8, STRUCT) => {
                let [values, nulls, rows, encoding, definition, repetition] = walker.ints(7, 8)?;
                header.values = Some(values.ok_or(Malformed)?);
                let plain = encoding == Some(PLAIN) && rows.is_some_and(|rows| rows >= 0);
                let levels = || Some(Levels::Sized { nulls: nulls?, repetition: repetition?, definition: definition? });
                second = Some(if plain { levels() } else { None });
            }
            _ => walker.pass(kind)?,
        }
        Ok(())
    })?;
    header.plain = match (kind_of_page, first, second) {
        (Some(DATA_PAGE), Some(levels), None) | (Some(DATA_PAGE_V2), None, Some(levels)) => levels,
        _ => None,
    };
    header.length = walker.at as u64;
    header.odd = walker.odd || !matches!(kind_of_page, Some(DATA_PAGE | DICTIONARY_PAGE | DATA_PAGE_V2));
    Ok(header)
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
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;
const UUID: u8 = 13;

struct Walker<'a> {
    bytes: &'a [u8],
    at: usize,
    odd: bool,
}

impl Walker<'_> {
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

    fn zigzag(&mut self) -> Walk<i64> {
        let raw = self.varint()?;
        Ok((raw >> 1) as i64 ^ -((raw & 1) as i64))
    }

    /// An integer of 32 bits.
    fn int(&mut self) -> Walk<i32> {
        i32::try_from(self.zigzag()?).map_err(|_| Malformed)
    }

    /// Calls `each` with every field of a structure; it must consume the value.
    fn fields(&mut self, mut each: impl FnMut(&mut Self, i64, u8) -> Walk<()>) -> Walk<()> {
        let mut id = 0_i64;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == 0 {
                return Ok(());
            }
            id = match head >> 4 {
                // Others take no more than 16 bits of it.
                0 => i16::try_from(self.zigzag()?).map_err(|_| Malformed)?.into(),
                delta => id + i64::from(delta),
            };
            each(self, id, kind)?;
        }
    }

    /// Fields 1 to 6 of a page's own header that are integers of 32 bits; `flag` is its boolean field, and `statistics`
    /// the structure in it, which nobody reads.
    fn ints(&mut self, flag: i64, statistics: i64) -> Walk<[Option<i32>; 6]> {
        let mut ints = [None; 6];
        self.fields(|walker, id, kind| {
            match (id, kind) {
                (1..=6, I32) => ints[id as usize - 1] = i32::try_from(walker.zigzag()?).ok(),
                (id, TRUE | FALSE) if id == flag => (),
                (id, STRUCT) if id == statistics => walker.skip(kind, DEPTH)?,
                _ => walker.pass(kind)?,
            }
            Ok(())
        })?;
        Ok(ints)
    }

    /// A field of a page header that should not be there.
    fn pass(&mut self, kind: u8) -> Walk<()> {
        self.odd = true;
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
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                self.elements(head & 0x0f, count, depth)
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
        // 100 values, no nulls, 10 rows, PLAIN, 4 and 30 bytes of levels.
        let bytes = [
            0x15, 0x06, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x5c, 0x15, 0xc8, 0x01, 0x15, 0x00, 0x15, 0x14, 0x15, 0x00,
            0x15, 0x08, 0x15, 0x3c, 0x00, 0x00,
        ];
        let header = page_header(&bytes).unwrap();
        assert_eq!((header.values, header.length), (Some(100), 24));
        assert_eq!(header.plain, Some(Levels::Sized { nulls: 0, repetition: 30, definition: 4 }));
        // Of another kind, or fewer rows than none.
        for (at, byte) in [(1, 0), (15, 0x13)] {
            let mut odd = bytes;
            odd[at] = byte;
            assert_eq!(page_header(&odd).unwrap().plain, None, "{at}");
        }
        let mut split = bytes;
        split[17] = 18;
        assert_eq!(page_header(&split).unwrap().plain, None);
    }

    #[test]
    fn a_field_of_another_type_is_odd() {
        assert!(!page_header(&HEADER).unwrap().odd);
        // The encoding, as a boolean: what was its value begins another field.
        let mut other = HEADER;
        other[12] = 0x11;
        assert!(page_header(&other).unwrap().odd);
        // The same, as text.
        let text = [0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x90, 0x03, 0x2c, 0x15, 0x02, 0x18, 0x01, 0x61, 0x00, 0x00];
        assert!(page_header(&text).unwrap().odd);
        // An index page with the header of a data page; a structure in place of a number, and a list of a boolean.
        let with = |at: usize, bytes: &[u8]| [&HEADER[..at], bytes, &HEADER[at..]].concat();
        let mut index = HEADER;
        index[1] = 2;
        assert!(page_header(&index).unwrap().odd);
        assert!(page_header(&with(12, &[0x0c, 0x02, 0x00])).unwrap().odd);
        assert!(page_header(&with(19, &[0x49, 0x11, 0x00])).unwrap().odd);
        // Field 65539, which in 16 bits is the third.
        assert_eq!(page_header(&with(19, &[0x05, 0x86, 0x80, 0x08, 0x02])), Err(Malformed));
    }

    #[test]
    fn a_truncated_header_is_malformed() {
        for length in 0..HEADER.len() {
            assert_eq!(page_header(&HEADER[..length]), Err(Malformed), "{length}");
        }
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
}
