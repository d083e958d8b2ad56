//! Names, signatures and summaries of all functions, for `SHOW FUNCTIONS` and the shell.

use std::collections::HashMap;
use std::sync::LazyLock;

use datafusion::logical_expr::{DocSection, Documentation};
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{self, ShowStatementFilter};

use crate::error::{Error, Result};
use crate::metrics::{Card, Need, cards};
use crate::sql::functions::evaluate::MetricInput;

/// A function of SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The arguments that it takes, and whether it is an aggregate.
    pub signature: String,
    /// What it is, in a line.
    pub summary: String,
}

/// All functions of this crate, aggregates before functions of what they make.
pub fn functions() -> &'static [Function] {
    &FUNCTIONS
}

/// What a session tells of a function, as `SHOW FUNCTIONS` does.
pub(in crate::sql) fn documentation(name: &str) -> Option<&'static Documentation> {
    static DOCUMENTATION: LazyLock<HashMap<&'static str, Documentation>> = LazyLock::new(|| {
        let document = |function: &'static Function| {
            let section = DocSection { include: true, label: "Neural collapse", description: None };
            let text = Documentation::builder(section, &function.summary, &function.signature);
            (function.name.as_str(), text.build())
        };
        functions().iter().map(document).collect()
    });
    DOCUMENTATION.get(name)
}

/// Makes `SHOW FUNCTIONS` list our functions too: DataFusion's own list leaves out functions with user-defined signatures.
const SHOWN: &str = "SELECT * FROM (
    SELECT DISTINCT routine_name AS function_name, function_type, syntax_example, description
    FROM information_schema.routines
) ORDER BY function_name, function_type";

/// Makes `SHOW FUNCTIONS` a query.
pub(in crate::sql) fn show(statement: &mut Statement) -> Result<()> {
    let Statement::Statement(inner) = statement else { return Ok(()) };
    let ast::Statement::ShowFunctions { filter } = inner.as_mut() else { return Ok(()) };
    let text = |pattern: String| Box::new(ast::Expr::value(ast::Value::SingleQuotedString(pattern)));
    let name = || Box::new(ast::Expr::Identifier(ast::Ident::new("function_name")));
    let (negated, any, escape_char) = (false, false, None);
    let wanted = filter.take().map(|filter| match filter {
        ShowStatementFilter::Like(pattern) | ShowStatementFilter::NoKeyword(pattern) => {
            ast::Expr::Like { negated, any, expr: name(), pattern: text(pattern), escape_char }
        }
        ShowStatementFilter::ILike(pattern) => {
            ast::Expr::ILike { negated, any, expr: name(), pattern: text(pattern), escape_char }
        }
        ShowStatementFilter::Where(condition) => condition,
    });
    let parsed = DFParserBuilder::new(SHOWN).build().and_then(|mut parser| parser.parse_statement());
    let mut shown =
        parsed.map_err(|error| Error::internal("cannot parse the query that lists functions").caused_by(error))?;
    if let Statement::Statement(inner) = &mut shown
        && let ast::Statement::Query(query) = inner.as_mut()
        && let ast::SetExpr::Select(select) = query.body.as_mut()
    {
        select.selection = wanted;
    }
    *statement = shown;
    Ok(())
}

/// Whether there is a function of that name.
pub(in crate::sql) fn is_ours(name: &str) -> bool {
    FUNCTIONS.iter().any(|function| function.name == name)
}

static FUNCTIONS: LazyLock<Vec<Function>> = LazyLock::new(|| {
    let fixed = FIXED.iter().map(|(signature, summary)| function(signature, summary));
    fixed.chain(cards().iter().flat_map(of_metric)).collect()
});

/// Signatures and summaries of the functions that are not one metric.
const FIXED: &[(&str, &str)] = &[
    ("nc_state(feature, label [, grid])", "aggregate: the state of labelled rows, with the scatter"),
    ("nc_moments(feature, label [, grid])", "aggregate: the state without the scatter, class sums only"),
    ("nc_merge(state)", "aggregate: one state of several"),
    (
        "nc_measure(feature, label [, head] [, grid])",
        "aggregate: a struct of the metrics of neural collapse, with flags and accuracy",
    ),
    (
        "nc_measure_of(state [, head [, state of out-of-distribution rows]])",
        "a struct of the metrics of neural collapse, with flags and accuracy",
    ),
    ("nc_subtract(state, state)", "the first state less the rows of the second"),
    (
        "nc_jackknife(array_agg(state), metric [, head])",
        "a metric with its error bar, of the states of blocks: value, se, lo, hi, bias, blocks, reason",
    ),
    ("nc_classes(state [, head])", "a list of classes: label, count, variance, distance, worst neighbour, …"),
    ("nc_worst_pairs(state, n)", "a list of the n pairs of classes hardest to tell apart"),
    ("nc_spectrum(state)", "the eigenvalues of Σ_W and of Σ_B, largest first"),
    ("nc_reason(state, metric [, head [, state of out-of-distribution rows]])", "why a metric has no value"),
    (
        "nc_accuracy(state, metric [, head [, state of out-of-distribution rows]])",
        "the relative error that rounding left in a metric, where it is estimated",
    ),
    ("nc_flags(state, metric [, head [, state of out-of-distribution rows]])", "the remarks of a metric, a list"),
    ("nc_decisions(feature, label, state [, head])", "aggregate: what nearest centre and classifier decide of rows"),
    ("nc_share(x)", "a state or a head that is joined with rows, without a copy for each of them"),
    ("nc_head(path [, key [, transposed]])", "a classifier from Parquet, .safetensors, .pt or .npy"),
];

fn function(signature: &str, summary: &str) -> Function {
    let name = signature.split('(').next().unwrap_or(signature).to_owned();
    Function { name, signature: signature.to_owned(), summary: summary.to_owned() }
}

fn of_metric(card: &Card) -> Vec<Function> {
    let key = card.key;
    let needs = |need| card.needs.contains(&need);
    let of = |arguments: &str| function(&format!("{key}_of({arguments})"), card.summary);
    let aggregate = |arguments: &str| function(&format!("{key}({arguments})"), &format!("aggregate: {}", card.summary));
    match MetricInput::of(card) {
        MetricInput::State => vec![aggregate("feature, label [, grid]"), of("state")],
        MetricInput::StateAndHead => vec![aggregate("feature, label, head [, grid]"), of("state, head")],
        MetricInput::StateAndOod => vec![of("state, state of out-of-distribution rows")],
        MetricInput::Decisions if needs(Need::Head) => vec![aggregate("feature, label, state, head"), of("decisions")],
        MetricInput::Decisions => vec![aggregate("feature, label, state [, head]"), of("decisions")],
        MetricInput::Rows if needs(Need::Neco) || needs(Need::Mahalanobis) => {
            vec![aggregate("feature, label, state, is_out_of_distribution [, head]")]
        }
        MetricInput::Rows if needs(Need::HugIntra) => vec![aggregate("feature, label, state, head")],
        MetricInput::Rows => vec![aggregate("feature, label, state")],
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use datafusion::execution::FunctionRegistry;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[test]
    fn what_is_registered_is_told_and_what_is_told_is_registered() {
        let names = |context: &SessionContext| -> BTreeSet<String> {
            let state = context.state();
            state.udafs().into_iter().chain(state.udfs()).collect()
        };
        let context = SessionContext::new();
        let before = names(&context);
        crate::sql::register(&context);
        let registered: BTreeSet<String> = names(&context).difference(&before).cloned().collect();
        let told: BTreeSet<String> = functions().iter().map(|function| function.name.clone()).collect();
        assert_eq!(told, registered);
        assert_eq!(told.len(), functions().len(), "a name is listed twice");
    }
}
