//! The request: which rows of which files.

use super::dtype::Dtype;
use super::names::is_label_file;
use crate::batch::Label;

/// What to do with rows or files that cannot be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Policy {
    /// Stop with an error that says where.
    #[default]
    Fail,
    /// Leave them out, and count them.
    Skip,
}
/// Which rows of an archive are read, and how.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The vector column, or a pattern of columns that hold one element each, as `f*`, in the order of the numbers in their
    /// names; `None` finds the only one, or one of a well-known name.
    pub features: Option<String>,
    /// The type of the numbers in a vector column of fixed-size binary, which has to be named in `features`.
    pub dtype: Option<Dtype>,
    /// The label column, or a file of labels as `labels.npy`, one for each row of every input; `None` finds a column of a
    /// well-known name.
    pub labels: Option<String>,
    /// Whether there may be no label column: then all rows are of the one class 0.
    pub labels_optional: bool,
    /// Whether labels only tell rows apart, or may be missing, file by file: nulls are a class, negative integers and all
    /// floats are classes, and a column of another type is ignored.
    pub any_labels: bool,
    /// Columns or hive keys whose values make the groups, in this order.
    pub group_by: Vec<String>,
    /// Whether keys that do not exist are left out of the groups' keys; otherwise they are an error.
    pub keys_optional: bool,
    /// `(key, value)` on group columns: all keys must match, each with one of its values.
    pub filters: Vec<(String, String)>,
    /// Whether a value of the filters may match nothing, as when files are looked for again; otherwise it is an error.
    pub filters_optional: bool,
    /// Columns whose ranges are recorded although the request does not group or filter by them.
    pub notice: Vec<String>,
    /// Rows with a null label, vector or vector element.
    pub nulls: Policy,
    /// Rows with a NaN or an infinity.
    pub nonfinite: Policy,
    /// Files that are damaged or in an unknown format.
    pub bad_files: Policy,
    /// Whether each row is divided by its length before anything else is done with it; what comes out is `f64`. A row of
    /// zeros counts as one that is not finite.
    pub normalize: bool,
    /// Rows of this label count towards the grid of their chunk and for nothing else.
    pub ignore_label: Option<String>,
    /// Whether files with the same content may be read, so that their rows count twice.
    pub allow_duplicates: bool,
    /// Bytes that footers may take while files are opened; `None` is no limit.
    pub memory: Option<u64>,
}

impl Request {
    /// The same for rows of other files, to which a file of labels does not belong.
    pub(crate) fn without_label_file(mut self) -> Self {
        self.labels = self.labels.filter(|labels| !is_label_file(labels));
        self
    }
}

/// The values of the `group_by` keys, in their order.
pub type Key = Vec<Label>;
