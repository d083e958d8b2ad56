//! Tables: archives, state files, and the paths that name them.

pub(super) mod archive_table;
pub(super) mod paths;
pub(super) mod scan;
pub(super) mod state_file;
