//! Accumulating rows into states, group by group.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, Int64Type};
use datafusion::logical_expr::EmitTo;

use crate::batch::{Batch, Label, LabelKind};
use crate::error::{Error, Result};
use crate::kernels::Workspace;
use crate::sql::aggregates::accumulator::Aggregation;
use crate::sql::aggregates::finish::{FinishGroups, GroupedRows};
use crate::sql::settings::Settings;
use crate::sql::settings::budget::Budget;
use crate::sql::values::head::{self, HeadPlace};
use crate::sql::values::rows::{GridChoice, LabelledRows, RoundedChunk};
use crate::sql::values::sql_state::SqlState;
use crate::sql::values::state_column::{self, States};
use crate::state::{DeviceParts, Shifts, State, StatesByKey};

/// Accumulates groups. Arguments are a vector, a label, then in any order a head and what rounds the rows.
pub(in crate::sql) struct RowAggregation {
    scatter: bool,
    /// Whether the partial states carry a head.
    takes_head: bool,
    settings: Settings,
    budget: Budget,
    finish: Box<dyn FinishGroups>,
    groups: Vec<GroupedRows>,
    /// The shifts of the classes of each group.
    shifts: Vec<Shifts>,
    /// What the device holds of the groups.
    parts: DeviceParts<usize>,
    workspace: Workspace,
}

impl StatesByKey<usize> for Vec<GroupedRows> {
    fn state(&mut self, group: &usize) -> Option<&mut State> {
        self.get_mut(*group).map(|group| &mut group.summary.state)
    }
}

/// Bytes that a group holds, the shifts of its classes among them.
fn held_bytes(summary: &SqlState) -> u64 {
    let sums = summary.class_sums();
    summary.bytes() + (sums.classes() * (8 * sums.dim() + SHIFT) + sums.text_bytes()) as u64
}

/// Bytes of a class's shift beside its values and its label.
const SHIFT: usize = 96;

impl RowAggregation {
    pub(in crate::sql) fn new(
        scatter: bool,
        takes_head: bool,
        settings: Settings,
        budget: Budget,
        finish: Box<dyn FinishGroups>,
    ) -> Self {
        Self {
            scatter,
            takes_head,
            workspace: settings.device.workspace(),
            settings,
            budget,
            finish,
            groups: Vec::new(),
            shifts: Vec::new(),
            parts: DeviceParts::default(),
        }
    }

    /// Takes note of what a group holds now.
    fn note(&mut self, group: usize) -> Result<()> {
        let group = &mut self.groups[group];
        let bytes = held_bytes(&group.summary);
        self.budget.keep(&mut group.held, bytes, self.settings.memory)
    }
}

impl Aggregation for RowAggregation {
    type Group = GroupedRows;

    const RETRACTS: bool = true;

    fn empty(&self) -> Self {
        let (settings, budget) = (self.settings.clone(), self.budget.clone());
        Self::new(self.scatter, self.takes_head, settings, budget, Box::new(NoFinish))
    }

    fn resize(&mut self, groups: usize) {
        let scatter = self.scatter;
        self.groups.resize_with(groups, || GroupedRows { summary: SqlState::new(scatter), ..GroupedRows::default() });
        self.shifts.resize_with(groups, Shifts::default);
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
        let takes_head = self.takes_head;
        let Self { settings, groups, shifts, parts, workspace, .. } = self;
        rows.nulls.iter().for_each(|&row| groups[group_of(row as usize)].summary.skipped_nulls += 1);
        rows.nonfinite.iter().for_each(|&row| groups[group_of(row as usize)].summary.skipped_nonfinite += 1);
        let rounding = rounding(rest)?;
        let mut touched = BTreeSet::new();
        rows.each_chunk(&rounding, settings, workspace, |rounded, workspace| {
            let RoundedChunk { chunk, rows: places, own_grid, significand_bits } = rounded;
            let mut members: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
            for (at, &row) in places.iter().enumerate() {
                members.entry(group_of(row as usize)).or_default().push(at as u32);
            }
            let all = members.len() == 1;
            for (at, members) in members {
                let group = &groups[at];
                let known = parts.dim(&at).unwrap_or_else(|| group.summary.class_sums().dim());
                if known != 0 && known != chunk.batch.dim() {
                    return Err(differ_in_length(known, chunk.batch.dim()));
                }
                let label = parts.labels(&at).first().or_else(|| group.summary.class_sums().labels().first());
                check_kind(label.map(Label::kind), &chunk.batch)?;
                groups[at].summary.normalized = settings.normalize;
                let members = (!all).then_some(members.as_slice());
                parts.update(&at, groups, chunk, members, &shifts[at], workspace)?;
                let group = &mut groups[at];
                group.summary.own_grid |= own_grid;
                group.summary.lower_precision(*significand_bits);
                touched.insert(at);
            }
            Ok(())
        })?;
        if takes_head && let Some(heads) = rest.iter().map(head::decode).find_map(Result::transpose).transpose()? {
            for (row, head) in heads.into_iter().enumerate() {
                enter(&mut groups[group_of(row)].head, head)?;
            }
        }
        touched.into_iter().try_for_each(|group| self.note(group))
    }

    fn merge(&mut self, values: &[ArrayRef], group_of: &dyn Fn(usize) -> usize) -> Result<()> {
        let states = States::of(&values[0])?;
        let heads = values.get(1).map(head::decode).transpose()?.flatten();
        for row in 0..states.len() {
            let group = group_of(row);
            if let Some(heads) = &heads {
                enter(&mut self.groups[group].head, heads[row].clone())?;
            }
            if let Some(state) = states.get(row)? {
                let summary = &mut self.groups[group].summary;
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

    fn retract(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.settle()?;
        let mut leaving = Self { takes_head: false, ..self.empty() };
        leaving.resize(1);
        std::mem::swap(&mut leaving.workspace, &mut self.workspace);
        let outcome = leaving.update(values, &|_| 0, None).and_then(|()| leaving.settle());
        std::mem::swap(&mut leaving.workspace, &mut self.workspace);
        outcome?;
        let leaving = &leaving.groups[0].summary;
        if leaving.own_grid {
            return Err(Error::usage("a sliding window needs rows that bring their grid along")
                .help("read an archive, or give the grid's exponent as the last argument, as -20"));
        }
        self.groups[0].summary.subtract(leaving)?;
        self.note(0)
    }

    fn settle(&mut self) -> Result<()> {
        // Windows ask after every row, and each group's memory is noted where its rows are added.
        if self.parts.is_empty() {
            return Ok(());
        }
        self.parts.settle(&mut self.groups, &mut self.workspace)?;
        (0..self.groups.len()).try_for_each(|group| self.note(group))
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<GroupedRows> {
        emit_to.take_needed(&mut self.shifts);
        emit_to.take_needed(&mut self.groups)
    }

    fn groups(&self) -> &[GroupedRows] {
        &self.groups
    }

    fn partial(&self, groups: &[GroupedRows]) -> Result<Vec<ArrayRef>> {
        // The columns are made while the groups are still there.
        let bytes = groups.iter().map(|group| group.summary.bytes()).sum();
        let _columns = self.budget.hold(bytes, self.settings.memory)?;
        let states = state_column::encode(groups.iter().map(|group| Some(&group.summary)))?;
        let mut columns: Vec<ArrayRef> = vec![Arc::new(states)];
        if self.takes_head {
            columns.push(head::encode(groups.iter().map(|group| group.head.as_ref()))?);
        }
        Ok(columns)
    }

    fn finish(&self, groups: &[GroupedRows]) -> Result<ArrayRef> {
        self.finish.finish(groups)
    }

    fn bytes(&self) -> usize {
        // What a pool of the session holds is not reported again: see `Budget`.
        let states: u64 =
            if self.budget.is_pooled() { 0 } else { self.groups.iter().map(|group| held_bytes(&group.summary)).sum() };
        states as usize + self.groups.len() * (size_of::<GroupedRows>() + size_of::<Shifts>())
    }
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

fn check_kind(known: Option<LabelKind>, batch: &Batch<'_>) -> Result<()> {
    let found = batch.codes().first().map(|&code| batch.classes()[code as usize].kind());
    match (known, found) {
        (Some(known), Some(found)) if known != found => {
            Err(Error::data("the labels of a group differ in type").with("detail", format!("{known} and {found}")))
        }
        _ => Ok(()),
    }
}

/// What rounds the rows, from the arguments after the label.
fn rounding(arguments: &[ArrayRef]) -> Result<GridChoice<'_>> {
    for argument in arguments {
        if argument.data_type() == &crate::sql::values::grid_column::data_type() {
            return Ok(GridChoice::Carried(argument));
        }
        if argument.data_type() == &DataType::Int64 {
            let exponents = argument.as_primitive::<Int64Type>();
            let first = exponents.iter().next().flatten();
            if exponents.null_count() > 0 || exponents.values().iter().any(|&exponent| Some(exponent) != first) {
                return Err(Error::usage("the grid's exponent is one integer for all rows"));
            }
            let Some(first) = first else { return Ok(GridChoice::Own) };
            let exponent = i16::try_from(first).ok().filter(|e| crate::grid::EXPONENTS.contains(e));
            return exponent.map(GridChoice::Exponent).ok_or_else(|| {
                Error::usage("the grid's exponent is out of range")
                    .with("exponent", first)
                    .with("range", format!("{:?}", crate::grid::EXPONENTS))
            });
        }
    }
    Ok(GridChoice::Own)
}

/// For rows that only become partial states.
struct NoFinish;

impl FinishGroups for NoFinish {
    fn finish(&self, _: &[GroupedRows]) -> Result<ArrayRef> {
        Err(Error::internal("a partial state was asked for its final value"))
    }
}
