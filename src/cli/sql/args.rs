//! The flags of `nckit sql`.

use clap::Args as ClapArgs;

use crate::cli::args::{Machine, ResultFlags};

pub(in crate::cli) const EXAMPLES: &str = "\
Examples:
  nckit sql -c \"SELECT epoch, nc1_pinv(feature, label) FROM 'archive' GROUP BY epoch ORDER BY epoch\"
  nckit sql --list
  nckit sql -f nc1_along_training --table features=archive --param layer=h3 --param split=train
  nckit sql -f my.sql --table features='archive/**/*.parquet' --table runs=runs.csv -o runs.parquet
  nckit sql

Without -c and -f, statements are read from standard input, or typed into a shell on a terminal.

Exit codes: 0 done, 2 usage or SQL, 65 bad data, 66 no input, 70 a bug, 73 cannot create the
output, 74 I/O, 75 more memory needed or another process writes the output, 130 interrupted,
143 terminated. docs/sql.md has the limits.";

#[derive(Debug, ClapArgs)]
pub(in crate::cli) struct Sql {
    /// Statements to run, separated by semicolons; the result of each is printed
    #[arg(short, long, value_name = "SQL", allow_hyphen_values = true, help_heading = "Queries")]
    pub(super) command: Option<String>,
    /// A file of statements, or the name of a query that comes with nckit; `-` is standard input
    #[arg(short, long, value_name = "FILE", conflicts_with = "command", help_heading = "Queries")]
    pub(super) file: Option<String>,
    /// List the queries that come with nckit, or print the text of one of them
    #[arg(long, value_name = "NAME", num_args = 0..=1, default_missing_value = "", conflicts_with_all = ["command", "file"], help_heading = "Queries")]
    pub(super) list: Option<String>,
    /// Give a table a name: files (Parquet, Arrow IPC, .npy, .npz, .safetensors, .pt, CSV, JSON), directories (hive
    /// trees too) and quoted globs; without a name, a query can use a path in quotes
    #[arg(long, value_name = "NAME=PATH", help_heading = "Queries")]
    pub(super) table: Vec<String>,
    /// Set the parameter $NAME of the query: a number, true, false or text
    #[arg(long, value_name = "NAME=VALUE", help_heading = "Queries")]
    pub(super) param: Vec<String>,
    /// Permit statements that write, such as CREATE TABLE, and COPY, whose files and folders appear only when complete
    #[arg(long, help_heading = "Queries")]
    pub(super) allow_write: bool,

    #[cfg(feature = "cluster")]
    #[command(flatten)]
    pub(super) cluster: crate::cli::cluster::args::QueryFlags,

    #[command(flatten)]
    pub(super) result: ResultFlags,

    #[command(flatten)]
    pub(super) machine: Machine,
}
