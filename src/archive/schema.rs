//! Which column is which: the types that are read, and the choice between them.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{DataType, Field};
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::metadata::ParquetMetaData;

use super::file::Footer;
use super::keys::Twin;
use super::source::guarded;
use super::{Request, unusable};
use crate::batch::{Label, LabelKind};
use crate::error::{Error, Result, did_you_mean};

/// The element type of stored vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    F16,
    F32,
    F64,
}

impl Element {
    fn of(kind: &DataType) -> Option<Self> {
        match kind {
            DataType::Float16 => Some(Self::F16),
            DataType::Float32 => Some(Self::F32),
            DataType::Float64 => Some(Self::F64),
            _ => None,
        }
    }

    pub(super) fn significand_bits(self) -> u32 {
        match self {
            Self::F16 => 11,
            Self::F32 => 24,
            Self::F64 => 53,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::F16 => DataType::Float16,
            Self::F32 => DataType::Float32,
            Self::F64 => DataType::Float64,
        }
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }
}

/// What the bytes of a fixed-size binary column are: little-endian numbers of a type that no file tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// IEEE half precision.
    F16,
    /// The upper half of IEEE single precision, to which it is widened exactly.
    Bf16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
}

impl Dtype {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::F16, Self::Bf16, Self::F32, Self::F64];

    /// The type of that [name](Self::name).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// `f16`, `bf16`, `f32` or `f64`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::F32 => "f32",
            Self::F64 => "f64",
        }
    }

    /// Bytes of a number.
    pub(super) fn width(self) -> usize {
        match self {
            Self::F16 | Self::Bf16 => 2,
            Self::F32 => 4,
            Self::F64 => 8,
        }
    }

    /// What it becomes in memory.
    fn element(self) -> Element {
        match self {
            Self::F16 => Element::F16,
            Self::Bf16 | Self::F32 => Element::F32,
            Self::F64 => Element::F64,
        }
    }
}

/// Columns whose bytes are numbers of a type.
pub(super) type Dtypes = [(String, Dtype)];

/// How vectors are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum VectorType {
    /// A list of any kind; Parquet does not tell them apart.
    List(Element),
    /// `dim` little-endian numbers of a type.
    Bytes { dim: usize, dtype: Dtype },
}

impl VectorType {
    pub(super) fn element(self) -> Element {
        match self {
            Self::List(element) => element,
            Self::Bytes { dtype, .. } => dtype.element(),
        }
    }
}

/// Where the value of a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// A directory called `key=value`.
    Path(Label),
    /// A column, by its position among the roots of the schema.
    Column(usize),
}

impl Origin {
    /// The value, if the path says it.
    pub(super) fn in_path(&self) -> Option<&Label> {
        match self {
            Self::Path(label) => Some(label),
            Self::Column(_) => None,
        }
    }
}

/// The columns of one file that are read.
#[derive(Clone, Debug)]
pub(super) struct Columns {
    pub(super) features: usize,
    pub(super) vectors: VectorType,
    pub(super) labels: Option<usize>,
    /// In the order of `group_by`.
    pub(super) keys: Vec<Origin>,
    /// In the order of the filters.
    pub(super) filters: Vec<Origin>,
    /// Columns that have the name of a key in the path, where statistics do not show that both agree.
    pub(super) twins: Vec<Twin>,
}

impl Columns {
    /// The roots of labels, keys, filters and twins, ascending and each once.
    pub(super) fn scalars(&self) -> Vec<usize> {
        let keys = self.keys.iter().chain(&self.filters).filter_map(|origin| match origin {
            Origin::Path(_) => None,
            Origin::Column(root) => Some(*root),
        });
        let twins = self.twins.iter().map(|twin| twin.root);
        let mut roots: Vec<usize> = self.labels.into_iter().chain(keys).chain(twins).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}

const FEATURE_NAMES: [&str; 8] =
    ["feature", "features", "embedding", "embeddings", "emb", "vector", "hidden_state", "hidden_states"];
pub(super) const LABEL_NAMES: [&str; 5] = ["label", "labels", "y", "target", "class"];

/// The columns of a file, as far as choosing goes.
pub(super) struct Schema<'a> {
    footer: &'a Footer,
    /// Columns of bytes that are vectors, since somebody has said of what.
    dtypes: &'a Dtypes,
    /// What the writer's own schema says, where it can be read: fixed sizes, dictionaries.
    embedded: Option<arrow::datatypes::Schema>,
    /// The column of each name; `None` where there are several.
    positions: HashMap<&'a str, Option<usize>>,
}

impl<'a> Schema<'a> {
    pub(super) fn new(footer: &'a Footer, dtypes: &'a Dtypes) -> Self {
        let metadata = footer.parquet().file_metadata();
        // It is read for what it adds, so damage in it is no harm.
        let embedded = metadata
            .key_value_metadata()
            .and_then(|pairs| guarded(|| parquet_to_arrow_schema(metadata.schema_descr(), Some(pairs))).ok());
        let mut positions = HashMap::new();
        for (at, field) in footer.arrow.schema().fields().iter().enumerate() {
            positions.entry(field.name().as_str()).and_modify(|several| *several = None).or_insert(Some(at));
        }
        Self { footer, dtypes, embedded, positions }
    }

    fn fields(&self) -> &[std::sync::Arc<Field>] {
        self.footer.arrow.schema().fields()
    }

    pub(super) fn field(&self, root: usize) -> &Field {
        &self.fields()[root]
    }

    fn embedded(&self, root: usize) -> &Field {
        let same = |field: &&Field| field.name() == self.field(root).name();
        self.embedded.as_ref().map(|schema| schema.field(root)).filter(same).unwrap_or_else(|| self.field(root))
    }

    /// The position of the column of that name.
    pub(super) fn position(&self, name: &str) -> Result<Option<usize>> {
        match self.positions.get(name) {
            Some(None) => Err(Error::data("two columns have one name").with("column", super::escaped(name))),
            Some(only) => Ok(*only),
            None => Ok(None),
        }
    }

    /// How a column stores vectors, if it does.
    pub(super) fn vectors(&self, root: usize) -> Option<VectorType> {
        match self.field(root).data_type() {
            DataType::List(item) => Element::of(item.data_type()).map(VectorType::List),
            // An id or a hash looks like a vector, and f16 like f32: nothing but the user tells them apart.
            DataType::FixedSizeBinary(_) => {
                let name = self.field(root).name();
                let &(_, dtype) = self.dtypes.iter().find(|(column, _)| column == name)?;
                let width = self.plain_bytes(root)?;
                (width > 0 && width.is_multiple_of(dtype.width()))
                    .then_some(VectorType::Bytes { dim: width / dtype.width(), dtype })
            }
            _ => None,
        }
    }

    /// The width of a column of bytes that are nothing else, as UUIDs, decimals and intervals are.
    pub(super) fn plain_bytes(&self, root: usize) -> Option<usize> {
        let DataType::FixedSizeBinary(width) = self.field(root).data_type() else { return None };
        let info = self.footer.parquet().file_metadata().schema_descr().root_schema().get_fields()[root].clone();
        let plain = info.get_basic_info().logical_type_ref().is_none()
            && info.get_basic_info().converted_type() == parquet::basic::ConvertedType::NONE;
        plain.then(|| usize::try_from(*width).unwrap_or(0))
    }

    /// `D`, where the schema tells.
    pub(super) fn dim(&self, root: usize) -> Option<usize> {
        match (self.vectors(root)?, self.embedded(root).data_type()) {
            (VectorType::Bytes { dim, .. }, _) => Some(dim),
            (VectorType::List(_), DataType::FixedSizeList(_, size)) => usize::try_from(*size).ok().filter(|&d| d > 0),
            _ => None,
        }
    }

    /// The type of a column as its writer named it.
    pub(super) fn kind(&self, root: usize) -> String {
        match self.vectors(root) {
            Some(VectorType::Bytes { dim, dtype }) => {
                let widened = if dtype == Dtype::Bf16 { ", widened to f32" } else { "" };
                format!("fixed_size_binary({}) as {}{widened}", dtype.width() * dim, dtype.name())
            }
            _ => type_name(self.embedded(root).data_type()),
        }
    }

    fn names_of(&self, keep: impl Fn(&Self, usize) -> bool) -> Vec<&str> {
        (0..self.fields().len()).filter(|&root| keep(self, root)).map(|root| self.field(root).name().as_str()).collect()
    }

    /// All columns.
    pub(super) fn names(&self) -> Vec<&str> {
        self.names_of(|_, _| true)
    }

    /// The columns of single values.
    pub(super) fn scalars(&self) -> Vec<&str> {
        self.names_of(|schema, root| label_kind(schema.field(root).data_type()).is_some())
    }

    /// The column of the vectors, and why it.
    pub(super) fn choose_features(&self, request: &Request) -> Result<(usize, &'static str)> {
        if let Some(name) = &request.features {
            let vectors = || self.names_of(|schema, root| schema.vectors(root).is_some());
            let root = self.position(name)?.ok_or_else(|| self.no_column(name, "vectors", vectors()))?;
            self.check_dtype(root, request.dtype)?;
            if self.vectors(root).is_none() {
                return Err(unusable::feature(self, root));
            }
            return Ok((root, "named"));
        }
        if let Some(dtype) = request.dtype {
            return Err(Error::usage("a type without a column: --dtype says what the bytes of a column are")
                .help(format!("--features COLUMN --dtype {}", dtype.name())));
        }
        let vectors: Vec<usize> = (0..self.fields().len()).filter(|&root| self.vectors(root).is_some()).collect();
        match vectors[..] {
            [] => Err(unusable::features(self)),
            [only] => Ok((only, "only vector column")),
            _ => {
                let known = |&root: &usize| FEATURE_NAMES.contains(&self.field(root).name().as_str());
                let known: Vec<usize> = vectors.iter().copied().filter(known).collect();
                if let [only] = known[..] {
                    return Ok((only, "well-known name"));
                }
                let candidates = if known.is_empty() { &vectors } else { &known };
                let names: Vec<&str> = candidates.iter().map(|&root| self.field(root).name().as_str()).collect();
                Err(Error::usage("several columns hold vectors")
                    .with("columns", list(&names))
                    .help(format!("name one: --features {}", super::escaped(names[0]))))
            }
        }
    }

    /// A type is for bytes alone, and their number must be a multiple of its own.
    fn check_dtype(&self, root: usize, dtype: Option<Dtype>) -> Result<()> {
        let Some(dtype) = dtype else { return Ok(()) };
        let column = || super::escaped(self.field(root).name());
        let width = match (self.plain_bytes(root), self.vectors(root)) {
            (Some(width), _) => width,
            (None, Some(vectors)) if vectors.element().name() == dtype.name() => return Ok(()),
            (None, Some(_)) => {
                return Err(Error::usage("the column says itself of what type its vectors are")
                    .with("column", column())
                    .with("type", self.kind(root))
                    .help("leave --dtype away: it is for fixed-size binary"));
            }
            (None, None) => return Ok(()),
        };
        if width > 0 && width.is_multiple_of(dtype.width()) {
            return Ok(());
        }
        let fitting: Vec<&str> =
            Dtype::ALL.into_iter().filter(|dtype| width.is_multiple_of(dtype.width())).map(Dtype::name).collect();
        let error = Error::usage("the bytes of the column are no whole number of values of that type")
            .with("column", column())
            .with("type", self.kind(root))
            .with("bytes of a value", dtype.width());
        Err(match fitting[..] {
            [] => error.help("an odd number of bytes is no vector: name another column with --features"),
            _ => error.help(format!("--dtype {} would fit", fitting.join(" or "))),
        })
    }

    /// The column of the labels, and why it; `None` if there may be none and there is none.
    pub(super) fn choose_labels(&self, request: &Request) -> Result<Option<(usize, &'static str)>> {
        let usable = |root: &usize| label_kind(self.field(*root).data_type()).is_some();
        if let Some(name) = &request.labels {
            match self.position(name)? {
                Some(root) if request.any_labels && !usable(&root) => {}
                None if request.any_labels => {}
                Some(root) => {
                    self.label_kind(root)?;
                    return Ok(Some((root, "named")));
                }
                None => return Err(self.no_column(name, "labels", self.scalars())),
            }
        }
        let known = self.names_of(|schema, root| {
            LABEL_NAMES.contains(&schema.field(root).name().as_str())
                && label_kind(schema.field(root).data_type()).is_some()
        });
        match known[..] {
            [] if request.labels_optional => Ok(None),
            [] => Err(unusable::labels(self)),
            [only] => Ok(self.position(only)?.map(|root| (root, "well-known name"))),
            _ if request.any_labels => Ok(None),
            _ => Err(Error::usage("several columns have well-known names of labels")
                .with("columns", list(&known))
                .help(format!("name one: --labels {}", super::escaped(known[0])))),
        }
    }

    /// The kind of label that a column's values are.
    pub(super) fn label_kind(&self, root: usize) -> Result<LabelKind> {
        label_kind(self.field(root).data_type()).ok_or_else(|| {
            Error::usage("the column holds no labels: they are integers, booleans, strings or floats holding integers")
                .with("column", super::escaped(self.field(root).name()))
                .with("type", self.kind(root))
        })
    }

    fn no_column(&self, name: &str, what: &str, candidates: Vec<&str>) -> Error {
        let all = self.names();
        let near = did_you_mean(name, all.iter().copied()).map(|near| super::escaped(&near));
        let shown = if candidates.is_empty() { all } else { candidates };
        let error = Error::usage(format!("no such column for {what}"))
            .with("column", super::escaped(name))
            .with("columns", list(&shown));
        near.into_iter().fold(error, Error::help)
    }
}

/// Refuses types for columns that are not there, or are no bytes that they divide.
pub(super) fn check_dtypes(schema: &Schema<'_>, dtypes: &Dtypes) -> Result<()> {
    for (name, dtype) in dtypes {
        let root = schema.position(name)?.ok_or_else(|| schema.no_column(name, "vectors", Vec::new()))?;
        schema.check_dtype(root, Some(*dtype))?;
        if schema.vectors(root).is_none() {
            return Err(unusable::feature(schema, root));
        }
    }
    Ok(())
}

/// The kind of label that values of a type are.
pub(super) fn label_kind(kind: &DataType) -> Option<LabelKind> {
    match kind {
        DataType::Boolean => Some(LabelKind::Bool),
        DataType::Utf8 => Some(LabelKind::Text),
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Some(LabelKind::Int),
        kind if kind.is_integer() => Some(LabelKind::Int),
        _ => None,
    }
}

/// The leaf columns of Parquet below these roots.
pub(super) fn leaves(metadata: &ParquetMetaData, roots: &[usize]) -> Vec<usize> {
    let schema = metadata.file_metadata().schema_descr();
    let roots: HashSet<usize> = roots.iter().copied().collect();
    (0..schema.num_columns()).filter(|&leaf| roots.contains(&schema.get_column_root_idx(leaf))).collect()
}

/// The first leaf column of Parquet below each root that has one.
pub(super) fn first_leaves(metadata: &ParquetMetaData) -> HashMap<usize, usize> {
    let schema = metadata.file_metadata().schema_descr();
    (0..schema.num_columns()).rev().map(|leaf| (schema.get_column_root_idx(leaf), leaf)).collect()
}

/// Names as they are listed in errors.
pub(super) fn list(names: &[&str]) -> String {
    const MOST: usize = 20;
    let mut shown: Vec<String> = names.iter().take(MOST).map(|name| super::escaped(name)).collect();
    if names.len() > MOST {
        shown.push(format!("and {} more", names.len() - MOST));
    }
    if shown.is_empty() { "none".into() } else { shown.join(", ") }
}

/// A short name of an Arrow type.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::FixedSizeList(item, _) => format!("fixed_size_list<{}>", element_name(item)),
        DataType::List(item) => format!("list<{}>", element_name(item)),
        DataType::LargeList(item) => format!("large_list<{}>", element_name(item)),
        DataType::Dictionary(_, values) => format!("dictionary<{}>", type_name(values)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string".into(),
        DataType::Boolean => "bool".into(),
        DataType::FixedSizeBinary(width) => format!("fixed_size_binary({width})"),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", super::escaped(field.name()), type_name(field.data_type())))
                .collect();
            format!("struct<{}>", fields.join(", "))
        }
        other => super::escaped(&other.to_string().to_lowercase()),
    }
}

fn element_name(item: &Field) -> String {
    Element::of(item.data_type()).map_or_else(|| type_name(item.data_type()), |element| element.name().into())
}
