//! The columns of a file that are read.

use super::catalogue::VectorColumn;
use super::keys::Twin;
use crate::batch::Label;

/// Where the value of a key comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeyOrigin {
    /// A directory called `key=value`.
    Path(Label),
    /// A column, by its position among the roots of the schema.
    Column(usize),
}

impl KeyOrigin {
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
pub(super) struct FileColumns {
    pub(super) features: VectorColumn,
    pub(super) labels: Option<usize>,
    /// In the order of `group_by`.
    pub(super) keys: Vec<KeyOrigin>,
    /// In the order of the filters.
    pub(super) filters: Vec<KeyOrigin>,
    /// Columns that repeat a key of the path, unless statistics show already that both agree.
    pub(super) twins: Vec<Twin>,
    /// Columns by name that say what groups pool, where statistics do not.
    pub(super) watched: Vec<(String, usize)>,
}

impl FileColumns {
    /// Whether columns make the groups, so that paths do not say which rows of a file are of which.
    pub(super) fn groups_by_rows(&self) -> bool {
        self.keys.iter().any(|origin| origin.in_path().is_none())
    }

    /// The roots of labels, keys, filters, twins and watched columns, ascending and each once.
    pub(super) fn scalars(&self) -> Vec<usize> {
        let keys = self.keys.iter().chain(&self.filters).filter_map(|origin| match origin {
            KeyOrigin::Path(_) => None,
            KeyOrigin::Column(root) => Some(*root),
        });
        let twins = self.twins.iter().map(|twin| twin.root);
        let watched = self.watched.iter().map(|(_, root)| *root);
        let mut roots: Vec<usize> = self.labels.into_iter().chain(keys).chain(twins).chain(watched).collect();
        roots.sort_unstable();
        roots.dedup();
        roots
    }
}
