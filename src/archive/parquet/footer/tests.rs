use super::*;
use crate::archive::parquet::thrift::BINARY;

/// A structure of these fields: their number, type and bytes.
fn structure(fields: &[(u8, u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, kind, value) in fields {
        bytes.extend([*kind, 2 * id]);
        bytes.extend(value);
    }
    bytes.push(0);
    bytes
}

fn number(value: i64) -> Vec<u8> {
    let mut raw = ((value << 1) ^ (value >> 63)) as u64;
    let mut bytes = Vec::new();
    while raw >= 0x80 {
        bytes.push(raw as u8 | 0x80);
        raw >>= 7;
    }
    bytes.push(raw as u8);
    bytes
}

fn text(value: &str) -> Vec<u8> {
    [&[value.len() as u8], value.as_bytes()].concat()
}

fn list(kind: u8, elements: &[Vec<u8>]) -> Vec<u8> {
    [thrift::list_head(kind, elements.len() as u64), elements.concat()].concat()
}

type Fields = Vec<(u8, u8, Vec<u8>)>;

/// What a footer of one column `a` of 64-bit integers has, each part to be changed.
struct Made {
    schema: Vec<Fields>,
    column: Fields,
    rows: i64,
    groups: usize,
}

impl Made {
    fn new() -> Self {
        let root = vec![(4, BINARY, text("schema")), (5, I32, number(1))];
        let leaf = vec![
            (1, I32, number(2)),
            (3, I32, number(0)),
            (4, BINARY, text("a")),
            (6, I32, number(18)),
            (10, STRUCT, structure(&[(10, STRUCT, vec![0x13, 64, 0x11, 0])])),
        ];
        let column = vec![
            (1, I32, number(2)),
            (2, LIST, list(I32, &[number(0)])),
            (3, LIST, list(BINARY, &[text("a")])),
            (4, I32, number(0)),
            (5, I64, number(10)),
            (6, I64, number(100)),
            (7, I64, number(100)),
            (9, I64, number(4)),
        ];
        Self { schema: vec![root, leaf], column, rows: 10, groups: 1 }
    }

    fn bytes(&self) -> Vec<u8> {
        let group = |at: usize| {
            let mut column = self.column.clone();
            if at > 0 {
                *field(&mut column, 9) = number(4 + 100 * at as i64);
            }
            let chunk = structure(&[(2, I64, number(0)), (3, STRUCT, structure(&column))]);
            structure(&[(1, LIST, list(STRUCT, &[chunk])), (2, I64, number(100)), (3, I64, number(self.rows))])
        };
        let groups: Vec<Vec<u8>> = (0..self.groups).map(group).collect();
        let schema: Vec<Vec<u8>> = self.schema.iter().map(|element| structure(element)).collect();
        structure(&[
            (1, I32, number(2)),
            (2, LIST, list(STRUCT, &schema)),
            (3, I64, number(self.rows * self.groups as i64)),
            (4, LIST, list(STRUCT, &groups)),
        ])
    }

    fn read(&self) -> Result<ParquetMetaData> {
        read(&self.bytes(), 4 + 100 * self.groups as u64)
    }

    fn refused(&self, detail: &str) {
        let error = self.read().unwrap_err();
        assert!(error.fact("detail").unwrap().contains(detail), "{error:?}");
    }
}

fn field(fields: &mut Fields, id: u8) -> &mut Vec<u8> {
    &mut fields.iter_mut().find(|(known, ..)| *known == id).unwrap().2
}

#[test]
fn a_footer_that_agrees_with_itself_is_read() {
    let metadata = Made::new().read().unwrap();
    assert_eq!((metadata.num_row_groups(), metadata.row_group(0).column(0).num_values()), (1, 10));
}

#[test]
fn a_dictionary_where_the_file_begins_is_none() {
    let mut made = Made::new();
    made.column.push((11, I64, number(0)));
    made.groups = 2;
    let metadata = made.read().unwrap();
    for group in metadata.row_groups() {
        assert_eq!(group.column(0).dictionary_page_offset(), None);
    }
    *field(&mut made.column, 11) = number(8);
    made.refused("lie outside of it");
}

#[test]
fn what_stands_twice_must_be_the_same() {
    let column = |id, value: Vec<u8>, detail| {
        let mut made = Made::new();
        *field(&mut made.column, id) = value;
        made.refused(detail);
    };
    column(1, number(1), "another type");
    column(3, list(BINARY, &[text("b")]), "another name");
    column(3, list(BINARY, &[text("a"), text("a")]), "another name");
    column(5, number(9), "claims 9 values for 10 rows");
    column(7, number(101), "lies outside of the file");
    column(9, number(-4), "lies outside of the file");
    let leaf = |id, value: Vec<u8>, detail| {
        let mut made = Made::new();
        *field(&mut made.schema[1], id) = value;
        made.refused(detail);
    };
    leaf(1, number(1), "another type");
    leaf(3, number(3), "does not say whether it may be null");
    leaf(6, number(14), "contradict each other");
    leaf(10, structure(&[(1, STRUCT, vec![0])]), "contradict each other");
    let mut made = Made::new();
    made.schema[1].push((7, I32, number(0)));
    made.refused("contradict each other");
    made.schema[1].pop();
    made.schema[1].push((11, I32, number(0)));
    made.refused("newer version");
}

#[test]
fn columns_do_not_share_bytes() {
    let mut made = Made::new();
    made.groups = 2;
    made.read().unwrap();
    *field(&mut made.column, 7) = number(101);
    let error = read(&made.bytes(), 1000).unwrap_err();
    assert_eq!(error.fact("detail"), Some("two columns lie in the same bytes"));
}

#[test]
fn a_schema_is_bounded_before_it_is_built() {
    // A group within a group within a group.
    let nested = |depth: usize| {
        let mut made = Made::new();
        let group = vec![(3, I32, number(0)), (4, BINARY, text("g")), (5, I32, number(1))];
        (0..depth).for_each(|_| made.schema.insert(1, group.clone()));
        let names: Vec<Vec<u8>> = (0..depth).map(|_| text("g")).chain([text("a")]).collect();
        *field(&mut made.column, 3) = list(BINARY, &names);
        made
    };
    nested(DEPTH - 1).read().unwrap();
    nested(DEPTH).refused("nested more than 64 deep");
    nested(10_000).refused("nested more than 64 deep");
    for claim in [2, i64::from(i32::MAX), -1] {
        let mut made = Made::new();
        *field(&mut made.schema[0], 5) = number(claim);
        made.refused("where there are 1");
    }
    let mut made = Made::new();
    *field(&mut made.schema[0], 5) = number(0);
    made.refused("two roots");
}

#[test]
fn more_row_groups_than_can_be_numbered_are_read() {
    for groups in [GROUPS_AT_ONCE, GROUPS_AT_ONCE + 1, 2 * GROUPS_AT_ONCE + 5] {
        let mut made = Made::new();
        made.groups = groups;
        let metadata = made.read().unwrap();
        assert_eq!(metadata.num_row_groups(), groups);
        let offsets = metadata.row_groups().iter().map(|group| group.column(0).data_page_offset());
        assert!(offsets.eq((0..groups as i64).map(|at| 4 + 100 * at)));
    }
}
