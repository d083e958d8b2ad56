//! An archive as a table of DataFusion: every column, and hidden ones that bring each row's grid along.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{DFSchema, Result as SqlResult, Statistics};
use datafusion::logical_expr::expr_rewriter::unnormalize_col;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::scalar::ScalarValue;

use crate::archive::{Dtype, Table, Wanted};
use crate::batch::Label;
use crate::error::{Error, Result};
use crate::objects::is_web;
use crate::sql::settings::Settings;
use crate::sql::sources::scan::ArchiveScan;
use crate::sql::values::grid_column;

/// An archive that SQL can read, by the reader that `nckit measure` uses.
///
/// Aggregates of its bare columns `(feature, label)` have the same bits as `nckit measure`, whatever the batches, partitions
/// and joins on the way.
#[derive(Clone, Debug)]
pub struct ArchiveTable {
    table: Arc<Table>,
    /// What users see.
    visible: SchemaRef,
    /// The same, and a grid for each of the pairs.
    wide: SchemaRef,
    /// Pairs of a vector column and a label column whose grids are shown, in the order of their columns: none but in plans
    /// that the analyzer has seen.
    pairs: Vec<(usize, usize)>,
}

impl ArchiveTable {
    /// Opens files, directories or patterns as one table.
    ///
    /// Fixed-size binary is bytes, unless an input says of which type the numbers in a column are: `PATH?emb=f16`, and
    /// `PATH?a=f16&b=f32` of two.
    ///
    /// # Errors
    ///
    /// Those of [`Table::open`]; [`Usage`](crate::error::ErrorKind::Usage) for types that are none.
    pub fn open(inputs: &[String]) -> Result<Self> {
        let (mut paths, mut dtypes) = (Vec::new(), Vec::new());
        for input in inputs {
            let (path, columns) = with_dtypes(input)?;
            paths.push(path);
            dtypes.extend(columns);
        }
        let table = Table::open(&paths, &dtypes)?;
        let columns = table.columns();
        let visible: Vec<Field> =
            columns.iter().map(|column| Field::new(&column.name, column.data_type.clone(), true)).collect();
        let visible = Arc::new(Schema::new(visible));
        Ok(Self { wide: visible.clone(), visible, pairs: Vec::new(), table: Arc::new(table) })
    }

    /// The archive.
    pub fn archive(&self) -> &Table {
        &self.table
    }

    /// The same table with one more column, the last: the grids of a pair of columns.
    pub(in crate::sql) fn with_grid(&self, feature: &str, label: &str, name: &str) -> Option<Self> {
        let columns = self.table.columns();
        let at = |name: &str| self.visible.index_of(name).ok();
        let pair = (at(feature)?, at(label)?);
        if !columns[pair.0].is_vector || !columns[pair.1].is_label {
            return None;
        }
        let grid = Arc::new(Field::new(name, grid_column::data_type(), true));
        let fields: Vec<Arc<Field>> = self.wide.fields().iter().cloned().chain([grid]).collect();
        let pairs = self.pairs.iter().copied().chain([pair]).collect();
        Some(Self { wide: Arc::new(Schema::new(fields)), pairs, ..self.clone() })
    }

    /// The positions of the columns of an expression, if all are columns of this table.
    fn columns_of(&self, expression: &Expr) -> Option<Vec<usize>> {
        expression.column_refs().iter().map(|column| self.visible.index_of(&column.name).ok()).collect()
    }

    /// Whether all rows of every unit agree in these columns, as they do in hive keys.
    fn are_constant(&self, columns: &[usize]) -> bool {
        let mut units = 0..self.table.units().len();
        units.all(|unit| columns.iter().all(|column| self.table.constants(unit).contains_key(column)))
    }

    /// The units in which a row may pass the filters, as far as their constants tell.
    fn units(&self, session: &dyn Session, filters: &[Expr]) -> SqlResult<Vec<usize>> {
        let schema = DFSchema::try_from(self.visible.as_ref().clone())?;
        let mut tests = Vec::new();
        for filter in filters {
            if let Some(columns) = self.columns_of(filter) {
                tests.push((columns, session.create_physical_expr(unnormalize_col(filter.clone()), &schema)?));
            }
        }
        let may_pass = |unit: usize| -> SqlResult<bool> {
            for (columns, test) in &tests {
                if columns.iter().all(|column| self.table.constants(unit).contains_key(column)) {
                    let value = test.evaluate(&self.row(unit)?)?.into_array(1)?;
                    let value = value.as_boolean();
                    if value.is_null(0) || !value.value(0) {
                        return Ok(false);
                    }
                }
            }
            Ok(true)
        };
        let mut kept = Vec::new();
        for unit in 0..self.table.units().len() {
            if may_pass(unit)? {
                kept.push(unit);
            }
        }
        Ok(kept)
    }

    /// A row of a unit's constants; nulls in other columns.
    fn row(&self, unit: usize) -> SqlResult<RecordBatch> {
        let column = |(at, field): (usize, &Arc<Field>)| -> SqlResult<ArrayRef> {
            let value = match self.table.constants(unit).get(&at) {
                None => return Ok(new_null_array(field.data_type(), 1)),
                Some(Label::Bool(value)) => ScalarValue::Boolean(Some(*value)),
                Some(Label::Int(value)) => ScalarValue::Decimal128(Some(*value), 38, 0),
                Some(Label::Text(value)) => ScalarValue::Utf8(Some(value.to_string())),
            };
            Ok(cast(&value.to_array()?, field.data_type())?)
        };
        let columns: Vec<ArrayRef> = self.visible.fields().iter().enumerate().map(column).collect::<SqlResult<_>>()?;
        Ok(RecordBatch::try_new(self.visible.clone(), columns)?)
    }
}

/// Parts `PATH?column=type&…`; a `?` that no `column=type` follows belongs to a pattern.
fn with_dtypes(input: &str) -> Result<(String, Vec<(String, Dtype)>)> {
    // Of a web address it belongs to the address.
    let parted = input.rsplit_once('?').filter(|_| !is_web(Path::new(input)));
    let pairs = parted.and_then(|(path, query)| {
        let pairs = query.split('&').map(|pair| pair.split_once('=').filter(|(column, _)| !column.contains('/')));
        Some((path, pairs.collect::<Option<Vec<_>>>()?))
    });
    let Some((path, pairs)) = pairs else { return Ok((input.to_owned(), Vec::new())) };
    let dtype = |(column, name): (&str, &str)| match Dtype::from_name(name) {
        Some(dtype) => Ok((column.to_owned(), dtype)),
        None => Err(Error::usage("not a type of numbers")
            .with("column", column.escape_debug())
            .with("type", name.escape_debug())
            .help(format!("'{}?{}=f32', or f16, bf16, f64", path.escape_debug(), column.escape_debug()))),
    };
    Ok((path.to_owned(), pairs.into_iter().map(dtype).collect::<Result<_>>()?))
}

#[async_trait]
impl TableProvider for ArchiveTable {
    fn schema(&self) -> SchemaRef {
        self.wide.clone()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        session: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        let units = self.units(session, filters)?;
        let everything: Vec<usize> = (0..self.schema().fields().len()).collect();
        let projection = projection.unwrap_or(&everything);
        let visible = self.visible.fields().len();
        let is_column = |&&at: &&usize| at < visible;
        let settings = Settings::of(session.config_options());
        let wanted = Wanted {
            columns: projection.iter().filter(is_column).copied().collect(),
            grids: projection.iter().filter(|at| !is_column(at)).map(|at| self.pairs[at - visible]).collect(),
            extra_bits: settings.extra_bits,
            normalize: settings.normalize,
        };
        // Where each projected column comes from: the columns come first, then the grids.
        let (mut columns, mut grids) = (0, wanted.columns.len());
        let order = projection.iter().map(|at| {
            let next = if *at < visible { &mut columns } else { &mut grids };
            *next += 1;
            *next - 1
        });
        let order = order.collect();
        let schema = Arc::new(self.wide.project(projection)?);
        let partitions = session.config().target_partitions();
        Ok(Arc::new(ArchiveScan::new(self.table.clone(), &units, wanted, order, schema, partitions, limit)))
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> SqlResult<Vec<TableProviderFilterPushDown>> {
        let support = |filter: &&Expr| match self.columns_of(filter) {
            Some(columns) if !filter.is_volatile() && self.are_constant(&columns) => TableProviderFilterPushDown::Exact,
            Some(_) if !filter.is_volatile() => TableProviderFilterPushDown::Inexact,
            _ => TableProviderFilterPushDown::Unsupported,
        };
        Ok(filters.iter().map(support).collect())
    }

    fn statistics(&self) -> Option<Statistics> {
        let rows = self.table.units().iter().map(|unit| unit.rows as usize).sum();
        Some(Statistics::new_unknown(&self.schema()).with_num_rows(Precision::Exact(rows)))
    }
}
