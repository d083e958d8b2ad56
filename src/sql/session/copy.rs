//! Statements that write files: `COPY` writes them whole or not at all.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use datafusion::common::Result as SqlResult;
use datafusion::common::tree_node::{Transformed, TreeNode as _, TreeNodeRecursion};
use datafusion::datasource::listing::{ListingTable, ListingTableUrl};
use datafusion::datasource::{MemTable, source_as_provider};
use datafusion::logical_expr::dml::CopyTo;
use datafusion::logical_expr::{Expr, LogicalPlan, TableSource};
use datafusion::scalar::ScalarValue;

use crate::archive::{HeadSource, Spellings};
use crate::error::{Error, Result};
use crate::sql::error::{explain, external};
use crate::sql::sources::archive_table::ArchiveTable;
use crate::sql::sources::paths::url;
use crate::store::{Staged, refuse_inputs};

/// Makes a plan that is about to run write into folders of its own: what it writes takes its place when it is whole.
///
/// `outputs` are files that its rows will be written to. With `replace`, a file that is there is replaced.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) if an output is one of the files that are read, or a statement adds rows to
/// files; those of [`Staged::new`].
pub(in crate::sql) fn stage(
    plan: LogicalPlan,
    outputs: &[PathBuf],
    replace: bool,
) -> Result<(LogicalPlan, Vec<Staged>)> {
    // It only shows what would be done.
    if matches!(plan, LogicalPlan::Explain(_)) {
        return Ok((plan, Vec::new()));
    }
    let mut targets = outputs.to_vec();
    let mut staged = Vec::new();
    let staging = plan.clone().transform_down(|node| match node {
        LogicalPlan::Copy(copy) => {
            let Some(target) = local(&copy.output_url)? else { return Ok(Transformed::no(LogicalPlan::Copy(copy))) };
            targets.push(target.clone());
            let place = Staged::new(&target, is_folder(&copy), replace).map_err(external)?;
            let output_url = url(place.place(), is_folder(&copy)).map_err(external)?.to_string();
            staged.push(place);
            Ok(Transformed::yes(LogicalPlan::Copy(CopyTo { output_url, ..copy })))
        }
        LogicalPlan::Dml(insert) if !in_memory(&insert.target) => Err(external(
            Error::usage("rows of files cannot be added, changed or deleted so that all of them are, or none")
                .with("table", insert.table_name.table())
                .help("COPY (SELECT …) TO 'FILE' writes a file whole"),
        )),
        node => Ok(Transformed::no(node)),
    });
    let staging = staging.map_err(explain)?.data;
    if !targets.is_empty() {
        let mut inputs = Vec::new();
        add_inputs(&plan, &mut inputs).map_err(explain)?;
        refuse_inputs(targets.iter().map(PathBuf::as_path), inputs)?;
    }
    Ok((staging, staged))
}

fn in_memory(table: &Arc<dyn TableSource>) -> bool {
    source_as_provider(table).is_ok_and(|provider| provider.downcast_ref::<MemTable>().is_some())
}

/// The path that a target stands for, unless it is on another machine.
fn local(target: &str) -> SqlResult<Option<PathBuf>> {
    if !target.contains("://") {
        return Ok(Some(PathBuf::from(target)));
    }
    let url = ListingTableUrl::parse(target)?;
    Ok((url.scheme() == "file").then(|| path_of(&url)))
}

fn path_of(url: &ListingTableUrl) -> PathBuf {
    let end = if url.is_collection() { "/" } else { "" };
    PathBuf::from(format!("/{}{end}", url.prefix()))
}

/// Whether a statement writes a folder of files: DataFusion goes by the path's extension.
fn is_folder(copy: &CopyTo) -> bool {
    let name = copy.output_url.rsplit('/').next().unwrap_or_default();
    !name.contains('.') || name.ends_with('.') || !copy.partition_by.is_empty()
}

/// The files that a plan reads: those of its tables, views resolved, and heads that it names.
fn add_inputs(plan: &LogicalPlan, inputs: &mut Vec<PathBuf>) -> SqlResult<()> {
    plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node
            && let Ok(provider) = source_as_provider(&scan.source)
        {
            if let Some(archive) = provider.downcast_ref::<ArchiveTable>() {
                inputs.extend(archive.archive().paths().map(Path::to_owned));
            } else if let Some(files) = provider.downcast_ref::<ListingTable>() {
                inputs.extend(files.table_paths().iter().map(path_of));
            }
        }
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                let arguments = match part {
                    Expr::ScalarFunction(call) => call.args.as_slice(),
                    Expr::AggregateFunction(call) => call.params.args.as_slice(),
                    _ => &[],
                };
                inputs.extend(arguments.iter().flat_map(heads));
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(())
}

/// The files of a head, if that is what an argument names.
fn heads(argument: &Expr) -> Vec<PathBuf> {
    let Expr::Literal(ScalarValue::Utf8(Some(text)), _) = argument else { return Vec::new() };
    let head = HeadSource::parse(text).and_then(|source| source.fill(&[], &Spellings::default()));
    head.map_or_else(|_| Vec::new(), |head| std::iter::once(head.weights).chain(head.bias).collect())
}
