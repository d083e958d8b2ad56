//! What is asked of an archive.

use super::dtype::Dtype;
use crate::batch::Label;

/// What to do with rows or files that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Policy {
    /// Stop with an error that says where.
    #[default]
    Fail,
    /// Leave them out, and count them.
    Skip,
}
/// What is asked of an archive.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The vector column; `None` finds the only one, or one of a well-known name.
    pub features: Option<String>,
    /// What the bytes of the vector column are; only for fixed-size binary, which is never chosen by itself.
    pub dtype: Option<Dtype>,
    /// The label column; `None` finds one of a well-known name.
    pub labels: Option<String>,
    /// Whether there may be no label column: then all rows are of the one class 0.
    pub labels_optional: bool,
    /// Whether labels of any kind will do, or none, file by file: nulls are a class, negative integers and floats of any
    /// value are classes, and a column that holds no labels is no label column.
    pub any_labels: bool,
    /// Columns or hive keys whose values make the groups, in this order.
    pub group_by: Vec<String>,
    /// Whether keys that are not there are left out of the groups' keys, and not an error.
    pub keys_optional: bool,
    /// `(key, value)` on group columns: different keys are and, the same key twice is or.
    pub filters: Vec<(String, String)>,
    /// Keys of which it is told what values they have, though nobody groups or filters by them.
    pub notice: Vec<String>,
    /// Rows with a null label, vector or vector element.
    pub nulls: Policy,
    /// Rows with a NaN or an infinity.
    pub nonfinite: Policy,
    /// Files that are no Parquet, or damaged.
    pub bad_files: Policy,
    /// Rows of this label count towards the grid of their chunk and nothing else.
    pub ignore_label: Option<String>,
    /// Whether the same content under two names counts twice.
    pub allow_duplicates: bool,
    /// Bytes that footers may take while files are opened; `None` is no limit.
    pub memory: Option<u64>,
}

/// The values of the `group_by` keys, in their order.
pub type Key = Vec<Label>;
