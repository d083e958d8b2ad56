//! Decisions on rows as typed columns: what `nc_decisions` makes, and NC4 is made of.
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `head` | boolean | whether a classifier decided too |
//! | `unseen` | uint64 | rows of classes that the state does not have; they are not decided |
//! | `label_kind`, `labels` | string, list of string | the classes |
//! | `rows`, `ncc_right`, `classifier_right`, `both_right`, `agreements`, `agreements_no_bias`, `ties` | list of uint64 | rows of each class, and what was decided of them |

use std::sync::{Arc, LazyLock};

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanBuilder, LargeListBuilder, LargeStringBuilder, StringBuilder, StructArray,
    UInt64Builder,
};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, UInt64Type};

use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result};
use crate::state::{DecisionCounts, Decisions};

/// A count of a tally.
type Count = fn(&mut DecisionCounts) -> &mut u64;

/// The counts of a tally, in the order of their fields.
const COUNTS: [(&str, Count); 7] = [
    ("rows", |tally| &mut tally.rows),
    ("ncc_right", |tally| &mut tally.ncc_right),
    ("classifier_right", |tally| &mut tally.classifier_right),
    ("both_right", |tally| &mut tally.both_right),
    ("agreements", |tally| &mut tally.agreements),
    ("agreements_no_bias", |tally| &mut tally.agreements_no_bias),
    ("ties", |tally| &mut tally.ties),
];

static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let list = |item: DataType| DataType::LargeList(Arc::new(Field::new_list_field(item, true)));
    let fixed = [
        field("head", DataType::Boolean),
        field("unseen", DataType::UInt64),
        field("label_kind", DataType::Utf8),
        field("labels", list(DataType::LargeUtf8)),
    ];
    fixed.into_iter().chain(COUNTS.map(|(name, _)| field(name, list(DataType::UInt64)))).collect()
});

/// The type of decisions in SQL.
pub(in crate::sql) fn data_type() -> DataType {
    DataType::Struct(FIELDS.clone())
}

pub(in crate::sql) fn are_decisions(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => FIELDS.iter().all(|field| fields.find(field.name()).is_some()),
        DataType::Null => true,
        _ => false,
    }
}

/// Decisions as an array, each with whether a classifier decided.
pub(in crate::sql) fn encode(decisions: &[Option<(Decisions, bool)>]) -> Result<ArrayRef> {
    let (mut head, mut unseen) = (BooleanBuilder::new(), UInt64Builder::new());
    let (mut kind, mut labels) = (StringBuilder::new(), LargeListBuilder::new(LargeStringBuilder::new()));
    let mut counts = COUNTS.map(|_| LargeListBuilder::new(UInt64Builder::new()));
    for entry in decisions {
        let found = entry.as_ref().map(|(decisions, _)| decisions);
        head.append_option(entry.as_ref().map(|(_, head)| *head));
        unseen.append_option(found.map(|found| found.unseen));
        kind.append_option(found.and_then(|found| found.labels.first()).map(|label| label.kind().to_string()));
        let names = found.into_iter().flat_map(|found| &found.labels);
        names.for_each(|label| labels.values().append_value(label.to_string()));
        labels.append(found.is_some());
        for (list, (_, count)) in counts.iter_mut().zip(COUNTS) {
            for tally in found.into_iter().flat_map(|found| &found.tallies) {
                list.values().append_value(*count(&mut tally.clone()));
            }
            list.append(found.is_some());
        }
    }
    let mut columns: Vec<ArrayRef> =
        vec![Arc::new(head.finish()), Arc::new(unseen.finish()), Arc::new(kind.finish()), Arc::new(labels.finish())];
    columns.extend(counts.iter_mut().map(|list| Arc::new(list.finish()) as ArrayRef));
    let valid = NullBuffer::from(decisions.iter().map(Option::is_some).collect::<Vec<_>>());
    let array = StructArray::try_new(FIELDS.clone(), columns, Some(valid))
        .map_err(|error| Error::internal("cannot build the columns of decisions").caused_by(error))?;
    Ok(Arc::new(array))
}

/// The decisions in a row, whatever writer they have been through.
pub(in crate::sql) fn decode(array: &StructArray, row: usize) -> Result<Option<(Decisions, bool)>> {
    if array.is_null(row) {
        return Ok(None);
    }
    let broken = |field: &str| Error::data("the decisions are damaged").with("field", field);
    let column = |at: usize| -> Result<ArrayRef> {
        let field = &FIELDS[at];
        let column = array.column_by_name(field.name()).ok_or_else(|| broken(field.name()))?;
        let cast =
            cast(&column.slice(row, 1), field.data_type()).map_err(|error| broken(field.name()).caused_by(error))?;
        if cast.is_null(0) && field.name() != "label_kind" { Err(broken(field.name())) } else { Ok(cast) }
    };
    let kind = column(2)?;
    let labels: Vec<Label> = if kind.is_null(0) {
        Vec::new()
    } else {
        let kind = LabelKind::from_name(kind.as_string::<i32>().value(0)).ok_or_else(|| broken("label_kind"))?;
        let names = column(3)?.as_list::<i64>().value(0);
        let label = |name: Option<&str>| name.and_then(|name| kind.parse(name)).ok_or_else(|| broken("labels"));
        names.as_string::<i64>().iter().map(label).collect::<Result<_>>()?
    };
    let mut tallies = vec![DecisionCounts::default(); labels.len()];
    for (at, (name, count)) in COUNTS.into_iter().enumerate() {
        let values = column(4 + at)?.as_list::<i64>().value(0);
        let values = values.as_primitive::<UInt64Type>();
        if values.len() != tallies.len() || values.null_count() > 0 {
            return Err(broken(name));
        }
        tallies.iter_mut().zip(values.values()).for_each(|(tally, value)| *count(tally) = *value);
    }
    let unseen = column(1)?.as_primitive::<UInt64Type>().value(0);
    let head = column(0)?.as_boolean().value(0);
    check_sums(&tallies, unseen, head)?;
    Ok(Some((Decisions { labels, tallies, unseen }, head)))
}

/// Refuses counts that no rows have: files come from anywhere.
fn check_sums(tallies: &[DecisionCounts], unseen: u64, head: bool) -> Result<()> {
    let broken = |field: &str| Err(Error::data("the decisions are damaged").with("field", field));
    if tallies.iter().try_fold(unseen, |sum, tally| sum.checked_add(tally.rows)).is_none() {
        return broken("rows");
    }
    for tally in tallies {
        let mut counts = *tally;
        if let Some((name, _)) = COUNTS.iter().find(|(_, count)| *count(&mut counts) > tally.rows) {
            return broken(name);
        }
        let DecisionCounts { rows, ncc_right, classifier_right, both_right, agreements, agreements_no_bias, .. } =
            *tally;
        if !head && [classifier_right, both_right, agreements, agreements_no_bias].iter().any(|&count| count > 0) {
            return broken("head");
        }
        // Where both are right they agree, and where one alone is they do not.
        let one_right = |right: u64| u128::from(right - both_right);
        if both_right > ncc_right.min(classifier_right).min(agreements)
            || one_right(ncc_right) + one_right(classifier_right) > u128::from(rows - agreements)
        {
            return broken("both_right");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The field that is found damaged, and what damages it.
    type Damage = (&'static str, fn(&mut DecisionCounts));

    #[test]
    fn decisions_come_back_as_they_were() {
        let tally = DecisionCounts {
            rows: 9,
            ncc_right: 8,
            classifier_right: 7,
            both_right: 6,
            agreements: 6,
            agreements_no_bias: 4,
            ties: 3,
        };
        let mut decisions = Decisions {
            labels: vec![Label::Text("é".into()), Label::Text("z".into())],
            tallies: vec![tally, DecisionCounts::default()],
            unseen: 2,
        };
        let array = encode(&[Some((decisions.clone(), true)), None]).unwrap();
        assert_eq!(decode(array.as_struct(), 0).unwrap(), Some((decisions.clone(), true)));
        assert_eq!(decode(array.as_struct(), 1).unwrap(), None);
        let damage: [Damage; 6] = [
            ("ncc_right", |tally| tally.ncc_right = 10),
            ("ties", |tally| tally.ties = 1_000_000),
            ("agreements", |tally| tally.agreements = 1_000_000),
            ("both_right", |tally| tally.both_right = 9),
            ("both_right", |tally| tally.agreements = 5),
            ("rows", |tally| tally.rows = u64::MAX),
        ];
        for (field, break_it) in damage {
            let mut broken = decisions.clone();
            break_it(&mut broken.tallies[0]);
            let array = encode(&[Some((broken, true))]).unwrap();
            assert_eq!(decode(array.as_struct(), 0).unwrap_err().fact("field"), Some(field));
        }
        let headless = encode(&[Some((decisions.clone(), false))]).unwrap();
        assert_eq!(decode(headless.as_struct(), 0).unwrap_err().fact("field"), Some("head"));
        decisions.tallies[0] = DecisionCounts { rows: 9, ncc_right: 8, ..DecisionCounts::default() };
        let headless = encode(&[Some((decisions.clone(), false))]).unwrap();
        assert_eq!(decode(headless.as_struct(), 0).unwrap(), Some((decisions, false)));
    }
}
