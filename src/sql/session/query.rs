//! Statements as text, run one by one: what they may do, and what comes of them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use datafusion::common::config::ConfigExtension as _;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::{SendableRecordBatchStream, SessionState};
use datafusion::logical_expr::{DdlStatement, LogicalPlan, Statement as PlanStatement};
use datafusion::physical_plan::execute_stream;
use datafusion::prelude::{DataFrame, SessionContext};
use datafusion::sql::parser::{CopyToSource, DFParserBuilder, ResetStatement, Statement};
use datafusion::sql::sqlparser::ast;
use futures::StreamExt;

use crate::archive::escaped;
use crate::error::{Error, Result};
use crate::sql::error::external;
use crate::sql::error::{explain, explain_plan, missing_table};
use crate::sql::functions::catalogue;
use crate::sql::session::nesting;
use crate::sql::session::shown::{Metrics, shown};
use crate::sql::session::{clauses, copy};
use crate::sql::settings::Settings;
use crate::store::Staged;

/// A statement, parsed and not planned yet.
#[derive(Clone, Debug)]
pub struct Query {
    statement: Statement,
    /// Files that its rows will be written to.
    outputs: Vec<PathBuf>,
}

/// Whether statements may write files and make tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// Queries, settings and views.
    #[default]
    Read,
    /// Everything, as long as no file is replaced.
    Write,
    /// Everything.
    Replace,
}

/// What comes of a statement.
pub struct Answer {
    schema: SchemaRef,
    metrics: Vec<Metrics>,
    rows: SendableRecordBatchStream,
    is_plan: bool,
    /// What the statement writes, until it is whole.
    staged: Vec<Staged>,
    /// Rows that waited for that.
    waiting: VecDeque<RecordBatch>,
}

impl Query {
    /// The statements of a text, separated by semicolons.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if it is not SQL, with line and column, or nests too deep.
    pub fn parse(text: &str) -> Result<Vec<Self>> {
        nesting::check(text)?;
        let parser = DFParserBuilder::new(text).build().map_err(explain);
        let statements = parser.and_then(|mut parser| parser.parse_statements().map_err(explain))?;
        Ok(statements.into_iter().map(|statement| Self { statement, outputs: Vec::new() }).collect())
    }

    /// Puts values in the place of parameters, `$name`; those that are there are added to `used`.
    ///
    /// A value that reads as a number or as `true` or `false` is one; any other is text. Values are never read as SQL.
    pub fn fill(&mut self, values: &BTreeMap<String, String>, used: &mut BTreeSet<String>) {
        each_expression(&mut self.statement, &mut |expression| {
            if let Some(name) = parameter(expression)
                && let Some((name, value)) = values.get_key_value(name)
            {
                used.insert(name.clone());
                *expression = literal(value);
            }
        });
    }

    /// Whether rows come of it.
    pub fn returns_rows(&self) -> bool {
        use ast::Statement as Sql;
        match &self.statement {
            Statement::Statement(statement) => !matches!(
                statement.as_ref(),
                Sql::Set(_)
                    | Sql::CreateView(_)
                    | Sql::CreateTable(_)
                    | Sql::CreateSchema { .. }
                    | Sql::CreateDatabase { .. }
                    | Sql::Drop { .. }
                    | Sql::Prepare { .. }
                    | Sql::Deallocate { .. }
            ),
            Statement::Reset(_) | Statement::CreateExternalTable(_) => false,
            Statement::CopyTo(_) | Statement::Explain(_) => true,
        }
    }

    /// Says which files its rows will be written to: it may not read one of them.
    pub fn write_to(&mut self, outputs: Vec<PathBuf>) {
        self.outputs = outputs;
    }

    /// Whether its rows are all that comes of it.
    pub fn only_answers(&self) -> bool {
        matches!(&self.statement, Statement::Statement(statement) if matches!(**statement, ast::Statement::Query(_)))
    }

    /// Plans it and begins to run it.
    ///
    /// What it writes takes its place once [`next`](Answer::next) has no more rows: files and folders are whole, or not
    /// there.
    ///
    /// Metrics that a query gives no name get their key: `SELECT nc1_pinv(feature, label)` makes a column `nc1_pinv`.
    ///
    /// # Errors
    ///
    /// [`Usage`](crate::error::ErrorKind::Usage) if it cannot be planned, has a clause that would be ignored or a parameter
    /// without a value, or writes and may not, or reads what is written; [`Output`](crate::error::ErrorKind::Output) if that
    /// cannot be written; and whatever the tables say.
    pub async fn run(mut self, context: &SessionContext, access: Access) -> Result<Answer> {
        self.check_parameters()?;
        self.take_back()?;
        check_clauses(&self.statement, &context.state())?;
        catalogue::show(&mut self.statement)?;
        name_columns(&mut self.statement);
        let explained = |error| missing_table(explain_plan(error), context);
        let plan = context.state().statement_to_plan(self.statement).await.map_err(explained)?;
        if access == Access::Read {
            plan.apply_with_subqueries(|node| {
                writes(node).map_or(Ok(TreeNodeRecursion::Continue), |what| Err(external(read_only(&what))))
            })
            .map_err(explain)?;
        }
        check_setting(&plan)?;
        let is_plan = matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
        let frame = context.execute_logical_plan(plan).await.map_err(explained)?;
        let (session, plan) = frame.into_parts();
        let (plan, staged) = copy::stage(plan, &self.outputs, access == Access::Replace)?;
        let metrics = shown(&plan).map_err(explain_plan)?;
        let frame = DataFrame::new(session, plan);
        let schema = frame.schema().inner().clone();
        let tasks = Arc::new(frame.task_ctx());
        let plan = frame.create_physical_plan().await.map_err(explain_plan)?;
        let rows = execute_stream(plan, tasks).map_err(explain)?;
        Ok(Answer { schema, metrics, rows, is_plan, staged, waiting: VecDeque::new() })
    }

    /// `RESET nc.x` is `SET nc.x = 'default'`: DataFusion resets its own settings alone.
    fn take_back(&mut self) -> Result<()> {
        let Statement::Reset(ResetStatement::Variable(name)) = &self.statement else { return Ok(()) };
        let name = name.to_string();
        if name.split_once('.').is_some_and(|(prefix, _)| prefix == Settings::PREFIX) {
            let text = format!("SET {name} = 'default'");
            let set = DFParserBuilder::new(text.as_str()).build();
            self.statement = set.and_then(|mut parser| parser.parse_statement()).map_err(explain)?;
        }
        Ok(())
    }

    fn check_parameters(&mut self) -> Result<()> {
        if matches!(&self.statement, Statement::Statement(inner) if matches!(inner.as_ref(), ast::Statement::Prepare { .. }))
        {
            return Ok(());
        }
        let mut missing = BTreeSet::new();
        each_expression(&mut self.statement, &mut |expression| {
            missing.extend(parameter(expression).map(str::to_owned));
        });
        if missing.is_empty() {
            return Ok(());
        }
        let each = |text: fn(&String) -> String, between| missing.iter().map(text).collect::<Vec<_>>().join(between);
        Err(Error::usage("a parameter has no value")
            .with("parameter", each(|name| format!("${name}"), ", "))
            .help(each(|name| format!("--param {name}=VALUE"), " ")))
    }
}

impl Answer {
    /// The columns.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The keys of the metrics that each column may show.
    pub fn metrics(&self) -> &[BTreeSet<&'static str>] {
        &self.metrics
    }

    /// Whether it is the plan of a query, to be shown as text.
    pub fn is_plan(&self) -> bool {
        self.is_plan
    }

    /// The next rows. What the statement writes is in its place before its first row is given out.
    ///
    /// # Errors
    ///
    /// Those of reading and of the functions; [`Io`](crate::error::ErrorKind::Io) if what is written cannot be.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>> {
        if !self.staged.is_empty() {
            while let Some(rows) = self.rows.next().await {
                self.waiting.push_back(rows.map_err(explain)?);
            }
            self.staged.drain(..).try_for_each(Staged::commit)?;
        }
        match self.waiting.pop_front() {
            Some(rows) => Ok(Some(rows)),
            None => self.rows.next().await.transpose().map_err(explain),
        }
    }
}

/// What a node of a plan would write.
fn writes(node: &LogicalPlan) -> Option<String> {
    match node {
        // A view is a name for a query, and gone with the session.
        LogicalPlan::Ddl(DdlStatement::CreateView(_) | DdlStatement::DropView(_)) => None,
        LogicalPlan::Ddl(statement) => Some(statement.name().to_owned()),
        LogicalPlan::Dml(statement) => Some(statement.op.to_string()),
        LogicalPlan::Copy(_) => Some("COPY".to_owned()),
        _ => None,
    }
}

fn read_only(statement: &str) -> Error {
    Error::usage("this statement writes, and the session only reads")
        .with("statement", statement)
        .help("--allow-write permits it; -o FILE writes the result of a query")
}

/// Refuses what the planner would read over.
fn check_clauses(statement: &Statement, session: &SessionState) -> Result<()> {
    match statement {
        Statement::Statement(inner) => clauses::check(inner, session),
        Statement::CopyTo(copy) => match &copy.source {
            CopyToSource::Query(query) => clauses::check(query, session),
            CopyToSource::Relation(_) => Ok(()),
        },
        Statement::Explain(explain) => check_clauses(&explain.statement, session),
        // DataFusion takes the types of columns from the first rows, and ends rows at line breaks within quotes.
        Statement::CreateExternalTable(table) if ["CSV", "JSON"].contains(&table.file_type.as_str()) => {
            let path = escaped(table.locations.first().map_or("PATH", String::as_str));
            Err(Error::usage("tables in text are read straight from their paths")
                .with("statement", "CREATE EXTERNAL TABLE")
                .help(format!("CREATE VIEW {} AS SELECT * FROM '{path}'", table.name)))
        }
        Statement::CreateExternalTable(_) | Statement::Reset(_) => Ok(()),
    }
}

/// A pool of its own would leave the states out.
fn check_setting(plan: &LogicalPlan) -> Result<()> {
    let variable = match plan {
        LogicalPlan::Statement(PlanStatement::SetVariable(set)) => &set.variable,
        LogicalPlan::Statement(PlanStatement::ResetVariable(reset)) => &reset.variable,
        _ => return Ok(()),
    };
    if variable != "datafusion.runtime.memory_limit" {
        return Ok(());
    }
    Err(Error::usage("the memory of a session cannot be changed while it runs")
        .with("setting", variable)
        .help("nckit sql --memory 8GiB; SET nc.memory = BYTES bounds the states alone"))
}

fn each_expression(statement: &mut Statement, each: &mut dyn FnMut(&mut ast::Expr)) {
    let mut visit = |expression: &mut ast::Expr| {
        each(expression);
        ControlFlow::<()>::Continue(())
    };
    // Nothing breaks off.
    let _ = match statement {
        Statement::Statement(inner) => ast::visit_expressions_mut(inner, visit),
        Statement::CopyTo(copy) => match &mut copy.source {
            CopyToSource::Query(query) => ast::visit_expressions_mut(query, &mut visit),
            CopyToSource::Relation(_) => ControlFlow::Continue(()),
        },
        Statement::Explain(explain) => {
            each_expression(&mut explain.statement, each);
            ControlFlow::Continue(())
        }
        Statement::CreateExternalTable(_) | Statement::Reset(_) => ControlFlow::Continue(()),
    };
}

/// The name of a parameter.
fn parameter(expression: &ast::Expr) -> Option<&str> {
    match expression {
        ast::Expr::Value(ast::ValueWithSpan { value: ast::Value::Placeholder(name), .. }) => name.strip_prefix('$'),
        _ => None,
    }
}

fn literal(value: &str) -> ast::Expr {
    let number = |text: &str| text.parse::<f64>().is_ok_and(f64::is_finite);
    match value {
        "true" | "false" => ast::Expr::value(ast::Value::Boolean(value == "true")),
        _ => match value.strip_prefix('-').filter(|rest| number(rest)) {
            Some(rest) => ast::Expr::UnaryOp {
                op: ast::UnaryOperator::Minus,
                expr: Box::new(ast::Expr::value(ast::Value::Number(rest.to_owned(), false))),
            },
            None if number(value) => ast::Expr::value(ast::Value::Number(value.to_owned(), false)),
            None => ast::Expr::value(ast::Value::SingleQuotedString(value.to_owned())),
        },
    }
}

/// Gives columns that have no name a short one: a metric's key, a field's name, or the expression as it was typed.
///
/// Otherwise a name would spell out the table of every column, and tables may be long paths.
fn name_columns(statement: &mut Statement) {
    let Statement::Statement(inner) = statement else { return };
    let ast::Statement::Query(query) = inner.as_mut() else { return };
    let ast::SetExpr::Select(select) = query.body.as_mut() else { return };
    // Such rows can only be sorted by expressions that are spelled as the columns are.
    if select.distinct.is_some() {
        return;
    }
    let keys: Vec<Option<String>> = select.projection.iter().map(key).collect();
    let mut taken: BTreeSet<String> = BTreeSet::new();
    for (at, item) in select.projection.iter_mut().enumerate() {
        let ast::SelectItem::UnnamedExpr(expression) = item else { continue };
        let own = keys[at].as_ref().filter(|key| keys.iter().filter(|other| other.as_ref() == Some(*key)).count() == 1);
        let name = match (&*expression, own) {
            // A column has a name; a field of a struct is named alike.
            (ast::Expr::Identifier(_), _) | (ast::Expr::CompoundIdentifier(_), None) => continue,
            (_, Some(own)) => own.clone(),
            (other, None) => numbered(other.to_string(), &taken),
        };
        taken.insert(name.clone());
        *item = ast::SelectItem::ExprWithAlias { expr: expression.clone(), alias: ast::Ident::with_quote('"', name) };
    }
}

/// A name that is not taken: of several equal expressions the later ones get a number.
fn numbered(name: String, taken: &BTreeSet<String>) -> String {
    if !taken.contains(&name) {
        return name;
    }
    let mut numbers = (2..=taken.len() + 2).map(|number| format!("{name}_{number}"));
    numbers.find(|name| !taken.contains(name)).unwrap_or(name)
}

/// The name that an item of a query has or could have.
fn key(item: &ast::SelectItem) -> Option<String> {
    match item {
        ast::SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        ast::SelectItem::UnnamedExpr(ast::Expr::Identifier(name)) => Some(name.value.clone()),
        ast::SelectItem::UnnamedExpr(ast::Expr::CompoundIdentifier(names)) => {
            names.last().map(|name| name.value.clone())
        }
        ast::SelectItem::UnnamedExpr(ast::Expr::Function(call)) if call.over.is_none() => {
            let name = call.name.to_string().to_lowercase();
            catalogue::is_ours(&name).then(|| name.strip_suffix("_of").map_or(name.clone(), str::to_owned))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::sql::{SessionOptions, session};

    const FLAT: &str = "tests/data/digits/flat";

    fn run(sql: &str, access: Access) -> Result<(Vec<String>, Vec<RecordBatch>)> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        runtime.block_on(async {
            let context = session(&SessionOptions { threads: 2, ..SessionOptions::default() }).await?;
            let mut last = (Vec::new(), Vec::new());
            for query in Query::parse(sql)? {
                let mut answer = query.run(&context, access).await?;
                let names = answer.schema().fields().iter().map(|field| field.name().clone()).collect();
                let mut rows = Vec::new();
                while let Some(batch) = answer.next().await? {
                    rows.push(batch);
                }
                last = (names, rows);
            }
            Ok(last)
        })
    }

    fn names(select: &str) -> Vec<String> {
        run(&format!("SELECT {select} FROM '{FLAT}' f WHERE split = 'train'"), Access::Read).unwrap().0
    }

    #[test]
    fn columns_are_named_as_metrics_are() {
        assert_eq!(names("nc1_trace_ratio(f.feature, label), count(*)"), ["nc1_trace_ratio", "count(*)"]);
        assert_eq!(names("nc1_cdnv_of(nc_moments(feature, label)), max(f.epoch) AS e"), ["nc1_cdnv", "e"]);
        let filter = "nc1_cdnv(feature, label) FILTER (WHERE label < 5)";
        assert_eq!(names(&format!("nc1_cdnv(feature, label), {filter}")), ["nc1_cdnv(feature, label)", filter]);
        assert_eq!(names("f.epoch, label + 1"), ["epoch", "label + 1"]);
    }

    #[test]
    fn what_writes_is_refused_wherever_it_stands() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x.csv");
        let file = file.display();
        for (statement, name) in [
            (format!("COPY (SELECT 1) TO '{file}'"), "COPY"),
            (format!("EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}'"), "COPY"),
            (format!("CREATE EXTERNAL TABLE t (a INT) STORED AS PARQUET LOCATION '{file}'"), "CreateExternalTable"),
            ("CREATE TABLE t AS SELECT 1".to_owned(), "CreateMemoryTable"),
            ("CREATE SCHEMA s".to_owned(), "CreateCatalogSchema"),
            ("DROP TABLE IF EXISTS t".to_owned(), "DropTable"),
        ] {
            let error = run(&statement, Access::Read).unwrap_err();
            assert_eq!((error.kind(), error.fact("statement")), (ErrorKind::Usage, Some(name)), "{statement}: {error}");
            assert!(error.advice().unwrap().contains("--allow-write"));
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        let external = format!("CREATE EXTERNAL TABLE t STORED AS CSV LOCATION '{file}'");
        let error = run(&external, Access::Write).unwrap_err();
        assert!(error.advice().unwrap().contains("CREATE VIEW t AS SELECT"), "{error}");
        run(&format!("COPY (SELECT 1 AS a) TO '{file}'"), Access::Write).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_only_reads_is_not() {
        for statement in [
            "SET nc.centring = 'sample'; SHOW nc.centring",
            "SET nc.min_count = 60; RESET nc.min_count; RESET datafusion.execution.batch_size; SHOW nc.min_count",
            "SET datafusion.execution.batch_size = 100; SELECT 1",
            "CREATE VIEW v AS SELECT 1 AS a; SELECT a FROM v; DROP VIEW v; SELECT 1",
            "EXPLAIN SELECT 1",
            "PREPARE p AS SELECT $1 + 1; EXECUTE p(1)",
            "SHOW TABLES; SELECT 1",
        ] {
            let (_, rows) = run(statement, Access::Read).unwrap_or_else(|error| panic!("{statement}: {error}"));
            assert!(!rows.is_empty(), "{statement}");
        }
    }

    #[test]
    fn parameters_are_values_and_never_sql() {
        let values = [("n", "-3"), ("x", "0.5"), ("b", "true"), ("t", "'; DROP TABLE t; --"), ("u", "1")];
        let values = values.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let mut queries = Query::parse("SELECT $n, $x, $b, $t; SELECT 1 LIMIT $n").unwrap();
        let mut used = BTreeSet::new();
        for query in &mut queries {
            query.fill(&values, &mut used);
        }
        assert_eq!(queries[0].statement.to_string(), "SELECT -3, 0.5, true, '''; DROP TABLE t; --'");
        assert_eq!(used.into_iter().collect::<Vec<_>>(), ["b", "n", "t", "x"]);
        let error = run("SELECT $missing", Access::Read).unwrap_err();
        assert_eq!((error.kind(), error.fact("parameter")), (ErrorKind::Usage, Some("$missing")));
    }

    #[test]
    fn errors_are_told_as_ours() {
        let error = |sql: &str| run(&format!("SELECT {sql} FROM '{FLAT}'"), Access::Read).unwrap_err();
        let detail = |error: &Error| error.fact("detail").unwrap().to_owned();
        let call = error("nc1_pinv(label, feature)");
        assert_eq!(call.kind(), ErrorKind::Usage);
        assert!(detail(&call).starts_with("nc1_pinv: the first argument is not a vector"), "{call}");
        assert!(!detail(&call).contains("Candidate"), "{call}");
        assert_eq!(error("nc1_pinf(feature, label)").fact("function"), Some("nc1_pinf"));
        assert_eq!(error("nc1_pinv(features, label)").fact("column"), Some("features"));
        let typo = Query::parse("SELECT 1; SELEC 2").unwrap_err();
        assert!(typo.kind() == ErrorKind::Usage && detail(&typo).contains("Line: 1, Column: 11"), "{typo}");
    }
}
