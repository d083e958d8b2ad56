//! Heads as values of SQL: where a classifier lies. It is read where it is used, once.
//!
//! | field | type | meaning |
//! |---|---|---|
//! | `file` | string | the head as `--head` names it, `lstsq[:λ]` too |
//! | `transposed` | boolean | whether it is stored dim × class |
//!
//! A plain string is a head that is not transposed.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray, StringArray, StructArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields};

use crate::archive::{HeadPath, HeadSource, LEAST_SQUARES, Spellings, StoredHead};
use crate::error::{Error, Result};
use crate::metrics::least_squares;
use crate::sql::settings::Settings;
use crate::sql::values::shared::Shared;
use crate::state::{Head, Statistics};

static FIELDS: LazyLock<Fields> = LazyLock::new(|| {
    Fields::from(vec![Field::new("file", DataType::Utf8, true), Field::new("transposed", DataType::Boolean, true)])
});

/// The type of a head in SQL.
pub(in crate::sql) fn data_type() -> DataType {
    DataType::Struct(FIELDS.clone())
}

/// Whether values of a type can be heads: the struct above, a string, or a dictionary of either.
pub(in crate::sql) fn is_head(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => {
            fields.len() == FIELDS.len() && FIELDS.iter().all(|field| fields.find(field.name()).is_some())
        }
        DataType::Dictionary(_, values) => is_head(values),
        other => other.is_string(),
    }
}

/// Where a head lies.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::sql) struct HeadPlace {
    /// As `--head` names it.
    pub(in crate::sql) text: String,
    pub(in crate::sql) transposed: bool,
}

impl HeadPlace {
    /// Whether it is there.
    ///
    /// # Errors
    ///
    /// [`Missing`](crate::error::ErrorKind::Missing) if not.
    pub(in crate::sql) fn check(&self) -> Result<()> {
        let source = HeadSource::parse(&self.text)?;
        if source.least_squares().is_some() {
            return if self.transposed { Err(Error::usage("a least-squares head is not transposed")) } else { Ok(()) };
        }
        Self::path(&source)?.check_exists()
    }

    fn path(source: &HeadSource) -> Result<HeadPath> {
        match source.keys().first() {
            Some(key) => Err(Error::usage("SQL does not fill {keys} in the path of a head")
                .with("head", source)
                .help(format!("a path for each group: 'heads/' || {key} || '.npy'"))),
            None => source.fill(&[], &Spellings::default()),
        }
    }
}

/// A head that was read, or how it is made.
#[derive(Clone, Debug)]
pub(in crate::sql) enum Classifier {
    Stored(Box<StoredHead>),
    /// The least-squares classifier of the state beside it, with this `λ`.
    LeastSquares(f64),
}

impl Classifier {
    /// The rows for these classes, under a session's settings, or the reason why there are none. A state is all that is
    /// known of a run here, so `rank` is among its own labels, which must be as many as the head has rows.
    pub(in crate::sql) fn of(
        &self,
        statistics: &Statistics,
        settings: &Settings,
    ) -> Result<Result<Head, &'static str>> {
        match self {
            Self::Stored(head) => {
                head.for_classes(&statistics.labels, statistics.dim, &settings.naming).map(Ok).map_err(in_sql)
            }
            Self::LeastSquares(lambda) => Ok(least_squares(statistics, *lambda)),
        }
    }
}

/// Whether a text may be, or begin, the least-squares head of a state, which stands on its scatter.
pub(in crate::sql) fn may_be_least_squares(text: &str) -> bool {
    text.starts_with(LEAST_SQUARES)
}

/// What mends an error, as it is written in SQL.
fn in_sql(error: Error) -> Error {
    let Some(help) = error.advice() else { return error };
    let help = match help.split_once("--head-rows ") {
        Some(("leave ", "out")) => "SET nc.head_rows = 'default'".to_owned(),
        Some((before, rules)) => {
            let rules = ["label", "one-based", "rank", "names:FILE"]
                .into_iter()
                .fold(rules.to_owned(), |rules, rule| rules.replace(rule, &format!("'{rule}'")));
            format!("{before}SET nc.head_rows = {rules}")
        }
        None => help.to_owned(),
    };
    let help = help.replace("--class-names FILE", "SET nc.class_names = 'FILE'");
    let help = help.replace("--head-transposed", "nc_head(path, key, true)");
    error.help(help)
}

/// Heads that were read, each once.
#[derive(Default)]
pub(in crate::sql) struct Library(HashMap<HeadPlace, Arc<Classifier>>);

impl Library {
    pub(in crate::sql) fn read(&mut self, place: &HeadPlace) -> Result<Arc<Classifier>> {
        if let Some(head) = self.0.get(place) {
            return Ok(head.clone());
        }
        let source = HeadSource::parse(&place.text)?;
        let head = Arc::new(if let Some(lambda) = source.least_squares() {
            Classifier::LeastSquares(lambda)
        } else {
            let stored = StoredHead::read(&HeadPlace::path(&source)?, place.transposed);
            Classifier::Stored(Box::new(stored.map_err(in_sql)?))
        });
        self.0.insert(place.clone(), head.clone());
        Ok(head)
    }

    /// The heads of several rows.
    pub(in crate::sql) fn read_all(&mut self, places: &[Option<HeadPlace>]) -> Result<Vec<Option<Arc<Classifier>>>> {
        places.iter().map(|place| place.as_ref().map(|place| self.read(place)).transpose()).collect()
    }
}

/// Heads as an array.
pub(in crate::sql) fn encode<'a>(heads: impl IntoIterator<Item = Option<&'a HeadPlace>>) -> Result<ArrayRef> {
    let heads: Vec<Option<&HeadPlace>> = heads.into_iter().collect();
    let files: StringArray = heads.iter().map(|head| head.map(|head| head.text.as_str())).collect();
    let transposed: BooleanArray = heads.iter().map(|head| head.map(|head| head.transposed)).collect();
    let valid = NullBuffer::from(heads.iter().map(Option::is_some).collect::<Vec<_>>());
    let array = StructArray::try_new(FIELDS.clone(), vec![Arc::new(files), Arc::new(transposed)], Some(valid))
        .map_err(|error| Error::internal("cannot build the columns of a head").caused_by(error))?;
    Ok(Arc::new(array))
}

/// The heads of a column's rows; `None` if it holds something else.
pub(in crate::sql) fn decode(column: &ArrayRef) -> Result<Option<Vec<Option<HeadPlace>>>> {
    if !is_head(column.data_type()) {
        return Ok(None);
    }
    let shared = Shared::of(column)?;
    let mut known: HashMap<u32, HeadPlace> = HashMap::new();
    let mut place = |row: usize| -> Result<Option<HeadPlace>> {
        let Some(position) = shared.position(row) else { return Ok(None) };
        if let Some(place) = known.get(&position) {
            return Ok(Some(place.clone()));
        }
        let place = one(&shared.value(position))?;
        known.insert(position, place.clone());
        Ok(Some(place))
    };
    (0..column.len()).map(&mut place).collect::<Result<_>>().map(Some)
}

/// The head in an array of one row.
fn one(value: &ArrayRef) -> Result<HeadPlace> {
    let broken = || Error::data("a head was expected").with("found", value.data_type());
    let (file, transposed) = match value.as_struct_opt() {
        Some(head) => {
            let transposed = head.column_by_name("transposed").and_then(|column| column.as_boolean_opt());
            let transposed = transposed.ok_or_else(broken)?;
            (head.column_by_name("file").ok_or_else(broken)?.clone(), transposed.is_valid(0) && transposed.value(0))
        }
        None => (value.clone(), false),
    };
    let file = cast(&file, &DataType::Utf8).map_err(|error| broken().caused_by(error))?;
    let file = file.as_string::<i32>();
    if file.is_null(0) {
        return Err(broken());
    }
    Ok(HeadPlace { text: file.value(0).to_owned(), transposed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_mends_an_error_is_said_in_sql() {
        let said = |help: &str| in_sql(Error::data("no").help(help)).advice().unwrap().to_owned();
        assert_eq!(said("--head-rows label, rank or names:FILE"), "SET nc.head_rows = 'label', 'rank' or 'names:FILE'");
        assert_eq!(
            said("--class-names FILE (one a line), or --head-rows rank"),
            "SET nc.class_names = 'FILE' (one a line), or SET nc.head_rows = 'rank'"
        );
        assert_eq!(said("leave --head-rows out"), "SET nc.head_rows = 'default'");
    }

    #[test]
    fn heads_come_back_as_they_were() {
        let place = HeadPlace { text: "a b/model.safetensors:fc".to_owned(), transposed: true };
        let array = encode([Some(&place), None, Some(&place)]).unwrap();
        assert_eq!(array.data_type(), &data_type());
        assert_eq!(decode(&array).unwrap(), Some(vec![Some(place.clone()), None, Some(place)]));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["w.npy"]));
        let plain = HeadPlace { text: "w.npy".to_owned(), transposed: false };
        assert_eq!(decode(&text).unwrap(), Some(vec![Some(plain)]));
        let number: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![1]));
        assert_eq!(decode(&number).unwrap(), None);
    }
}
