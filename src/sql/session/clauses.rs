//! Clauses that the planner reads over: a query that has one is refused, and not answered as if it had none.
//!
//! The parser knows the clauses of a dozen dialects; DataFusion's planner takes what it can run out of the statement, and
//! says nothing of some that it leaves behind.

use std::ops::ControlFlow;

use datafusion::execution::SessionState;
use datafusion::logical_expr::AggregateUDF;
use datafusion::sql::sqlparser::ast::{
    CreateTableOptions, CreateView, Cte, DataType, DuplicateTreatment, ExactNumberInfo, Expr, Function, FunctionArg,
    FunctionArgumentClause, FunctionArguments, GroupByExpr, Join, NamedWindowExpr, OrderByKind, Query, Select,
    SelectFlavor, SelectItem, SelectModifiers, SetExpr, Statement, TableAlias, TableFactor, TypedString, Visit,
    Visitor, WildcardAdditionalOptions, WindowSpec, WindowType, visit_expressions,
};

use crate::error::{Error, Result};

/// Refuses a statement, or a part of one, with a clause that would be ignored.
///
/// # Errors
///
/// [`Usage`](crate::error::ErrorKind::Usage) with the clause, and what to write in its place.
pub(in crate::sql) fn check(statement: &impl Visit, session: &SessionState) -> Result<()> {
    match statement.visit(&mut Clauses { session }) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(()),
    }
}

struct Clauses<'a> {
    session: &'a SessionState,
}

type Found = ControlFlow<Error>;

/// Breaks off with the clause if it is there.
fn refuse(there: bool, clause: &str, instead: &str) -> Found {
    if !there {
        return ControlFlow::Continue(());
    }
    let error = Error::usage("the query has a clause that is not supported");
    ControlFlow::Break(error.with("clause", clause).help(instead))
}

const LEAVE_OUT: &str = "leave it out: it would change nothing here";

impl Visitor for Clauses<'_> {
    type Break = Error;

    fn pre_visit_statement(&mut self, statement: &Statement) -> Found {
        match statement {
            Statement::CreateView(view) => of_view(view),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_query(&mut self, query: &Query) -> Found {
        refuse(!query.locks.is_empty(), "FOR UPDATE or FOR SHARE", LEAVE_OUT)?;
        refuse(query.for_clause.is_some(), "FOR XML or FOR JSON", "--format json, or -o FILE.json")?;
        refuse(query.settings.is_some(), "SETTINGS", "SET name = value; before the query")?;
        refuse(query.format_clause.is_some(), "FORMAT", "--format csv, or -o FILE.csv")?;
        let is_select = matches!(*query.body, SetExpr::Select(_));
        if let Some(order) = &query.order_by {
            let all = matches!(order.kind, OrderByKind::All(_));
            refuse(all && !is_select, "ORDER BY ALL after UNION, EXCEPT or INTERSECT", "ORDER BY 1, 2")?;
            named_windows(order)?;
        }
        if !is_select {
            nested_into(&query.body)?;
        }
        let Some(with) = &query.with else { return ControlFlow::Continue(()) };
        for table in &with.cte_tables {
            of_common_table(table, with.recursive)?;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> Found {
        refuse(select.flavor == SelectFlavor::FromFirstNoSelect, "FROM without SELECT", "SELECT * FROM …")?;
        refuse(select.prewhere.is_some(), "PREWHERE", "WHERE … AND …")?;
        refuse(!select.connect_by.is_empty(), "CONNECT BY", "WITH RECURSIVE")?;
        refuse(
            select.exclude.is_some(),
            "EXCLUDE after the columns",
            "SELECT * EXCLUDE (column), or the columns by name",
        )?;
        refuse(select.value_table_mode.is_some(), "SELECT AS STRUCT or AS VALUE", "named_struct('name', value, …)")?;
        let modifiers = select.select_modifiers.as_ref();
        refuse(modifiers.is_some_and(SelectModifiers::is_any_set), "SELECT with a modifier of MySQL", LEAVE_OUT)?;
        let (GroupByExpr::All(modifiers) | GroupByExpr::Expressions(_, modifiers)) = &select.group_by;
        if let Some(modifier) = modifiers.first() {
            let instead = "GROUP BY ROLLUP (a, b), GROUP BY CUBE (a, b) or GROUP BY GROUPING SETS ((a), ())";
            return refuse(true, &format!("GROUP BY … {modifier}"), instead);
        }
        for item in &select.projection {
            if let SelectItem::Wildcard(options) | SelectItem::QualifiedWildcard(_, options) = item {
                of_wildcard(options)?;
            }
        }
        for window in &select.named_window {
            if let NamedWindowExpr::WindowSpec(window) = &window.1 {
                of_window(window)?;
            }
        }
        named_windows(&select.qualify)?;
        named_windows(&select.having)?;
        select.from.iter().try_for_each(|from| of_joins(&from.joins))
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> Found {
        match table {
            TableFactor::Table {
                alias,
                args,
                with_hints,
                version,
                with_ordinality,
                partitions,
                json_path,
                sample,
                index_hints,
                ..
            } => {
                refuse(sample.is_some(), "TABLESAMPLE or SAMPLE", "WHERE random() < 0.1, which keeps about a tenth")?;
                refuse(!partitions.is_empty(), "PARTITION (…)", "WHERE key = value")?;
                refuse(version.is_some(), "AS OF, AT or CHANGES of a table", "the path of the files of that time")?;
                refuse(!with_hints.is_empty(), "WITH (…) after a table", LEAVE_OUT)?;
                refuse(!index_hints.is_empty(), "USE, IGNORE or FORCE INDEX", LEAVE_OUT)?;
                refuse(*with_ordinality, "WITH ORDINALITY", "row_number() OVER ()")?;
                refuse(json_path.is_some(), "a path into a table", "table.column.field in the SELECT list")?;
                let settings = args.as_ref().is_some_and(|args| args.settings.is_some());
                refuse(settings, "SETTINGS", "SET name = value; before the query")?;
                of_alias(alias.as_ref())
            }
            TableFactor::Derived { alias, sample, .. } => {
                refuse(sample.is_some(), "TABLESAMPLE or SAMPLE", "WHERE random() < 0.1, which keeps about a tenth")?;
                of_alias(alias.as_ref())
            }
            TableFactor::Function { alias, with_ordinality, args, .. } => {
                refuse(*with_ordinality, "WITH ORDINALITY", "row_number() OVER ()")?;
                let named = args.iter().any(|argument| !matches!(argument, FunctionArg::Unnamed(_)));
                refuse(named, "names of a table function's arguments", "the arguments in their order, without names")?;
                of_alias(alias.as_ref())
            }
            TableFactor::NestedJoin { alias, table_with_joins } => {
                of_joins(&table_with_joins.joins)?;
                of_alias(alias.as_ref())
            }
            TableFactor::UNNEST { alias, .. } => of_alias(alias.as_ref()),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expression: &Expr) -> Found {
        match expression {
            Expr::Cast { data_type, .. } | Expr::TypedString(TypedString { data_type, .. }) => of_type(data_type),
            Expr::Function(call) => self.of_call(call),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Clauses<'_> {
    fn of_call(&self, call: &Function) -> Found {
        let name = call.name.to_string().to_lowercase();
        refuse(
            call.parameters != FunctionArguments::None,
            "parameters in parentheses of their own",
            "f(x, parameter)",
        )?;
        if let Some(WindowType::WindowSpec(window)) = &call.over {
            of_window(window)?;
        }
        let (distinct, nulls, ordered) = match &call.args {
            FunctionArguments::List(list) => (
                list.duplicate_treatment == Some(DuplicateTreatment::Distinct),
                list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::IgnoreOrRespectNulls(_))),
                list.clauses.iter().any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(_))),
            ),
            FunctionArguments::None | FunctionArguments::Subquery(_) => (false, false, false),
        };
        let nulls = nulls || call.null_treatment.is_some();
        if self.is_of_a_row(&name) {
            let instead = format!("{name} is a function of a row, and no aggregate: leave it out");
            let refuse = |there, clause: &str| refuse(there, &format!("{clause} of {name}"), &instead);
            refuse(distinct, "DISTINCT")?;
            refuse(ordered, "ORDER BY")?;
            refuse(nulls, "IGNORE or RESPECT NULLS")?;
            refuse(call.filter.is_some(), "FILTER")?;
            refuse(call.over.is_some(), "OVER")?;
            return refuse(!call.within_group.is_empty(), "WITHIN GROUP");
        }
        let aggregate = self.session.aggregate_functions().get(&name);
        let minds_nulls =
            aggregate.is_none_or(|aggregate: &std::sync::Arc<AggregateUDF>| aggregate.supports_null_handling_clause());
        refuse(
            nulls && call.over.is_some() && !minds_nulls,
            &format!("IGNORE or RESPECT NULLS of {name}"),
            "FILTER (WHERE x IS NOT NULL)",
        )
    }

    /// Whether the planner takes a name for a scalar function.
    fn is_of_a_row(&self, name: &str) -> bool {
        matches!(name, "unnest" | "unnest_outer") || self.session.scalar_functions().contains_key(name)
    }
}

fn of_view(view: &CreateView) -> Found {
    let plain = "CREATE [OR REPLACE] VIEW name AS SELECT …";
    refuse(view.materialized, "MATERIALIZED", "CREATE TABLE name AS SELECT …, with --allow-write")?;
    refuse(view.if_not_exists, "IF NOT EXISTS of a view", plain)?;
    let others = view.or_alter
        || view.secure
        || view.with_no_schema_binding
        || view.copy_grants
        || view.to.is_some()
        || view.params.is_some()
        || view.comment.is_some()
        || !view.cluster_by.is_empty()
        || view.options != CreateTableOptions::None;
    refuse(others, "an option of a view", plain)
}

fn of_common_table(table: &Cte, recursive: bool) -> Found {
    refuse(table.from.is_some(), "FROM after a table of WITH", "FROM inside of its parentheses")?;
    of_alias(Some(&table.alias))?;
    let inner = &table.query;
    let dropped = inner.order_by.is_some()
        || inner.limit_clause.is_some()
        || inner.fetch.is_some()
        || inner.with.is_some()
        || !inner.pipe_operators.is_empty();
    refuse(
        recursive && dropped && matches!(*inner.body, SetExpr::SetOperation { .. }),
        "ORDER BY, LIMIT or WITH inside of WITH RECURSIVE",
        "WHERE in its second part ends it; ORDER BY and LIMIT go to the query that reads it",
    )
}

/// `INTO` below a set operation.
fn nested_into(body: &SetExpr) -> Found {
    match body {
        SetExpr::Select(select) => refuse(select.into.is_some(), "INTO", "CREATE TABLE name AS …, with --allow-write"),
        SetExpr::SetOperation { left, right, .. } => {
            nested_into(left)?;
            nested_into(right)
        }
        _ => ControlFlow::Continue(()),
    }
}

fn of_wildcard(options: &WildcardAdditionalOptions) -> Found {
    refuse(options.opt_ilike.is_some(), "* ILIKE", "the columns by name, or SELECT * EXCLUDE (column)")
}

/// Windows are known by name in the SELECT list alone; elsewhere the call would become one without a window.
fn named_windows(part: &impl Visit) -> Found {
    visit_expressions(part, |expression: &Expr| {
        let named = matches!(expression, Expr::Function(Function { over: Some(WindowType::NamedWindow(_)), .. }));
        refuse(named, "OVER name outside of the SELECT list", "the window itself: OVER (PARTITION BY … ORDER BY …)")
    })
}

fn of_window(window: &WindowSpec) -> Found {
    let there = window.window_name.is_some();
    refuse(there, "OVER (name …)", "the whole window: OVER (PARTITION BY … ORDER BY …)")
}

fn of_joins(joins: &[Join]) -> Found {
    joins.iter().try_for_each(|join| refuse(join.global, "GLOBAL JOIN", LEAVE_OUT))
}

fn of_alias(alias: Option<&TableAlias>) -> Found {
    let Some(alias) = alias else { return ControlFlow::Continue(()) };
    refuse(alias.at.is_some(), "AT after a table", "row_number() OVER ()")?;
    let typed = alias.columns.iter().any(|column| column.data_type.is_some());
    refuse(typed, "types of a table's columns", "CAST(column AS type) in the SELECT list")
}

/// Lengths and precisions that a cast would not keep to.
fn of_type(data_type: &DataType) -> Found {
    let length = match data_type {
        DataType::Varchar(length) | DataType::Char(length) => length.is_some(),
        DataType::String(length) => length.is_some(),
        DataType::Float(precision) => {
            return refuse(
                *precision != ExactNumberInfo::None,
                &data_type.to_string(),
                "REAL for f32, or DOUBLE for f64",
            );
        }
        _ => false,
    };
    refuse(length, &data_type.to_string(), "left(x, length), and VARCHAR without a length")
}
