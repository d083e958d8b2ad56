//! Accumulating rows into states, group by group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::error::Result as SqlResult;
use datafusion::logical_expr::{Accumulator, EmitTo, GroupsAccumulator};
use datafusion::scalar::ScalarValue;

use crate::error::{Error, Result};
use crate::kernels::Workspace;
use crate::sql::aggregates::finish::Finish;
use crate::sql::error::external;
use crate::sql::settings::Settings;
use crate::sql::settings::budget::{Budget, Held};
use crate::sql::values::head::{self, HeadPlace};
use crate::sql::values::rows::{LabelledRows, Rounded, Rounding};
use crate::sql::values::state_column::{self, States};
use crate::sql::values::summary::Summary;
use crate::state::{Accumulate, Shifts};

/// Accumulates groups. Arguments are a vector, a label, then in any order a head and what rounds the rows.
pub(in crate::sql) struct Groups {
    scatter: bool,
    /// Whether the partial states carry a head.
    takes_head: bool,
    settings: Settings,
    budget: Budget,
    finish: Box<dyn Finish>,
    open: Vec<OpenGroup>,
    workspace: Workspace,
}

#[derive(Default)]
struct OpenGroup {
    summary: Summary,
    shifts: Shifts,
    head: Option<HeadPlace>,
    held: Option<Held>,
}

impl OpenGroup {
    /// Bytes that it holds, the shifts of its classes among them.
    fn bytes(&self) -> u64 {
        let sums = self.summary.class_sums();
        self.summary.bytes() + (sums.classes() * (8 * sums.dim() + SHIFT) + sums.text_bytes()) as u64
    }
}

/// Bytes of a class's shift beside its values and its label.
const SHIFT: usize = 96;

impl Groups {
    pub(in crate::sql) fn new(
        scatter: bool,
        takes_head: bool,
        settings: Settings,
        budget: Budget,
        finish: Box<dyn Finish>,
    ) -> Self {
        Self { scatter, takes_head, settings, budget, finish, open: Vec::new(), workspace: Workspace::default() }
    }

    fn resize(&mut self, groups: usize) {
        let scatter = self.scatter;
        self.open.resize_with(groups, || OpenGroup { summary: Summary::new(scatter), ..OpenGroup::default() });
    }

    fn update(
        &mut self,
        values: &[ArrayRef],
        group_of: &dyn Fn(usize) -> usize,
        filter: Option<&BooleanArray>,
    ) -> Result<()> {
        let [features, labels, rest @ ..] = values else {
            return Err(Error::internal("an aggregate of rows without a vector and a label"));
        };
        let rows = LabelledRows::of(features, labels, filter, &self.settings)?;
        let (settings, groups, workspace) = (&self.settings, &mut self.open, &mut self.workspace);
        rows.nulls.iter().for_each(|&row| groups[group_of(row as usize)].summary.skipped_nulls += 1);
        rows.nonfinite.iter().for_each(|&row| groups[group_of(row as usize)].summary.skipped_nonfinite += 1);
        let rounding = rounding(rest)?;
        let mut touched = BTreeSet::new();
        rows.each_chunk(&rounding, settings, workspace, |rounded, workspace| {
            let Rounded { chunk, rows: places, own_grid } = rounded;
            let mut members: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
            for (at, &row) in places.iter().enumerate() {
                members.entry(group_of(row as usize)).or_default().push(at as u32);
            }
            let all = members.len() == 1;
            for (at, members) in members {
                let group = &mut groups[at];
                let known = group.summary.class_sums().dim();
                if known != 0 && known != chunk.batch.dim() {
                    return Err(differ_in_length(known, chunk.batch.dim()));
                }
                check_kind(&group.summary, &chunk.batch)?;
                let members = (!all).then_some(members.as_slice());
                group.summary.state.update(chunk, members, &group.shifts, workspace)?;
                group.summary.own_grid |= own_grid;
                group.summary.significand_bits = group.summary.significand_bits.max(rows.significand_bits);
                touched.insert(at);
            }
            Ok(())
        })?;
        if self.takes_head
            && let Some(heads) = rest.iter().map(head::decode).find_map(Result::transpose).transpose()?
        {
            for (row, head) in heads.into_iter().enumerate() {
                enter(&mut groups[group_of(row)].head, head)?;
            }
        }
        touched.into_iter().try_for_each(|group| self.note(group))
    }

    /// Takes note of what a group holds now.
    fn note(&mut self, group: usize) -> Result<()> {
        let group = &mut self.open[group];
        let bytes = group.bytes();
        self.budget.keep(&mut group.held, bytes, self.settings.memory)
    }

    fn merge(&mut self, values: &[ArrayRef], group_of: &dyn Fn(usize) -> usize) -> Result<()> {
        let states = States::of(&values[0])?;
        let heads = values.get(1).map(head::decode).transpose()?.flatten();
        for row in 0..states.len() {
            let group = group_of(row);
            if let Some(heads) = &heads {
                enter(&mut self.open[group].head, heads[row].clone())?;
            }
            if let Some(state) = states.get(row)? {
                let summary = &mut self.open[group].summary;
                let (known, found) = (summary.class_sums().dim(), state.class_sums().dim());
                if known != 0 && found != 0 && known != found {
                    return Err(differ_in_length(known, found));
                }
                summary.merge(&state)?;
                self.note(group)?;
            }
        }
        Ok(())
    }

    /// Groups that are finished, and what they hold until they are dropped.
    fn take(&mut self, emit_to: EmitTo) -> (Vec<(Summary, Option<HeadPlace>)>, Vec<Held>) {
        let groups = emit_to.take_needed(&mut self.open);
        let (groups, held): (Vec<_>, Vec<_>) =
            groups.into_iter().map(|group| ((group.summary, group.head), group.held)).unzip();
        (groups, held.into_iter().flatten().collect())
    }

    fn states(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let (taken, _held) = self.take(emit_to);
        // Their columns are made while they are still there.
        let bytes = taken.iter().map(|(summary, _)| summary.bytes()).sum();
        let _columns = self.budget.hold(bytes, self.settings.memory)?;
        partial(&taken, self.takes_head)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let (taken, _held) = self.take(emit_to);
        self.finish.finish(&taken)
    }
}

/// Partial states as columns.
fn partial(groups: &[(Summary, Option<HeadPlace>)], takes_head: bool) -> Result<Vec<ArrayRef>> {
    let states = state_column::encode(groups.iter().map(|(summary, _)| Some(summary)))?;
    let mut columns: Vec<ArrayRef> = vec![Arc::new(states)];
    if takes_head {
        columns.push(head::encode(groups.iter().map(|(_, head)| head.as_ref()))?);
    }
    Ok(columns)
}

/// A group has one head.
fn enter(known: &mut Option<HeadPlace>, head: Option<HeadPlace>) -> Result<()> {
    match (&known, &head) {
        (Some(known), Some(head)) if known != head => Err(Error::usage("the rows of a group come with several heads")
            .with("head", &known.text)
            .with("other head", &head.text)
            .help("one head for each group: add what tells them apart to GROUP BY")),
        (None, Some(_)) => {
            *known = head;
            Ok(())
        }
        _ => Ok(()),
    }
}

pub(in crate::sql) fn differ_in_length(expected: usize, found: usize) -> Error {
    Error::data("the rows of a group differ in length")
        .with("expected", expected)
        .with("found", found)
        .help("add the column that tells them apart to GROUP BY, or leave some out by WHERE")
}

fn check_kind(summary: &Summary, batch: &crate::batch::Batch<'_>) -> Result<()> {
    let found = batch.codes().first().map(|&code| batch.classes()[code as usize].kind());
    match (summary.class_sums().label_kind(), found) {
        (Some(known), Some(found)) if known != found => {
            Err(Error::data("the labels of a group differ in type").with("detail", format!("{known} and {found}")))
        }
        _ => Ok(()),
    }
}

/// What rounds the rows, from the arguments after the label.
fn rounding(arguments: &[ArrayRef]) -> Result<Rounding<'_>> {
    for argument in arguments {
        if argument.data_type() == &crate::sql::values::grid_column::data_type() {
            return Ok(Rounding::Carried(argument));
        }
        if argument.data_type() == &DataType::Int64 {
            let exponents = argument.as_primitive::<Int64Type>();
            let first = exponents.iter().next().flatten();
            if exponents.null_count() > 0 || exponents.values().iter().any(|&exponent| Some(exponent) != first) {
                return Err(Error::usage("the grid's exponent is one integer for all rows"));
            }
            let Some(first) = first else { return Ok(Rounding::Own) };
            let exponent = i16::try_from(first).ok().filter(|e| crate::grid::EXPONENTS.contains(e));
            return exponent.map(Rounding::Exponent).ok_or_else(|| {
                Error::usage("the grid's exponent is out of range")
                    .with("exponent", first)
                    .with("range", format!("{:?}", crate::grid::EXPONENTS))
            });
        }
    }
    Ok(Rounding::Own)
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> SqlResult<()> {
        self.resize(total_num_groups);
        self.update(values, &|row| group_indices[row], opt_filter).map_err(external)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> SqlResult<ArrayRef> {
        Self::evaluate(self, emit_to).map_err(external)
    }

    fn state(&mut self, emit_to: EmitTo) -> SqlResult<Vec<ArrayRef>> {
        self.states(emit_to).map_err(external)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> SqlResult<()> {
        self.resize(total_num_groups);
        self.merge(values, &|row| group_indices[row]).map_err(external)
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> SqlResult<Vec<ArrayRef>> {
        let convert = || {
            let rows = values[0].len();
            let finish = Box::new(NoFinish);
            let mut each = Self::new(self.scatter, self.takes_head, self.settings.clone(), self.budget.clone(), finish);
            each.resize(rows);
            each.update(values, &|row| row, opt_filter)?;
            each.states(EmitTo::All)
        };
        convert().map_err(external)
    }

    fn size(&self) -> usize {
        // What a pool of the session holds is not reported again: see `Budget`.
        let states: u64 = if self.budget.is_pooled() { 0 } else { self.open.iter().map(OpenGroup::bytes).sum() };
        states as usize + self.open.len() * size_of::<OpenGroup>()
    }
}

/// For rows that only become partial states.
struct NoFinish;

impl Finish for NoFinish {
    fn finish(&self, _: &[(Summary, Option<HeadPlace>)]) -> Result<ArrayRef> {
        Err(Error::internal("a partial state was asked for its final value"))
    }
}

/// All rows are one group.
pub(in crate::sql) struct Single(Groups);

impl Single {
    pub(in crate::sql) fn new(mut groups: Groups) -> Self {
        groups.resize(1);
        Self(groups)
    }

    fn kept(&self) -> Vec<(Summary, Option<HeadPlace>)> {
        vec![(self.0.open[0].summary.clone(), self.0.open[0].head.clone())]
    }
}

impl std::fmt::Debug for Single {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Single").finish_non_exhaustive()
    }
}

impl Accumulator for Single {
    fn update_batch(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        self.0.update(values, &|_| 0, None).map_err(external)
    }

    fn evaluate(&mut self) -> SqlResult<ScalarValue> {
        // A window asks for the value again after every step.
        let value = self.0.finish.finish(&self.kept()).map_err(external)?;
        ScalarValue::try_from_array(&value, 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }

    fn state(&mut self) -> SqlResult<Vec<ScalarValue>> {
        let columns = partial(&self.kept(), self.0.takes_head).map_err(external)?;
        columns.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> SqlResult<()> {
        self.0.merge(states, &|_| 0).map_err(external)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> SqlResult<()> {
        let mut retract = || {
            let finish = Box::new(NoFinish);
            let mut leaving =
                Groups::new(self.0.scatter, false, self.0.settings.clone(), self.0.budget.clone(), finish);
            leaving.resize(1);
            std::mem::swap(&mut leaving.workspace, &mut self.0.workspace);
            let outcome = leaving.update(values, &|_| 0, None);
            std::mem::swap(&mut leaving.workspace, &mut self.0.workspace);
            outcome?;
            let leaving = &leaving.open[0].summary;
            if leaving.own_grid {
                return Err(Error::usage("a sliding window needs rows that bring their grid along")
                    .help("read an archive, or give the grid's exponent as the last argument, as -20"));
            }
            self.0.open[0].summary.subtract(leaving)
        };
        retract().map_err(external)?;
        self.0.note(0).map_err(external)
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }
}
